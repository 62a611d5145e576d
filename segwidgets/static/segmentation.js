// A picture cut into pieces that belong to regions: regions grow when a step writes another number to a piece.

import { ORDER } from "./boxes.js";
import { element } from "./element.js";
import { formatNumber } from "./format.js";

const OUTLINE = 2; // pixels of the map, as in segmentation.py
const MOST_NAMED = 5; // neighbours whose sums are said besides the one that is most alike

export class SegmentationView {
  /** @param {object} spec of the panel @param {import("./trace.js").TraceReader} reader @param {HTMLElement} stage @param {Document} document */
  constructor(spec, reader, stage, document) {
    this.spec = spec;
    this.document = document;
    this.pieces = expandRuns(new Uint16Array(reader.buffers[spec.runs]), spec.down * spec.across);
    this.colours = new Uint8Array(reader.buffers[spec.colours]);
    const layer = (name) => {
      const canvas = element(document, "canvas", name);
      [canvas.width, canvas.height] = [spec.across, spec.down];
      stage.append(canvas);
      return canvas;
    };
    this.canvas = layer("segw-canvas");
    this.outlines = layer("segw-lit");
  }

  /** @param {Float32Array} values the region of each piece @param {Float32Array} before what it was before the step */
  draw(values, before) {
    [this.values, this.before] = [values, before];
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(this.spec.across, this.spec.down);
    this.pieces.forEach((piece, i) => {
      image.data.set(this.colours.subarray(3 * values[piece], 3 * values[piece] + 3), 4 * i);
      image.data[4 * i + 3] = 255;
    });
    context.putImageData(image, 0, 0);
    this.canvas.dataset.drawn = "true";
  }

  /**
   * Outlines the region of each piece: of what is read the one from before the step, of anything else the one from after it.
   * @param {Record<string, number[]>} roles role → pieces @param {{values: Float32Array, before: Float32Array}|null} moment of another step
   */
  mark(roles, moment) {
    const { values, before } = moment ?? this;
    const context = this.outlines.getContext("2d");
    const style = this.document.defaultView.getComputedStyle(this.canvas);
    const image = context.createImageData(this.spec.across, this.spec.down);
    for (const role of ORDER) {
      const colour = rgb(style.getPropertyValue(`--segw-${role}`).trim());
      for (const piece of roles?.[role] ?? []) {
        const regions = role === "read" ? before : values;
        const inside = Uint8Array.from(this.pieces, (each) => (regions[each] === regions[piece] ? 1 : 0));
        for (const [width, levels] of [[OUTLINE + 1, [255, 255, 255]], [OUTLINE, colour]]) {
          for (const i of edge(inside, this.spec.across, width)) image.data.set([...levels, 255], 4 * i);
        }
      }
    }
    context.putImageData(image, 0, 0);
    this.outlines.dataset.marked = ORDER.filter((role) => roles?.[role]?.length).join(" ");
  }

  /** The piece at a point, given as parts of the width and the height. */
  pieceAt(x, y) {
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return -1;
    return this.pieces[Math.floor(y * this.spec.down) * this.spec.across + Math.floor(x * this.spec.across)];
  }
}

/** Runs [length, label, length, label, …] → the label of every pixel. */
export function expandRuns(runs, count) {
  const labels = new Uint16Array(count);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    labels.fill(runs[i + 1], at, at + runs[i]);
    at += runs[i];
  }
  return labels;
}

/** The pixels inside from which a step of at most `width` leads out; the picture's border leads nowhere. @returns {number[]} */
export function edge(inside, across, width) {
  const found = [];
  const down = inside.length / across;
  inside.forEach((is, i) => {
    if (!is) return;
    const [x, y] = [i % across, Math.floor(i / across)];
    for (let step = 1; step <= width; step++) {
      const out = (x >= step && !inside[i - step]) || (x + step < across && !inside[i + step])
        || (y >= step && !inside[i - step * across]) || (y + step < down && !inside[i + step * across]);
      if (!out) continue;
      found.push(i);
      return;
    }
  });
  return found;
}

/**
 * What is known of the region of a piece and its neighbours.
 * @param {{id: string, measures: string[]}} spec @param {Float32Array} pairs [region, region, value of each measure, …]
 * @param {Float32Array} values the region of each piece
 * @returns {{text: string, marks: object}} `marks` hold a piece of each neighbour
 */
export function explainRegion({ id, title, measures }, pairs, values, piece) {
  const region = values[piece];
  const wide = 2 + measures.length;
  const links = [];
  for (let i = 0; i < pairs.length; i += wide) {
    const [a, b, ...parts] = pairs.subarray(i, i + wide);
    if (a !== region && b !== region) continue;
    const other = values.indexOf(a === region ? b : a);
    if (other >= 0) links.push({ other, parts, sum: parts.reduce((sum, part) => sum + part, 0) });
  }
  if (!links.length) return { text: `${title}: this region has no neighbour`, marks: {} };
  links.sort((one, other) => other.sum - one.sum);
  const [best, ...others] = links;
  const terms = measures.map((name, k) => `${name} ${formatNumber(best.parts[k])}`).join(" + ");
  const sums = others.slice(0, MOST_NAMED).map(({ sum }) => formatNumber(sum));
  if (others.length > MOST_NAMED) sums.push("…");
  const rest = sums.length ? ` · the other neighbours: ${sums.join(", ")}` : "";
  const marks = { [id]: { chosen: [best.other], read: others.map(({ other }) => other) } };
  return { text: `most alike of its neighbours: ${terms} = ${formatNumber(best.sum)}${rest}`, marks };
}

/** "#0072B2" → [0, 114, 178]. */
function rgb(colour) {
  return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
}

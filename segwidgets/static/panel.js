// Draws one panel: a grid of numbers, a heat map, a picture, a film, bars or a formula, with marks that glide over it.

import { BoxLayer, ORDER, boxUnder } from "./boxes.js";
import { STRIP, buildStrips, drawStrips } from "./curves.js";
import { element } from "./element.js";
import { FrameStore } from "./frames.js";
import { formatNumber } from "./format.js";
import { boxesOfCells } from "./layout.js";
import { boxOfCell } from "./picking.js";
import { SegmentationView } from "./segmentation.js";

const MOST_NUMBERED = 144; // cells of a heat map that also show their numbers
const BLANK = "\u00a0"; // a note that says nothing keeps the titles in one line
const LEAST_LENGTH = 0.1; // of a panel's width that its labels leave to the longest bar
const LEGIBLE = 8; // smallest type of these numbers in pixels: below it the colours speak alone

export class PanelView {
  /**
   * @param {object} spec a panel of the trace @param {import("./trace.js").TraceReader} reader @param {Document} document
   * @param {PanelView|undefined} former the view that this one replaces, when a new trace does
   */
  constructor(spec, reader, document, former) {
    this.spec = spec;
    this.former = former;
    this.document = document;
    this.root = element(document, "figure", "segw-panel");
    this.root.dataset.panel = spec.id;
    this.title = element(document, "span", "segw-title", spec.title);
    this.note = element(document, "span", "segw-note", spec.note || BLANK);
    this.notes = new Set(reader.steps.map((_, step) => reader.noteAt(spec.id, step) || BLANK));
    this.name = element(document, "figcaption", "segw-name");
    this.name.append(this.title, this.note);
    this.stage = element(document, "div", `segw-stage segw-${spec.kind}`);
    this.root.append(this.name, this.stage);
    this.picks = []; // outlines of cells that can be picked
    this.marks = new Map(); // "role:index" → the element that shows it, kept between steps so that it glides
    this.build(reader);
    this.former = null;
  }

  /** Whether it shows pixels of its own, on which boxes are marked, and not cells. */
  get pictured() {
    return this.spec.kind === "picture" || this.spec.kind === "film";
  }

  /** Width and height in units. */
  get size() {
    const { kind, width, rows, columns, lines } = this.spec;
    if (kind === "formula") return { width, height: lines.length * 0.9 };
    if (kind === "bars") return { width, height: rows * 0.8 };
    if (kind === "curves") return { width, height: rows * STRIP };
    if (kind === "segmentation") return { width, height: (width / this.spec.across) * this.spec.down };
    return { width, height: (width / columns) * rows };
  }

  /** Whether row and column numbers stand along its edges. */
  get indexed() {
    return this.spec.kind === "grid" && this.spec.paint === "numbers";
  }

  /** The width in pixels of the title in so many `lines`, 1 or 2, or of its longest note, in the type they are set in now. */
  nameWidth(lines = 1) {
    const words = this.spec.title.split(" ");
    const cuts = lines > 1 && words.length > 1 ? words.slice(1).map((_, i) => [words.slice(0, i + 1), words.slice(i + 1)]) : [[words]];
    const title = Math.min(...cuts.map((cut) => textWidth(this.title, cut.map((line) => line.join(" ")))));
    return Math.ceil(Math.max(title, textWidth(this.note, this.notes)));
  }

  nameHeight(lines) {
    const style = (part) => this.document.defaultView.getComputedStyle(part);
    const title = this.spec.title.includes(" ") ? lines : 1;
    return title * parseFloat(style(this.title).lineHeight) + parseFloat(style(this.note).lineHeight) + parseFloat(style(this.name).marginBottom);
  }

  /** @param {number} unit in pixels @param {number} name the width in pixels to which its name is broken, if the panel is narrower */
  setUnit(unit, name = Infinity) {
    const { width, height } = this.size;
    this.name.style.maxWidth = name === Infinity ? "" : `${Math.max(name, width * unit)}px`;
    const cell = (width * unit) / Math.max(1, this.spec.columns);
    this.stage.style.width = `${width * unit}px`;
    this.stage.style.height = `${height * unit}px`;
    this.stage.style.setProperty("--segw-side", `${{ grid: cell, bars: 0.6 * unit }[this.spec.kind] ?? 100}px`); // how large what is marked is
    const letters = Math.max(2.2, ...this.longest ?? [0]);
    // 0.66: the mean width of a bold letter in DejaVu Sans, the widest of the fonts that hosts choose.
    const size = Math.min(unit * 0.42, (cell * 0.92) / (letters * 0.66));
    this.stage.style.setProperty("--segw-size", `${size}px`);
    this.stage.classList.toggle("segw-colours-only", Boolean(this.palette) && size < LEGIBLE);
    this.boxes?.fitLabels();
    if (this.spec.kind === "bars") this.fitBars();
  }

  /** The bars get what their labels and values leave of the width. */
  fitBars() {
    const [label, , value] = this.cells[0].children;
    const values = Math.ceil(textWidth(value, this.everSaid));
    const gaps = 2 * parseFloat(this.document.defaultView.getComputedStyle(this.cells[0]).columnGap);
    const most = Math.max(0, (1 - LEAST_LENGTH) * this.stage.clientWidth - values - gaps);
    this.stage.style.setProperty("--segw-labels", `${Math.min(most, Math.ceil(textWidth(label, this.spec.labels)))}px`);
    this.stage.style.setProperty("--segw-values", `${values}px`);
  }

  build(reader) {
    const { kind, rows, columns, paint } = this.spec;
    if (kind === "formula") {
      for (const line of this.spec.lines) this.stage.append(element(this.document, "div", "segw-line", line));
    } else if (kind === "bars") {
      this.buildBars(reader);
    } else if (kind === "curves") {
      this.strips = buildStrips(this.spec, this.stage, this.document);
    } else if (kind === "segmentation") {
      this.regions = new SegmentationView(this.spec, reader, this.stage, this.document);
    } else if (kind !== "grid" || paint !== "numbers") {
      this.canvas = element(this.document, "canvas", "segw-canvas");
      [this.canvas.width, this.canvas.height] = [columns, rows];
      this.stage.append(this.canvas);
      if (this.pictured) this.buildFrames(reader);
      else this.palette = new Uint8Array(reader.buffers[this.spec.colours]);
      this.lit = element(this.document, "canvas", "segw-lit");
      this.stage.append(this.lit);
      if (this.spec.boxes) this.boxes = new BoxLayer(this.spec, this.stage, this.document);
    }
    if (kind === "grid" && (paint === "numbers" || rows * columns <= MOST_NUMBERED)) this.buildNumbers(reader);
    this.overlay = element(this.document, "div", "segw-overlay");
    this.stage.append(this.overlay);
  }

  buildNumbers(reader) {
    const { rows, columns, id } = this.spec;
    const every = [...(reader.start.get(id) ?? []), ...reader.valuesAt(id, reader.last)];
    this.longest = every.map((value) => formatNumber(value).length);
    this.stage.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    this.cells = Array.from({ length: rows * columns }, (_, cell) => {
      const made = element(this.document, "div", "segw-cell");
      made.dataset.cell = String(cell);
      this.stage.append(made);
      return made;
    });
    if (this.spec.paint === "numbers") this.buildIndices(rows, columns);
  }

  /** Row and column numbers along the edges, from 0, as the sentences count them; or their names. */
  buildIndices(rows, columns) {
    const { rowNames, columnNames } = this.spec;
    const label = (text, side, part) => {
      const made = element(this.document, "span", `segw-index segw-index-${side}`, String(text));
      made.setAttribute("aria-hidden", "true");
      made.style[side] = `${100 * part}%`;
      this.stage.append(made);
    };
    for (let column = 0; column < columns; column++) label(columnNames?.[column] ?? column, "left", (column + 0.5) / columns);
    for (let row = 0; row < rows; row++) label(rowNames?.[row] ?? row, "top", (row + 0.5) / rows);
  }

  buildBars(reader) {
    const ever = Array.from({ length: reader.last + 1 }, (_, step) => [...reader.valuesAt(this.spec.id, step)]).flat();
    this.longestBar = Math.max(...ever.map(Math.abs).filter((v) => !Number.isNaN(v)), 1e-9); // what falls to its last value fits, too
    this.everSaid = ["…", "?", ...ever.map(formatNumber)];
    const before = (bar) => (this.former?.spec.kind === "bars" ? this.former.cells[bar]?.children[1].style.getPropertyValue("--segw-length") : "");
    this.cells = this.spec.labels.map((label, bar) => {
      const row = element(this.document, "div", "segw-bar");
      row.dataset.role = this.spec.role;
      row.append(element(this.document, "span", "segw-label", label), element(this.document, "span", "segw-length"),
        element(this.document, "span", "segw-value"));
      row.children[1].style.setProperty("--segw-length", before(bar) || "0"); // else all would grow anew from nothing
      this.stage.append(row);
      return row;
    });
  }

  /** A picture is a film of one frame. */
  buildFrames(reader) {
    const { image, frames, lossless } = this.spec;
    const wanted = frames ?? (image === undefined ? [] : [image]);
    this.canvas.classList.toggle("segw-hard", Boolean(lossless));
    this.frames = new FrameStore(wanted.map((buffer) => reader.buffers[buffer]), lossless ? "image/png" : "image/jpeg", this.former?.frames);
    if (wanted.length) this.showFrame(0);
  }

  /** Draws frame `index`, at once if it is decoded; until then the frame before stays, so that nothing flickers. */
  showFrame(index) {
    this.frame = index;
    const paint = (bitmap) => {
      if (this.frame !== index || this.drawn === bitmap) return;
      this.drawn = bitmap;
      const { columns, rows } = this.spec;
      this.canvas.getContext("2d").drawImage(bitmap, 0, 0, columns, rows); // covers all that was there
      this.canvas.dataset.drawn = "true";
      this.canvas.dataset.frame = String(index);
    };
    this.frames.use(index, paint);
  }

  dispose() {
    this.frames?.dispose();
  }

  /**
   * @param {{values: Float32Array, kept: Set<number>, fresh: Set<number>, asked: Set<number>, before: Float32Array|null, frame: number,
   *   boxes: object[], draggable: number[], picked: object[], grows: number|undefined, note: string}} state `asked` cells show "?", and with `before` also what is there already and will be added to; `frame` of a film;
   *   `boxes` of a picture or film, as `TraceReader.boxesAt` gives them, and the numbers of those that are `draggable`;
   *   the cells that are `picked`, as `Settings.outlined` gives them; in how many seconds a `fresh` bar grows; what stands under the title
   */
  draw(state) {
    if (this.note.textContent !== (state.note || BLANK)) this.note.textContent = state.note || BLANK;
    if (this.spec.kind === "film") this.showFrame(state.frame);
    this.boxes?.draw(state.boxes, state.draggable);
    if (this.spec.kind === "bars") this.drawBars(state);
    if (this.strips) drawStrips(this.spec, this.strips, state);
    this.regions?.draw(state.asked.size ? state.past : state.values, state.past);
    if (this.palette) this.drawHeat(state);
    if (this.cells && this.spec.kind === "grid") this.drawNumbers(state);
    this.drawPicked(state.picked);
  }

  drawPicked(picked) {
    while (this.picks.length < picked.length) {
      this.picks.push(element(this.document, "div", "segw-pick"));
      this.stage.append(this.picks.at(-1));
    }
    picked.forEach(({ setting, cell, focused }, i) => {
      this.picks[i].classList.toggle("segw-focused", focused);
      this.lay(this.picks[i], boxOfCell(cell, setting, this.spec));
    });
  }

  drawNumbers({ values, kept, fresh, asked, before }) {
    const question = (i) => (before && !Number.isNaN(before[i]) ? `${formatNumber(before[i])}+?` : "?");
    this.cells.forEach((cell, i) => {
      const text = asked.has(i) ? question(i) : formatNumber(values[i]);
      if (cell.textContent !== text) cell.textContent = text;
      cell.classList.toggle("segw-written", Boolean(this.spec.empty) && text !== "" && !asked.has(i));
      cell.classList.toggle("segw-kept", kept.has(i));
      cell.classList.toggle("segw-fresh", fresh.has(i));
      cell.classList.toggle("segw-asked", asked.has(i));
      if (this.palette) cell.dataset.ink = asked.has(i) ? "" : this.inkOn(values[i]);
    });
  }

  /** White or black digits, whichever stand out more; at a relative luminance of 0.179 both reach 4.6:1 (WCAG 2). */
  inkOn(value) {
    if (Number.isNaN(value)) return "";
    const colour = [...this.palette.subarray(3 * this.level(value), 3 * this.level(value) + 3)];
    const [red, green, blue] = colour.map((part) => ((part / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "dark" : "light";
  }

  level(value) {
    const [low, high] = this.spec.limits;
    return Math.max(0, Math.min(255, Math.round((255 * (value - low)) / (high - low || 1))));
  }

  drawBars({ values, asked, fresh, grows }) {
    this.cells.forEach((row, i) => {
      const known = !Number.isNaN(values[i]) && !asked.has(i);
      const growing = Boolean(grows) && fresh.has(i);
      row.children[1].style.setProperty("--segw-length", known ? Math.abs(values[i]) / this.longestBar : 0);
      row.children[1].style.animation = growing ? `segw-grow ${grows}s linear` : "";
      row.children[2].textContent = asked.has(i) ? "?" : growing ? "…" : formatNumber(values[i]); // how long it will take isn't known yet
    });
  }

  drawHeat({ values, kept, asked }) {
    const { rows, columns } = this.spec;
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    values.forEach((value, i) => {
      if (Number.isNaN(value) || asked.has(i)) return; // stays transparent: the page shows through
      const level = this.level(value);
      image.data.set(this.palette.subarray(3 * level, 3 * level + 3), 4 * i);
      image.data[4 * i + 3] = 255;
    });
    context.putImageData(image, 0, 0);
    this.drawLit(this.cells ? [] : [...kept], columns, rows);
  }

  /** Lit cells of a heat map: a dot each, on a canvas of their own, since hundreds of elements would slow the page. */
  drawLit(cells, columns, rows) {
    const fine = 16; // pixels a cell
    if (this.lit.width !== columns * fine) [this.lit.width, this.lit.height] = [columns * fine, rows * fine];
    this.lit.dataset.count = String(cells.length);
    const context = this.lit.getContext("2d");
    context.clearRect(0, 0, this.lit.width, this.lit.height);
    context.fillStyle = this.document.defaultView.getComputedStyle(this.lit).color;
    for (const cell of cells) {
      context.beginPath();
      context.arc(((cell % columns) + 0.5) * fine, (Math.floor(cell / columns) + 0.5) * fine, fine * 0.24, 0, 2 * Math.PI);
      context.fill();
    }
  }

  /** @param {Record<string, (number|number[])[]>} roles role → cells; or boxes, or the numbers of the panel's own @param {boolean} hovered marks under the pointer */
  mark(roles, hovered = false, moment = null) {
    this.regions?.mark(roles, moment);
    if (this.regions) return;
    const wanted = new Map();
    for (const role of ORDER) {
      const places = roles?.[role] ?? [];
      const placed = (box) => (Array.isArray(box) ? box : this.boxes.looks[box].place);
      const boxes = this.pictured ? places.map(placed) : boxesOfCells(places, this.spec.columns);
      boxes.forEach((box, i) => wanted.set(`${role}:${i}`, box));
    }
    for (const [key, mark] of this.marks) if (!wanted.has(key)) { mark.remove(); this.marks.delete(key); }
    for (const [key, box] of wanted) this.place(key, box, hovered);
  }

  place(key, box, hovered) {
    let mark = this.marks.get(key);
    if (!mark) {
      mark = element(this.document, "div", "segw-mark");
      mark.dataset.role = key.split(":")[0];
      this.marks.set(key, mark);
      this.overlay.append(mark);
    }
    mark.classList.toggle("segw-hover", hovered);
    mark.style.zIndex = String(ORDER.indexOf(mark.dataset.role));
    this.lay(mark, box);
  }

  /** Puts an element where a box lies, in cells or pixels of the panel. */
  lay(made, [x1, y1, x2, y2]) {
    const { columns, rows } = this.spec;
    const percent = (part, whole) => `${(100 * part) / whole}%`;
    Object.assign(made.style, {
      left: percent(x1, columns), top: percent(y1, rows), width: percent(x2 - x1, columns), height: percent(y2 - y1, rows),
    });
  }

  /** Where the pointer is, in cells or pixels of the panel, and how many of these a pixel of the screen is. @param {PointerEvent} event */
  pointAt(event) {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    const { columns, rows } = this.spec;
    return [((event.clientX - left) / width) * columns, ((event.clientY - top) / height) * rows, columns / width];
  }

  /** The cell under the pointer, or the number of the box, or -1. @param {PointerEvent} event */
  cellAt(event) {
    if (this.spec.kind !== "grid" && !this.boxes && !this.regions) return -1;
    const [x, y] = this.pointAt(event);
    if (this.regions) return this.regions.pieceAt(x / this.spec.columns, y / this.spec.rows);
    if (x < 0 || y < 0 || x >= this.spec.columns || y >= this.spec.rows) return -1;
    return this.boxes ? boxUnder(this.boxes.looks, x, y) : Math.floor(y) * this.spec.columns + Math.floor(x);
  }
}

/** The width in pixels of the longest of these texts, each in one line, in the type of `like`. @param {Element} like @param {Iterable<string>} texts */
export function textWidth(like, texts) {
  const ruler = like.ownerDocument.createElement("canvas").getContext("2d");
  const { fontWeight, fontSize, fontFamily } = like.ownerDocument.defaultView.getComputedStyle(like); // `font` is "" with tabular figures
  ruler.font = `${fontWeight} ${fontSize} ${fontFamily}`;
  return Math.max(...Array.from(texts, (text) => ruler.measureText(text).width));
}

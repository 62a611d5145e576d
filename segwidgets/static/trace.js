// Reads a Trace: which numbers, marks and lit cells there are at a step, and why a cell has its value.

import { formatNumber, formatPlace } from "./format.js";
import { explainRegion } from "./segmentation.js";

/** Buffers come as DataView from a kernel and as ArrayBuffer from a page; a copy makes them aligned for typed arrays. */
function bytesOf(buffer) {
  const view = ArrayBuffer.isView(buffer) ? buffer : new DataView(buffer);
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

export class TraceReader {
  /** @param {object} meta as `Trace.wire()` writes it @param {(DataView|ArrayBuffer)[]} buffers */
  constructor(meta, buffers) {
    this.meta = meta;
    this.panels = meta.panels;
    this.steps = meta.steps;
    this.buffers = buffers.map(bytesOf);
    this.written = new Float32Array(this.buffers[meta.written]);
    this.panelById = new Map(meta.panels.map((panel) => [panel.id, panel]));
    this.start = new Map(); // panel id → its numbers before the first step
    for (const panel of meta.panels) {
      if (panel.values === undefined) continue;
      const values = new Float32Array(this.buffers[panel.values]);
      this.start.set(panel.id, panel.empty ? values.map(() => NaN) : values);
    }
  }

  get last() {
    return this.steps.length - 1;
  }

  /** The numbers of a panel at a step, NaN where nothing is written yet. @returns {Float32Array} */
  valuesAt(panelId, step) {
    const values = Float32Array.from(this.start.get(panelId) ?? []);
    for (let i = 0; i <= step; i++) {
      const write = this.steps[i].writes?.[panelId];
      write?.cells.forEach((cell, k) => { values[cell] = this.written[write.at + k]; });
    }
    return values;
  }

  /** The frame that a film shows at a step. @returns {number} */
  frameAt(filmId, step) {
    for (let i = step; i >= 0; i--) {
      const frame = this.steps[i].shows?.[filmId];
      if (frame !== undefined) return frame;
    }
    return 0;
  }

  /** What stands under a panel's title at a step. @returns {string} */
  noteAt(panelId, step) {
    for (let i = step; i >= 0; i--) {
      const note = this.steps[i].notes?.[panelId];
      if (note !== undefined) return note;
    }
    return this.panelById.get(panelId).note ?? "";
  }

  /**
   * The boxes of a picture or film at a step, in their order; `role` is null for those that are hidden.
   * @returns {{role: string|null, label: string, place: number[]}[]}
   */
  boxesAt(panelId, step) {
    const { boxes } = this.panelById.get(panelId);
    if (!boxes) return [];
    const places = new Float32Array(this.buffers[boxes.places]);
    const looks = Array.from({ length: places.length / 4 }, (_, i) => ({
      role: Array.isArray(boxes.role) ? boxes.role[i] : boxes.role, label: boxes.labels[i] ?? "", place: [...places.subarray(4 * i, 4 * i + 4)],
    }));
    for (let i = 0; i <= step; i++) {
      for (const [number, role, label = "", place = looks[number].place] of this.changesAt(panelId, i)) looks[number] = { role, label, place };
    }
    return looks;
  }

  /** The boxes that a step changes. @returns {[number, string|null, string?, number[]?][]} */
  changesAt(panelId, step) {
    return this.steps[step].boxes?.[panelId] ?? [];
  }

  /** The frame that a film shows while the pointer is on a cell, or -1 to leave it as it is. @returns {number} */
  frameOfCell(filmId, panelId, cell) {
    const { film } = this.panelById.get(panelId);
    return film?.panel === filmId ? film.frames[cell] : -1;
  }

  /** What the colours of all panels mean, each once. @returns {[string, string][]} */
  get legend() {
    const entries = this.panels.flatMap((panel) => panel.legend ?? []);
    return [...new Map(entries.map((entry) => [entry.join(), entry])).values()];
  }

  /** Cells that stay lit at a step. @returns {number[]} */
  keptAt(panelId, step) {
    return this.steps.slice(0, step + 1).flatMap((each) => each.keep?.[panelId] ?? []);
  }

  /** Cells written at exactly this step. @returns {number[]} */
  writtenAt(panelId, step) {
    return this.steps[step].writes?.[panelId]?.cells ?? [];
  }

  hasWrites(step) {
    const { writes, boxes } = this.steps[step];
    return Object.keys(writes ?? {}).length > 0 || Object.keys(boxes ?? {}).length > 0;
  }

  /** The step up to `step` that last said something and did nothing: what it says holds while the steps after it race by. */
  narrationAt(step) {
    for (let i = step; i > 0; i--) if (!this.hasWrites(i) && !this.steps[i].shows) return i;
    return 0;
  }

  /**
   * Panels whose new values are the question in predict mode. Where a step adds to what is there, only the sums are: the panels
   * beside them (how many stamps lie on a cell) are a help to answer it.
   * @returns {string[]}
   */
  askedPanels(step) {
    const writes = Object.entries(this.steps[step].writes ?? {});
    const sums = writes.filter(([, write]) => write.terms);
    return (sums.length ? sums : writes).map(([panel]) => panel);
  }

  addsUp(panelId, step) {
    return Boolean(this.steps[step].writes?.[panelId]?.terms);
  }

  /** Steps up to `step` that wrote the cell, oldest first. @returns {number[]} */
  writersOf(panelId, cell, step) {
    const writers = [];
    for (let i = 0; i <= step; i++) if (this.writtenAt(panelId, i).includes(cell)) writers.push(i);
    return writers;
  }

  /**
   * The arithmetic of a cell, and what it was computed from.
   * @returns {{text: string, marks: object, value: number}}
   */
  explain(panelId, cell, step) {
    const panel = this.panelById.get(panelId);
    if (panel.boxes) return this.explainBox(panel, cell, step);
    const value = this.valuesAt(panelId, step)[cell];
    if (panel.kind === "segmentation") {
      return { ...explainRegion(panel, new Float32Array(this.buffers[panel.pairs]), this.valuesAt(panelId, step), cell), value };
    }
    const sees = this.fieldText(panel, cell);
    const place = `${panel.title} at ${formatPlace(cell, panel.columns)}`;
    const marks = this.fieldMarks(panel, cell);
    const writers = this.writersOf(panelId, cell, step);
    if (Number.isNaN(value)) return { text: `${place}: not written yet`, marks, value };
    if (writers.length === 0) return { text: `${place} = ${formatNumber(value)}${sees}`, marks, value };
    // A step may fill cells around the one that it is about, as unpooling does with zeros; its arithmetic isn't theirs.
    const about = this.steps[writers.at(-1)].marks?.[panelId]?.write;
    if (about && !about.includes(cell)) return { text: `${place} = ${formatNumber(value)}: no value was put here`, marks, value };
    const terms = writers.map((i) => this.termOf(panelId, cell, i)).filter(Boolean);
    const lastStep = this.steps[writers.at(-1)];
    for (const i of terms.length ? writers : writers.slice(-1)) addReads(marks, this.steps[i].marks, panelId);
    const sum = terms.length ? `${terms.join(" + ")} = ${formatNumber(value)}` : lastStep.arithmetic || formatNumber(value);
    return { text: `${place}: ${sum}${sees}`, marks, value };
  }

  /** What a box is, and the arithmetic of the step that made it so; `marks` point at what that step looked at. */
  explainBox({ id }, number, step) {
    const [x1, y1, x2, y2] = this.boxesAt(id, step)[number].place.map(formatNumber);
    for (let i = step; i >= 0; i--) {
      if (!this.changesAt(id, i).some(([changed]) => changed === number)) continue;
      const { arithmetic, caption, marks } = this.steps[i];
      const told = arithmetic || caption.map(([text]) => text).join("");
      return { text: `box ${number}: ${told}`, marks: structuredClone(marks ?? {}), value: NaN, made: i };
    }
    return { text: `box ${number}: x ${x1} to ${x2}, y ${y1} to ${y2}`, marks: {}, value: NaN };
  }

  termOf(panelId, cell, step) {
    const write = this.steps[step].writes[panelId];
    return write.terms?.[write.cells.indexOf(cell)] ?? "";
  }

  /** How large the receptive field of a cell is, in words; or what is told of the cell instead. */
  fieldText({ field }, cell) {
    if (!field) return "";
    if (field.boxes === undefined) return ` · sees ${Math.round(field.pixels)} × ${Math.round(field.pixels)} pixels`;
    if (field.texts) return ` · ${field.texts[cell]}`;
    const [x1, y1, x2, y2] = this.boxOf(field, cell);
    const [width, height] = [x2 - x1, y2 - y1].map((side) => roundPixels(side / field.scale));
    return ` · ${field.word} ${width} × ${height} pixels`;
  }

  boxOf(field, cell) {
    return [...new Float32Array(this.buffers[field.boxes], 16 * cell, 4)];
  }

  /** The receptive field of a cell as a box on its picture, cut at the picture's edge. */
  fieldMarks(panel, cell) {
    if (!panel.field) return {};
    if (panel.field.boxes !== undefined) return { [panel.field.picture]: { read: [this.boxOf(panel.field, cell)] } };
    const { picture, size, stride, offset } = panel.field;
    const image = this.panelById.get(picture);
    const x = offset + stride * (cell % panel.columns);
    const y = offset + stride * Math.floor(cell / panel.columns);
    const box = (half) => [Math.max(0, x - half), Math.max(0, y - half), Math.min(image.columns, x + half), Math.min(image.rows, y + half)];
    return { [picture]: { read: [box(size / 2)], chosen: [box(stride / 2)] } };
  }
}

/** Whole pixels; but of a few, fractions matter. @returns {string | number} */
function roundPixels(side) {
  return side < 2.5 ? formatNumber(side) : Math.round(side);
}

/** Adds the cells that a step read to `marks`; the panel under the pointer keeps only the hovered cell. */
function addReads(marks, stepMarks, hovered) {
  for (const [panel, roles] of Object.entries(stepMarks ?? {})) {
    if (panel === hovered) continue;
    const into = (marks[panel] ??= {});
    for (const role of ["read", "chosen"]) {
      if (roles[role]) into[role] = [...new Set([...(into[role] ?? []), ...roles[role]])];
    }
  }
}

// How large things are drawn: one unit is the side of a cell in a grid of numbers.

/**
 * Puts panels into as few rows as leave a unit readable, and gives the unit that fills the width (and height, if bounded).
 * @param {{width: number, height: number}[]} sizes of the panels, in units, in their order
 * @param {{width: number, height?: number, largest: number, readable: number, arrow: number, titles?: number}} room in pixels:
 *   `readable` is the smallest unit worth one row, `arrow` a gap's width, `titles` a row's height beside its panels
 * @returns {{unit: number, rows: number[][]}}
 */
export function fitPanels(sizes, { width, height = Infinity, largest, readable, arrow, titles = 44 }) {
  let best = null;
  for (let count = 1; count <= sizes.length; count++) {
    const rows = splitEvenly(sizes, count);
    // An arrow stands before every panel but the first of all: a later row begins with one.
    const fits = rows.map((row) => (width - arrow * (row.length - (row[0] === 0))) / rowWidth(row.map((i) => sizes[i])));
    const tall = rows.reduce((sum, row) => sum + Math.max(...row.map((i) => sizes[i].height)), 0);
    const unit = Math.min(largest, ...fits, (height - rows.length * titles) / tall);
    if (!best || unit > best.unit) best = { unit, rows };
    if (height === Infinity && unit >= readable) break; // a page scrolls: one row is calmer than larger cells in two
  }
  return { unit: Math.max(6, best.unit), rows: best.rows };
}

function rowWidth(sizes) {
  return sizes.reduce((sum, size) => sum + size.width, 0);
}

/** Cuts the sequence into `count` rows so that the widest row is as narrow as can be. */
function splitEvenly(sizes, count) {
  if (count === 1) return [sizes.map((_, i) => i)];
  let best = null;
  for (let cut = 1; cut <= sizes.length - (count - 1); cut++) {
    const head = Array.from({ length: cut }, (_, i) => i);
    const tail = splitEvenly(sizes.slice(cut), count - 1).map((row) => row.map((i) => i + cut));
    const widest = Math.max(...[head, ...tail].map((row) => rowWidth(row.map((i) => sizes[i]))));
    if (!best || widest < best.widest) best = { widest, rows: [head, ...tail] };
  }
  return best.rows;
}

/**
 * Cells that fill a rectangle become one box, so that a window moves as one; other cells get a box each.
 * @param {number[]} cells flat indices @param {number} columns
 * @returns {[number, number, number, number][]} boxes [x1, y1, x2, y2] in cells
 */
export function boxesOfCells(cells, columns) {
  if (cells.length === 0) return [];
  const xs = cells.map((cell) => cell % columns);
  const ys = cells.map((cell) => Math.floor(cell / columns));
  const [x1, x2, y1, y2] = [Math.min(...xs), Math.max(...xs) + 1, Math.min(...ys), Math.max(...ys) + 1];
  if ((x2 - x1) * (y2 - y1) === new Set(cells).size) return [[x1, y1, x2, y2]];
  return cells.map((_, i) => [xs[i], ys[i], xs[i] + 1, ys[i] + 1]);
}

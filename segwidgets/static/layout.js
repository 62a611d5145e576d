// How large things are drawn: one unit is the side of a cell in a grid of numbers.

const WORTH = 1.15; // so much larger must a unit be for one more row: a row is read from left to right, along its arrows

/**
 * Puts panels into as few rows as leave a unit readable, and gives the unit that fills the width (and height, if bounded).
 * @param {{width: number, height: number, name?: number}[]} sizes of the panels, in units, in their order; `name` is the width in
 *   pixels of what stands above a panel, which it is never narrower than
 * @param {{width: number, height?: number, largest: number, readable: number, gaps: number[], titles?: number, fewest?: number}} room in
 *   pixels: `readable` is the smallest unit worth one row, `gaps` the widths between the panels, `titles` a row's height beside its panels;
 *   and the `fewest` rows that there are
 * @returns {{unit: number, rows: number[][]}}
 */
export function fitPanels(sizes, { width, height = Infinity, largest, readable, gaps, titles = 44, fewest = 1 }) {
  let best = null;
  const heights = sizes.map((size) => size.height);
  const [highest, lowest] = [Math.max(...heights), Math.min(...heights)];
  for (let count = Math.min(fewest, sizes.length); count <= sizes.length; count++) {
    // So many rows are at least that high; with more of them, too, no cell becomes larger.
    if (best && (height - count * titles) / (highest + (count - 1) * lowest) <= best.unit) break;
    const rows = splitEvenly(sizes.map((size) => ({ width: Math.max(size.width, (size.name ?? 0) / largest) })), count);
    // A gap, most with an arrow in it, stands before every panel but the first of all: a later row begins with one.
    const between = (row) => row.reduce((sum, i) => sum + (i > 0 ? gaps[i - 1] : 0), 0);
    const fits = rows.map((row) => fitRow(row.map((i) => sizes[i]), width - between(row), largest));
    const unit = Math.min(largest, ...fits, (height - rows.length * titles) / heightOf(rows, sizes));
    if (!best || unit > WORTH * best.unit) best = { unit, rows };
    if (height === Infinity && unit >= readable) break; // a page scrolls: one row is calmer than larger cells in two
  }
  return { unit: Math.max(6, best.unit), rows: best.rows };
}

/** @param {number[][]} rows @returns {number} their heights, without titles, in units */
export function heightOf(rows, sizes) {
  return rows.reduce((sum, row) => sum + Math.max(...row.map((i) => sizes[i].height)), 0);
}

/** The largest unit with which a row's panels, each at least as wide as its name, take no more than `room`; 0 if the names take more. */
function fitRow(sizes, room, largest) {
  let unit = largest;
  for (let i = 0; i <= sizes.length; i++) { // each round finds one more panel that its name makes wider, or is the last
    const named = sizes.filter((size) => size.width * unit < (size.name ?? 0));
    const free = rowWidth(sizes.filter((size) => !named.includes(size)));
    const left = room - named.reduce((sum, size) => sum + size.name, 0);
    if (left < 0) return 0;
    if (unit * free <= left) break;
    unit = left / free;
  }
  return unit;
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

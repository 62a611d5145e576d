// Which cell of a panel is under a point, where a cell lies, and which one an arrow key leads to.

/** Height and width of a cell in pixels of the picture, or in cells of a grid. */
function sizeOfCell({ rows, columns, size }, spec) {
  return size ?? [spec.rows / rows, spec.columns / columns];
}

const within = (index, count) => Math.max(0, Math.min(count - 1, index));

/**
 * The nearest cell to a point of the panel.
 * @param {{rows: number, columns: number, size: number[]|null}} setting @param {{rows: number, columns: number}} spec of the panel
 * @returns {[number, number]} row, column
 */
export function cellNear(setting, spec, x, y) {
  const [height, width] = sizeOfCell(setting, spec);
  return [within(Math.floor(y / height), setting.rows), within(Math.floor(x / width), setting.columns)];
}

/** The part of a cell that lies in its panel, [x1, y1, x2, y2], in the panel's pixels or cells. */
export function boxOfCell([row, column], setting, spec) {
  const [height, width] = sizeOfCell(setting, spec);
  return [column * width, row * height, Math.min(spec.columns, (column + 1) * width), Math.min(spec.rows, (row + 1) * height)];
}

/** The cell beside one, as far as there is one. @param {number[]} by columns to the right, rows down */
export function cellBeside([row, column], [right, down], { rows, columns }) {
  return [within(row + down, rows), within(column + right, columns)];
}

export function sameCell([row, column], [otherRow, otherColumn]) {
  return row === otherRow && column === otherColumn;
}

// How the course prints a number. The same rule as `course.ops.step.number`; a test holds the two together.

/** Integers plain, others with three significant digits and a true minus sign. @param {number} value @returns {string} */
export function formatNumber(value) {
  if (Number.isNaN(value)) return "";
  const size = Math.abs(value);
  return (value < 0 ? "−" : "") + formatSize(size);
}

function formatSize(size) {
  if (Number.isInteger(size) && size < 1e7) return String(size);
  if (size >= 999.5 && size < 1e7) return size.toFixed(0);
  if (size >= 1e-3 && size < 1e7) return String(Number(size.toPrecision(3)));
  const [digits, exponent] = size.toExponential(2).split("e");
  return `${digits}e${Number(exponent)}`.replace("-", "−");
}

/**
 * A cell's place in words, "row 3, column 0".
 * @param {number} cell flat index @param {number} columns @returns {string}
 */
export function formatPlace(cell, columns) {
  return `row ${Math.floor(cell / columns)}, column ${cell % columns}`;
}

// How the course prints a number. The same rule as `course.ops.step.number`; a test holds the two together.

const options = { useGrouping: false, roundingMode: "halfEven" }; // a tie goes to the even digit, as in Python
const whole = new Intl.NumberFormat("en", { ...options, maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { ...options, maximumSignificantDigits: 3 });
const scientific = new Intl.NumberFormat("en", { ...options, maximumSignificantDigits: 3, notation: "scientific" });

/** Integers plain, others with three significant digits and a true minus sign. @param {number} value @returns {string} */
export function formatNumber(value) {
  if (Number.isNaN(value)) return "";
  const size = Math.abs(value);
  return (value < 0 ? "−" : "") + formatSize(size);
}

function formatSize(size) {
  if (size < 1e7 && (Number.isInteger(size) || size >= 999.5)) return whole.format(size);
  if (size < 1e7 && size >= 1e-3) return short.format(size);
  return scientific.format(size).replace("E", "e").replace("-", "−");
}

/**
 * A cell's place in words, "row 3, column 0".
 * @param {number} cell flat index @param {number} columns @returns {string}
 */
export function formatPlace(cell, columns) {
  return `row ${Math.floor(cell / columns)}, column ${cell % columns}`;
}

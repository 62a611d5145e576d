// Where a box can be gripped, and where it is when what was gripped has moved.

const LEAST = 1; // pixels of the picture that a box keeps

/**
 * The sides that move when a box is gripped at a point: those that are near, or all four inside; "" beside it.
 * @param {number[]} place @param {number} reach how far from a side is near, in pixels of the picture
 * @returns {string} such as "x1 y2"
 */
export function gripAt([x1, y1, x2, y2], x, y, reach) {
  if (x < x1 - reach || x > x2 + reach || y < y1 - reach || y > y2 + reach) return "";
  const near = (low, high, at, names) => {
    const [toLow, toHigh] = [Math.abs(at - low), Math.abs(at - high)];
    // Of a small box the outer two thirds must not be all sides: the middle third always moves it.
    const within = at >= low && at <= high ? Math.min(reach, (high - low) / 3) : reach;
    if (Math.min(toLow, toHigh) > within) return "";
    return toLow < toHigh ? names[0] : names[1];
  };
  const sides = [near(x1, x2, x, ["x1", "x2"]), near(y1, y2, y, ["y1", "y2"])].filter(Boolean);
  return sides.join(" ") || "x1 y1 x2 y2";
}

/** The cursor that says what a grip does. */
export function cursorOf(grip) {
  const cursors = { "": "", x1: "ew-resize", x2: "ew-resize", y1: "ns-resize", y2: "ns-resize" };
  const corners = { "x1 y1": "nwse-resize", "x2 y2": "nwse-resize", "x1 y2": "nesw-resize", "x2 y1": "nesw-resize" };
  return cursors[grip] ?? corners[grip] ?? "move";
}

/**
 * A box whose gripped sides have moved by (dx, dy), within its picture.
 * @param {number[]} place @param {string} grip @param {{columns: number, rows: number}} size @returns {number[]}
 */
export function moved([x1, y1, x2, y2], grip, dx, dy, { columns, rows }) {
  const along = (low, high, by, end, names) => {
    const [first, second] = names.map((name) => grip.split(" ").includes(name));
    if (first && second) {
      const shift = Math.max(-low, Math.min(end - high, by));
      return [low + shift, high + shift];
    }
    if (first) return [Math.max(0, Math.min(high - LEAST, low + by)), high];
    if (second) return [low, Math.min(end, Math.max(low + LEAST, high + by))];
    return [low, high];
  };
  const [left, right] = along(x1, x2, dx, columns, ["x1", "x2"]);
  const [top, bottom] = along(y1, y2, dy, rows, ["y1", "y2"]);
  return [left, top, right, bottom];
}

import assert from "node:assert/strict";
import { test } from "node:test";

import { curvePoints } from "../../../segwidgets/static/curves.js";

const places = (...given) => curvePoints(...given).map(({ x, y }) => [x, y]);

test("points lie from left to right, the largest number on top", () => {
  assert.deepEqual(places([0, 1, 4], [0, 4]), [[0, 100], [50, 75], [100, 0]]);
});

test("what is not known yet is left out, and the rest keeps its place", () => {
  assert.deepEqual(places([1, NaN, 1, NaN, NaN], [0, 2]), [[0, 50], [50, 50]]);
  assert.deepEqual(places([NaN], [0, 1]), []);
});

test("what is asked for is not shown", () => {
  assert.deepEqual(places([1, 1], [0, 1], (point) => point === 1), [[0, 0]]);
});

test("numbers beyond the axis stay on its edge, and an axis without length is none", () => {
  assert.deepEqual(places([-1, 9], [0, 4]), [[0, 100], [100, 0]]);
  assert.deepEqual(places([3], [3, 3]), [[0, 100]]);
});

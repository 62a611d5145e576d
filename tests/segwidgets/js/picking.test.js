import assert from "node:assert/strict";
import { test } from "node:test";

import { boxOfCell, cellBeside, cellNear, sameCell } from "../../../segwidgets/static/picking.js";

const even = { rows: 2, columns: 5, size: null };
const padded = { rows: 4, columns: 7, size: [16, 15] }; // the last row and the last column reach beyond the picture
const picture = { rows: 50, columns: 100 };

test("the cell under a point of a picture that is divided evenly", () => {
  assert.deepEqual(cellNear(even, picture, 0, 0), [0, 0]);
  assert.deepEqual(cellNear(even, picture, 19.9, 24.9), [0, 0]);
  assert.deepEqual(cellNear(even, picture, 20, 25), [1, 1]);
  assert.deepEqual(cellNear(even, picture, 99.9, 10), [0, 4]);
});

test("the cell under a point when cells have a size of their own", () => {
  assert.deepEqual(cellNear(padded, picture, 31, 47), [2, 2]);
  assert.deepEqual(cellNear(padded, picture, 99, 49), [3, 6]);
  assert.deepEqual(cellNear({ rows: 2, columns: 2, size: [10, 10] }, picture, 90, 12), [1, 1]); // the nearest, where there is none
});

test("of a grid its own cells", () => {
  assert.deepEqual(cellNear({ rows: 3, columns: 4, size: null }, { rows: 3, columns: 4 }, 3.2, 1.7), [1, 3]);
  assert.deepEqual(boxOfCell([1, 3], { rows: 3, columns: 4, size: null }, { rows: 3, columns: 4 }), [3, 1, 4, 2]);
});

test("a point beside the panel is nearest to a cell at its edge", () => {
  assert.deepEqual(cellNear(even, picture, -5, 400), [1, 0]);
  assert.deepEqual(cellNear(even, picture, 1000, -1), [0, 4]);
});

test("a cell lies where it is clicked, and what reaches beyond the picture is cut off", () => {
  assert.deepEqual(boxOfCell([1, 2], even, picture), [40, 25, 60, 50]);
  assert.deepEqual(boxOfCell([3, 6], padded, picture), [90, 48, 100, 50]);
  for (const cell of [[0, 0], [1, 4], [3, 6]]) {
    const [x1, y1, x2, y2] = boxOfCell(cell, padded, picture);
    assert.deepEqual(cellNear(padded, picture, (x1 + x2) / 2, (y1 + y2) / 2), cell);
  }
});

test("an arrow key leads to the cell beside, and not out", () => {
  assert.deepEqual(cellBeside([1, 2], [1, 0], padded), [1, 3]);
  assert.deepEqual(cellBeside([1, 2], [0, -1], padded), [0, 2]);
  assert.deepEqual(cellBeside([0, 0], [-1, 0], padded), [0, 0]);
  assert.deepEqual(cellBeside([3, 6], [0, 1], padded), [3, 6]);
});

test("two cells are the same when both row and column are", () => {
  assert.equal(sameCell([1, 2], [1, 2]), true);
  assert.equal(sameCell([1, 2], [2, 1]), false);
  assert.equal(sameCell([1, 2], [1, 3]), false);
});

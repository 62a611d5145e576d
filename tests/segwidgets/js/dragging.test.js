import assert from "node:assert/strict";
import { test } from "node:test";

import { cursorOf, gripAt, moved } from "../../../segwidgets/static/dragging.js";

const place = [20, 10, 60, 40];
const size = { columns: 100, rows: 50 };

test("a corner, a side, the inside and the outside of a box", () => {
  assert.equal(gripAt(place, 21, 11, 3), "x1 y1");
  assert.equal(gripAt(place, 58, 42, 3), "x2 y2");
  assert.equal(gripAt(place, 20, 25, 3), "x1");
  assert.equal(gripAt(place, 40, 42.9, 3), "y2");
  assert.equal(gripAt(place, 40, 25, 3), "x1 y1 x2 y2");
  assert.equal(gripAt(place, 40, 43.1, 3), "");
  assert.equal(gripAt(place, 16.9, 25, 3), "");
});

test("the middle of a small box moves it, however near its sides are", () => {
  assert.equal(gripAt([10, 10, 16, 16], 13, 13, 20), "x1 y1 x2 y2");
  assert.equal(gripAt([10, 10, 16, 16], 11, 13, 20), "x1");
  assert.equal(gripAt([10, 10, 10, 10], 12, 12, 3), "x2 y2"); // of a point its last corner, so that it can grow
});

test("what is gripped moves and the rest stays", () => {
  assert.deepEqual(moved(place, "x1 y1 x2 y2", 5, -3, size), [25, 7, 65, 37]);
  assert.deepEqual(moved(place, "x2 y1", 5, -3, size), [20, 7, 65, 40]);
  assert.deepEqual(moved(place, "y2", 5, 3, size), [20, 10, 60, 43]);
});

test("a box stays within its picture and keeps a pixel", () => {
  assert.deepEqual(moved(place, "x1 y1 x2 y2", 1000, 1000, size), [60, 20, 100, 50]); // its size is kept
  assert.deepEqual(moved(place, "x1 y1 x2 y2", -1000, -1000, size), [0, 0, 40, 30]);
  assert.deepEqual(moved(place, "x2 y2", 1000, 1000, size), [20, 10, 100, 50]);
  assert.deepEqual(moved(place, "x1 y1", 1000, 1000, size), [59, 39, 60, 40]); // it does not turn over
  assert.deepEqual(moved(place, "x2 y2", -1000, -1000, size), [20, 10, 21, 11]);
});

test("the cursor says what a grip does", () => {
  assert.deepEqual(["", "x1", "y2", "x1 y1", "x2 y1", "x1 y1 x2 y2"].map(cursorOf), ["", "ew-resize", "ns-resize", "nwse-resize", "nesw-resize", "move"]);
});

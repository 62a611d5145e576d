// The page prints numbers as the captions do: `course.ops.step.number`, over pairs that pytest brings.

import assert from "node:assert/strict";
import { test } from "node:test";

import { formatNumber, formatPlace } from "../../../segwidgets/static/format.js";
import { given } from "./given.js";

test("every number prints as Python prints it", () => {
  const { pairs } = given();
  assert.ok(pairs.length > 2000);
  const different = pairs.filter(([value, text]) => formatNumber(value) !== text).map(([value, text]) => [value, text, formatNumber(value)]);
  assert.deepEqual(different, []);
});

test("a cell that is not written yet is blank", () => {
  assert.equal(formatNumber(NaN), "");
});

test("zero has no sign", () => {
  assert.equal(formatNumber(-0), "0");
});

test("a place is a row and a column", () => {
  assert.equal(formatPlace(7, 3), "row 2, column 1");
  assert.equal(formatPlace(0, 3), "row 0, column 0");
});

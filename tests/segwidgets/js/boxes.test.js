import assert from "node:assert/strict";
import { test } from "node:test";

import { ORDER, boxStyle, boxUnder, freePlace, labelCorner, labelStyle, sameLook } from "../../../segwidgets/static/boxes.js";
import { TraceReader } from "../../../segwidgets/static/trace.js";
import { given } from "./given.js";

const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64")).buffer;
const { meta, buffers, boxes, roles } = given().boxed;
const reader = new TraceReader(meta, buffers.map(bytes));
const look = (place, role = "read", label = "") => ({ role, label, place });
const size = { columns: 200, rows: 100 };

test("what each box is at each step is Python's", () => {
  assert.ok(boxes.length > 3);
  boxes.forEach((looks, step) => assert.deepEqual(reader.boxesAt("sheet", step), looks, `step ${step}`));
  assert.deepEqual(reader.boxesAt("plain", 0), []);
});

test("every role has its place above or below the others, as in the stills", () => {
  assert.deepEqual(ORDER, roles.order);
  assert.deepEqual(ORDER.toSorted(), roles.all.toSorted());
});

test("a box lies in percent of its picture", () => {
  assert.deepEqual(boxStyle([20, 30, 120, 80], size), { left: "10%", top: "30%", width: "50%", height: "50%" });
  assert.deepEqual(boxStyle([120, 30, 20, 80], size).width, "0%"); // inverted
  assert.equal(boxStyle([-20, 0, 20, 80], size).left, "-10%"); // the layer cuts it off
});

test("a label stands where there is room", () => {
  const above = { top: "auto", bottom: "100%", left: "0%", right: "auto" };
  assert.deepEqual(labelStyle([20, 30, 120, 80], size), above);
  assert.deepEqual(labelStyle([20, 5, 120, 80], size), { ...above, top: "0%", bottom: "auto" });
  assert.deepEqual(labelStyle([20, -20, 120, 80], size), { ...above, top: "20%", bottom: "auto" });
  assert.deepEqual(labelStyle([-50, 30, 50, 80], size), { ...above, left: "50%" });
  assert.deepEqual(labelStyle([150, 30, 250, 80], size), { ...above, left: "auto", right: "50%" });
  assert.deepEqual(labelStyle([130, 30, 190, 80], size), above); // begins where a label still has room to its right
  assert.deepEqual(labelStyle([190, 0, 190, 0], size), { top: "0%", bottom: "auto", left: "auto", right: "0%" }); // a point
});

test("of the boxes under the pointer the smallest is meant", () => {
  const looks = [look([0, 0, 100, 100]), look([10, 10, 30, 30]), look([20, 20, 40, 40]), look([11, 11, 13, 13], null)];
  assert.equal(boxUnder(looks, 50, 50), 0);
  assert.equal(boxUnder(looks, 12, 12), 1); // the smallest is hidden
  assert.equal(boxUnder(looks, 25, 25), 1); // of equal ones the first
  assert.equal(boxUnder(looks, 35, 35), 2);
  assert.equal(boxUnder(looks, 150, 50), -1);
  assert.equal(boxUnder([], 1, 1), -1);
});

test("only what differs is drawn again", () => {
  assert.equal(sameLook(look([1, 2, 3, 4]), look([1, 2, 3, 4])), true);
  assert.equal(sameLook(look([1, 2, 3, 4]), undefined), false);
  for (const other of [look([1, 2, 3, 5]), look([1, 2, 3, 4], "write"), look([1, 2, 3, 4], "read", "a")]) {
    assert.equal(sameLook(look([1, 2, 3, 4]), other), false);
  }
});

test("a box is explained by the step that made it what it is", () => {
  assert.equal(reader.explain("sheet", 1, 0).text, "box 1: x 3 to 9, y 2 to 8");
  const removed = reader.explain("sheet", 1, 3);
  assert.equal(removed.text, "box 1: 3 / 6 = 0.5");
  assert.deepEqual(removed.marks, { sheet: { chosen: [0], write: [[3, 2, 5, 6]] } });
  assert.equal(reader.explain("sheet", 0, 3).text, "box 0: Box 0 stays."); // a step without arithmetic says its sentence
  removed.marks.sheet.chosen.push(2);
  assert.deepEqual(reader.explain("sheet", 1, 3).marks.sheet.chosen, [0]); // the trace stays as it is
});

test("a step that changes boxes is one to predict", () => {
  assert.deepEqual([0, 1, 2, 3].map((step) => reader.hasWrites(step)), [false, true, true, true]);
});

test("the corner of a label is where its style puts it", () => {
  const corner = (place) => labelCorner(place, size, 2, [60, 20], 3); // a picture of 400 × 200 pixels of the screen
  assert.deepEqual(corner([20, 30, 120, 80]), [43, 43]);
  assert.deepEqual(corner([20, 5, 120, 80]), [43, 13]); // inside, at the picture's top
  assert.deepEqual(corner([-20, -20, 120, 80]), [3, 3]);
  assert.deepEqual(corner([150, 30, 190, 80]), [317, 43]); // leftwards
  assert.deepEqual(corner([150, 30, 250, 80]), [337, 43]); // as far as the picture reaches
});

test("a label that would lie on another moves to the first place that is free", () => {
  const box = [100, 100, 200, 150];
  const place = (taken, start = [100, 80], picture = [400, 300]) => freePlace(start, box, [60, 20], picture, taken);
  assert.deepEqual(place([]), [100, 80]);
  assert.deepEqual(place([[0, 0, 100, 300]]), [100, 80]); // touches
  assert.deepEqual(place([[90, 60, 120, 90]]), [100, 150]); // below
  assert.deepEqual(place([[90, 60, 120, 90], [100, 150, 160, 170]]), [100, 100]); // inside, above
  assert.deepEqual(place([[90, 60, 120, 90]], [100, 80], [400, 160]), [100, 100]); // below it would not be in the picture
  assert.deepEqual(place([[90, 60, 160, 170]]), [200, 100]); // to the right
  assert.deepEqual(place([[100, 60, 260, 170]]), [40, 100]); // to the left
  assert.deepEqual(place([[0, 0, 400, 300]]), [100, 80]); // nowhere
  assert.deepEqual(place([], [370, 80]), [340, 80]); // at the picture's right
  assert.deepEqual(place([], [100, -5]), [100, -5]); // cut off at the top it stays, as its style says
});

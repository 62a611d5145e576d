import assert from "node:assert/strict";
import { test } from "node:test";

import { edge, expandRuns, explainRegion } from "../../../segwidgets/static/segmentation.js";
import { TraceReader } from "../../../segwidgets/static/trace.js";
import { given } from "./given.js";

const spec = { id: "regions", title: "regions", measures: ["colour", "size"] };
// Regions 0, 1, 2, 3 in a row; 1 and 2 became 4.
const pairs = Float32Array.from([0, 1, 0.5, 0.25, 1, 2, 1, 0.75, 2, 3, 0.25, 0, 0, 4, 0.125, 0.25, 3, 4, 0.5, 0.5].flat());

test("runs become labels again, however long they are", () => {
  assert.deepEqual([...expandRuns(Uint16Array.from([2, 7, 1, 0, 3, 7]), 6)], [7, 7, 0, 7, 7, 7]);
});

test("Python's runs are Python's labels", () => {
  const { meta, buffers, labels, values } = given().segmented;
  const reader = new TraceReader(meta, buffers.map((text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer));
  const panel = reader.panelById.get("regions");
  assert.deepEqual([...expandRuns(new Uint16Array(reader.buffers[panel.runs]), panel.down * panel.across)], labels.flat());
  values.forEach((expected, step) => assert.deepEqual([...reader.valuesAt("regions", step)], expected));
  const { text, marks } = reader.explain("regions", 0, 0);
  assert.equal(text, "most alike of its neighbours: colour 0.5 + size 0.75 = 1.25 · the other neighbours: 0.75");
  assert.deepEqual(marks, { regions: { chosen: [1], read: [2] } });
  assert.equal(reader.explain("regions", 1, 1).text, "most alike of its neighbours: colour 0.25 + size 0.125 = 0.375");
});

test("a region is compared with the neighbours that are there now", () => {
  const before = explainRegion(spec, pairs, Float32Array.from([0, 1, 2, 3]), 1);
  assert.equal(before.text, "most alike of its neighbours: colour 1 + size 0.75 = 1.75 · the other neighbours: 0.75");
  assert.deepEqual(before.marks, { regions: { chosen: [2], read: [0] } });
  const after = explainRegion(spec, pairs, Float32Array.from([0, 4, 4, 3]), 2);
  assert.equal(after.text, "most alike of its neighbours: colour 0.5 + size 0.5 = 1 · the other neighbours: 0.375");
  assert.deepEqual(after.marks, { regions: { chosen: [3], read: [0] } });
});

test("of many neighbours five more are told, and one that is alone has none", () => {
  const many = Float32Array.from(Array.from({ length: 8 }, (_, i) => [0, i + 1, i, 0]).flat());
  const { text, marks } = explainRegion(spec, many, Float32Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8]), 0);
  assert.equal(text, "most alike of its neighbours: colour 7 + size 0 = 7 · the other neighbours: 6, 5, 4, 3, 2, …");
  assert.equal(marks.regions.read.length, 7);
  assert.deepEqual(explainRegion(spec, pairs, Float32Array.from([5, 5, 5, 5]), 0), { text: "regions: this region has no neighbour", marks: {} });
});

test("an outline lies inside, and not where the picture ends", () => {
  const inside = Uint8Array.from([1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0]); // 3 × 4, the three left columns
  assert.deepEqual(edge(inside, 4, 1), [2, 6, 10]);
  assert.deepEqual(edge(inside, 4, 2), [1, 2, 5, 6, 9, 10]);
  assert.deepEqual(edge(new Uint8Array(4).fill(1), 2, 3), []);
});

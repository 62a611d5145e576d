// The browser reads from the wire what Python put on it: traces, and what Python says of them, come from pytest.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TraceReader } from "../../../segwidgets/static/trace.js";
import { given } from "./given.js";

const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64")).buffer;
const traces = given().traces.map((each) => ({ ...each, reader: new TraceReader(each.meta, each.buffers.map(bytes)) }));
const named = Object.fromEntries(traces.map((each) => [each.name, each]));

for (const { name, reader, states } of traces) {
  test(`${name}: the numbers at each step are Python's`, () => {
    assert.ok(states.length > 1);
    for (const { panel, step, values } of states) {
      assert.deepEqual([...reader.valuesAt(panel, step)].map((value) => (Number.isNaN(value) ? null : value)), values, `${panel}, step ${step}`);
    }
  });

  test(`${name}: the lit cells at each step are Python's`, () => {
    for (const { panel, step, kept } of states) assert.deepEqual(reader.keptAt(panel, step), kept, `${panel}, step ${step}`);
  });
}

test("a film shows the frame that Python says, at each step", () => {
  const { reader, films } = named.film;
  assert.deepEqual(films, { film: [0, 1, 1, 2, 0] });
  for (const [film, frames] of Object.entries(films)) frames.forEach((frame, step) => assert.equal(reader.frameAt(film, step), frame));
});

test("what stands under a title is the latest note, or the panel's own", () => {
  const { reader } = named.film;
  assert.deepEqual([0, 1, 2, 3, 4].map((step) => reader.noteAt("film", step)), ["at first", "one", "one", "", ""]);
  assert.equal(reader.noteAt("curves", 4), "");
});

test("over a cell a film shows the cell's frame, or stays", () => {
  const { reader } = named.film;
  assert.deepEqual([0, 1, 2, 3].map((cell) => reader.frameOfCell("film", "cells", cell)), [-1, 3, 0, -1]);
  assert.equal(reader.frameOfCell("film", "picture", 0), -1);
  assert.equal(reader.frameOfCell("picture", "cells", 1), -1);
});

test("equal frames are one buffer", () => {
  const [first, , , last] = named.film.reader.panelById.get("film").frames;
  assert.equal(first, last);
});

test("what a colour means is said once, whichever panels say it", () => {
  assert.deepEqual(named.film.reader.legend, [["cat", "#e69f00"], ["dog", "#0072b2"], ["void", "#000000"]]);
  assert.deepEqual(named.pool.reader.legend, []);
});

test("what a cell sees may be a box of its own", () => {
  const { marks, text } = named.film.reader.explain("cells", 3, 0);
  assert.deepEqual(marks.film, { read: [[1.5, 1, 6, 4]] });
  assert.match(text, /^cells at row 1, column 1 = 3 · sees 9 × 6 pixels$/); // two pixels of the picture are one as shown
});

test("a cell may say something else of its box", () => {
  const { reader } = named.fields;
  assert.match(reader.explain("covers", 3, 0).text, / · covers 1\.5 × 1 pixels$/); // so small that fractions matter
  assert.match(reader.explain("told", 3, 0).text, / · the fourth$/);
  assert.deepEqual(reader.explain("told", 3, 0).marks.picture, { read: [[1.5, 1, 6, 4]] });
});

test("while steps race by, the last that only said something is told", () => {
  assert.deepEqual([0, 1, 2, 3, 4].map((step) => named.film.reader.narrationAt(step)), [0, 0, 2, 2, 2]);
  assert.equal(named.pool.reader.narrationAt(3), 0);
});

test("buffers may be views into a larger message, at any offset", () => {
  const { meta, buffers, reader } = named.pool;
  const shifted = buffers.map((text) => {
    const content = new Uint8Array(bytes(text));
    const message = new Uint8Array(content.length + 3);
    message.set(content, 3);
    return new DataView(message.buffer, 3, content.length);
  });
  assert.deepEqual(new TraceReader(meta, shifted).valuesAt("pooled", 5), reader.valuesAt("pooled", 5));
});

test("a cell is explained by its arithmetic and by what it was computed from", () => {
  const { text, marks, value } = named.pool.reader.explain("pooled", 1, 5);
  assert.equal(text, "pooled at row 0, column 1: max(6, 3, 2, 1) = 6");
  assert.equal(value, 6);
  assert.deepEqual(marks.input.read.toSorted((a, b) => a - b), [2, 3, 6, 7]);
  assert.deepEqual(marks.input.chosen, [2]);
});

test("a zero around an unpooled value is not explained by that value's arithmetic", () => {
  const { reader } = named.unpool; // the last value, 4, goes to row 3, column 3
  assert.equal(reader.explain("output", 14, reader.last).text, "output at row 3, column 2 = 0: no value was put here");
  assert.match(reader.explain("output", 15, reader.last).text, /^output at row 3, column 3: .*= 4$/);
});

test("where a step adds up, predict mode asks for the sums and not for what helps to guess them", () => {
  assert.deepEqual(named["conv transpose"].reader.askedPanels(2), ["output"]);
  assert.equal(named["conv transpose"].reader.addsUp("output", 2), true);
  assert.deepEqual(named.pool.reader.askedPanels(1), ["pooled"]);
  assert.equal(named.pool.reader.addsUp("pooled", 1), false);
});

test("an input cell has only its value, an empty one says so", () => {
  assert.equal(named.pool.reader.explain("input", 2, 0).text, "input at row 0, column 2 = 6");
  assert.equal(named.pool.reader.explain("pooled", 3, 2).text, "pooled at row 1, column 1: not written yet");
});

test("where stamps overlap the sum grows with the steps", () => {
  const { reader } = named["conv transpose"];
  const middle = 2 * 5 + 2;
  assert.equal(reader.explain("output", middle, 1).text, "output at row 2, column 2: 1 × 1 = 1");
  assert.equal(reader.explain("output", middle, 4).text, "output at row 2, column 2: 1 × 1 + 2 × 1 + 3 × 1 + 4 × 1 = 10");
  assert.deepEqual(reader.writersOf("output", middle, 3), [1, 2, 3]);
  assert.deepEqual(reader.explain("output", middle, 4).marks.input.read.toSorted(), [0, 1, 2, 3]);
});

test("a receptive field is cut at the picture's edge", () => {
  const { reader } = named.photograph; // a field of 24 pixels every 8, the first centred on 4, in 96 × 64
  const { marks, text } = reader.explain("input", 3 * 12 + 5, 0);
  assert.deepEqual(marks.photograph, { read: [[32, 16, 56, 40]], chosen: [[40, 24, 48, 32]] });
  assert.match(text, / · sees 24 × 24 pixels$/);
  assert.deepEqual(reader.explain("input", 0, 0).marks.photograph.read, [[0, 0, 16, 16]]);
  assert.deepEqual(reader.explain("input", 7 * 12 + 11, 0).marks.photograph.read, [[80, 48, 96, 64]]);
});

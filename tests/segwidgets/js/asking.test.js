import assert from "node:assert/strict";
import { test } from "node:test";

import { Asking } from "../../../segwidgets/static/asking.js";

/** An Asking whose clock stands still until it is told otherwise, and all that it sent and said. */
function asking() {
  const seen = { sent: [], said: [], time: 0, late: [] };
  const made = new Asking((values, id) => seen.sent.push({ values, id }), ({ text, wrong }) => seen.said.push([text, wrong]),
    () => seen.time, (fn) => seen.late.push(fn));
  return { made, seen };
}

test("one question at a time, and of those that come meanwhile only the newest", () => {
  const { made, seen } = asking();
  for (const level of [1, 2, 3, 4]) made.ask({ level });
  assert.deepEqual(seen.sent.map(({ values }) => values.level), [1]);
  made.answered({ id: seen.sent[0].id, error: "" });
  assert.deepEqual(seen.sent.map(({ values }) => values.level), [1, 4]);
  assert.equal(made.open, true);
  made.answered({ id: seen.sent[1].id, error: "" });
  assert.equal(made.open, false);
  assert.equal(seen.sent.length, 2);
});

test("the answer to another view, or to an older question, is not taken", () => {
  const { made, seen } = asking();
  made.ask({ level: 1 });
  assert.equal(made.answered({ id: "other:0", error: "" }), false);
  assert.equal(made.open, true);
  assert.equal(made.answered({ id: seen.sent[0].id, error: "" }), true);
  assert.equal(made.answered({ id: seen.sent[0].id, error: "" }), false);
  assert.notEqual(asking().made.view, made.view);
});

test("it says how long an answer took, and what the kernel refused", () => {
  const { made, seen } = asking();
  made.ask({ level: 1 });
  seen.time = 41.6;
  made.answered({ id: seen.sent[0].id, error: "" });
  made.ask({ level: 2 });
  made.answered({ id: seen.sent[1].id, error: "level is too high" });
  assert.deepEqual(seen.said, [["answered in 42 ms", false], ["level is too high", true]]);
});

test("after a part of an answer something newer can be asked, and of the older question nothing more is heard", () => {
  const { made, seen } = asking();
  made.ask({ level: 1 });
  made.ask({ level: 2 }); // waits for the first part
  seen.time = 1234;
  assert.equal(made.answered({ id: seen.sent[0].id, error: "", more: true }), true);
  assert.deepEqual(seen.sent.map(({ values }) => values.level), [1, 2]);
  assert.equal(made.answered({ id: seen.sent[0].id, error: "Stopped: something newer was asked." }), false);
  assert.equal(made.answered({ id: seen.sent[1].id, error: "", more: true }), true);
  assert.equal(made.open, false);
  seen.time = 2234;
  assert.equal(made.answered({ id: seen.sent[1].id, error: "", more: true }), true);
  assert.equal(made.answered({ id: seen.sent[1].id, error: "" }), true);
  assert.equal(made.answered({ id: seen.sent[1].id, error: "" }), false);
  assert.deepEqual(seen.said.map(([text]) => text), ["at work: 1.2 s", "at work: 0.0 s", "answered in 1000 ms"]);
});

test("while an answer comes in parts a clock runs, one and not one for each part, and it stops with the answer", () => {
  const { made, seen } = asking();
  made.ask({ level: 1 });
  const waits = seen.late.length; // for the first sign of the kernel
  for (const part of [1, 2, 3]) made.answered({ id: seen.sent[0].id, error: "", more: true });
  for (const time of [200, 400]) {
    seen.time = time;
    assert.equal(seen.late.length, waits + 1);
    seen.late.pop()();
  }
  assert.deepEqual(seen.said.map(([text]) => text), ["at work: 0.0 s", "at work: 0.2 s", "at work: 0.4 s"]);
  made.answered({ id: seen.sent[0].id, error: "" });
  seen.late.pop()();
  assert.equal(seen.late.length, waits);
  assert.equal(seen.said.at(-1)[0], "answered in 400 ms");
});

test("the clock of an older question stops when something newer is asked", () => {
  const { made, seen } = asking();
  made.ask({ level: 1 });
  made.answered({ id: seen.sent[0].id, error: "", more: true });
  const tick = seen.late.at(-1);
  made.ask({ level: 2 });
  tick();
  assert.deepEqual(seen.said.map(([text]) => text), ["at work: 0.0 s"]);
});

test("after a while it says that it waits, unless the answer has come", () => {
  const { made, seen } = asking();
  made.ask({ level: 1 });
  made.answered({ id: seen.sent[0].id, error: "" });
  seen.late[0]();
  assert.equal(seen.said.length, 1);
  made.ask({ level: 2 });
  seen.late[1]();
  assert.match(seen.said[1][0], /Waiting for the kernel/);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { KEYS, SPEEDS } from "../../../segwidgets/static/controls.js";
import { secondsPerStep } from "../../../segwidgets/static/playback.js";
import { Player } from "../../../segwidgets/static/player.js";

test("the keys are those of the design", () => {
  assert.deepEqual(Object.keys(KEYS).sort(), [" ", "ArrowLeft", "ArrowRight", "End", "Home", "[", "]", "f", "l", "p"]);
});

test("each key names a method of the player", () => {
  for (const name of Object.values(KEYS)) assert.equal(typeof Player.prototype[name], "function", name);
});

test("speeds rise, and 1 is among them", () => {
  assert.deepEqual(SPEEDS.toSorted((a, b) => a - b), SPEEDS);
  assert.ok(SPEEDS.includes(1));
});

test("few steps stay long enough to be read, many do not last for ever", () => {
  assert.equal(secondsPerStep(5), 1.2);
  assert.equal(secondsPerStep(100), 0.2);
  assert.equal(secondsPerStep(1000), 0.1);
  assert.ok(Number.isFinite(secondsPerStep(0)));
});

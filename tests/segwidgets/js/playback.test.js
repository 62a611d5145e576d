// The clock, driven by hand: a window whose frames come when the test says so.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Playback } from "../../../segwidgets/static/playback.js";

class Driven extends Playback {
  constructor(last, speed = 1) {
    super();
    this.speed = speed;
    this.reader = { last, hasWrites: () => true };
    this.caption = { setAttribute: (name, value) => { this.live = value; } };
    this.told = [];
    this.window = { requestAnimationFrame: (next) => { this.next = next; return 1; }, cancelAnimationFrame: () => { this.next = null; } };
  }

  draw() { this.say(); }
  say() { this.told.push(this.racing ? "narration" : this.step); }
  controlsChanged() {}

  run(seconds) {
    for (let passed = 0; passed <= seconds + 1e-9; passed += 0.01) {
      this.now = (this.now ?? 0) + 10;
      this.next?.(this.now);
    }
  }
}

test("slow steps are told one by one", () => {
  const player = new Driven(3);
  player.play();
  player.run(5);
  assert.deepEqual(player.told, [1, 2, 3, 3]); // and once more when it stands still
});

test("while steps race by, what holds for all of them is told, and the step's own words when it stands still", () => {
  const player = new Driven(3, 4);
  player.play();
  player.run(0.7);
  assert.deepEqual(player.told, ["narration", "narration"]);
  player.pause();
  assert.equal(player.told.at(-1), 2);
  player.play();
  player.run(1);
  assert.deepEqual([player.step, player.playing, player.told.at(-1)], [3, false, 3]);
});

test("a screen reader is left in peace while it plays", () => {
  const player = new Driven(3);
  player.play();
  assert.equal(player.live, "off");
  player.pause();
  assert.equal(player.live, "polite");
});

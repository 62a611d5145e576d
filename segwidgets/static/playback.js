// Which step is shown, and the clock that moves it. A browser's frames are the clock: nothing here asks the kernel for anything.

import { SPEEDS } from "./controls.js";

/** Seconds a step stays at speed 1×: slow for the few steps of a hand-worked example, brisk for a feature map's hundreds. */
export function secondsPerStep(steps) {
  return Math.max(0.1, Math.min(1.2, 20 / Math.max(1, steps)));
}

/** A sentence that stays for less cannot be read: while steps race by, the one that holds for all of them stands there. */
const SECONDS_TO_READ = 0.5;

/** A player's state and what moves it. Whoever extends it has `reader`, `window`, `caption`, `draw`, `say` and `controlsChanged`. */
export class Playback {
  constructor() {
    Object.assign(this, { step: 0, asked: false, playing: false, speed: 1, loop: false, predict: false });
  }

  goTo(step) {
    this.pause();
    this.show(step);
  }

  show(step, asked = false) {
    this.step = Math.max(0, Math.min(this.reader.last, step));
    this.asked = asked && this.predict && this.reader.hasWrites(this.step);
    this.draw();
  }

  /** One step on; in predict mode a step first asks, then answers. */
  advance() {
    if (this.asked) this.show(this.step);
    else if (this.step < this.reader.last) this.show(this.step + 1, true);
    else if (this.loop) this.show(0);
    else return false;
    return true;
  }

  forward() { this.pause(); this.advance(); }
  back() { this.goTo(this.step - 1); }
  first() { this.goTo(0); }
  last() { this.goTo(this.reader.last); }

  toggle() {
    if (this.predict) this.forward(); // the class sets the pace, not the clock
    else if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.step === this.reader.last) this.show(0);
    this.playing = true;
    this.elapsed = 0;
    this.before = null;
    this.caption.setAttribute("aria-live", "off"); // a screen reader cannot keep up with playback; it speaks when paused
    this.controlsChanged();
    const frame = (now) => {
      if (!this.playing) return;
      this.elapsed += this.before === null ? 0 : (now - this.before) / 1000;
      this.before = now;
      const seconds = this.secondsPerStep;
      if (this.elapsed >= seconds) {
        this.elapsed = Math.min(this.elapsed - seconds, seconds); // a tab that slept does not race to catch up
        if (!this.advance()) { this.pause(); return; }
      }
      this.frame = this.window.requestAnimationFrame(frame);
    };
    this.frame = this.window.requestAnimationFrame(frame);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.window.cancelAnimationFrame(this.frame);
    this.caption.setAttribute("aria-live", "polite");
    this.say();
    this.controlsChanged();
  }

  get secondsPerStep() {
    return secondsPerStep(this.reader.last) / this.speed;
  }

  get racing() {
    return this.playing && this.secondsPerStep < SECONDS_TO_READ;
  }

  setSpeed(index) {
    this.speed = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, index))];
    this.controlsChanged();
  }

  slower() { this.setSpeed(SPEEDS.indexOf(this.speed) - 1); }
  faster() { this.setSpeed(SPEEDS.indexOf(this.speed) + 1); }
  nextSpeed() { this.setSpeed((SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length); }
  toggleLoop() { this.loop = !this.loop; this.controlsChanged(); }

  togglePredict() {
    this.pause();
    this.predict = !this.predict;
    this.show(this.step);
  }
}

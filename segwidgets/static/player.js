// Plays a Trace. Everything here runs in the browser: no step, key or hover asks the kernel for anything.

import { Controls, KEYS, SPEEDS } from "./controls.js";
import { fitPanels } from "./layout.js";
import { element, PanelView } from "./panel.js";
import { TraceReader } from "./trace.js";

const LARGEST_UNIT = 46;
const LARGEST_UNIT_FULL = 130;

/** Seconds a step stays at speed 1×: slow for the few steps of a hand-worked example, brisk for a feature map's hundreds. */
export function secondsPerStep(steps) {
  return Math.max(0.1, Math.min(1.2, 20 / Math.max(1, steps)));
}

export class Player {
  /** @param {HTMLElement} host @param {object} meta @param {(DataView|ArrayBuffer)[]} buffers */
  constructor(host, meta, buffers) {
    this.host = host;
    this.document = host.ownerDocument;
    this.window = this.document.defaultView;
    this.reader = new TraceReader(meta, buffers);
    this.gone = new AbortController(); // every listener hangs on its signal and leaves with the view
    this.still = this.window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    Object.assign(this, { step: 0, asked: false, playing: false, speed: 1, loop: false, predict: false, hover: null });
    if (this.still) this.step = this.reader.last;
    this.build();
    this.listen();
    this.fit();
    this.draw();
    this.paintedSoon();
  }

  build() {
    const { document, reader } = this;
    this.root = element(document, "div", "segw");
    Object.assign(this.root, { tabIndex: 0 });
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", `Animation: ${reader.meta.title}. Space plays, arrow keys step.`);
    this.root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the keys
    this.panelsBox = element(document, "div", "segw-panels");
    this.views = reader.panels.map((spec) => new PanelView(spec, reader, document));
    this.arrows = reader.meta.arrows.map((arrow) => this.arrow(arrow));
    this.caption = element(document, "div", "segw-caption");
    this.caption.setAttribute("aria-live", "polite");
    this.sentence = element(document, "div", "segw-sentence");
    this.caption.append(this.sentence);
    this.arithmetic = element(document, "div", "segw-arithmetic");
    this.controls = new Controls(this, document, reader.last);
    this.root.append(this.panelsBox, this.caption, this.arithmetic, this.controls.root);
    this.host.append(this.root);
  }

  arrow(arrow) {
    const made = element(this.document, "div", arrow && !arrow.line ? "segw-arrow segw-sign" : "segw-arrow");
    if (arrow) made.append(element(this.document, "span", "segw-arrow-text", arrow.text));
    if (arrow?.line) made.append(element(this.document, "span", "segw-arrow-line"));
    return made;
  }

  listen() {
    const { signal } = this.gone;
    this.root.addEventListener("keydown", (event) => this.key(event), { signal });
    this.root.addEventListener("click", (event) => {
      // After a click with the mouse the keys belong to the animation, not to the button that was clicked.
      if (event.detail > 0) this.root.focus({ preventScroll: true });
    }, { signal });
    for (const view of this.views) {
      const show = (event) => this.point(view, view.cellAt(event));
      view.stage.addEventListener("pointermove", show, { signal });
      view.stage.addEventListener("pointerdown", show, { signal });
      view.stage.addEventListener("pointerleave", () => this.point(null, -1), { signal });
    }
    this.document.addEventListener("fullscreenchange", () => this.fullscreenChanged(), { signal });
    this.resized = new this.window.ResizeObserver(() => this.fit());
    this.resized.observe(this.host);
    const themed = () => this.theme();
    this.themes = new this.window.MutationObserver(themed);
    for (const place of [this.document.documentElement, this.document.body]) this.themes.observe(place, { attributes: true });
    this.window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed, { signal });
  }

  dispose() {
    this.pause();
    this.gone.abort();
    this.resized.disconnect();
    this.themes.disconnect();
    this.root.remove();
  }

  paintedSoon() {
    // Two frames: the first commits the layout, after the second the pixels are on the screen.
    const { requestAnimationFrame } = this.window;
    requestAnimationFrame(() => requestAnimationFrame(() => { this.root.dataset.state = "painted"; }));
  }

  // ---- moving -------------------------------------------------------------------------------------------------------

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
      const seconds = secondsPerStep(this.reader.last) / this.speed;
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
    this.controlsChanged();
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

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (this.root.classList.contains("segw-full")) this.fullscreen();
      return;
    }
    const onButton = event.target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter");
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || onButton) return; // a focused button answers Space itself
    event.preventDefault();
    event.stopPropagation();
    this[action]();
  }

  // ---- full screen --------------------------------------------------------------------------------------------------

  async fullscreen() {
    const full = this.root.classList.contains("segw-full");
    this.root.classList.toggle("segw-full", !full);
    try {
      if (!full) await this.root.requestFullscreen();
      else if (this.document.fullscreenElement) await this.document.exitFullscreen();
      else this.root.popover = null;
    } catch {
      // Some hosts (VS Code, a frame) refuse. A popover fills the window all the same, out of any clipping parent.
      this.root.popover = "manual";
      this.root.showPopover?.();
    }
    this.fit();
    this.root.focus({ preventScroll: true });
  }

  fullscreenChanged() {
    this.root.classList.toggle("segw-full", this.document.fullscreenElement === this.root);
    this.fit();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------

  /** Sizes the panels to the room there is. */
  fit() {
    const full = this.root.classList.contains("segw-full");
    const style = this.window.getComputedStyle(this.root);
    const width = this.root.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (width <= 0) return; // a hidden tab; the observer calls again when it shows
    const numbered = this.reader.panels.some((panel) => panel.paint === "numbers");
    // Below 30 pixels a two-digit number cannot be read from a chair; colours can, down to 18.
    const room = { width, largest: full ? LARGEST_UNIT_FULL : LARGEST_UNIT, readable: numbered ? 30 : 18, arrow: 6.2 * parseFloat(style.fontSize) };
    if (full) Object.assign(room, { height: this.window.innerHeight * 0.94 - 230, titles: 70 });
    const { unit, rows } = fitPanels(this.views.map((view) => view.size), room);
    this.root.style.setProperty("--segw-unit", `${unit}px`);
    this.panelsBox.replaceChildren(...rows.map((row) => this.row(row)));
    for (const view of this.views) view.setUnit(unit);
    for (const arrow of this.arrows) arrow.style.width = `${room.arrow}px`;
    this.theme();
  }

  row(indices) {
    const made = element(this.document, "div", "segw-row");
    for (const i of indices) {
      if (i > 0) made.append(this.arrows[i - 1]);
      made.append(this.views[i].root);
    }
    return made;
  }

  theme() {
    const probe = this.document.createElement("span");
    probe.className = "segw-probe";
    this.root.append(probe);
    const [red, green, blue] = (this.window.getComputedStyle(probe).color.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
    probe.remove();
    // The host's text colour tells its theme more reliably than its many nested backgrounds: light text, dark page.
    this.root.dataset.theme = 0.3 * red + 0.59 * green + 0.11 * blue > 128 ? "dark" : "light";
  }

  draw() {
    const { reader, step, asked } = this;
    const marks = reader.steps[step].marks ?? {};
    const questions = asked ? reader.askedPanels(step) : [];
    for (const view of this.views) {
      const { id } = view.spec;
      const fresh = new Set(reader.writtenAt(id, step));
      const inQuestion = questions.includes(id);
      view.draw({
        values: reader.valuesAt(id, step),
        kept: new Set(reader.keptAt(id, asked ? step - 1 : step)),
        fresh,
        asked: inQuestion ? fresh : new Set(),
        before: inQuestion && reader.addsUp(id, step) ? reader.valuesAt(id, step - 1) : null,
      });
      view.mark(inQuestion ? withoutAnswer(marks[id], [...fresh]) : asked ? { read: marks[id]?.read ?? [] } : marks[id]);
    }
    this.say();
    this.root.dataset.step = String(step);
    this.root.dataset.asked = String(asked);
    this.controlsChanged();
  }

  say() {
    const { reader, step, asked } = this;
    const spans = asked ? [["What goes where? Guess, then press → to see.", ""]] : reader.steps[step].caption;
    this.sentence.replaceChildren(...spans.map(([text, role]) => {
      const span = element(this.document, role ? "strong" : "span", "segw-word", text);
      if (role) span.dataset.roleText = role;
      return span;
    }));
    this.arithmetic.textContent = asked ? "" : reader.steps[step].arithmetic ?? "";
  }

  controlsChanged() {
    const { step, playing, speed, loop, predict, reader } = this;
    this.root.dataset.playing = String(playing);
    // The slider speaks the sentence on the screen: while the class guesses, that is the question.
    this.controls.update({ step, last: reader.last, playing, speed, loop, predict, caption: this.sentence.textContent });
  }

  /** Shows what a cell was computed from, as long as the pointer is on it. */
  point(view, cell) {
    // Hovering must not give the answer away.
    const asks = this.asked && cell >= 0 && this.reader.askedPanels(this.step).includes(view.spec.id);
    const hidden = asks && this.reader.writtenAt(view.spec.id, this.step).includes(cell);
    if (!view || cell < 0 || hidden) {
      if (!this.hover) return;
      this.hover = null;
      delete this.root.dataset.hover;
      this.draw();
      return;
    }
    const key = `${view.spec.id}:${cell}`;
    if (this.hover === key) return;
    this.hover = key;
    const { text, marks } = this.reader.explain(view.spec.id, cell, this.step);
    marks[view.spec.id] = { write: [cell] };
    for (const each of this.views) each.mark(marks[each.spec.id], true);
    this.arithmetic.textContent = text;
    this.root.dataset.hover = key;
  }
}

/** While the class guesses, only what is read and all the cells that this step fills may show: the place can be the question. */
function withoutAnswer(roles, fresh) {
  const { read } = roles ?? {};
  return { ...(read && { read }), ...(fresh.length && { write: fresh }) };
}

/** anywidget calls this for every view of a widget. */
function render({ model, el }) {
  let player = null;
  const rebuild = () => {
    const step = player?.step;
    player?.dispose();
    const { meta, buffers } = model.get("_trace");
    player = new Player(el, meta, buffers);
    if (step) player.show(step);
  };
  rebuild();
  model.on("change:_trace", rebuild);
  return () => {
    model.off("change:_trace", rebuild);
    player.dispose();
  };
}

export default { render };

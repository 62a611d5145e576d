// Plays a Trace. Everything here runs in the browser: no step, key or hover asks the kernel for anything.

import { Controls, KEYS } from "./controls.js";
import { element } from "./element.js";
import { fitPanels, heightOf } from "./layout.js";
import { PanelView, textWidth } from "./panel.js";
import { Playback } from "./playback.js";
import { Settings } from "./settings.js";
import { TraceReader } from "./trace.js";
import { packed } from "./uploading.js";

const LARGEST_UNIT = 46;
const LARGEST_UNIT_FULL = 130;
const ARROW = 6.2; // widths between two panels, in letters' heights: with an arrow, and without
const GAP = 2.6;
const GAP_FULL = 1.4; // on a whole screen, where no row numbers stand in between
const TYPES = [0.65, 0.75, 0.85, 1]; // sizes of type on a whole screen, as parts of the largest
const KEPT_UNIT = 0.85; // larger type may cost the panels so much, and no more
const PAGE = 0.7; // on a page the panels take no more of the screen's height, as long as they can be read
const LONGEST = 3; // so many of the longest sentences are laid out to see how high they are
const KEPT = [" ", "f", "p", "l", "[", "]"]; // keys that mean the animation also while a slider of the settings has the focus

export class Player extends Playback {
  /** @param {HTMLElement} host @param {object} meta @param {(DataView|ArrayBuffer)[]} buffers */
  constructor(host, meta, buffers) {
    super();
    this.host = host;
    this.document = host.ownerDocument;
    this.window = this.document.defaultView;
    this.reader = new TraceReader(meta, buffers);
    this.gone = new AbortController(); // every listener hangs on its signal and leaves with the view
    this.still = this.window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.hover = null;
    this.dragged = null; // {panel, box, place} of a box that is where the pointer is, until the kernel has answered
    this.settings = null;
    this.type = 1; // of TYPES
    if (this.still) this.step = this.reader.last;
    this.build();
    this.listen();
    this.fit();
    this.draw();
    this.paintedSoon();
  }

  build() {
    const { document } = this;
    this.root = element(document, "div", "segw");
    Object.assign(this.root, { tabIndex: 0 });
    this.root.setAttribute("role", "group");
    this.root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the keys
    this.panelsBox = element(document, "div", "segw-panels");
    this.legend = element(document, "div", "segw-legend");
    this.caption = element(document, "div", "segw-caption");
    this.caption.setAttribute("aria-live", "polite");
    this.sentence = element(document, "div", "segw-sentence");
    this.caption.append(this.sentence);
    this.arithmetic = element(document, "div", "segw-arithmetic");
    this.controls = new Controls(this, document);
    this.root.append(this.panelsBox, this.legend, this.caption, this.arithmetic, this.controls.root);
    this.host.append(this.root);
    this.furnish(this.panelViews(this.reader));
  }

  /** @param {TraceReader} reader @returns {PanelView[]} not on the page yet; each knows the view that it replaces */
  panelViews(reader) {
    const former = (id) => this.views?.find((view) => view.spec.id === id);
    return reader.panels.map((spec) => new PanelView(spec, reader, this.document, former(spec.id)));
  }

  /** Puts on the page what belongs to the trace. */
  furnish(views) {
    const { meta, legend } = this.reader;
    this.root.setAttribute("aria-label", `Animation: ${meta.title}. Space plays, arrow keys step.`);
    for (const view of this.views ?? []) view.dispose();
    this.views = views;
    this.arrows = meta.arrows.map((arrow) => this.arrow(arrow));
    this.panelsBox.replaceChildren(this.row(views.map((_, i) => i)));
    this.legend.replaceChildren(...legend.map(([name, colour]) => this.legendEntry(name, colour)));
  }

  /**
   * Plays another trace in place: at its end if the old one stood at its end, else at the same step. What is on the screen stays
   * until all of the new can be drawn, so that nothing flickers; of traces that come faster than that only the newest is shown.
   */
  replace(meta, buffers) {
    this.waiting = { meta, buffers };
    this.replacing ??= this.replaceInTurn();
  }

  async replaceInTurn() {
    while (this.waiting && !this.gone.signal.aborted) {
      const { meta, buffers } = this.waiting;
      this.waiting = null;
      const reader = new TraceReader(meta, buffers);
      const views = this.panelViews(reader);
      await Promise.allSettled(views.map((view) => view.frames?.ready));
      if (this.gone.signal.aborted) for (const view of views) view.dispose();
      else this.swap(reader, views);
    }
    this.replacing = null;
  }

  swap(reader, views) {
    const follows = this.step === this.reader.last && !this.playing;
    const hover = this.hover;
    this.reader = reader;
    this.furnish(views);
    this.fit();
    this.hover = null;
    this.show(follows ? reader.last : this.step);
    if (hover) this.point(views.find((view) => view.spec.id === hover.panel) ?? null, hover.cell);
  }

  arrow(arrow) {
    const made = element(this.document, "div", arrow && !arrow.line ? "segw-arrow segw-sign" : "segw-arrow");
    if (arrow) made.append(element(this.document, "span", "segw-arrow-text", arrow.text));
    if (arrow?.line) made.append(element(this.document, "span", "segw-arrow-line"));
    return made;
  }

  legendEntry(name, colour) {
    const made = element(this.document, "span", "segw-meaning", name);
    const swatch = element(this.document, "span", "segw-swatch");
    swatch.style.background = colour;
    made.prepend(swatch);
    return made;
  }

  listen() {
    const { signal } = this.gone;
    this.root.addEventListener("keydown", (event) => this.key(event), { signal });
    this.root.addEventListener("click", (event) => {
      // After a click with the mouse the keys belong to the animation, not to the button that was clicked.
      if (event.detail > 0) this.root.focus({ preventScroll: true });
    }, { signal });
    const point = (event) => {
      const view = this.views.find((each) => each.stage.contains(event.target)) ?? null;
      this.point(view, view ? view.cellAt(event) : -1);
    };
    this.root.addEventListener("pointermove", point, { signal });
    this.root.addEventListener("pointerdown", point, { signal });
    this.root.addEventListener("pointerleave", () => this.point(null, -1), { signal });
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
    for (const view of this.views) view.dispose();
    this.root.remove();
  }

  paintedSoon() {
    // Two frames: the first commits the layout, after the second the pixels are on the screen.
    const { requestAnimationFrame } = this.window;
    requestAnimationFrame(() => requestAnimationFrame(() => { this.root.dataset.state = "painted"; }));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (this.root.classList.contains("segw-full")) this.fullscreen();
      return;
    }
    const onButton = event.target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter");
    if (event.target.dataset.setting && event.target.tagName === "INPUT" && !KEPT.includes(event.key)) {
      event.stopPropagation(); // a slider moves by its own keys, which JupyterLab would take for moving among cells
      return;
    }
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
    if (!full) for (const part of [this.caption, this.arithmetic]) part.style.minHeight = "";
    const { unit, rows, gaps, names } = full ? this.fitScreen(width) : this.fitPage(width);
    this.root.style.setProperty("--segw-unit", `${unit}px`);
    this.panelsBox.replaceChildren(...rows.map((row) => this.row(row)));
    this.views.forEach((view, i) => view.setUnit(unit, full ? names[i] : Infinity));
    this.arrows.forEach((arrow, i) => { arrow.style.width = `${gaps[i]}px`; });
    this.theme();
  }

  /** On a page, which scrolls, the width decides; only where that would be higher than a screen do they become smaller. */
  fitPage(width) {
    // Below 30 pixels a two-digit number cannot be read from a chair; colours can, down to 18.
    const readable = this.reader.panels.some((panel) => panel.paint === "numbers") ? 30 : 18;
    const letter = parseFloat(this.window.getComputedStyle(this.root).fontSize);
    const gaps = this.reader.meta.arrows.map((arrow) => letter * (arrow ? ARROW : GAP));
    const fitted = this.arranged({ width, gaps, largest: LARGEST_UNIT, readable, fewest: this.reader.meta.rows }, 1);
    // Of the screen, not of the window: a frame may be as high as what is in it, and both would shrink for ever.
    const high = PAGE * this.window.screen.availHeight - fitted.rows.length * this.nameHeight(1);
    const bounded = Math.max(readable, high / heightOf(fitted.rows, this.views.map((view) => view.size)));
    return { ...fitted, unit: Math.min(fitted.unit, bounded) };
  }

  /** On a whole screen the panels get what the words and controls leave; these are as large as costs the panels little. */
  fitScreen(width) {
    let best = null;
    let least = null;
    for (const type of this.settings?.dragging ? [this.type] : TYPES) { // no letter changes its size under the pointer
      this.root.style.setProperty("--segw-type", String(type));
      this.reserve(width);
      const room = { width, height: this.panelsBox.clientHeight, gaps: this.gapsOnScreen(), largest: LARGEST_UNIT_FULL, readable: 0 };
      const [flat, wrapped] = [1, 2].map((lines) => this.arranged(room, lines));
      const fitted = wrapped.unit > flat.unit ? wrapped : flat;
      least ??= fitted.unit;
      if (fitted.unit >= KEPT_UNIT * least) best = { ...fitted, type };
    }
    this.type = best.type;
    this.root.style.setProperty("--segw-type", String(this.type));
    this.reserve(width);
    return best;
  }

  /** Where the panels stand if their titles may take so many lines. */
  arranged(room, lines) {
    const names = this.views.map((view) => Math.min(view.nameWidth(lines), room.width - Math.max(0, ...room.gaps)));
    const sizes = this.views.map((view, i) => ({ ...view.size, name: names[i] }));
    return { ...fitPanels(sizes, { ...room, titles: this.nameHeight(lines) }), gaps: room.gaps, names };
  }

  /** What a row is higher than its panels. */
  nameHeight(lines) {
    const { marginBottom } = this.window.getComputedStyle(this.panelsBox.firstChild);
    return parseFloat(marginBottom) + Math.max(...this.views.map((view) => view.nameHeight(lines)));
  }

  /** The widths between the panels: an arrow's longest word, and room for the row numbers of the panel that follows. */
  gapsOnScreen() {
    return this.arrows.map((arrow, i) => {
      const { fontSize, paddingLeft, paddingRight } = this.window.getComputedStyle(arrow);
      const words = arrow.textContent.split(" ");
      if (arrow.firstChild) return Math.ceil(textWidth(arrow.firstChild, words) + parseFloat(paddingLeft) + parseFloat(paddingRight));
      return parseFloat(fontSize) * (this.views[i + 1].indexed ? GAP : GAP_FULL);
    });
  }

  /** Keeps the height of the longest sentence and arithmetic, so that no step moves what stands above. */
  reserve(width) {
    const longest = (length) => [...this.reader.steps].sort((one, other) => length(other) - length(one)).slice(0, LONGEST);
    const said = ({ caption }) => caption.reduce((sum, [text]) => sum + text.length, 0);
    const sentences = longest(said).map(({ caption }) => this.words(caption));
    const sums = longest(({ arithmetic }) => (arithmetic ?? "").length).map(({ arithmetic }) => [arithmetic ?? ""]);
    this.caption.style.minHeight = `${this.highest(this.caption, sentences, width)}px`;
    this.arithmetic.style.minHeight = `${this.highest(this.arithmetic, sums, width)}px`;
  }

  /** The height of the highest of these contents, each laid out in an element like that one. */
  highest(like, contents, width) {
    const ruler = like.cloneNode(false);
    ruler.removeAttribute("aria-live");
    Object.assign(ruler.style, { position: "absolute", visibility: "hidden", minHeight: "", width: `${width}px` });
    this.root.append(ruler);
    const heights = contents.map((content) => {
      const line = element(this.document, "div");
      line.append(...content);
      ruler.replaceChildren(line);
      return ruler.offsetHeight;
    });
    ruler.remove();
    return Math.max(...heights);
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
        past: view.regions ? reader.valuesAt(id, Math.max(0, step - 1)) : null,
        frame: reader.frameAt(id, asked ? step - 1 : step),
        boxes: this.boxes(id),
        draggable: this.settings?.boxes.filter(({ panel }) => panel === id).map(({ box }) => box) ?? [],
        picked: this.settings?.outlined(id) ?? [],
        grows: reader.steps[step].grows?.[id],
        note: reader.noteAt(id, asked ? step - 1 : step),
      });
      view.mark(inQuestion ? view.regions ? {} : withoutAnswer(marks[id], [...fresh]) : asked ? { read: marks[id]?.read ?? [] } : marks[id]);
    }
    this.say();
    this.root.dataset.step = String(step);
    this.stepped?.();
    this.root.dataset.asked = String(asked);
    this.controlsChanged();
  }

  /** The boxes of a picture or film as they are drawn now. */
  boxes(panelId) {
    const { panel, box, place } = this.dragged ?? {};
    const looks = this.reader.boxesAt(panelId, this.asked ? this.step - 1 : this.step);
    return panel === panelId ? looks.map((look, i) => (i === box ? { ...look, place } : look)) : looks;
  }

  say() {
    const { reader, step, asked } = this;
    const told = this.racing ? reader.narrationAt(step) : step;
    const spans = asked ? [[`${this.question()} Guess, then press → to see.`, ""]] : reader.steps[told].caption;
    this.sentence.replaceChildren(...this.words(spans));
    this.arithmetic.textContent = asked ? "" : reader.steps[told].arithmetic ?? "";
  }

  words(spans) {
    return spans.map(([text, role]) => {
      const span = element(this.document, role ? "strong" : "span", "segw-word", text);
      if (role) span.dataset.roleText = role;
      return span;
    });
  }

  question() {
    const asked = this.reader.askedPanels(this.step);
    return this.views.some((view) => view.regions && asked.includes(view.spec.id)) ? "Which regions become one?" : "What goes where?";
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
    const hidden = asks && !view.regions && this.reader.writtenAt(view.spec.id, this.step).includes(cell);
    if (!view || cell < 0 || hidden) {
      if (!this.hover) return;
      this.hover = null;
      delete this.root.dataset.hover;
      this.draw();
      return;
    }
    if (this.hover?.panel === view.spec.id && this.hover.cell === cell) return;
    this.hover = { panel: view.spec.id, cell };
    const shown = this.asked && (view.boxes || view.regions) ? this.step - 1 : this.step;
    const { text, marks, made } = this.reader.explain(view.spec.id, cell, shown);
    marks[view.spec.id] = { ...marks[view.spec.id], write: [cell] };
    for (const each of this.views) {
      each.mark(marks[each.spec.id], true, each.regions && this.momentOf(each.spec.id, shown, made));
      if (each.spec.kind === "film") this.showFrameOf(each, view.spec.id, cell);
    }
    this.arithmetic.textContent = text;
    this.root.dataset.hover = `${view.spec.id}:${cell}`;
  }

  /** The regions that are outlined under the pointer: those of the step that made what it is on, or those that are shown. */
  momentOf(panelId, shown, made = null) {
    const values = this.reader.valuesAt(panelId, made ?? shown);
    return { values, before: made === null ? values : this.reader.valuesAt(panelId, made - 1) };
  }

  /** A film's frame while the pointer is on a cell: the one that belongs to the cell, or the one of the step. */
  showFrameOf(film, panelId, cell) {
    const frame = this.reader.frameOfCell(film.spec.id, panelId, cell);
    film.showFrame(frame < 0 ? this.reader.frameAt(film.spec.id, this.asked ? this.step - 1 : this.step) : frame);
  }
}

/** While the class guesses, only what is read and all the cells that this step fills may show: the place can be the question. */
function withoutAnswer(roles, fresh) {
  const { read } = roles ?? {};
  return { ...(read && { read }), ...(fresh.length && { write: fresh }) };
}

const positions = new WeakMap(); // trace → the step at which it was seen last

/** Gives the view of a Live widget its settings. @returns {() => void} what takes the listeners back */
function settle(model, player) {
  const send = (values, id) => {
    const [sent, buffers] = packed(values, model.get("_values"), settings.files);
    model.send({ kind: "set", values: sent, id }, undefined, buffers);
  };
  const settings = new Settings(player, model.get("_settings"), model.get("_values"), send);
  const answered = (message) => { if (message.kind === "answer") settings.answered(message, model.get("_values")); };
  const followed = () => settings.followed(model.get("_values"));
  const renewed = () => settings.renewed(model.get("_settings"), model.get("_values"));
  model.on("change:_settings", renewed);
  model.on("msg:custom", answered);
  model.on("change:_values", followed);
  return () => {
    model.off("change:_settings", renewed);
    model.off("msg:custom", answered);
    model.off("change:_values", followed);
  };
}

/** anywidget calls this for every view of a widget. */
function render({ model, el }) {
  const trace = model.get("_trace");
  const player = new Player(el, trace.meta, trace.buffers);
  if (positions.has(trace)) player.show(positions.get(trace)); // a notebook may make its view anew, and where one was is where one is
  player.stepped = () => positions.set(model.get("_trace"), player.step);
  const replace = () => player.replace(model.get("_trace").meta, model.get("_trace").buffers);
  model.on("change:_trace", replace);
  const forget = model.get("_settings") ? settle(model, player) : () => {};
  return () => {
    model.off("change:_trace", replace);
    forget();
    player.dispose();
  };
}

export default { render };

// What the viewer sets under an animation: sliders, choices, boxes that are dragged on a picture, cells that are clicked, and pictures of
// their own. A change is asked of the kernel.

import { Asking } from "./asking.js";
import { cursorOf, gripAt, moved } from "./dragging.js";
import { element } from "./element.js";
import { formatNumber } from "./format.js";
import { cellBeside, cellNear, sameCell } from "./picking.js";
import { tooLarge } from "./uploading.js";

const REACH = 9; // pixels on the screen around a side where it can be gripped
const NUDGES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Settings {
  /**
   * @param {object} player @param {object[]} settings as Live sends them @param {object} values name → value
   * @param {(values: object, id: string) => void} send
   */
  constructor(player, settings, values, send) {
    Object.assign(this, { player, settings, first: structuredClone(values), values: structuredClone(values), grip: null, focused: "" });
    this.document = player.document;
    this.files = new Map(); // the bytes of pictures by their key
    this.chosen = 0;
    this.asking = new Asking(send, (said) => this.say(said));
    player.gone.signal.addEventListener("abort", () => { this.asking.following = null; }); // its clock stops with the view
    this.build();
    this.listen();
    this.update(values);
    player.settings = this;
    player.arithmetic.after(this.root);
    player.fit();
    player.draw();
  }

  // ---- the row ------------------------------------------------------------------------------------------------------

  /** Puts the settings into the row: those at first, and those of another picture. */
  furnish(settings) {
    this.settings = settings;
    this.boxes = settings.filter((setting) => setting.kind === "box");
    this.cells = settings.filter((setting) => setting.kind === "cell");
    this.root.replaceChildren();
    this.updaters = settings.map((setting) => this[setting.kind](setting));
    this.root.append(this.reset, this.status);
  }

  build() {
    this.root = element(this.document, "div", "segw-settings");
    this.reset = this.button("Reset", () => this.change(structuredClone(this.first)));
    this.reset.title = "Set everything as it was at first";
    this.status = element(this.document, "span", "segw-status");
    this.status.setAttribute("role", "status");
    this.furnish(this.settings);
  }

  /** Settings that came from the kernel: those of another picture. What waited to be asked was meant for the one before. */
  renewed(settings, values) {
    const focused = this.root.querySelector(":focus")?.dataset.setting;
    this.asking.waiting = null;
    this.furnish(settings);
    this.values = structuredClone(values);
    this.update(values);
    if (focused) this.root.querySelector(`button[data-setting="${focused}"]`)?.focus({ preventScroll: true });
    this.player.fit();
    this.player.draw();
  }

  button(text, action) {
    const made = element(this.document, "button", "segw-button", text);
    made.type = "button";
    made.addEventListener("click", action);
    return made;
  }

  slider({ name, label, low, high, step }) {
    const made = element(this.document, "label", "segw-setting", label);
    const input = element(this.document, "input", "segw-slider");
    Object.assign(input, { type: "range", min: String(low), max: String(high), step: String(step) });
    input.dataset.setting = name;
    input.addEventListener("input", () => this.change({ [name]: Number(input.value) }));
    const shown = element(this.document, "span", "segw-setting-value");
    made.append(input, shown);
    this.root.append(made);
    return (value) => {
      input.value = String(value);
      input.style.setProperty("--segw-part", `${(100 * (value - low)) / (high - low)}%`);
      shown.textContent = formatNumber(value);
    };
  }

  choice({ name, label, options }) {
    const made = element(this.document, "span", "segw-setting", label);
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", label);
    const said = (option) => option.replaceAll("_", " "); // as sentences say it; the value stays as the kernel knows it
    const buttons = options.map((option) => this.button(said(option), () => this.change({ [name]: option })));
    buttons.forEach((button) => { button.dataset.setting = name; });
    made.append(...buttons);
    this.root.append(made);
    return (value) => buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i] === value)));
  }

  /** Who has no mouse moves a box by the arrow keys while its button has the focus. */
  box(setting) {
    const made = this.button(`Move ${setting.label}`, () => {});
    made.dataset.setting = setting.name;
    made.title = "Drag the box on the picture; or, while this button has the focus, move it by the arrow keys, with Shift its lower right corner";
    onArrows(made, (by, event) => {
      const size = this.sizeOf(setting);
      const nudge = Math.max(1, Math.round(size.columns / 100));
      const grip = event.shiftKey ? "x2 y2" : "x1 y1 x2 y2";
      this.drag(setting, moved(this.values[setting.name], grip, nudge * by[0], nudge * by[1], size));
    });
    this.root.append(made);
    return () => { made.hidden = this.player.reader.boxesAt(setting.panel, this.player.reader.last)[setting.box]?.role === null; };
  }

  /** Its button has the focus, not the cell: each answer makes the panel anew, and the focus would be lost. */
  cell(setting) {
    const made = this.button("", () => {});
    made.dataset.setting = setting.name;
    made.title = `Click on the panel; or, while this button has the focus, move by the arrow keys among ${setting.rows} × ${setting.columns}`;
    onArrows(made, (by) => this.pick(setting, cellBeside(this.values[setting.name], by, setting)));
    const { signal } = this.player.gone;
    made.addEventListener("focus", () => this.focus(setting.name), { signal });
    made.addEventListener("blur", () => this.focus(""), { signal });
    this.root.append(made);
    return ([row, column]) => {
      made.textContent = `${setting.label}: row ${row}, column ${column}`;
      made.setAttribute("aria-label", `${made.textContent}; the arrow keys move it`);
    };
  }

  press({ name, label }) {
    const made = this.button(label, () => this.change({ [name]: this.values[name] + 1 }));
    made.dataset.setting = name;
    this.root.append(made);
    return () => {};
  }

  /** A button, since a file input speaks the browser's language and not the page's. */
  upload({ name, label, bytes }) {
    const made = element(this.document, "span", "segw-setting");
    const input = element(this.document, "input");
    Object.assign(input, { type: "file", accept: "image/*", hidden: true });
    input.dataset.setting = name;
    input.addEventListener("change", () => {
      const [file] = input.files;
      if (file) this.choose(name, file, bytes);
      input.value = ""; // so that the same file, mended, can be chosen again
    });
    const button = this.button(`${label}…`, () => input.click());
    button.dataset.setting = name;
    button.title = `Choose a picture from this computer, of at most ${bytes / 1e6} MB; only your kernel gets it`;
    const shown = element(this.document, "span", "segw-file");
    made.append(button, input, shown);
    this.root.append(made);
    return (value) => { shown.textContent = value?.name ?? ""; };
  }

  /** @param {string} name of the setting @param {File} file @param {number} most bytes */
  async choose(name, file, most) {
    const wrong = tooLarge(file, most);
    if (wrong) return this.say({ text: wrong, wrong: true });
    const key = `${this.asking.view}:${this.chosen++}`;
    try {
      const bytes = await file.arrayBuffer();
      this.files.clear(); // the others have been sent
      this.files.set(key, bytes);
    } catch (error) {
      return this.say({ text: `${file.name} cannot be read: ${error.message}`, wrong: true });
    }
    this.change({ [name]: { key, name: file.name } });
  }

  say({ text, wrong, passing = false }) {
    this.status.setAttribute("aria-live", passing ? "off" : "polite"); // a screen reader cannot keep up with a clock
    this.status.textContent = text;
    this.status.classList.toggle("segw-status-wrong", wrong);
  }

  /** Shows values that came from the kernel. */
  update(values) {
    this.settings.forEach(({ name }, i) => this.updaters[i](values[name]));
    this.reset.disabled = JSON.stringify(values) === JSON.stringify(this.first);
  }

  change(values) {
    Object.assign(this.values, values);
    this.update(this.values);
    this.player.pause();
    this.asking.ask({ ...this.values });
  }

  /** @param {{id: string, error: string}} answer @param {object} values that the kernel now has */
  async answered(answer, values) {
    if (!this.asking.answered(answer)) return;
    if (!answer.error) this.toResult();
    await this.player.replacing; // the new picture, with the box where it was dropped
    if (this.asking.open || this.dragging) return;
    this.followed(values);
    this.player.dragged = null;
    this.player.draw();
  }

  /** Values that another view of the widget, or Python, has set. */
  followed(values) {
    if (this.asking.open || this.dragging) return;
    this.values = structuredClone(values);
    this.update(values);
    if (this.cells.length) this.player.draw(); // its outline may come after the new trace
  }

  /** Who is at the beginning sees the result of a change, which stands at the end. */
  async toResult() {
    await this.player.replacing;
    if (this.player.step === 0) this.player.last();
  }

  // ---- boxes on a picture -------------------------------------------------------------------------------------------

  sizeOf({ panel }) {
    return this.player.reader.panelById.get(panel);
  }

  /** A box that is held stays under the pointer, whatever the kernel says; a cell that is held has been picked. */
  get dragging() {
    return this.grip !== null && !this.grip.cell;
  }

  drag(setting, place) {
    this.player.dragged = { panel: setting.panel, box: setting.box, place };
    this.player.draw();
    this.change({ [setting.name]: place });
  }

  listen() {
    const { root, gone: { signal } } = this.player;
    root.addEventListener("pointerdown", (event) => this.take(event), { signal });
    root.addEventListener("pointermove", (event) => this.move(event), { signal });
    for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => this.drop(), { signal });
  }

  /** The box under the pointer that can be dragged, the smallest of several, and where it is gripped. */
  gripped(event) {
    let found = null;
    for (const setting of this.boxes) {
      const view = this.player.views.find((each) => each.spec.id === setting.panel);
      if (!view?.stage.contains(event.target)) continue;
      const [x, y, scale] = view.pointAt(event);
      const { role, place } = this.player.boxes(setting.panel)[setting.box] ?? { role: null }; // of another picture, whose settings are to come
      const grip = role === null ? "" : gripAt(place, x, y, REACH * scale);
      const area = (place[2] - place[0]) * (place[3] - place[1]);
      if (grip && (!found || area < found.area)) found = { setting, grip, area, place, at: [x, y] };
    }
    return found;
  }

  take(event) {
    if (event.button !== 0) return;
    this.grip = this.gripped(event) ?? this.picked(event);
    if (!this.grip) return;
    if (this.grip.cell) this.pick(this.grip.setting, this.grip.cell);
    event.preventDefault(); // no text is selected, nothing else dragged
    this.player.root.focus({ preventScroll: true });
    this.player.root.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.grip) {
      const grip = this.gripped(event)?.grip;
      this.player.root.style.cursor = grip ? cursorOf(grip) : this.picked(event) ? "pointer" : "";
      return;
    }
    const { setting, grip, place, at, cell } = this.grip;
    const view = this.player.views.find((each) => each.spec.id === setting.panel);
    const [x, y] = view.pointAt(event);
    if (cell) this.pick(setting, cellNear(setting, view.spec, x, y));
    else this.drag(setting, moved(place, grip, x - at[0], y - at[1], this.sizeOf(setting)));
  }

  drop() {
    this.grip = null;
  }

  // ---- cells of a panel ---------------------------------------------------------------------------------------------

  pick(setting, cell) {
    if (sameCell(cell, this.values[setting.name])) return;
    this.change({ [setting.name]: cell });
    this.player.draw();
  }

  focus(name) {
    this.focused = name;
    this.player.draw();
  }

  /** The cell under the pointer that can be clicked. */
  picked(event) {
    for (const setting of this.cells) {
      const view = this.player.views.find((each) => each.spec.id === setting.panel);
      if (!view?.stage.contains(event.target)) continue;
      const [x, y] = view.pointAt(event);
      return { setting, cell: cellNear(setting, view.spec, x, y) };
    }
    return null;
  }

  /** The cells of a panel that are outlined. */
  outlined(panel) {
    return this.cells.filter((setting) => setting.panel === panel)
      .map((setting) => ({ setting, cell: this.values[setting.name], focused: this.focused === setting.name }));
  }
}

/** Calls `move` with columns and rows when an arrow key is pressed while the button has the focus, and nothing else hears of it. */
function onArrows(button, move) {
  button.addEventListener("keydown", (event) => {
    const by = NUDGES[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    move(by, event);
  });
}

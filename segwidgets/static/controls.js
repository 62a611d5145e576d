// The quiet row under an animation: buttons, slider, counter; and the keys, which do the same.

import { element } from "./element.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  back: "M4 3h2v14H4zM17 3v14L7 10z",
  play: "M5 3v14l12-7z",
  pause: "M5 3h4v14H5zM11 3h4v14h-4z",
  forward: "M14 3h2v14h-2zM3 3v14l10-7z",
  full: "M3 3h5v2H5v3H3zM12 3h5v5h-2V5h-3zM3 12h2v3h3v2H3zM15 12h2v5h-5v-2h3z",
};
export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];

/** What each key does; the names are the player's methods. */
export const KEYS = {
  " ": "toggle", ArrowLeft: "back", ArrowRight: "forward", Home: "first", End: "last",
  "[": "slower", "]": "faster", f: "fullscreen", p: "togglePredict", l: "toggleLoop",
};

function icon(document, name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export class Controls {
  /** @param {object} player with the methods named in KEYS and `goTo(step)` @param {Document} document */
  constructor(player, document) {
    this.document = document;
    this.root = element(document, "div", "segw-controls");
    this.back = this.button("back", "Step back", "←", () => player.back());
    this.play = this.button("play", "Play", "space", () => player.toggle());
    this.playText = element(document, "span", "segw-play-text", "Play");
    this.play.append(this.playText);
    this.forward = this.button("forward", "Step forward", "→", () => player.forward());
    this.slider = element(document, "input", "segw-slider");
    Object.assign(this.slider, { type: "range", min: "0", max: "0", step: "1", value: "0" });
    this.slider.setAttribute("aria-label", "Step");
    this.slider.addEventListener("input", () => player.goTo(Number(this.slider.value)));
    this.counter = element(document, "span", "segw-counter");
    this.speed = this.button("", "Speed", "[ and ]", () => player.nextSpeed());
    this.loop = this.button("", "Loop", "l", () => player.toggleLoop(), "Loop");
    this.predict = this.button("", "Predict: hide each value until you have guessed it", "p", () => player.togglePredict(), "Predict");
    this.full = this.button("full", "Full screen", "f", () => player.fullscreen());
    this.root.append(this.back, this.play, this.forward, this.slider, this.counter, this.speed, this.loop, this.predict, this.full);
  }

  button(iconName, label, key, action, text = "") {
    const made = element(this.document, "button", "segw-button", text);
    made.type = "button";
    made.title = `${label} (${key})`;
    if (!text) made.setAttribute("aria-label", label);
    if (iconName) made.append(icon(this.document, iconName));
    made.addEventListener("click", action);
    return made;
  }

  update({ step, last, playing, speed, loop, predict, caption }) {
    this.slider.max = String(last); // a trace that is replaced may be longer
    this.slider.value = String(step);
    this.slider.style.setProperty("--segw-part", `${last ? (100 * step) / last : 100}%`);
    this.slider.setAttribute("aria-valuetext", caption);
    this.counter.textContent = `${step} / ${last}`;
    this.speed.textContent = `${speed}×`;
    this.speed.setAttribute("aria-label", `Speed ${speed} times`);
    this.loop.setAttribute("aria-pressed", String(loop));
    this.predict.setAttribute("aria-pressed", String(predict));
    this.back.disabled = step === 0;
    this.forward.disabled = false;
    const name = playing ? "pause" : "play";
    if (this.play.dataset.icon !== name) {
      this.play.dataset.icon = name;
      this.play.querySelector("path").setAttribute("d", ICONS[name]);
      this.playText.textContent = playing ? "Pause" : "Play";
      this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    }
  }
}

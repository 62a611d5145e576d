// Boxes that lie on a picture: each keeps its element from step to step, so that one that moves glides and one that changes stays put.

import { element } from "./element.js";

/** Roles from below to above: later ones lie on top. */
export const ORDER = ["ignored", "candidate", "suppressed", "truth", "read", "write", "wrong", "chosen"];

const EDGE = 0.09; // a box that begins in this part of the picture, at the top, has its label inside
const RIGHT = 0.68; // one that begins beyond has it at its right corner

export class BoxLayer {
  /** @param {{rows: number, columns: number}} spec of the picture, in its pixels @param {HTMLElement} stage @param {Document} document */
  constructor(spec, stage, document) {
    Object.assign(this, { spec, document, looks: [], shown: new Map() });
    this.root = element(document, "div", "segw-boxes");
    stage.append(this.root);
  }

  /**
   * @param {{role: string|null, label: string, place: number[]}[]} looks of all boxes, in their order
   * @param {number[]} draggable the numbers of those that can be dragged
   */
  draw(looks, draggable = []) {
    looks.forEach((look, number) => {
      if (!sameLook(look, this.looks[number])) this.place(number, look);
    });
    this.looks = looks;
    for (const [number, box] of this.shown) box.classList.toggle("segw-draggable", draggable.includes(number));
    this.fitLabels();
  }

  /** Moves labels that would be cut off at the picture's right, or lie on another: of two the one in front stays. */
  fitLabels() {
    const { clientWidth: width, clientHeight: height } = this.root;
    const labelled = [...this.shown].filter(([, box]) => !box.firstChild.hidden);
    const front = ([, one], [, other]) => Number(other.style.zIndex) - Number(one.style.zIndex);
    const scale = width / this.spec.columns;
    const taken = [];
    const moves = labelled.toSorted(front).map(([number, box]) => {
      const { offsetWidth: wide, offsetHeight: high } = box.firstChild;
      // Where it will stand: a box that glides is not there yet.
      const start = labelCorner(this.looks[number].place, this.spec, scale, [wide, high], box.clientLeft);
      const at = freePlace(start, this.looks[number].place.map((side) => side * scale), [wide, high], [width, height], taken);
      taken.push([...at, at[0] + wide, at[1] + high]);
      return [box.firstChild, `${at[0] - start[0]}px ${at[1] - start[1]}px`];
    });
    for (const [words, move] of moves) words.style.translate = move; // after all is measured
  }

  place(number, { role, label, place }) {
    if (role === null) {
      this.shown.get(number)?.remove();
      this.shown.delete(number);
      return;
    }
    if (!this.shown.has(number)) this.shown.set(number, this.make(number));
    const box = this.shown.get(number);
    box.dataset.role = role;
    box.style.setProperty("--segw-role", `var(--segw-${role})`);
    Object.assign(box.style, boxStyle(place, this.spec), { zIndex: String(ORDER.indexOf(role)) });
    const words = box.firstChild;
    words.textContent = label;
    words.hidden = !label;
    words.dataset.roleText = role;
    Object.assign(words.style, labelStyle(place, this.spec), { translate: "0px" });
  }

  make(number) {
    const box = element(this.document, "div", "segw-box");
    box.dataset.box = String(number);
    box.append(element(this.document, "span", "segw-box-label"));
    this.root.append(box);
    return box;
  }
}

export function sameLook(one, other) {
  return Boolean(other) && one.role === other.role && one.label === other.label && one.place.every((side, i) => side === other.place[i]);
}

const percent = (part, whole) => `${(100 * part) / (whole || 1)}%`;

/** Where a box lies, in percent of its picture. */
export function boxStyle([x1, y1, x2, y2], { columns, rows }) {
  return { left: percent(x1, columns), top: percent(y1, rows), width: percent(Math.max(0, x2 - x1), columns), height: percent(Math.max(0, y2 - y1), rows) };
}

/** Where its label has room, in percent of the box: above its upper left corner; inside at the picture's top, leftwards at its right. */
export function labelStyle([x1, y1, x2, y2], { columns, rows }) {
  const inside = y1 < EDGE * rows;
  const leftwards = x1 > RIGHT * columns;
  return {
    top: inside ? percent(Math.max(0, -y1), y2 - y1) : "auto", bottom: inside ? "auto" : "100%",
    left: leftwards ? "auto" : percent(Math.max(0, -x1), x2 - x1), right: leftwards ? percent(Math.max(0, x2 - columns), x2 - x1) : "auto",
  };
}

/** The upper left corner of a label, in pixels of the screen, where `labelStyle` puts it; `edge` is how thick its box is drawn. */
export function labelCorner(place, { columns, rows }, scale, [wide, high], edge) {
  const { top, left } = labelStyle(place, { columns, rows });
  const [x1, y1, x2] = place.map((side) => side * scale);
  const x = left === "auto" ? Math.min(x2, columns * scale) - edge - wide : Math.max(0, x1) + edge;
  return [x, top === "auto" ? y1 + edge - high : Math.max(0, y1) + edge];
}

/**
 * Where a label stands best: at `start`, or else below its box, inside it above or below, or at its right or left, whatever is first in the picture
 * and on no other label; at `start` if nothing is. All in pixels of the screen.
 * @param {number[]} start its upper left corner @param {number[]} box @param {number[]} size @param {number[]} picture width and height
 * @param {number[][]} taken boxes of labels that stand already @returns {number[]} its upper left corner
 */
export function freePlace(start, [x1, y1, x2, y2], [wide, high], picture, taken) {
  const within = (x, most) => Math.max(0, Math.min(x, most));
  const first = [within(start[0], picture[0] - wide), start[1]];
  const others = [[first[0], y2], [first[0], y1], [first[0], y2 - high], [x2, y1], [x1 - wide, y1], [x2, y2 - high], [x1 - wide, y2 - high]];
  const free = ([x, y]) => taken.every((other) => x >= other[2] || other[0] >= x + wide || y >= other[3] || other[1] >= y + high);
  const inside = ([x, y]) => x >= 0 && y >= 0 && x + wide <= picture[0] && y + high <= picture[1];
  return [first, ...others].find((at) => free(at) && (at === first || inside(at))) ?? first;
}

/** The number of the smallest box that is shown under a point of the picture, or -1. */
export function boxUnder(looks, x, y) {
  let found = -1;
  let smallest = Infinity;
  looks.forEach(({ role, place: [x1, y1, x2, y2] }, number) => {
    const area = (x2 - x1) * (y2 - y1);
    if (role === null || x < x1 || x > x2 || y < y1 || y > y2 || area >= smallest) return;
    found = number;
    smallest = area;
  });
  return found;
}

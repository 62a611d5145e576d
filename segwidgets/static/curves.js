// Curves that grow with the steps: a strip each, one under the other, every one with an axis of its own.

import { element } from "./element.js";
import { formatNumber } from "./format.js";

export const STRIP = 3; // a strip's height, in units
const NAMESPACE = "http://www.w3.org/2000/svg";

/** @returns {{value: HTMLElement, line: SVGElement, dot: HTMLElement}[]} a strip for each curve, put into `stage` */
export function buildStrips({ labels }, stage, document) {
  return labels.map((label) => {
    const strip = element(document, "div", "segw-strip");
    const head = element(document, "div", "segw-strip-head", label);
    const value = element(document, "span", "segw-strip-value");
    const plot = element(document, "div", "segw-plot");
    const svg = document.createElementNS(NAMESPACE, "svg");
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(NAMESPACE, "polyline");
    const dot = element(document, "div", "segw-dot");
    svg.append(line);
    plot.append(svg, dot);
    head.append(value);
    strip.append(head, plot);
    stage.append(strip);
    return { value, line, dot };
  });
}

/** Draws each curve up to its last known point. @param {{values: Float32Array, asked: Set<number>}} state */
export function drawStrips({ columns, limits }, strips, { values, asked }) {
  strips.forEach(({ value, line, dot }, row) => {
    const points = curvePoints(values.subarray(row * columns, (row + 1) * columns), limits[row], (point) => asked.has(row * columns + point));
    line.setAttribute("points", points.map(({ x, y }) => `${x},${y}`).join(" "));
    const latest = points.at(-1);
    value.textContent = latest ? formatNumber(latest.value) : "\u00a0";
    dot.hidden = !latest;
    if (latest) Object.assign(dot.style, { left: `${latest.x}%`, top: `${latest.y}%` });
  });
}

/** Known points in percent of the strip, from the left and from the top. */
export function curvePoints(values, [low, high], hidden = () => false) {
  const points = [];
  values.forEach((value, i) => {
    if (Number.isNaN(value) || hidden(i)) return;
    const part = Math.max(0, Math.min(1, (value - low) / (high - low || 1)));
    points.push({ value, x: values.length > 1 ? (100 * i) / (values.length - 1) : 0, y: 100 - 100 * part });
  });
  return points;
}

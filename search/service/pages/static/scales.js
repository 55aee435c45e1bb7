// Axes: places of values, round ticks, and the lines and words of them.

import { s } from "./dom.js";
import { short } from "./words.js";

const SERIES = [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8],
  [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9]];

// Returns what gives values their places: ``at(value)``, ``value(place)`` and ``ticks``.
export function scale(low, high, from, to, { is_log = false, wanted = 6 } = {}) {
  const warp = is_log ? Math.log : (value) => value;
  const back = is_log ? Math.exp : (value) => value;
  const [a, b] = [warp(low), warp(high)];
  const span = b - a || 1;
  return {
    low, high,
    at: (value) => from + ((warp(value) - a) / span) * (to - from),
    value: (place) => back(a + ((place - from) / (to - from)) * span),
    ticks: is_log ? logTicks(low, high, wanted) : linearTicks(low, high, wanted),
  };
}

function logTicks(low, high, wanted) {
  const decades = [];
  for (let d = Math.floor(Math.log10(low)); d <= Math.ceil(Math.log10(high)); d++) decades.push(d);
  let ticks = [];
  for (const series of SERIES) {
    const all = decades.flatMap((d) => series.map((m) => Number((m * 10 ** d).toPrecision(4))));
    const found = all.filter((tick) => tick >= low && tick <= high);
    if (ticks.length && found.length > wanted * 1.6) break;
    ticks = found;
    if (ticks.length >= 4) break;
  }
  return ticks;
}

function linearTicks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= rough) ?? power * 10;
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) ticks.push(Number((n * step).toPrecision(12)));
  return ticks;
}

// Draws both axes of a picture: thin lines across, and the values beside them.
export function axes(x, y, box, { xText, yText, xFormat = short, yFormat = short, below = 0 }) {
  const { left, top, right, bottom } = box;
  return s("g", { class: "axes", "aria-hidden": "true" },
    x.ticks.map((tick) => [
      s("line", { x1: x.at(tick), x2: x.at(tick), y1: top, y2: bottom }),
      s("text", { x: x.at(tick), y: bottom + 16, "text-anchor": "middle" }, xFormat(tick)),
    ]),
    y.ticks.map((tick) => [
      s("line", { x1: left, x2: right, y1: y.at(tick), y2: y.at(tick) }),
      s("text", { x: left - 7, y: y.at(tick) + 4, "text-anchor": "end" }, yFormat(tick)),
    ]),
    s("text", { class: "axis-name", x: right, y: bottom + 33 + below, "text-anchor": "end" }, xText),
    s("text", { class: "axis-name", x: left - 38, y: top - 9 }, yText));
}

// Gives the widest part of a picture that fits its place, again whenever that changes.
export function onResize(element, draw) {
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now === width || now === 0) return;
    width = now;
    draw(now);
  }).observe(element);
}

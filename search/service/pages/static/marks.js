// The marks of many trials on a canvas, ten thousand of them within a frame.

import { h } from "./dom.js";

// The colors that the style sheet gives, until there are others: to ask for one lays the page out.
const inks = new Map();
addEventListener("themed", () => inks.clear());

function ink(name) {
  if (!inks.has(name)) inks.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return inks.get(name);
}

// The place of a study's time in a ramp of colors.
function ramp() {
  const stops = ["--early", "--middle", "--late"].map((name) => rgb(ink(name)));
  return (share) => {
    const at = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1);
    const [from, to] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
    const part = at - Math.floor(at);
    return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * part)).join(" ")})`;
  };
}

function rgb(text) {
  const wide = text.length === 4 ? text.replace(/[0-9a-f]/gi, "$&$&") : text;
  return [1, 3, 5].map((start) => parseInt(wide.slice(start, start + 2), 16));
}

// Steps of the ramp; behind them the looks of what was rejected and of what failed.
const STEPS = 24, LOOKS = ["rejected", "failed"];

// The look of a trial: a disk by when it was trained, a short line, or a cross.
export function lookOf(row, share) {
  return row.kind === "trained" ? Math.min(STEPS - 1, Math.floor(share * STEPS)) : STEPS + LOOKS.indexOf(row.kind);
}

const ratioNow = () => Math.min(3, devicePixelRatio || 1);

// Shows the marks of any time of a study.
//
// The pixels of each look are copied to the places of its marks: to let a canvas draw thousands of
// arcs takes more than the time of a frame.
export class MarkCanvas {
  constructor() {
    this.element = h("canvas", { "aria-hidden": "true" });
    addEventListener("themed", () => { this.looks = null; });
  }

  // Takes marks with ``x``, ``y`` and a ``look``, those first that are shown first, for a size of the picture.
  take(marks, { width, height, radius }) {
    const { element } = this, ratio = ratioNow();
    Object.assign(element, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    this.context = element.getContext("2d");
    this.image = this.context.createImageData(element.width, element.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    Object.assign(this, { marks, ratio, radius, looks: null });
    for (const mark of marks) mark.start = Math.floor(mark.y * ratio) * element.width + Math.floor(mark.x * ratio);
  }

  // Whether the screen is still as it was when the marks were taken.
  get is_sharp() { return this.ratio === ratioNow(); }

  // Draws the marks that are shown at a time, which ends before their ``until``.
  draw(time) {
    const { pixels, marks } = this, looks = this.looks ??= looksOf(this.radius, this.ratio, this.element.width);
    pixels.fill(0);
    for (let i = 0; i < marks.length && marks[i].at <= time; i += 1) {
      const { start, until, look, is_below } = marks[i];
      if (until <= time || is_below) continue;
      const { offsets, colors } = looks[look];
      for (let one = 0; one < offsets.length; one += 1) pixels[start + offsets[one]] = colors[one];
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

// Returns the pixels of each look, by their offsets from its middle in rows of so many pixels.
function looksOf(radius, ratio, width) {
  const half = Math.ceil((radius + 1) * ratio) + 1, side = 2 * half + 1, n = STEPS + LOOKS.length;
  const canvas = h("canvas", { width: n * side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const color = ramp();
  for (let look = 0; look < n; look += 1) {
    context.setTransform(ratio, 0, 0, ratio, look * side + half + 0.5, half + 0.5);
    context.beginPath();
    if (look < STEPS) {
      context.arc(0, 0, radius, 0, 2 * Math.PI);
      Object.assign(context, { fillStyle: color((look + 0.5) / STEPS), strokeStyle: ink("--page"), lineWidth: 1 });
      context.fill();
    } else {
      const is_rejected = look === STEPS;
      for (const [x, y] of is_rejected ? [[0, -4]] : [[-3, -3], [3, -3]]) {
        context.moveTo(x, y);
        context.lineTo(-x, -y);
      }
      Object.assign(context, { strokeStyle: ink(is_rejected ? "--quiet" : "--red"), lineWidth: 1.4 });
    }
    context.stroke();
  }
  const drawn = new Uint32Array(context.getImageData(0, 0, n * side, side).data.buffer);
  return Array.from({ length: n }, (_, look) => {
    const offsets = [], colors = [];
    // Edges are hard, so that no mark takes the half of another one away; the rim of a disk has the page's color.
    for (let y = 0; y < side; y += 1) {
      for (let x = 0; x < side; x += 1) {
        const one = drawn[y * n * side + look * side + x];
        if (one >>> 24 < 128) continue;
        offsets.push((y - half) * width + x - half);
        colors.push((one | 0xff000000) >>> 0);
      }
    }
    return { offsets: Int32Array.from(offsets), colors: Uint32Array.from(colors) };
  });
}

// Returns the mark next to a place, if one is near it.
export function nearest(marks, x, y, most = 18) {
  let found = null, least = most * most;
  for (const mark of marks) {
    const far = (mark.x - x) ** 2 + (mark.y - y) ** 2 - (mark.is_front ? 30 : 0);
    if (far < least) {
      least = far;
      found = mark;
    }
  }
  return found;
}

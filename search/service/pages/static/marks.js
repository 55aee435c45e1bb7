// The marks of many trials on a canvas, which draws thousands of them within a frame.

// The colors that the style sheet gives, until there are others: to ask for one lays the page out.
const inks = new Map();
addEventListener("themed", () => inks.clear());

export function ink(name) {
  if (!inks.has(name)) inks.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return inks.get(name);
}

// The place of a study's time in a ramp of colors.
export function ramp() {
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

// Prepares a canvas for a size in pixels of the page, sharp on every screen.
export function cleared(canvas, width, height) {
  const ratio = Math.min(3, devicePixelRatio || 1);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Steps of the ramp.
const STEPS = 24;
let disks = { key: "", of: [] };

// Draws trained trials as disks, by when each was trained, the earliest first.
//
// The pixels of one disk are copied: ten thousand arcs take a canvas more than the time of a frame.
export function drawTrained(context, marks, radius) {
  const { width, height } = context.canvas, ratio = context.getTransform().a;
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const of = disksOf(radius, ratio);
  for (const { x, y, share } of marks) {
    const disk = of[Math.min(STEPS - 1, Math.floor(share * STEPS))];
    const left = Math.floor(x * ratio) - disk.half, top = Math.floor(y * ratio) - disk.half;
    if (left < 0 || top < 0 || left + disk.side > width || top + disk.side > height) continue;
    stamp(pixels, width, disk, top * width + left);
  }
  context.putImageData(image, 0, 0);
}

// The disks of all steps, drawn once for a size and the colors of the page.
function disksOf(radius, ratio) {
  const color = ramp(), edge = ink("--page");
  const colors = Array.from({ length: STEPS }, (_, step) => color((step + 0.5) / STEPS));
  const key = [radius, ratio, edge, ...colors].join();
  if (disks.key !== key) disks = { key, of: colors.map((fill) => disk(fill, edge, radius, ratio)) };
  return disks.of;
}

function disk(fill, edge, radius, ratio) {
  const half = Math.ceil((radius + 1) * ratio), side = 2 * half + 1;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.arc(half + 0.5, half + 0.5, radius * ratio, 0, 2 * Math.PI);
  Object.assign(context, { fillStyle: fill, strokeStyle: edge, lineWidth: ratio });
  context.fill();
  context.stroke();
  return { half, side, inks: new Uint32Array(context.getImageData(0, 0, side, side).data.buffer) };
}

// Copies a disk to a place among pixels, each a number whose highest byte says how opaque it is.
function stamp(pixels, width, { side, inks }, start) {
  for (let row = 0, at = 0; row < side; row += 1) {
    for (let to = start + row * width, end = to + side; to < end; to += 1, at += 1) {
      const one = inks[at];
      if (one > 0xfeffffff || (one > 0xffffff && pixels[to] === 0)) pixels[to] = one;
      else if (one > 0xffffff) pixels[to] = over(one, pixels[to]);
    }
  }
}

// Returns the color of one that lies over another one.
function over(one, other) {
  const above = one >>> 24, under = (other >>> 24) * (1 - above / 255), both = above + under;
  let mixed = Math.round(both) << 24;
  for (const shift of [0, 8, 16]) {
    mixed |= Math.round((((one >>> shift) & 255) * above + ((other >>> shift) & 255) * under) / both) << shift;
  }
  return mixed >>> 0;
}

// Draws crosses for what failed and short lines for what was rejected.
export function drawStopped(context, marks) {
  const paths = { rejected: new Path2D(), failed: new Path2D() };
  for (const { x, y, row } of marks) {
    const path = paths[row.kind];
    if (!path) continue;
    if (row.kind === "rejected") {
      path.moveTo(x, y - 4);
      path.lineTo(x, y + 4);
    } else {
      path.moveTo(x - 3, y - 3);
      path.lineTo(x + 3, y + 3);
      path.moveTo(x + 3, y - 3);
      path.lineTo(x - 3, y + 3);
    }
  }
  context.lineWidth = 1.4;
  context.strokeStyle = ink("--quiet");
  context.stroke(paths.rejected);
  context.strokeStyle = ink("--red");
  context.stroke(paths.failed);
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

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

// Steps of the ramp: marks of one color are one path.
const STEPS = 24;

// Draws trained trials as disks, by when each was trained.
export function drawTrained(context, marks, radius) {
  const color = ramp();
  const steps = Array.from({ length: STEPS }, () => []);
  for (const mark of marks) steps[Math.min(STEPS - 1, Math.floor(mark.share * STEPS))].push(mark);
  context.lineWidth = 1;
  context.strokeStyle = ink("--page");
  steps.forEach((some, step) => {
    if (!some.length) return;
    const path = new Path2D();
    for (const { x, y } of some) {
      path.moveTo(x + radius, y);
      path.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.fillStyle = color((step + 0.5) / STEPS);
    context.fill(path);
    context.stroke(path);
  });
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

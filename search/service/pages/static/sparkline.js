// A front as a small staircase, for lists; the numbers stand beside it.

import { s } from "./dom.js";

const WIDTH = 96, HEIGHT = 34, ROOM = 4;

export function sparkline(points) {
  const known = points.filter(([x, y]) => x > 0 && Number.isFinite(y));
  const picture = s("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  if (!known.length) return picture;
  const xs = known.map(([x]) => Math.log(x)), ys = known.map(([, y]) => y);
  const place = (value, values, size) => {
    const low = Math.min(...values), span = Math.max(...values) - low;
    return ROOM + (span > 0 ? (value - low) / span : 0.5) * (size - 2 * ROOM);
  };
  const at = known.map(([, y], i) => [place(xs[i], xs, WIDTH), HEIGHT - place(y, ys, HEIGHT)]);
  at.sort((a, b) => a[0] - b[0]);
  const steps = at.map(([x, y], i) => (i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${HEIGHT}V${y.toFixed(1)}`));
  picture.append(s("path", { class: "spark-line", d: `${steps.join("")}H${WIDTH}` }),
    ...at.map(([x, y]) => s("circle", { class: "spark-dot", cx: x, cy: y, r: 2 })));
  return picture;
}

// Small pictures of lines over one axis: curves of a training, growth of a front.

import { h, put, s } from "./dom.js";
import { axes, onResize, scale } from "./scales.js";
import { short } from "./words.js";

// ``lines``: [{name, class, points: [[x, y]], is_step}]; the picture is named by ``label``.
export function linesChart(place, { lines, xText, yText, label, height = 170, xFormat = short }) {
  const all = lines.flatMap((line) => line.points).filter(([, y]) => Number.isFinite(y));
  if (!all.length) return;
  const picture = s("svg", { role: "img", "aria-label": label });
  put(place, picture);
  onResize(place, (width) => {
    const box = { left: 46, top: 24, right: width - 10, bottom: height - 38 };
    const xs = all.map(([x]) => x), ys = all.map(([, y]) => y);
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    const room = 0.08 * (high - low || 0.01);
    const [first, last] = [Math.min(...xs), Math.max(...xs)];
    const x = scale(first, last > first ? last : first + 1, box.left, box.right, { wanted: width / 110 });
    const y = scale(low - room, high + room, box.bottom, box.top, { wanted: 4 });
    place.style.height = `${height}px`;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    put(picture, axes(x, y, box, { xText, yText, xFormat }), lines.map((line) => drawn(line, x, y)));
  });
}

function drawn(line, x, y) {
  const points = line.points.filter(([, value]) => Number.isFinite(value))
    .map(([at, value]) => [x.at(at).toFixed(1), y.at(value).toFixed(1)]);
  const d = points.map(([px, py], i) => (i === 0 ? `M${px} ${py}`
    : line.is_step ? `H${px}V${py}` : `L${px} ${py}`)).join("");
  return s("g", { class: `line ${line.class ?? ""}` }, s("path", { d }),
    points.length <= 40 && points.map(([px, py]) => s("circle", { cx: px, cy: py, r: 2.4 })));
}

// The names of lines beside their colors.
export function key(lines) {
  return h("div", { class: "key" }, lines.map((line) =>
    h("span", { class: `line ${line.class ?? ""}` }, h("i", { "aria-hidden": "true" }), line.name)));
}

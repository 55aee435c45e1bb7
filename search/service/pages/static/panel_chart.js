// Fronts beside each other: one small picture, with the same axes as its neighbors.

import { h, s } from "./dom.js";
import { axes, onResize, scale } from "./scales.js";
import { metric, ms } from "./words.js";

const HEIGHT = 340;

// The ends of both axes that hold all points, so that pictures can be compared.
export function endsOf(points) {
  const xs = points.map((one) => one.latency_ms), ys = points.flatMap((one) => [one.metric_low, one.metric_high]);
  const [low, high] = [Math.min(...ys), Math.max(...ys)], room = 0.06 * (high - low || 0.1);
  return { x: [Math.min(...xs) / 1.25, Math.max(...xs) * 1.25], y: [low - room, high + room] };
}

// Returns the picture of some series, each ``{name, class, front, others}`` with points of a trial, a
// label, a metric with its interval and a latency; ``choose`` is called with a series and a point.
export function panelChart({ series, ends, yText, choose = null, is_even = false }) {
  const told = series.map(({ name, front }) => `${name}: ${front.map((one) =>
    `${metric(one.metric)} at ${ms(one.latency_ms)}`).join(", ") || "nothing measured"}`).join("; ");
  const picture = s("svg", { role: "img", "aria-label": told });
  const place = h("div", { class: "chart" }, picture);
  onResize(place, (width) => {
    place.style.height = `${HEIGHT}px`;
    const box = { left: 50, top: 26, right: width - 12, bottom: HEIGHT - 42 };
    const x = scale(...ends.x, box.left, box.right, { is_log: true, wanted: width / 90 });
    const y = scale(...ends.y, box.bottom, box.top);
    picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    picture.replaceChildren(axes(x, y, box, { xText: "latency p50 (ms, log scale)", yText }),
      ...series.map((one) => drawn(one, { x, y, box, choose, is_even })).filter(Boolean));
  });
  return place;
}

function drawn(one, { x, y, box, choose, is_even }) {
  const points = one.front.map((point) => [x.at(point.latency_ms), y.at(point.metric), point]);
  if (!points.length && !one.others?.length) return null;
  const d = points.map(([px, py], i) => (i ? `H${px}V${py}` : `M${px} ${is_even ? box.bottom : py}V${py}`)).join("");
  const mark = (point, px, py, kind) => s("g", { class: `${kind} ${choose ? "able" : ""}`, "data-trial": point.trial,
    onclick: choose && (() => choose(one, point)) },
  s("title", {}, `${one.name}, ${point.label}: ${metric(point.metric)}, ${ms(point.latency_ms)}`),
  kind === "on" && s("line", { x1: px, x2: px, y1: y.at(point.metric_low), y2: y.at(point.metric_high) }),
  s("circle", { cx: px, cy: py, r: kind === "on" ? 4.5 : 3.5 }));
  return s("g", { class: `series ${one.class}` }, points.length > 0 && s("path", { d: `${d}H${box.right}` }),
    (one.others ?? []).map((point) => mark(point, x.at(point.latency_ms), y.at(point.metric), "off")),
    points.map(([px, py, point]) => mark(point, px, py, "on")));
}

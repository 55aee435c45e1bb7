// A band with its middle, and what was found then, on one line.

import { h, s } from "./dom.js";

const WIDTH = 260, HEIGHT = 26, ROOM = 12, MIDDLE = 13;

// ``found`` may be unknown; ``end`` names the upper end where it is no band of an expectation.
export function bandBar({ name, low, at, high, found = null, format, end = "" }) {
  const values = [low, at, high, found].filter((value) => Number.isFinite(value));
  const least = Math.min(...values), most = Math.max(...values), span = most - least || 1;
  const x = (value) => ROOM + ((value - least) / span) * (WIDTH - 2 * ROOM);
  const has_found = Number.isFinite(found);
  const is_inside = has_found && found >= low && found <= high;
  const words = end ? `${format(at)}, ${end} ${format(high)}`
    : `expected ${format(at)} (${format(low)} to ${format(high)})`
      + (has_found ? `, found ${format(found)}${is_inside ? "" : ", outside of the band"}` : "");
  return h("div", { class: "band" },
    h("span", { class: "soft" }, `${name}: ${words}`),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
      s("line", { class: "band-axis", x1: 2, x2: WIDTH - 2, y1: MIDDLE, y2: MIDDLE }),
      s("rect", { class: "band-range", x: x(low), width: Math.max(2, x(high) - x(low)), y: MIDDLE - 5, height: 10, rx: 3 }),
      s("line", { class: "band-middle", x1: x(at), x2: x(at), y1: MIDDLE - 8, y2: MIDDLE + 8 }),
      has_found && s("circle", { class: is_inside ? "band-found" : "band-found out", cx: x(found), cy: MIDDLE, r: 5 })));
}

// The front in a picture: the metric against a cost, and everything that was tried around it.

import { eachFrame, h, patch, put, s } from "./dom.js";
import { beside, Labels, textWidth } from "./labels.js";
import { lookOf, MarkCanvas, nearest } from "./marks.js";
import { axes, onResize, scale } from "./scales.js";
import { metric as digits, short } from "./words.js";

// A word below its line stands LOWER than one above it.
const LANE = 18, RADIUS = 4.5, LOWER = 18;
// Of so many trials the disks are smaller.
const MANY = 1500;
// How far over a limit the axis goes at most for what was rejected.
const WIDEST_OVER = 2.5;
const LETTERS = 46; // of rows of hover text, which fit a phone
const NAME_FONT = "700 12px system-ui, sans-serif";

export class FrontChart {
  // ``choose`` is called with the number of a trial that a person picked.
  constructor(place, data, choose) {
    Object.assign(this, { place, data, choose, time: Number.MAX_VALUE, chosen: null, running: [], own: [],
      placed: [], low: [], front: [], found: null, kept: new Map() });
    this.canvas = new MarkCanvas();
    this.picture = s("svg", { role: "group", "aria-label": "The front of the study" });
    this.tip = h("div", { class: "tip", hidden: true });
    put(place, this.canvas.element, this.picture, this.tip);
    this.draw = eachFrame(() => this.drawNow());
    onResize(place, (width) => { this.width = width; this.draw(); });
    addEventListener("themed", this.draw);
    place.addEventListener("pointermove", (event) => this.point(event));
    place.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    place.addEventListener("click", (event) => {
      const mark = this.markAt(event);
      if (mark) this.choose(mark.row.trial);
    });
    this.picture.addEventListener("keydown", (event) => this.step(event));
    this.picture.addEventListener("focusin", (event) => this.focused(event));
    this.picture.addEventListener("focusout", () => { this.tip.hidden = true; });
  }

  // Lets the axes be found anew, as when points of one's own have come.
  forget() { this.of = null; }

  get height() { return this.width < 560 ? 340 : Math.min(520, Math.max(380, this.width * 0.55)); }

  get box() {
    return { left: this.width < 560 ? 46 : 54, top: 30, right: this.width - 14,
      bottom: this.height - 44 - (this.lane_kinds ?? []).length * LANE };
  }

  // The kinds of trials that have a lane below the picture.
  get lanesShown() {
    const kinds = new Set(this.data.shown().map((row) => row.kind));
    return ["rejected", "failed"].filter((kind) => kinds.has(kind));
  }

  // The ends of the axes, which stay as they are while the time of the study is moved.
  ends() {
    const { data } = this, cost = data.cost.name, limit = data.facts.limits[cost];
    const rows = data.shown().filter((row) => row[cost] > 0);
    const costs = [...rows.map((row) => row[cost]), ...(limit ? [limit] : []), ...this.own.map((one) => one.cost)];
    if (!costs.length) costs.push(1, 10);
    let [least, most] = extent(costs);
    // What is far over the limit was not trained: it lies at the edge, in place of most of the width.
    if (limit) {
      const [, inside] = extent([limit, ...rows.filter((row) => row.kind === "trained").map((row) => row[cost]),
        ...this.own.map((one) => one.cost)]);
      most = Math.min(most, Math.max(inside, WIDEST_OVER * limit));
    }
    const room = Math.max(1.15, (most / least) ** 0.05);
    const values = rows.filter((row) => row.can_join && row.metric !== null).map((row) => row.metric);
    const front = data.front;
    let [low, high] = front.length
      ? [Math.min(...front.map((m) => m.low)), Math.max(...front.map((m) => m.high))]
      : values.length ? extent(values) : [0, 1];
    const height = Math.max(high - low, 0.01);
    low = Math.min(low, Math.max(values.length ? extent(values)[0] : low, low - height));
    for (const { metric } of this.own) [low, high] = [Math.min(low, metric), Math.max(high, metric)];
    const margin = 0.06 * Math.max(high - low, 0.01);
    return { x: [least / room, most * room], y: [low - margin, high + margin] };
  }

  // Finds what follows from the whole study and the width, whatever part of the study is shown.
  layOut() {
    const { data, width, height } = this;
    this.lane_kinds = this.lanesShown;
    const box = this.box, ends = this.ends();
    this.place.style.height = `${height}px`;
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const x = scale(...ends.x, box.left, box.right, { is_log: data.cost.is_log, wanted: width / 90 });
    const y = scale(...ends.y, box.bottom, box.top, { wanted: 6 });
    Object.assign(this, { x, y, of: data.shown(), for_width: width });
    this.placed = this.placedMarks();
    this.canvas.take(this.placed, { width, height, radius: this.placed.length > MANY ? 2.6 : RADIUS - 0.7 });
    [this.under, this.between, this.over] = [s("g"), s("g", { class: "members" }), s("g")];
    put(this.picture, axes(x, y, box, { xText: named(data.cost), yText: named(data.metric), yFormat: short,
      below: this.lane_kinds.length * LANE }), this.lanes(), this.under, this.between, this.over);
  }

  drawNow() {
    if (!this.width || !this.data.facts) return;
    const { data } = this;
    const focused = this.picture.contains(document.activeElement)
      ? document.activeElement.dataset.trial : null;
    if (this.of !== data.shown() || this.for_width !== this.width || !this.canvas.is_sharp) this.layOut();
    this.front = data.frontAt(this.time);
    this.found = null;
    this.canvas.draw(this.time);
    this.labels = this.freshLabels();
    // Names of members choose their places before the words of baselines, and lie above them.
    const [limit, members, own] = [this.limit(), this.members(), this.ownPoints()];
    put(this.under, limit, this.baselines(), this.staircase());
    patch(this.between, members);
    put(this.over, own, this.flying(), this.ring(), this.below());
    if (focused) this.picture.querySelector(`[data-trial="${CSS.escape(focused)}"]`)?.focus();
  }

  // Words keep off the line of the limit and off the members.
  freshLabels() {
    const { box, x, y, data } = this, cost = data.cost.name, limit = data.facts.limits[cost];
    const labels = new Labels(box);
    if (limit) labels.take(x.at(limit) - 3, box.top, x.at(limit) + 3, box.bottom);
    for (const row of this.front.filter((one) => one[cost] > 0)) {
      const [px, py] = [x.at(row[cost]), y.at(row.metric)];
      labels.take(px - RADIUS, py - RADIUS, px + RADIUS, py + RADIUS);
    }
    return labels;
  }

  // A line of words at the right end of the picture, on the left of what is in its way, or lower.
  wordsAtRight(text, y, attributes = {}) {
    const { box, x, data } = this, limit = data.facts.limits[data.cost.name];
    const width = textWidth(text), places = [{ x: box.right - 6 - width, y }];
    if (limit) places.push({ x: x.at(limit) - 8 - width, y });
    places.push({ x: box.left + 6, y });
    const at = this.labels.place(width, [...places, ...places.map((one) => ({ x: one.x, y: one.y + LOWER }))]);
    return s("text", { ...attributes, x: at.x, y: at.y }, text);
  }

  // The marks of all rows that count at some time, by when they begin to.
  placedMarks() {
    const { x, y, box, data } = this, cost = data.cost.name, marks = [];
    for (const row of data.timeline) {
      const is_trained = row.kind === "trained", share = data.end ? row.at / data.end : 1;
      if (!(row[cost] > 0) || (is_trained && !row.can_join)) continue;
      const place = x.at(row[cost]), lane = this.lane_kinds.indexOf(row.kind);
      const mark = { x: is_trained ? place : Math.min(place, box.right - 4),
        y: is_trained ? y.at(row.metric) : box.bottom + 26 + (lane + 0.5) * LANE,
        row, at: row.at, until: row.until, look: lookOf(row, share), is_below: false, is_front: false, start: 0 };
      mark.is_below = is_trained && mark.y > box.bottom;
      marks.push(mark);
    }
    this.low = marks.filter((mark) => mark.is_below);
    return marks;
  }

  isShown({ at, until }) { return at <= this.time && this.time < until; }

  // The marks that are shown.
  get marks() {
    if (this.found) return this.found;
    const front = new Set(this.front.map((row) => row.trial));
    this.found = this.placed.filter((mark) => !mark.is_below && this.isShown(mark));
    for (const mark of this.found) mark.is_front = front.has(mark.row.trial);
    return this.found;
  }

  lanes() {
    const { box } = this, words = { rejected: "over", failed: "failed" };
    return s("g", { class: "lanes", "aria-hidden": "true" }, this.lane_kinds.map((kind, i) => [
      s("rect", { x: box.left, width: box.right - box.left, y: box.bottom + 28 + i * LANE,
        height: LANE - 4, rx: 3 }),
      s("text", { x: box.left - 7, y: box.bottom + 39 + i * LANE, "text-anchor": "end" }, words[kind]),
    ]));
  }

  limit() {
    const { box, x, data } = this, value = data.facts.limits[data.cost.name];
    if (!value) return null;
    const at = x.at(value), text = `limit ${short(value)} ${data.cost.unit}`, width = textWidth(text);
    const word = this.labels.place(width, [{ x: at + 6, y: box.top + 12 }, { x: at - 6 - width, y: box.top + 12 }]);
    return s("g", { class: "limit" },
      s("rect", { x: at, y: box.top, width: Math.max(0, box.right - at), height: box.bottom - box.top }),
      s("line", { x1: at, x2: at, y1: box.top, y2: box.bottom }),
      s("text", { x: word.x, y: word.y }, text));
  }

  baselines() {
    const { box, y, data } = this;
    return Object.entries(data.facts.baselines).filter(([, value]) => value > y.low && value < y.high)
      .map(([name, value]) => s("g", { class: "baseline" },
        s("line", { x1: box.left, x2: box.right, y1: y.at(value), y2: y.at(value) }),
        this.wordsAtRight(name, y.at(value) - 5)));
  }

  staircase() {
    const { x, y, box, data } = this, sign = data.cost.direction === "maximize" ? -1 : 1;
    const steps = [];
    let best = -Infinity;
    const rows = this.front.filter((row) => row[data.cost.name] > 0)
      .sort((a, b) => sign * (a[data.cost.name] - b[data.cost.name]));
    for (const row of rows) { // with a third objective a member may lie under the stairs
      if (row.metric <= best) continue;
      best = row.metric;
      steps.push(row);
    }
    if (!steps.length) return null;
    const limit = data.facts.limits[data.cost.name];
    const end = sign < 0 ? box.left : limit ? x.at(limit) : box.right;
    const d = steps.map((row, i) => i
      ? `H${x.at(row[data.cost.name])}V${y.at(row.metric)}`
      : `M${x.at(row[data.cost.name])} ${box.bottom}V${y.at(row.metric)}`).join("");
    return s("path", { class: "stairs", d: `${d}H${end}` });
  }

  // The members, of which those that look as before are the same elements.
  members() {
    const { x, y, data } = this, before = this.kept, chosen = this.chosen;
    const tied = new Set(this.front.find((row) => row.trial === chosen)?.ties ?? []);
    this.kept = new Map();
    return this.front.filter((row) => row[data.cost.name] > 0).map((row, i) => {
      const [px, py] = [x.at(row[data.cost.name]), y.at(row.metric)];
      const names = row.names ?? [], is_tied = tied.has(row.trial);
      const kind = ["knee", "best", "fastest"].find((name) => names.includes(name)) ?? "";
      const is_first = chosen === null ? i === 0 : row.trial === chosen;
      const name = names.length ? this.nameAt(px, py, names.join(", ")) : null;
      const look = { class: `member ${kind}`, role: "button", "data-trial": row.trial, tabindex: is_first ? 0 : -1,
        "aria-label": this.spoken(row), "aria-pressed": String(row.trial === chosen) };
      const ends = { x1: px, x2: px, y1: y.at(row.low), y2: y.at(row.high) };
      const key = JSON.stringify([look, ends, py, is_tied, name && [name.getAttribute("x"), name.getAttribute("y")]]);
      const drawn = before.get(key) ?? s("g", look, s("line", { class: "interval", ...ends }),
        is_tied && s("circle", { class: "tied", cx: px, cy: py, r: RADIUS + 5 }),
        s("circle", { class: "dot", cx: px, cy: py, r: kind ? RADIUS + 1.5 : RADIUS }), name);
      this.kept.set(key, drawn);
      return drawn;
    });
  }

  nameAt(px, py, text) {
    const width = textWidth(text, NAME_FONT);
    return s("text", this.labels.place(width, beside(px, py, width)), text);
  }

  // A point of one's own is a square with its name.
  ownPoints() {
    const { x, y } = this;
    return s("g", { class: "own" }, this.own.map((point) => {
      const [px, py] = [x.at(point.cost), y.at(point.metric)];
      return s("g", { role: "img", "aria-label": `${point.name}: ${this.data.metric.text} ${digits(point.metric)}, `
        + `${short(point.cost)} ${this.data.cost.unit}` },
      s("title", {}, `${point.name}: ${digits(point.metric)}, ${short(point.cost)} ${this.data.cost.unit}`),
      s("rect", { x: px - 5, y: py - 5, width: 10, height: 10 }), this.nameAt(px, py, point.name));
    }));
  }

  flying() {
    const { x, y, box, data } = this;
    if (this.time < data.end) return null;
    return s("g", { class: "flying" }, this.running.filter((trial) => trial.latency_ms > 0
      && data.cost.name === "latency_ms").map((trial) => {
      const px = x.at(trial.latency_ms);
      if (px > box.right) return null;
      const value = trial.values?.[data.facts.metric];
      const py = value > y.low ? Math.max(box.top, y.at(value)) : box.bottom;
      return s("g", {}, s("title", {}, `trial ${trial.trial} is trained now`),
        s("path", { d: `M${px} ${py - 7}l6 7l-6 7l-6-7z` }));
    }));
  }

  ring() {
    const mark = this.chosen !== null && this.marks.find((one) => one.row.trial === this.chosen);
    return mark ? s("circle", { class: "ring", cx: mark.x, cy: mark.y, r: RADIUS + 4.5 }) : null;
  }

  // Says how many trials are too bad for the picture, which would flatten the front.
  below() {
    const n = this.low.filter((mark) => this.isShown(mark)).length;
    return n > 0 && this.wordsAtRight(`${n} more below`, this.box.bottom - 7, { class: "below" });
  }

  markAt(event) {
    const place = this.place.getBoundingClientRect();
    return nearest(this.marks, event.clientX - place.left, event.clientY - place.top,
      event.pointerType === "touch" ? 28 : 18);
  }

  point(event) {
    const mark = this.markAt(event);
    this.place.style.cursor = mark ? "pointer" : "default";
    if (mark) this.tell(mark);
    else this.tip.hidden = true;
  }

  focused(event) {
    const trial = Number(event.target.closest("[data-trial]")?.dataset.trial);
    const mark = this.marks.find((one) => one.row.trial === trial);
    if (mark) this.tell(mark);
  }

  tell({ x, y, row }) {
    const lines = row.kind === "trained"
      ? [`${digits(row.metric)} (${digits(row.low)} to ${digits(row.high)})`]
      : [clipped(row.why)];
    put(this.tip, h("b", {}, `trial ${row.trial}`), ` ${clipped(row.label)}`, h("br"), lines,
      h("br"), `${short(row[this.data.cost.name])} ${this.data.cost.unit}`,
      row.trained && row.trained !== "full" ? `, ${row.trained}` : "");
    this.tip.hidden = false;
    const width = this.tip.offsetWidth, is_left = x + 14 + width > this.width;
    this.tip.style.left = `${Math.max(2, is_left ? x - 14 - width : x + 14)}px`;
    this.tip.style.top = `${Math.max(2, y - this.tip.offsetHeight - 8)}px`;
  }

  spoken(row) {
    const ties = row.ties?.length ? `, ties with ${row.ties.length}` : "";
    return `trial ${row.trial}, ${row.label}${row.names?.length ? `, ${row.names.join(", ")}` : ""}: `
      + `${this.data.metric.text} ${digits(row.metric)}, ${short(row[this.data.cost.name])} `
      + `${this.data.cost.unit}${ties}`;
  }

  // Moves through the members with the arrows; Enter or Space picks one.
  step(event) {
    const members = [...this.picture.querySelectorAll(".member")];
    const now = members.indexOf(event.target.closest(".member"));
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: members.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      members[Math.min(members.length - 1, Math.max(0, to))]?.focus();
    } else if ((event.key === "Enter" || event.key === " ") && now >= 0) {
      event.preventDefault();
      this.choose(Number(members[now].dataset.trial));
    }
  }
}

// Smallest and largest of many values, for which a call with that many arguments would fail.
function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function named(objective) {
  const notes = [objective.unit, objective.is_log ? "log scale" : ""].filter(Boolean).join(", ");
  return notes ? `${objective.text} (${notes})` : objective.text;
}

const clipped = (text) => (text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}…` : text);

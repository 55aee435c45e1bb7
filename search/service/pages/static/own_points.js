// The points of a team's own models beside the front: added, listed with what the front gives in
// their place, and removed.

import { api, canChange, get, send } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { complain, working } from "./shell.js";
import { metric, short } from "./words.js";

export class OwnPoints {
  // ``drawn`` is called with the points whenever they have changed.
  constructor(study, data, { choose, drawn }) {
    Object.assign(this, { study, data, choose, drawn, points: [], is_ready: false });
  }

  // Reads the points, and begins the form; called once the study has begun.
  async begin() {
    if (this.is_ready) return;
    this.is_ready = true;
    if (canChange) {
      const { metric: value, cost } = this.data;
      byId("point-metric-name").textContent = value.text;
      byId("point-cost-name").textContent = cost.unit ? `${cost.text} (${cost.unit})` : cost.text;
      byId("add-point").addEventListener("submit", working(byId("point-go"), () => this.add()));
    }
    await this.read();
  }

  async read() {
    const had_any = this.points.length > 0;
    try {
      this.points = await get(api("studies", this.study, "points"));
    } catch (error) {
      complain(error);
    }
    this.draw();
    if (had_any || this.points.length) this.drawn(this.points);
  }

  async add() {
    const problem = byId("point-problem");
    show(problem, false);
    try {
      await send("POST", api("studies", this.study, "points"), { name: byId("point-name").value.trim(),
        metric: Number(byId("point-metric").value), cost: Number(byId("point-cost").value) });
      byId("add-point").reset();
      await this.read();
    } catch (error) {
      complain(error, problem);
    }
  }

  async remove(point) {
    try {
      await send("DELETE", api("studies", this.study, "points", point.name));
      await this.read();
    } catch (error) {
      complain(error);
    }
  }

  draw() {
    const { data, points } = this, { cost } = data;
    show(byId("points-table"), points.length > 0);
    put(byId("points-table"), points.length > 0 && h("table", {},
      h("thead", {}, h("tr", {}, ["own model", data.metric.text, cost.unit || cost.text, "as good, and cheaper",
        "as cheap, and better", "remove"].map((text, i) => h("th", { scope: "col", class: [0, 3, 4].includes(i) && "text" }, text)))),
      h("tbody", {}, points.map((point) => h("tr", {},
        h("th", { scope: "row", class: "text" }, point.name),
        h("td", {}, metric(point.metric)), h("td", {}, short(point.cost)),
        h("td", { class: "text" }, this.member(this.cheaper(point))),
        h("td", { class: "text" }, this.member(this.better(point))),
        h("td", { class: "act" }, canChange && h("button", { type: "button", class: "quiet",
          "aria-label": `Remove ${point.name}`, onclick: () => this.remove(point) }, "Remove")))))));
  }

  member(found) {
    return found ? [h("button", { type: "button", class: "link", onclick: () => this.choose(found.trial) }, found.label),
      h("br"), h("small", {}, `${metric(found.metric)} at ${short(found[this.data.cost.name])} ${this.data.cost.unit}`)]
      : h("span", { class: "soft" }, "none on the front");
  }

  // Costs in order, the better first.
  costs() {
    const { name, direction } = this.data.cost, sign = direction === "maximize" ? -1 : 1;
    return { of: (row) => sign * row[name], own: (point) => sign * point.cost };
  }

  cheaper(point) {
    const { of, own } = this.costs();
    return this.data.front.filter((row) => row.metric >= point.metric && of(row) <= own(point))
      .sort((a, b) => of(a) - of(b))[0];
  }

  better(point) {
    const { of, own } = this.costs();
    return this.data.front.filter((row) => row.metric >= point.metric && of(row) <= own(point))
      .sort((a, b) => b.metric - a.metric || of(a) - of(b))[0];
  }
}

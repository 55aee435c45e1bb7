// The trials as a table: filtered, sorted and in pages, so that thousands stay quick.

import { api } from "./api.js";
import { afterPause, h, put } from "./dom.js";
import { count, duration, metric, short } from "./words.js";

const PER_PAGE = 50;

export class TrialTable {
  constructor(tools, place, study, data, choose) {
    Object.assign(this, { place, data, choose, sort: "trial", is_down: true, page: 0, chosen: null });
    this.find = h("input", { type: "search", id: "find-trial", placeholder: "backbone, head, reason",
      autocomplete: "off", oninput: afterPause(() => this.draw(0)) });
    this.kind = h("select", { id: "trial-kind", onchange: () => this.draw(0) },
      ["all", "on the front", "trained", "waiting", "stopped", "rejected", "failed"]
        .map((word) => h("option", { value: word }, word)));
    this.most = h("input", { type: "number", id: "most-cost", min: 0, step: "any", inputmode: "decimal",
      placeholder: "any", oninput: afterPause(() => this.draw(0)) });
    this.most_label = h("label", { for: "most-cost" }, "Latency up to");
    const together = (...parts) => h("span", { class: "together" }, parts);
    put(tools, together(h("label", { for: "find-trial" }, "Find"), this.find), together(this.most_label, this.most),
      together(h("label", { for: "trial-kind" }, "Show"), this.kind),
      h("a", { class: "button", href: api("studies", study, "trials.csv"), download: `${study}-trials.csv` }, "CSV"));
    this.summary = h("p", { class: "soft", role: "status" });
    this.body = h("tbody", { onclick: (event) => this.clicked(event) });
    this.pages = h("div", { class: "tools" });
  }

  columns() {
    const { data } = this, cost = data.cost;
    const costs = [...new Map([["latency_ms", { name: "latency_ms", text: "latency", unit: "ms" }],
      [cost.name, cost], ["params_m", { name: "params_m", text: "params", unit: "M" }]])];
    return [
      { key: "trial", text: "trial" },
      { key: "label", text: "candidate", is_text: true },
      { key: "state", text: "state", is_text: true, value: (row) => this.stateOf(row) },
      { key: "metric", text: data.metric.text, draw: (row) => (row.metric === null ? "" : metric(row.metric)) },
      { key: "low", text: "95 % interval", draw: (row) => (row.low === null ? "" : `${short(row.low)} to ${short(row.high)}`) },
      ...costs.map(([name, objective]) => ({ key: name, text: objective.text, unit: objective.unit,
        draw: (row) => (row[name] === null ? "" : short(row[name])) })),
      { key: "trained", text: "trained", is_text: true },
      { key: "chosen_by", text: "proposed by", is_text: true },
      { key: "at", text: "ended after", draw: (row) => duration(row.at) },
    ];
  }

  stateOf(row) {
    return this.members.has(row.trial) ? "on the front" : this.data.state(row);
  }

  draw(page = this.page) {
    if (!this.data.facts) return;
    this.members = new Set(this.data.front.map((member) => member.trial));
    const asked = this.find.value.trim().toLowerCase(), kind = this.kind.value;
    const { name, text, unit } = this.data.cost, most = Number(this.most.value);
    put(this.most_label, `${text} up to `, unit && h("small", {}, unit));
    const columns = this.columns();
    const rows = this.data.shown().filter((row) => (kind === "all" || this.stateOf(row) === kind
        || (kind === "trained" && this.stateOf(row) === "on the front"))
      && (!(most > 0) || (row[name] !== null && row[name] <= most))
      && (!asked || `${row.trial} ${row.label} ${row.why} ${row.chosen_by} ${row.candidate}`.toLowerCase().includes(asked)));
    this.sorted(rows, columns.find((column) => column.key === this.sort) ?? columns[0]);
    this.n_pages = Math.max(1, Math.ceil(rows.length / PER_PAGE));
    this.page = Math.min(Math.max(0, page), this.n_pages - 1);
    const shown = rows.slice(this.page * PER_PAGE, (this.page + 1) * PER_PAGE);
    this.summary.textContent = count(rows.length, "trial")
      + (this.n_pages > 1 ? `, page ${this.page + 1} of ${this.n_pages}` : "");
    const focused = document.activeElement?.dataset?.sort;
    put(this.body, shown.map((row) => this.line(row, columns)));
    put(this.place, this.summary,
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of trials" },
        h("table", { class: "trials" }, h("thead", {}, h("tr", {}, columns.map((column) => this.head(column)))),
          this.body)), this.pager());
    if (focused) this.place.querySelector(`[data-sort="${focused}"]`)?.focus();
  }

  sorted(rows, column) {
    const value = column.value ?? ((row) => row[column.key]);
    const sign = this.is_down ? -1 : 1;
    rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === y) return b.trial - a.trial;
      if (x === null || x === "") return 1; // what is unknown comes last, whatever the direction
      if (y === null || y === "") return -1;
      return x < y ? -sign : sign;
    });
  }

  head(column) {
    const is_sorted = column.key === this.sort;
    return h("th", { scope: "col", class: column.is_text && "text",
      "aria-sort": is_sorted ? (this.is_down ? "descending" : "ascending") : "none" },
    h("button", { type: "button", class: "sort", "data-sort": column.key, onclick: () => {
      this.is_down = is_sorted ? !this.is_down : !column.is_text;
      this.sort = column.key;
      this.draw(0);
    } }, column.text, is_sorted && h("span", { "aria-hidden": "true" }, this.is_down ? " ↓" : " ↑"),
    column.unit && h("small", {}, ` ${column.unit}`)));
  }

  line(row, columns) {
    return h("tr", { "data-trial": row.trial, "aria-current": row.trial === this.chosen && "true" },
      columns.map((column) => {
        const text = column.draw ? column.draw(row) : column.value ? column.value(row) : row[column.key];
        if (column.key === "trial") return h("th", { scope: "row" }, h("button", { type: "button", class: "link", "aria-label": `trial ${text}` }, text));
        if (column.key === "state") return h("td", { class: "text", title: row.why }, h("span", { class: `kind ${row.kind} ${this.members.has(row.trial) ? "front" : ""}` }, text));
        return h("td", { class: column.is_text && "text" }, text ?? "");
      }));
  }

  pager() {
    if (this.n_pages < 2) return null;
    const to = (page, text) => h("button", { type: "button", disabled: page < 0 || page >= this.n_pages,
      onclick: () => this.draw(page) }, text);
    put(this.pages, to(this.page - 1, "← Before"), to(this.page + 1, "Next →"),
      this.n_pages > 2 && [this.page > 0 && to(0, "First"), this.page < this.n_pages - 1 && to(this.n_pages - 1, "Last")]);
    return this.pages;
  }

  clicked(event) {
    const trial = event.target.closest("tr")?.dataset.trial;
    if (trial !== undefined && !String(getSelection())) this.choose(Number(trial));
  }
}

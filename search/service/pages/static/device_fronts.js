// The same trained models on each device on which they were measured: a front beside a front.

import { api, canChange, get, send } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { endsOf, panelChart } from "./panel_chart.js";
import { complain, say, working } from "./shell.js";
import { count, metric, ms, short } from "./words.js";

export class DeviceFronts {
  constructor(study, data, choose) {
    Object.assign(this, { study, data, choose });
    byId("under-devices").addEventListener("input", () => this.draw());
    if (canChange) byId("variants-go").addEventListener("click", working(byId("variants-go"), () => this.measure()));
  }

  // Reads the fronts; called when the front of the study has changed, and when variants are there.
  async read() {
    try {
      this.found = await get(api("studies", this.study, "devices"));
    } catch (error) {
      if (error.status !== 404 && error.status !== 409) complain(error);
      return;
    }
    this.draw();
  }

  async measure() {
    await send("POST", api("studies", this.study, "variants"), { members: ["all"] });
    say("The members are measured and scored in the other runtimes, and as int8, in the background.");
    this.asked?.();
  }

  draw() {
    if (!this.found) return;
    const devices = this.found.devices.filter((one) => one.members.length > 0);
    show(byId("devices"), devices.length > 0);
    const is_one = devices.length < 2;
    show(byId("only-device"), is_one);
    show(byId("under-devices-tools"), !is_one);
    if (is_one) {
      put(byId("device-panels"));
      put(byId("device-table"));
      show(byId("device-table"), false);
      return;
    }
    show(byId("device-table"), true);
    this.drawPanels(devices);
    this.drawTable(devices);
  }

  drawPanels(devices) {
    const ends = endsOf(devices.flatMap((one) => one.members));
    put(byId("device-panels"), devices.map((one, i) => h("section", {},
      h("h3", {}, title(one)), h("p", { class: "soft" }, told(one, this.found.n_trained)),
      panelChart({ ends, yText: this.data.metric.text, is_even: true, choose: (_, point) => this.choose(point.trial),
        series: [{ name: title(one), class: `series-${i % 8}`, front: one.members.filter((m) => m.is_on_front),
          others: one.members.filter((m) => !m.is_on_front) }] }))));
  }

  // One row for each device: what is best on it, under a latency if one is asked for.
  drawTable(devices) {
    const limit = Number(byId("under-devices").value);
    const within = (one) => one.members.filter((m) => m.is_on_front && (!(limit > 0) || m.latency_ms <= limit));
    const named = (m) => (m ? [h("button", { type: "button", class: "link", onclick: () => this.choose(m.trial) }, m.label),
      h("br"), h("small", {}, `${metric(m.metric)} at ${ms(m.latency_ms)}`)] : h("span", { class: "soft" }, "none"));
    const best = (some) => some.reduce((a, b) => (!a || b.metric > a.metric ? b : a), null);
    const head = ["device", "measured", limit > 0 ? `best under ${short(limit)} ms` : "best", "fastest", "on this front and not on the study's"];
    put(byId("device-table"), h("table", {},
      h("thead", {}, h("tr", {}, head.map((text, i) => h("th", { scope: "col", class: i !== 1 && "text" }, text)))),
      h("tbody", {}, devices.map((one, i) => {
        const others = within(one).filter((m) => !m.is_member);
        return h("tr", {}, h("th", { scope: "row", class: `text wrap series-${i % 8}` }, h("i", { "aria-hidden": "true" }), title(one)),
          h("td", {}, one.n_measured), h("td", { class: "text" }, named(best(within(one)))),
          h("td", { class: "text" }, named(within(one)[0])),
          h("td", { class: "text" }, others.length ? count(others.length, "model") : ""));
      }))));
  }
}

function title(one) {
  return `${one.runtime}${one.precision === "fp32" ? "" : ` ${one.precision}`} on ${one.words}`;
}

function told(one, n_trained) {
  return [one.is_own ? "the device of the study" : null, count(one.threads, "thread"),
    one.batch_size > 1 ? `batches of ${one.batch_size}` : null,
    `${one.n_measured} of ${n_trained} trained models measured`].filter(Boolean).join(", ");
}

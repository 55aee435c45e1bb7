// One candidate in full: what it is worth, how it got there and why it was proposed.

import { api, get } from "./api.js";
import { h, put } from "./dom.js";
import { bandBar } from "./band_bar.js";
import { linesChart } from "./lines_chart.js";
import { duration, metric, ms, name as words, percent, short } from "./words.js";

// Metrics of a curve besides the study's own; what else an epoch says is no metric.
const NO_METRICS = new Set(["epoch", "lr", "seconds", "train_loss"]);

export class DetailPanel {
  constructor(place, study, data, { choose, extra = () => null }) {
    Object.assign(this, { place, study, data, choose, extra, trial: null });
  }

  // Shows a trial, or the whole front for null.
  async show(trial, { focus = false } = {}) {
    this.trial = trial;
    this.asking?.abort();
    if (trial === null) {
      this.drawFront();
      return;
    }
    this.asking = new AbortController();
    try {
      const found = await get(api("studies", this.study, "trials", trial), this.asking);
      if (this.trial === trial) this.draw(found);
      if (focus) this.place.focus();
    } catch (error) {
      if (error.name !== "AbortError") this.place.replaceChildren(this.closing(), h("p", { class: "problem" }, error.message));
    }
  }

  closing() {
    return h("button", { type: "button", class: "quiet", onclick: () => this.choose(null) },
      "← All members of the front");
  }

  drawFront() {
    const { data } = this, { cost } = data;
    if (!data.front.length) {
      put(this.place, h("h2", {}, "Members of the front"),
        h("p", { class: "soft" }, "None yet. The first one appears when the first candidate within the "
          + "limits is trained."));
      return;
    }
    put(this.place, h("h2", {}, "Members of the front"),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the members of the front" }, h("table", { class: "members-table" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "text" }, "candidate"),
          h("th", { scope: "col" }, data.metric.text), h("th", { scope: "col" }, cost.unit || cost.text))),
        h("tbody", {}, data.front.map((member) => h("tr", {},
          h("td", { class: "text" },
            h("button", { type: "button", class: "link", onclick: () => this.choose(member.trial) },
              member.label),
            member.names.map((name) => h("span", { class: `mark ${name}` }, name)),
            remarks(member).map((text) => h("span", { class: "mark" }, text))),
          h("td", {}, metric(member.metric), h("br"),
            h("small", {}, `${short(member.low)} to ${short(member.high)}`)),
          h("td", {}, short(member[cost.name]))))))),
      h("p", { class: "soft" }, "Under each metric its 95 % interval over the validation images. Where "
        + "a paired test cannot tell two members apart, they tie: the faster one costs nothing."));
  }

  draw(trial) {
    const { data } = this;
    const member = data.front.find((one) => one.trial === trial.trial);
    const names = member?.names ?? [];
    put(this.place,
      this.closing(),
      h("h2", {}, `Trial ${trial.trial}: ${trial.label}`),
      h("div", { class: "marks" },
        names.map((name) => h("span", { class: `mark ${name}` }, name)),
        h("span", { class: "mark" }, trial.is_on_front ? "on the front" : trial.state),
        member && remarks(member).map((text) => h("span", { class: "mark" }, text))),
      trial.reason && h("p", { class: "note" }, trial.reason),
      this.values(trial),
      member?.ties.length > 0 && this.ties(member),
      this.expectations(trial),
      this.latency(trial),
      this.curve(trial),
      this.rungs(trial),
      this.pictures(trial),
      this.extra(trial, member),
      h("details", {}, h("summary", {}, "The candidate as it is recorded"),
        h("pre", {}, JSON.stringify(trial.candidate, null, 1))));
  }

  values(trial) {
    const rows = [
      trial.metric !== null && [this.data.metric.text, h("span", {}, h("b", {}, metric(trial.metric)),
        ` (${metric(trial.metric_low)} to ${metric(trial.metric_high)})`)],
      trial.trained && ["trained", trial.trained === "full" ? "in full" : trial.trained],
      trial.latency_ms !== null && ["latency p50", ms(trial.latency_ms)],
      trial.params_m !== null && ["parameters", `${short(trial.params_m)} M`],
      trial.macs_g !== null && ["multiply-accumulates", `${short(trial.macs_g)} G`],
      trial.size_mb !== null && ["file", `${short(trial.size_mb)} MB`],
      trial.memory_mb !== null && ["peak memory", `${short(trial.memory_mb)} MB`],
      trial.throughput_ips !== null && ["throughput", `${short(trial.throughput_ips)} images/s`],
      trial.energy_mj !== null && ["energy of an image", `${short(trial.energy_mj)} mJ`],
      trial.test && Object.entries(trial.test).filter(([, v]) => v !== null).length > 0
        && ["on the test split", metric(trial.test[this.data.facts.metric])],
      ["recipe", trial.recipe],
      ["took", duration(trial.seconds)],
    ].filter(Boolean);
    return h("dl", { class: "values" },
      rows.map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
  }

  ties(member) {
    return h("p", {}, "Its metric ties with ", listedButtons(member.ties, this.choose),
      ": on these images a paired test cannot tell them apart.");
  }

  expectations(trial) {
    const proposal = trial.proposal;
    if (!proposal && !trial.expected_latency) return null;
    const bars = [];
    if (proposal?.metric !== null && proposal?.metric !== undefined) {
      bars.push(bandBar({ name: this.data.metric.text, low: proposal.metric_low, at: proposal.metric,
        high: proposal.metric_high, found: trial.metric, format: metric }));
    }
    if (trial.expected_latency) {
      const { low_ms, p50_ms, high_ms } = trial.expected_latency;
      bars.push(bandBar({ name: "latency", low: low_ms, at: p50_ms, high: high_ms,
        found: trial.latency_ms, format: ms }));
    }
    const why = proposal && (proposal.chosen_by === "start"
      ? "It belongs to the start, which is spread over what is known of the architectures."
      : `It was expected to let the front grow${proposal.gain ? ` by ${percent(proposal.gain)} of its hypervolume` : ""}`
        + `${proposal.train_s ? `, in about ${duration(proposal.train_s)} of training` : ""}.`);
    return h("section", {}, h("h3", {}, "Why it was proposed"), why && h("p", {}, why),
      bars.length > 0 && h("p", { class: "soft" }, "Expected (band of nine in ten) and found:"), bars);
  }

  latency(trial) {
    const found = trial.latency;
    if (!found || found.p50_ms === null) return null;
    const half = (found.interval ?? 0) * found.p50_ms;
    const spread = (found.spread ?? 0) * found.p50_ms;
    return h("section", {}, h("h3", {}, "Latency"),
      bandBar({ name: "median", low: found.p50_ms - spread / 2, at: found.p50_ms,
        high: Math.max(found.p95_ms ?? 0, found.p50_ms + spread / 2), format: ms, end: "19 of 20 below" }),
      h("p", { class: "soft" }, `Median ${ms(found.p50_ms)}`
        + (half ? ` ± ${ms(half)}` : "")
        + ` of ${found.repeats} runs, ${found.runtime} ${found.runtime_version}, ${found.threads} `
        + `${found.threads === 1 ? "thread" : "threads"}, batch ${found.batch_size}, ${found.precision}; `
        + (found.source === "measured" ? "measured in this study" : found.source)
        + (found.is_stable ? "." : ". The machine was not quiet: the value is unstable.")));
  }

  curve(trial) {
    const curve = trial.curve ?? [];
    const own = this.data.facts.metric;
    const value = (row) => row.metrics?.[own] ?? (NO_METRICS.has(own) ? null : row[own]);
    if (curve.length < 2) return null;
    const place = h("div", { class: "chart small" });
    requestAnimationFrame(() => linesChart(place, {
      lines: [{ name: words(own), class: "main", points: curve.map((row) => [row.epoch, value(row)]) }],
      xText: "epoch", yText: words(own), height: 150,
      label: `${words(own)} by epoch: ${curve.map((row) => metric(value(row))).join(", ")}`,
    }));
    return h("section", {}, h("h3", {}, "Learning curve"), place);
  }

  rungs(trial) {
    if (trial.rungs.length < 2) return null;
    return h("section", {}, h("h3", {}, "Rungs"), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the rungs" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "text" }, "trained"),
        h("th", { scope: "col" }, this.data.metric.text), h("th", { scope: "col" }, "took"))),
      h("tbody", {}, trial.rungs.map((rung) => h("tr", {},
        h("td", { class: "text" }, rung.trained ?? rung.outcome),
        h("td", {}, rung.metric === null ? rung.reason ?? "" : metric(rung.metric)),
        h("td", {}, duration(rung.seconds))))))));
  }

  pictures(trial) {
    const kinds = [["gallery", "Predictions beside the truth"], ["mistakes", "Where it is most wrong"]]
      .filter(([kind]) => trial.files?.[kind]);
    return kinds.map(([kind, text]) => h("figure", {}, h("figcaption", {}, text),
      h("a", { href: api("studies", this.study, "trials", trial.trial, `${kind}.png`), target: "_blank", rel: "noopener" },
        h("img", { src: api("studies", this.study, "trials", trial.trial, `${kind}.png`), loading: "lazy",
          alt: `${text}, trial ${trial.trial}` }))));
  }
}

function remarks(member) {
  return [
    member.trained,
    member.not_better_than && `not better than ${member.not_better_than}`,
    !member.is_stable && "unstable latency",
  ].filter(Boolean);
}

function listedButtons(trials, choose) {
  const buttons = trials.map((trial) => h("button", { type: "button", class: "link", onclick: () => choose(trial) }, `trial ${trial}`));
  return buttons.flatMap((button, i) => (i === 0 ? [button] : [i === buttons.length - 1 ? " and " : ", ", button]));
}

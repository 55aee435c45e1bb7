// Several studies beside each other: a picture for each device, and what each study answers.

import { api, get, studyPage } from "./api.js";
import { afterPause, byId, h, put, show } from "./dom.js";
import { endsOf, panelChart } from "./panel_chart.js";
import { begin, complain } from "./shell.js";
import { stateMark } from "./states.js";
import { readStudies } from "./study_list.js";
import { metric, ms, name as words, short } from "./words.js";

const MOST_SHOWN = 8, COLORS = 8;
const chosen = new Set(new URLSearchParams(location.search).getAll("study"));
const fronts = new Map();
let rows = [];

// The colors of studies follow their place in the list, so that they stay as others come and go.
const color = (name) => `series-${rows.findIndex((row) => row.name === name) % COLORS}`;
const shown = () => rows.filter((row) => chosen.has(row.name));

function drawChoices() {
  put(byId("choices"), rows.map((row) => {
    const id = `study-${rows.indexOf(row)}`;
    return h("span", { class: `choice ${color(row.name)}` },
      h("input", { type: "checkbox", id, ".checked": chosen.has(row.name), onchange: (event) => toggle(row.name, event.target.checked) }),
      h("label", { for: id }, h("i", { "aria-hidden": "true" }), row.name, h("small", {}, ` ${words(row.metric)}`)));
  }));
}

async function toggle(name, is_on) {
  if (is_on) chosen.add(name);
  else chosen.delete(name);
  const query = new URLSearchParams([...chosen].map((one) => ["study", one]));
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  await draw();
}

async function draw() {
  await Promise.all(shown().filter((row) => !fronts.has(row.name)).map(async (row) => {
    try {
      fronts.set(row.name, await get(api("studies", row.name, "front")));
    } catch (error) {
      complain(error);
      chosen.delete(row.name);
    }
  }));
  const metrics = [...new Set(shown().map((row) => `${words(row.metric)} of ${row.task}`))];
  const problem = byId("compare-problem");
  problem.textContent = metrics.length > 1
    ? `These studies have different metrics (${metrics.join(", ")}): their heights cannot be compared.` : "";
  show(problem, metrics.length > 1);
  show(byId("under-tools"), shown().length > 0);
  drawAnswers();
  drawPanels();
}

const members = (row) => (fronts.get(row.name)?.members ?? []).filter((one) => one.latency_ms > 0);

function bestUnder(row, limit) {
  const within = members(row).filter((one) => !(limit > 0) || one.latency_ms <= limit);
  return within.reduce((best, one) => (!best || one.metric > best.metric ? one : best), null);
}

function drawAnswers() {
  const limit = Number(byId("under").value);
  const head = ["study", "device", "on the front", limit > 0 ? `best under ${short(limit)} ms` : "best", "model", "fastest", "hypervolume"];
  put(byId("answers"), shown().length > 0 && [
    h("thead", {}, h("tr", {}, head.map((text, i) => h("th", { scope: "col", class: [0, 1, 4].includes(i) && "text" }, text)))),
    h("tbody", {}, shown().map((row) => {
      const found = bestUnder(row, limit), all = members(row);
      return h("tr", {},
        h("th", { scope: "row", class: `text ${color(row.name)}` }, h("i", { "aria-hidden": "true" }), h("a", { href: studyPage(row.name) }, row.name), " ", row.state !== "finished" && stateMark(row.state)),
        h("td", { class: "text wrap" }, `${row.runtime} on ${row.device}`),
        h("td", {}, all.length),
        h("td", {}, found ? [h("b", {}, metric(found.metric)), h("br"), h("small", {}, `${short(found.metric_low)} to ${short(found.metric_high)}`)] : "none"),
        h("td", { class: "text" }, found ? [h("a", { href: `${studyPage(row.name)}#trial-${found.trial}` }, found.label), h("br"), h("small", {}, ms(found.latency_ms))] : ""),
        h("td", {}, ms(all[0]?.latency_ms)),
        h("td", {}, short(fronts.get(row.name)?.hypervolume)));
    })),
  ]);
}

function drawPanels() {
  const devices = new Map();
  for (const row of shown()) {
    const device = `${row.runtime} on ${row.device}`;
    devices.set(device, [...(devices.get(device) ?? []), row]);
  }
  const all = shown().flatMap(members);
  if (!all.length) {
    put(byId("panels"));
    return;
  }
  const ends = endsOf(all);
  put(byId("panels"), [...devices].map(([device, some]) => panel(device, some, ends)));
}

function panel(device, some, ends) {
  return h("section", {}, h("h2", {}, device),
    h("div", { class: "tools" }, some.map((row) => h("span", { class: `choice ${color(row.name)}` }, h("i", { "aria-hidden": "true" }), row.name))),
    panelChart({ ends, yText: words(some[0].metric), choose: (one, point) => location.assign(`${studyPage(one.name)}#trial-${point.trial}`),
      series: some.map((row) => ({ name: row.name, class: color(row.name), front: members(row) })) }));
}

begin();
byId("under").addEventListener("input", afterPause(drawAnswers));
try {
  rows = (await readStudies()).filter((row) => row.members > 0);
  show(byId("compare-empty"), rows.length === 0);
  show(byId("chosen"), rows.length > 0);
  if (!chosen.size && rows.length) {
    for (const row of rows.filter((one) => one.task === rows[0].task && one.metric === rows[0].metric).slice(0, MOST_SHOWN)) chosen.add(row.name);
  }
  drawChoices();
  await draw();
} catch (error) {
  complain(error);
}

// A study: its front as it grows, each candidate, what runs, what was left out.

import { api, get } from "./api.js";
import { afterFrame, byId, h, put, show } from "./dom.js";
import { DetailPanel } from "./detail_panel.js";
import { DeviceFronts } from "./device_fronts.js";
import { ExportsPanel } from "./exports_panel.js";
import { FrontChart } from "./front_chart.js";
import { beginWhy, drawLeftOut } from "./left_out.js";
import { linesChart } from "./lines_chart.js";
import { follow } from "./live.js";
import { OwnPoints } from "./own_points.js";
import { drawRunning } from "./running_panel.js";
import { begin, complain } from "./shell.js";
import { isLive, leftText, notBegun, putState } from "./states.js";
import { clearActions, drawActions } from "./study_actions.js";
import { first, study } from "./study_first.js";
import { StudyData } from "./study_data.js";
import { timeSlider } from "./time_slider.js";
import { TrialTable } from "./trial_table.js";
import { count, duration, lastPart, listed, metric, ms, name as words, short } from "./words.js";

begin();
const data = new StudyData();
const chart = new FrontChart(byId("chart"), data, choose);
const panel = new DetailPanel(byId("detail"), study, data, { choose });
const table = new TrialTable(byId("trial-tools"), byId("trial-table"), study, data, choose);
const slider = timeSlider(byId("time"), (time) => { chart.time = time; chart.draw(); });
const devices = new DeviceFronts(study, data, choose);
const exports = new ExportsPanel(study, { ended: () => devices.read() });
const own = new OwnPoints(study, data, { choose, drawn: (points) => { chart.own = points; chart.forget(); chart.draw(); } });
const drawn = {};
let state = null, is_whole = false, is_recorded = false;

function choose(trial) {
  chart.chosen = trial;
  table.chosen = trial;
  chart.draw();
  table.draw();
  panel.show(trial, { focus: trial !== null && matchMedia("(max-width: 1100px)").matches });
  history.replaceState(null, "", trial === null ? location.pathname : `#trial-${trial}`);
}

function drawHead() {
  const { facts, counts } = data;
  const limits = facts.limit_texts;
  byId("question").textContent = `Which ${words(facts.task)} models give the highest ${data.metric.text} for their `
    + `${listed(facts.objectives.slice(1).map((one) => one.text))} with ${facts.runtime} on ${facts.device}, trained on `
    + `${lastPart(facts.data)} (${count(Object.values(facts.images).reduce((a, b) => a + b, 0), "image")}, `
    + `${count(facts.classes, "class", "classes")})${limits.length ? `, with ${listed(limits)}` : ""}? `
    + `${count(facts.space, "candidate")} in the space; `
    + `${listed(Object.entries(counts).filter(([, n]) => n).map(([kind, n]) => `${n} ${kind}`)) || "none tried yet"}.`;
  put(byId("notes"), facts.notes.map((note) => h("li", {}, note)));
  show(byId("facts"), facts.notes.length > 0);
}

function drawAnswer() {
  const named = new Map();
  for (const member of data.front) for (const name of member.names) named.set(name, member);
  put(byId("answer"), ["fastest", "knee", "best"].filter((name) => named.has(name)).map((name) => {
    const member = named.get(name);
    return h("button", { type: "button", class: `card ${name}`, onclick: () => choose(member.trial) },
      h("span", { class: `mark ${name}` }, name),
      h("b", {}, metric(member.metric), h("span", { class: "soft" }, ` ${data.metric.text}`)),
      h("span", {}, ms(member.latency_ms)),
      h("span", { class: "soft clip" }, member.label));
  }));
}

async function drawHistory() {
  let found;
  try {
    found = await get(api("studies", study, "history"));
  } catch {
    return; // the picture is left out where there is nothing to draw
  }
  const points = found.points.map((point) => [point.seconds / 60, point.hypervolume]);
  show(byId("growth"), points.length > 1);
  if (points.length < 2) return;
  const last = found.points.at(-1);
  const half = found.points.find((point) => point.hypervolume >= last.hypervolume * 0.95);
  byId("growth-text").textContent = `Hypervolume ${short(last.hypervolume)} after ${duration(last.seconds)}; `
    + `95 % of it after ${duration(half.seconds)}. A curve that is flat at its end says that more time would change little.`;
  const place = h("div", { class: "chart low" });
  put(byId("history"), place);
  linesChart(place, { lines: [{ name: "hypervolume", class: "main", points, is_step: true }],
    xText: "minutes", yText: "hypervolume", height: 190,
    label: `Hypervolume over ${duration(last.seconds)}, from ${short(points[0][1])} to ${short(last.hypervolume)}` });
}

function newColumns() {
  const address = api("studies", study, "columns");
  address.searchParams.set("after", data.after.toFixed(1));
  return get(address);
}

async function readColumns(coming) {
  const answer = await coming;
  if (data.facts && answer.study.started !== data.facts.started) {
    location.reload(); // another study has the name of one that was deleted
    return;
  }
  const is_new = data.take(answer);
  if (!is_new) return;
  slider.setEnd(data.end);
  drawHead();
  drawAnswer();
  own.begin();
  chart.draw();
  table.draw();
  if (panel.trial === null) panel.show(null);
  afterFrame(drawRarely);
}

// What a server has to go over all trials for is asked for only where it may have changed.
function drawRarely() {
  const front = data.front.map((member) => `${member.trial}:${member.rung}`).join();
  if (front !== drawn.front) {
    drawn.front = front;
    drawHistory();
    own.draw();
    devices.read();
    exports.draw(data.front).catch(complain);
  }
  const left_out = (data.counts.rejected ?? 0) + (data.counts.failed ?? 0);
  if (left_out !== drawn.left_out) {
    drawn.left_out = left_out;
    drawLeftOut(study, choose);
  }
}

async function refresh() {
  const problem = byId("study-problem");
  // What an event says is recorded is asked for at once, beside the state.
  const coming = is_recorded && is_whole ? newColumns() : null;
  const running = first.running(), row = first.row();
  for (const asked of [coming, row]) asked?.catch(() => {}); // else the browser complains of it
  is_recorded = false;
  try {
    // The records are drawn while the server's own row is still on its way.
    const found = await running.catch(() => null);
    if (found) await drawRecords(found, coming);
    const now = await readState(running, row);
    if (!found) await drawRecords(now, null);
    state = now.state;
    putState(byId("state"), state);
    drawActions(study, now, () => live.now());
    if (!now.has_begun && !now.is_unreadable) byId("question").textContent = notBegun(state);
    if (now.is_unreadable) byId("question").textContent = "Its records cannot be read.";
    const is_bad = ["failed", "stopped", "unreadable"].includes(state) || !now.has_begun;
    problem.textContent = is_bad ? now.reason : "";
    show(problem, is_bad && Boolean(now.reason));
    return isLive(state);
  } catch (error) {
    const is_gone = error.status === 404;
    if (is_gone) drawGone();
    else problem.textContent = error.message;
    show(problem, !is_gone);
    return error.status === 0 || error.status >= 500;
  }
}

// Of a study that was deleted there is nothing left that could be asked for.
function drawGone() {
  state = "deleted";
  putState(byId("state"), state);
  clearActions();
  byId("question").textContent = "It was deleted. The list of studies has those that are there.";
  for (const part of ["begun", "now"]) show(byId(part), false);
}

// Draws what runs, and what is recorded where that is new.
async function drawRecords(now, coming) {
  const has_ended = drawn.state !== now.state && !isLive(now.state);
  drawn.state = now.state;
  if (state === null) putState(byId("state"), now.state);
  chart.running = (now.trials ?? []).map((trial) =>
    ({ ...trial, latency_ms: trial.latency_ms ?? data.at(trial.trial)?.latency_ms ?? null }));
  drawRunning(byId("running"), chart.running, data.facts?.metric);
  show(byId("now"), chart.running.length > 0);
  byId("now-title").textContent = ["Running now", leftText(now.left)].filter(Boolean).join(" · ");
  show(byId("begun"), now.has_begun);
  if (!now.has_begun) return;
  if (!has_ended && now.n === data.n) {
    chart.draw();
    return;
  }
  // Latencies may be measured again at the end, so that all rows are read once more.
  await readColumns(!is_whole || has_ended ? first.columns() : coming ?? newColumns());
  is_whole = true;
}

// Of a study whose records cannot be read, the server's own row speaks.
async function readState(running, asked) {
  const [now, row] = await Promise.allSettled([running, asked]);
  if (row.status === "rejected" && now.status === "rejected") throw now.reason;
  const own = row.status === "fulfilled" ? row.value : {};
  if (now.status === "rejected") {
    const none = { has_begun: false, is_unreadable: true, trials: [], left: {} };
    return { ...own, ...none, reason: own.reason || now.reason.message };
  }
  return { ...now.value, state: own.state ?? now.value.state, config: own.config,
    reason: own.reason ?? now.value.reason };
}

byId("links").prepend(
  h("a", { class: "button", href: api("studies", study, "report"), target: "_blank", rel: "noopener" }, "Report"),
  h("a", { class: "button", href: api("studies", study, "front") }, "Front as JSON"));
devices.asked = () => exports.look();
beginWhy(study, choose);
const live = follow(study, refresh, (event) => {
  is_recorded ||= event.type === "change" && Boolean(JSON.parse(event.data).row);
});
const asked = /^#trial-(\d+)$/.exec(location.hash);
if (asked) addEventListener("load", () => setTimeout(() => choose(Number(asked[1])), 300));

// The list of studies: what each found and what it does now.

import { studyPage } from "./api.js";
import { afterPause, byId, h, put, show } from "./dom.js";
import { begin } from "./shell.js";
import { sparkline } from "./sparkline.js";
import { isLive, leftText, stageText, stateMark } from "./states.js";
import { readStudies } from "./study_list.js";
import { ago, count, lastPart, listed, metric, ms, name as words } from "./words.js";

const OFTEN_S = 3, RARELY_S = 20, FIND_FROM = 6;
// Studies that are drawn at first; a thousand take longer than anyone looks at.
const FIRST = 100;
const list = byId("studies"), find = byId("find-study");
let studies = [], most = FIRST, read_at = null;

function member(row, word) {
  const found = row.named?.[word];
  return h("div", { class: `figure-${word} pair` },
    h("span", { class: "soft" }, word),
    found ? [h("b", {}, metric(found.metric)), h("span", { class: "soft" }, ms(found.latency_ms))]
      : h("span", { class: "soft" }, "not yet"));
}

function now(row) {
  if (!isLive(row.state)) {
    const reason = row.state === "finished" ? "" : row.reason;
    return h("div", { class: "row-now soft" }, reason
      ? h("span", { class: "clamp", title: reason }, reason.split("\n", 1)[0]) : row.started ? ago(row.started) : "");
  }
  const [first, ...others] = row.running ?? [];
  return h("div", { class: "row-now" },
    h("b", {}, leftText(row.left)),
    first && h("span", { class: "soft" }, `${first.label}: ${stageText(first)}`
      + (others.length ? `, and ${others.length} more` : "")));
}

function line(row) {
  const counts = row.counts ?? {};
  const told = [
    row.task && words(row.task),
    row.data && `${lastPart(row.data)}${row.images ? ` (${count(row.images, "image")})` : ""}`,
    row.runtime && `${row.runtime} on ${row.device}`,
  ].filter(Boolean).join(" · ");
  const trials = Object.entries(counts).filter(([, n]) => n).map(([kind, n]) => `${n} ${kind}`);
  return h("li", { class: "row", "data-name": row.name },
    h("div", { class: "row-name" },
      h("a", { href: studyPage(row.name), class: "cover" }, row.name), " ", stateMark(row.state),
      h("div", { class: "soft clip", title: told }, told),
      h("div", { class: "soft" }, listed(trials))),
    sparkline(row.points ?? []),
    member(row, "knee"), member(row, "best"), now(row));
}

function draw() {
  const asked = find.value.trim().toLowerCase();
  const shown = studies.filter((row) =>
    [row.name, row.data, row.device, row.task].join(" ").toLowerCase().includes(asked));
  const focused = document.activeElement?.closest?.("li")?.dataset.name;
  const rest = shown.length - most;
  put(list, shown.slice(0, most).map(line), rest > 0 && h("li", {}, h("button", { type: "button",
    onclick: () => { most = Infinity; draw(); } }, `Show ${count(rest, "more study", "more studies")}`)));
  if (focused) [...list.children].find((row) => row.dataset.name === focused)?.querySelector("a").focus();
  const live = studies.filter((row) => row.state === "running").length;
  byId("studies-summary").textContent = studies.length
    ? `${count(studies.length, "study", "studies")}${live ? `, ${live} running` : ""}`
      + (shown.length < studies.length ? `; ${shown.length} shown` : "") : "";
  show(byId("no-studies"), studies.length === 0);
  show(byId("studies-tools"), studies.length >= FIND_FROM);
}

async function look() {
  if (document.hidden) return;
  let rest_s = RARELY_S;
  const problem = byId("studies-problem");
  let told;
  try {
    const found = await readStudies();
    if (JSON.stringify(found) !== JSON.stringify(studies) || !found.length) {
      studies = found;
      draw();
    }
    if (studies.some((row) => isLive(row.state) || row.state === "reading")) rest_s = OFTEN_S;
    [read_at, told] = [new Date(), ""];
  } catch (error) {
    // What is shown may be long over, and is told so until the server answers again.
    const since = read_at && ` This is how the studies were at ${read_at.toLocaleTimeString()}.`;
    told = `${error.message}${since ?? ""}`;
    if (!read_at) byId("studies-summary").textContent = "";
    rest_s = OFTEN_S;
  }
  if (problem.textContent !== told) problem.textContent = told; // read out once
  show(problem, told !== "");
  clearTimeout(look.timer);
  look.timer = setTimeout(look, rest_s * 1000);
}

begin();
find.addEventListener("input", afterPause(draw));
document.addEventListener("visibilitychange", look);
look();

// What was not trained and why: over a limit, failed, or never in the space.

import { api, get } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { complain } from "./shell.js";
import { count, name as words, percent, short } from "./words.js";

const SHOWN = 8;

export async function drawLeftOut(study, choose) {
  let found;
  try {
    found = await get(api("studies", study, "rejected"));
  } catch {
    show(byId("left-out"), false);
    return;
  }
  show(byId("left-out"), true);
  put(byId("rejected"),
    found.n_rejected + found.n_failed === 0
      && h("p", {}, "Nothing was over a limit and nothing failed."),
    found.rejections.length > 0 && limits(found, choose),
    found.failures.length > 0 && failures(found, choose),
    found.dropped.length > 0 && h("details", {},
      h("summary", {}, `${count(found.dropped.length, "note")} on what was left out of the space before the search`),
      h("ul", {}, found.dropped.map((line) => h("li", {}, line)))));
}

function trialsOf(trials, choose) {
  return [trials.slice(0, SHOWN).map((trial, i) => [i > 0 && ", ",
    h("button", { type: "button", class: "link", onclick: () => choose(trial) }, String(trial))]),
  trials.length > SHOWN && ` and ${trials.length - SHOWN} more`];
}

function limits(found, choose) {
  return h("div", {}, h("p", {}, `${count(found.n_rejected, "candidate was", "candidates were")} over a limit: `
    + "no second of training was spent on them."),
  h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the candidates over a limit" }, h("table", {},
    h("thead", {}, h("tr", {}, ["limit", "allowed", "over it", "over by (median)", "trials"].map((text, i) =>
      h("th", { scope: "col", class: (i === 0 || i === 4) && "text" }, text)))),
    h("tbody", {}, found.rejections.map((row) => h("tr", {},
      h("th", { scope: "row", class: "text" }, words(row.limit)), h("td", {}, short(row.allowed)),
      h("td", {}, row.count), h("td", {}, row.middle === null ? "" : percent(row.middle)),
      h("td", { class: "text wrap" }, trialsOf(row.trials, choose))))))));
}

function failures(found, choose) {
  return h("div", {}, h("p", {}, `${count(found.n_failed, "trial", "trials")} failed:`),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the failed trials" }, h("table", {},
      h("thead", {}, h("tr", {}, ["why", "reason", "times", "trials"].map((text, i) =>
        h("th", { scope: "col", class: i !== 2 && "text" }, text)))),
      h("tbody", {}, found.failures.map((row) => h("tr", {},
        h("th", { scope: "row", class: "text" }, words(row.kind)),
        h("td", { class: "text wrap" }, row.message, row.is_passing && " (the machine failed; it is tried again)"),
        h("td", {}, row.count), h("td", { class: "text wrap" }, trialsOf(row.trials, choose))))))));
}

export function beginWhy(study, choose) {
  byId("why").addEventListener("submit", async (event) => {
    event.preventDefault();
    const asked = byId("why-not").value.trim(), answer = byId("why-answer");
    if (!asked) return;
    const address = api("studies", study, "why");
    address.searchParams.set("backbone", asked);
    try {
      const { text, trials } = await get(address);
      put(answer, text, trials.length > 0 && [" Trials: ", trialsOf(trials, choose)]);
    } catch (error) {
      complain(error);
    }
  });
}

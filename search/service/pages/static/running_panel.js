// What a study does right now: each trial in flight with its stage and the seconds that are left.

import { h } from "./dom.js";
import { stageText } from "./states.js";
import { duration, metric, ms, name as words } from "./words.js";

// Lines by trial are kept, so that a bar moves on instead of beginning anew.
export function drawRunning(place, trials, metric_name) {
  const lines = new Map([...place.children].map((line) => [line.dataset.trial, line]));
  const shown = trials.map((trial) => {
    const line = lines.get(String(trial.trial)) ?? emptyLine(trial);
    fillLine(line, trial, metric_name);
    return line;
  });
  const is_same = shown.length === place.children.length && shown.every((line, i) => line === place.children[i]);
  if (!is_same) place.replaceChildren(...shown);
}

function emptyLine(trial) {
  return h("div", { class: "flight", "data-trial": trial.trial },
    h("b", {}), h("span", { class: "soft flight-what" }),
    h("progress", { max: 1, "aria-label": `Training of trial ${trial.trial}` }), h("span", { class: "soft flight-left" }));
}

function fillLine(line, trial, metric_name) {
  const [head, what, bar, left] = line.children;
  head.textContent = `trial ${trial.trial}: ${trial.label}`;
  const value = trial.values?.[metric_name];
  const rung = trial.epochs && trial.rung ? `rung ${trial.rung + 1}, ` : "";
  what.textContent = rung + stageText(trial)
    + (trial.latency_ms ? `, ${ms(trial.latency_ms)}` : "")
    + (Number.isFinite(value) ? `, ${words(metric_name)} ${metric(value)} so far` : "");
  if (trial.epochs > 0) bar.value = Math.min(1, trial.epoch / trial.epochs);
  else bar.removeAttribute("value");
  left.textContent = trial.left_s === null ? `for ${duration(trial.seconds)}`
    : `about ${duration(trial.left_s)} left`;
}

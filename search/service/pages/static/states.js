// The states of studies, in words and signs; none is told by its color alone.

import { h, put } from "./dom.js";

const KINDS = {
  running: "live", pausing: "live", cancelling: "live", waiting: "wait", paused: "wait",
  finished: "good", interrupted: "wait", stopped: "bad", failed: "bad", unreadable: "bad",
};
const SIGNS = { live: "●", wait: "◔", good: "✓", bad: "!" };

export const isLive = (state) => KINDS[state] === "live" || state === "waiting";

export function stateMark(state) {
  const kind = KINDS[state] ?? "wait";
  return h("span", { class: `state ${kind}` },
    h("span", { "aria-hidden": "true" }, SIGNS[kind]), ` ${state}`);
}

export function putState(element, state) {
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  const mark = stateMark(state);
  element.className = mark.className;
  put(element, [...mark.childNodes]);
}

// Says what is left of a budget, in words.
export function leftText(left) {
  if (!left) return "";
  if (Number.isFinite(left.minutes)) {
    return left.minutes < 1 ? "under a minute left" : `${Math.round(left.minutes)} min left`;
  }
  if (!Number.isFinite(left.trials)) return "";
  return `${left.trials < 10 ? Number(left.trials.toFixed(1)) : Math.round(left.trials)} trainings left`;
}

// Says what a trial in flight is at.
export function stageText(trial) {
  if (trial.stage === "measuring") return "measuring its latency";
  if (trial.stage === "fetching") return "fetching first weights";
  const of = trial.epochs ? ` of ${trial.epochs}` : "";
  return trial.epochs === 0 ? "solving a head on frozen features" : `epoch ${trial.epoch}${of}`;
}

// The states of studies, in words and signs; none is told by its color alone.

import { h, put } from "./dom.js";
import { count, duration, listed } from "./words.js";

const KINDS = {
  running: "live", pausing: "live", cancelling: "live", waiting: "wait", paused: "wait",
  finished: "good", interrupted: "wait", stopped: "bad", failed: "bad", unreadable: "bad", reading: "wait",
};
// A budget that is used up ends what would begin, and not what runs.
const FINISHING = "finishing what runs";
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

// Says what a study without records is at, and what can be done.
export function notBegun(state) {
  const texts = {
    waiting: "It is waiting for its turn: it begins when the server has room for one more study.",
    running: "It begins: the images are read and the first latencies are measured.",
    paused: "It was paused before it began. Resume lets it begin.",
    cancelled: "It was cancelled before it began. Resume lets it begin after all.",
    failed: "It failed before it began, so that nothing was searched. Mend what the reason names and "
      + "press Resume, or delete it and start a study with other options.",
    stopped: "It stopped before it began, so that nothing was searched. Resume tries once more.",
  };
  return texts[state] ?? `It is ${state}, and has not begun.`;
}

// Says what is left of a budget, in words: a study ends by the limit that it meets first.
export function leftText(left) {
  const { minutes, trials } = left ?? {}, parts = [];
  if (minutes <= 0 || trials <= 0) return FINISHING;
  if (Number.isFinite(minutes)) parts.push(minutes < 1 ? "under a minute" : duration(60 * Math.round(minutes)));
  if (Number.isFinite(trials)) {
    parts.push(count(trials < 10 ? Number(trials.toFixed(1)) : Math.round(trials), "training"));
  }
  return parts.length ? `${listed(parts, "or")} left` : "";
}

// Says what a trial in flight is at.
export function stageText(trial) {
  if (trial.stage === "measuring") return "measuring its latency";
  if (trial.stage === "fetching") return "fetching first weights";
  const of = trial.epochs ? ` of ${trial.epochs}` : "";
  return trial.epochs === 0 ? "solving a head on frozen features" : `epoch ${trial.epoch}${of}`;
}

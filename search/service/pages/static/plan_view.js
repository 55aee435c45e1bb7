// What a study would take: the answer of a dry run.

import { h, put } from "./dom.js";
import { count, duration, listed, name as words, ms } from "./words.js";

export function drawPlan(place, found) {
  const { space = {}, plan = {}, training_s: seconds, known = {} } = found;
  const left_out = Object.entries(space.left_out ?? {}).filter(([, n]) => n);
  const rows = [
    space.candidates && ["candidates", `${count(space.candidates, "candidate")}`
      + (space.architectures ? ` of ${count(space.architectures, "architecture")}` : "")],
    left_out.length > 0 && ["left out", listed(left_out.map(([why, n]) => `${n} ${words(why)}`))],
    plan.rungs && ["epochs", `compete after ${listed(plan.rungs.map(String))}`],
    seconds && ["a training", `${duration(seconds.least)} to ${duration(seconds.most)}, ${duration(seconds.middle)} in the middle`],
    known.measured > 0 && ["known latencies", `${known.measured}, ${known.over} over a limit`
      + (known.fastest_ms ? `; the fastest ${ms(known.fastest_ms)}` : "")],
  ].filter(Boolean);
  put(place, h("dl", { class: "values" }, rows.map(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
    h("ul", { class: "soft" }, [...(plan.notes ?? []), ...(space.notes ?? [])].map((note) => h("li", {}, note))));
}

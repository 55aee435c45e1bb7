// What may be done with a study: pause, resume, cancel, extend, clone and delete it.

import { api, canChange, page, send, studyPage } from "./api.js";
import { byId, h, put } from "./dom.js";
import { ask, say, working } from "./shell.js";

const OPEN = ["running", "waiting"], RESTS = ["paused", "cancelled", "stopped", "failed", "interrupted"];
const BUDGET = [["minutes", "Minutes in all", { min: 0, step: "any" }], ["trials", "Full trainings in all", { min: 1, step: 1 }]];

export function drawActions(study, { state, config, has_begun = true }, changed) {
  const place = byId("actions");
  const budget = config?.budget ?? {};
  const limits = BUDGET.filter(([name]) => (budget[name] ?? null) !== null);
  const shown = [state, has_begun, ...limits.map(([name]) => budget[name])].join(" ");
  if (!canChange || place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  const act = (verb, content) => send("POST", api("studies", study, verb), content);
  const button = (text, call, kind) => {
    const made = h("button", { type: "button", class: kind }, text);
    made.addEventListener("click", working(made, call));
    return made;
  };
  put(place,
    OPEN.includes(state) && button("Pause", async () => {
      await act("pause");
      say("It pauses after what it writes now; nothing finished is lost.");
      changed();
    }),
    RESTS.includes(state) && button("Resume", async () => {
      await act("resume");
      say("It goes on.");
      changed();
    }, "primary"),
    OPEN.concat("paused").includes(state) && button("Cancel", async () => {
      const answer = await ask({ title: `Cancel ${study}?`, yes: "Cancel the study", is_danger: true,
        text: "It ends now. What is trained stays, and it can be resumed later." });
      if (!answer) return;
      await act("cancel");
      changed();
    }),
    has_begun && limits.length > 0 && !["cancelled", "unreadable", "deleting"].includes(state) && button("Extend", async () => {
      const answer = await ask({ title: `Give ${study} more`, yes: "Extend",
        text: "It goes on from where it is. These are totals, with what it has used already.",
        fields: limits.map(([name, label, attributes]) =>
          ({ name, label, type: "number", inputmode: "decimal", value: budget[name], ...attributes })) });
      if (!answer) return;
      const content = Object.fromEntries(Object.entries(answer)
        .map(([name, value]) => [name, Number(value)]).filter(([name, value]) => value && value !== budget[name]));
      await act("extend", content);
      say("It has more to do.");
      changed();
    }),
    button("Clone", async () => {
      const answer = await ask({ title: `A new study like ${study}`, yes: "Clone",
        text: "With the same configuration, from the start.",
        fields: [{ name: "name", label: "Its name", required: true, value: `${study}-2`, maxlength: 60 }] });
      if (!answer) return;
      await act("clone", { name: answer.name });
      location.assign(studyPage(answer.name));
    }),
    !OPEN.concat("pausing", "cancelling", "deleting").includes(state) && button("Delete", async () => {
      const answer = await ask({ title: `Delete ${study}?`, yes: "Delete for good", is_danger: true,
        text: ["Its records, weights and exports are removed. This cannot be undone.",
          `Type the name ${study} to be sure.`],
        fields: [{ name: "name", label: "Name of the study", required: true, pattern: escaped(study),
          title: `The name ${study}`, autocomplete: "off" }] });
      if (answer?.name !== study) return;
      await send("DELETE", api("studies", study));
      location.assign(page("./"));
    }, "danger"));
}

// Takes the buttons away, until they are drawn again.
export function clearActions() {
  const place = byId("actions");
  delete place.dataset.shown;
  put(place);
}

// No hyphen: a browser takes a pattern with one that is escaped for none.
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");

// A new study: what is given, all that is wrong with it at once, and what follows.

import { api, get, send, studyPage } from "./api.js";
import { DataChoice } from "./data_choice.js";
import { afterPause, byId, h, put, show } from "./dom.js";
import { drawOptions, findOptions, showFollowing } from "./option_fields.js";
import { drawPlan } from "./plan_view.js";
import { begin, complain, copy, working } from "./shell.js";
import { count, lastPart } from "./words.js";

const form = byId("new"), start = byId("start");
const TASKS = { classification: "one label per image", multilabel: "any number of labels per image",
  detection: "boxes around objects", instance: "masks of objects", semantic: "a class for every pixel" };
let asking, has_own_name = false, has_begun = false, planned = "";

// Gives what a person has set, as a request takes it.
function asked() {
  const choices = {}, options = {};
  for (const element of form.querySelectorAll("[data-group]")) {
    if (element.value) choices[element.dataset.group] = element.value;
  }
  for (const element of form.querySelectorAll("[data-option]")) {
    if (element.value.trim() !== "") options[element.dataset.option] = element.value.trim();
  }
  data.addTo(choices, options);
  return { name: byId("name").value.trim(), choices, options };
}

function clearProblems() {
  for (const line of form.querySelectorAll(".problem[id$='-problem']")) show(line, false);
  for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  put(byId("problems"));
}

// Puts each problem beside its field, and those of no field in the list.
function showProblems(error) {
  const found = error.problems?.length ? error.problems : [{ option: null, message: error.message }];
  for (const { option, message } of found) {
    const field = option && (form.querySelector(`[data-option="${CSS.escape(option)}"]`)
      ?? form.querySelector(`[data-group="${CSS.escape(option.split(".")[0])}"]`) ?? (["name", "study"].includes(option) ? byId("name") : null));
    const line = field && byId(`${field.id}-problem`);
    if (line) {
      field.setAttribute("aria-invalid", "true");
      line.textContent = line.hidden ? message : `${line.textContent} ${message}`;
      show(line, true);
    }
    byId("problems").append(h("li", {}, line ? h("button", { type: "button", class: "link", onclick: () => reveal(field) }, message) : message));
  }
  byId("verdict").textContent = `${count(found.length, "problem")} to mend first:`;
}

function reveal(field) {
  for (let part = field.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  field.focus();
}

async function check() {
  asking?.abort();
  asking = new AbortController();
  const request = asked();
  if (!request.options["data.root"] && !request.choices.data) {
    clearProblems();
    byId("verdict").textContent = "Choose the images to begin.";
    show(byId("command-part"), false);
    return;
  }
  if (!request.name) request.name = "study";
  try {
    const found = await send("POST", api("studies", "check"), request, asking);
    clearProblems();
    byId("verdict").textContent = "Ready to start.";
    byId("command").textContent = found.command;
    show(byId("command-part"), true);
    put(byId("notes"), found.notes.map((note) => h("li", {}, note)));
    showFollowing(form, found.config);
  } catch (error) {
    if (error.name === "AbortError") return;
    clearProblems();
    show(byId("command-part"), false);
    put(byId("notes"));
    showProblems(error);
  }
}

// Says that what is shown as the plan is of other options than those of now.
function judgePlan() {
  show(byId("plan-old"), planned !== "" && planned !== planOf(asked()));
}

const planOf = ({ choices, options }) => JSON.stringify([choices, options]); // whatever its name

const checkSoon = afterPause(check, 350);

// Names a study by its data until a person gives a name.
function suggestName() {
  if (has_own_name) return;
  const part = lastPart(data.title()).replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 50);
  byId("name").value = part ? `${part}-${new Date().toISOString().slice(5, 10)}` : "";
}

function changed(event) {
  if (event?.target.id === "name") has_own_name = event.target.value !== "";
  else suggestName();
  if (["find-option", "upload"].includes(event?.target.id)) return;
  judgePlan();
  checkSoon();
}

begin();
const data = new DataChoice(() => { suggestName(); judgePlan(); checkSoon(); });
form.addEventListener("input", changed);
byId("find-option").addEventListener("input", afterPause(() => {
  show(byId("no-option"), findOptions(byId("options"), byId("find-option").value) === 0);
}));
byId("copy").addEventListener("click", () => copy(byId("command").textContent));
byId("plan").addEventListener("click", working(byId("plan"), async () => {
  const place = byId("planned"), request = asked();
  planned = "";
  judgePlan();
  put(place, h("p", {}, "Reading the images and timing steps; this takes some seconds…"));
  try {
    drawPlan(place, await send("POST", api("studies", "plan"), { ...request, name: request.name || "study" }));
    planned = planOf(request);
    judgePlan();
  } catch (error) {
    put(place);
    clearProblems();
    showProblems(error);
  }
}));
form.addEventListener("submit", working(start, async () => {
  if (has_begun) return;
  try {
    const made = await send("POST", api("studies"), { ...asked(), start: true });
    has_begun = true;
    location.assign(studyPage(made?.name ?? asked().name));
  } catch (error) {
    clearProblems();
    showProblems(error);
    (form.querySelector("[aria-invalid]") ?? byId("problems")).focus?.();
  }
}));

try {
  const found = await get(api("options"));
  const select = (id, group, first, text) => put(byId(id), first && h("option", { value: "" }, first),
    found.groups[group].map((file) => h("option", { value: file.name }, text(file))));
  select("task", "task", "as the folder says", (file) => TASKS[file.name] ? `${TASKS[file.name]} (${file.name})` : file.name);
  select("hardware", "hardware", null, (file) => file.name.replaceAll("_", " "));
  byId("hardware").value = "cpu_onnxruntime";
  drawOptions(byId("options"), found, new Set(["task", "hardware"]));
} catch (error) {
  complain(error);
}
await data.read();
changed();

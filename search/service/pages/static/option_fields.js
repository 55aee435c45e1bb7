// The fields of every option: searchable, by group, each with its help and its problem.

import { h, put } from "./dom.js";

const ONE_OF = /^one of (.+?)( or null)?$/;
// Options that stand in the form itself.
const ABOVE = new Set(["data.root", "hardware.limits.latency_ms", "hardware.threads", "budget.minutes"]);

// The element that takes a value of a kind, told in words by the schema.
function field(option, id) {
  const one_of = ONE_OF.exec(option.kind);
  const words = one_of ? one_of[1].split(", ") : option.kind === "true or false" ? ["true", "false"] : null;
  const attributes = { id, "data-option": option.name, "aria-describedby": `${id}-help ${id}-problem` };
  if (!words) return h("input", { ...attributes, spellcheck: "false", type: "text" });
  if (one_of?.[2]) words.push("null");
  return h("select", attributes, h("option", { value: "" }, "default"),
    words.map((word) => h("option", { value: word }, word)));
}

function row(option) {
  const id = `option-${option.name.replaceAll(".", "-")}`;
  return h("div", { class: "field option", "data-words": `${option.name} ${option.meaning}`.toLowerCase() },
    h("label", { for: id }, h("code", {}, option.name)),
    field(option, id),
    h("p", { class: "soft", id: `${id}-help` }, `${option.meaning} (${option.kind})`),
    h("p", { class: "problem", id: `${id}-problem`, hidden: true }));
}

function choice(group, files) {
  const id = `group-${group}`;
  return h("div", { class: "field option", "data-words": `${group} ${files.map((file) => `${file.name} ${file.meaning}`).join(" ")}`.toLowerCase() },
    h("label", { for: id }, `${group}: a set of values`),
    h("select", { id, "data-group": group, "aria-describedby": `${id}-problem` },
      h("option", { value: "" }, "default"),
      files.map((file) => h("option", { value: file.name, title: file.meaning }, file.meaning ? `${file.name}: ${file.meaning.slice(0, 70)}` : file.name))),
    h("p", { class: "problem", id: `${id}-problem`, hidden: true }));
}

// Draws all options that a request may set and that the form above has not.
export function drawOptions(place, { options, groups }, above_groups) {
  const able = options.filter((option) => !option.refused && !ABOVE.has(option.name)
    && option.name !== "task.name");
  const names = [...new Set(able.map((option) => (option.name.includes(".") ? option.name.split(".")[0] : "study")))];
  put(place, names.map((name) => h("details", { class: "group", "data-name": name },
    h("summary", {}, name),
    groups[name] && !above_groups.has(name) && choice(name, groups[name]),
    able.filter((option) => (option.name.includes(".") ? option.name.split(".")[0] : "study") === name).map(row))));
}

// Shows the options that have all words of a text, opens their groups and gives how many there are.
export function findOptions(place, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const group of place.querySelectorAll("details.group")) {
    let shown = 0;
    for (const option of group.querySelectorAll(".option")) {
      option.hidden = !words.every((word) => option.dataset.words.includes(word));
      shown += option.hidden ? 0 : 1;
    }
    group.hidden = shown === 0;
    if (words.length) group.open = shown > 0;
    found += shown;
  }
  return found;
}

// Sets the values that follow where nothing is given as what the fields show in gray.
export function showFollowing(form, config) {
  for (const element of form.querySelectorAll("[data-option]")) {
    let value = config;
    for (const name of element.dataset.option.split(".")) value = value?.[name];
    const text = Array.isArray(value) ? value.join(", ") : value === null || value === undefined ? "null"
      : typeof value === "object" ? "" : String(value);
    if (element.tagName === "SELECT") {
      const first = element.options[0];
      if (first && first.value === "") first.textContent = text ? `default: ${text}` : "default";
    } else if (element.value === "") {
      element.placeholder = text === "null" ? (element.id === "latency" ? "no limit" : "none") : text.slice(0, 80);
    }
  }
}

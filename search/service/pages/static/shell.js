// What every page has: the switch of colors, the way out, short messages and questions.

import { page, send } from "./api.js";
import { byId, h } from "./dom.js";

const THEMES = ["system", "light", "dark"];

function readTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("archfront-theme", theme); } catch { /* private window */ }
  byId("theme").textContent = `Theme: ${theme}`;
  dispatchEvent(new Event("themed"));
}

// Says something in a line at the bottom, which screen readers read out.
let forget;
export function say(text, { is_bad = false } = {}) {
  const said = byId("said");
  said.textContent = text;
  said.className = is_bad ? "bad shown" : "shown";
  clearTimeout(forget);
  forget = setTimeout(() => { said.className = ""; }, is_bad ? 12000 : 5000);
}

// Shows an error of a request with all its problems, in an element of its own or in the line.
export function complain(error, at = null) {
  if (error.name === "AbortError") return;
  const problems = (error.problems ?? []).map((problem) => problem.message);
  const lines = problems.length ? problems : [error.message];
  if (!at) {
    say(lines.join(" "), { is_bad: true });
    return;
  }
  at.replaceChildren(...lines.flatMap((line, n) => (n ? [h("br"), line] : [line])));
  at.hidden = false;
}

// Asks before something is done; gives the form's values, or null where a person does not want to.
export function ask({ title, text, yes, fields = [], is_danger = false }) {
  return new Promise((resolve) => {
    const inputs = fields.map(({ name, label, ...attributes }) => h("div", { class: "field" },
      h("label", { for: `ask-${name}` }, label), h("input", { id: `ask-${name}`, name, ...attributes })));
    const form = h("form", { method: "dialog" },
      h("h2", { id: "ask-title" }, title),
      [].concat(text ?? []).map((line) => h("p", {}, line)),
      inputs,
      h("div", { class: "tools end" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Not now"),
        h("button", { type: "submit", class: is_danger ? "danger" : "primary" }, yes)));
    const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
    let answer = null;
    form.addEventListener("submit", () => { answer = Object.fromEntries(new FormData(form)); });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(answer); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Copies a text and says so.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser does not allow to copy here. Select the text instead.", { is_bad: true });
  }
}

// Lets a button work once at a time.
export function working(button, call) {
  return async (event) => {
    event?.preventDefault();
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await call(event);
    } catch (error) {
      complain(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  };
}

export function begin() {
  const theme = byId("theme");
  theme.textContent = `Theme: ${readTheme()}`;
  theme.addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(readTheme()) + 1) % THEMES.length]);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
    () => dispatchEvent(new Event("themed")));
  byId("logout")?.addEventListener("click", async () => {
    try {
      await send("POST", new URL("logout", page("./")));
      location.assign(page("login"));
    } catch (error) {
      complain(error);
    }
  });
}


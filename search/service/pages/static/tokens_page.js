// The tokens of the server: made, listed and deleted.

import { api, get, page, send } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { ask, begin, complain, copy, say, working } from "./shell.js";
import { ago, day } from "./words.js";

begin();

async function read() {
  const tokens = await get(api("tokens"));
  put(byId("tokens"),
    h("thead", {}, h("tr", {}, ["name", "may", "made", "last used", "delete"].map((text) =>
      h("th", { scope: "col", class: "text" }, text)))),
    h("tbody", {}, tokens.map((token) => h("tr", {},
      h("th", { scope: "row", class: "text" }, token.name),
      h("td", { class: "text" }, token.scope === "full" ? "read and change" : "read"),
      h("td", { class: "text", title: day(token.created) }, ago(token.created)),
      h("td", { class: "text" }, token.last_used ? ago(token.last_used) : "never"),
      h("td", { class: "act" }, h("button", { type: "button", class: "danger", onclick: () => remove(token),
        "aria-label": `Delete the token ${token.name}` }, "Delete"))))));
}

async function remove(token) {
  const answer = await ask({ title: `Delete the token ${token.name}?`, yes: "Delete", is_danger: true,
    text: "Programs and browsers that use it are locked out at once, this one too if it is its own." });
  if (!answer) return;
  try {
    await send("DELETE", api("tokens", token.id));
    say("Deleted.");
    await read();
  } catch (error) {
    complain(error);
  }
}

byId("make-token").addEventListener("submit", working(byId("make"), async () => {
  const problem = byId("token-problem");
  show(problem, false);
  try {
    const made = await send("POST", api("tokens"),
      { name: byId("token-name").value.trim(), scope: byId("token-scope").value });
    const link = `${page("login")}#${made.token}`;
    put(byId("made"), h("p", {}, h("b", {}, `The token ${made.name}`), " is shown this once:"),
      h("pre", { tabindex: 0, "aria-label": "The token" }, made.token),
      h("div", { class: "tools" },
        h("button", { type: "button", onclick: () => copy(made.token) }, "Copy the token"),
        h("button", { type: "button", onclick: () => copy(link) }, "Copy a link that logs in")));
    show(byId("made"), true);
    byId("token-name").value = "";
    await read();
  } catch (error) {
    complain(error, problem);
    byId("token-name").focus();
  }
}));

read().catch(complain);

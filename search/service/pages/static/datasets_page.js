// The datasets that the server knows: added, uploaded, looked at and removed.

import { api, canChange, get, page, send } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { showProfile } from "./profile_view.js";
import { ask, begin, complain, say, working } from "./shell.js";
import { datasetName, uploadDataset } from "./upload.js";
import { ago } from "./words.js";

begin();

// The datasets that are looked at as soon as they are shown: those that were just added.
const wanted = new Set();
const shown = new Set();

async function read() {
  const datasets = await get(api("datasets"));
  show(byId("no-datasets"), datasets.length === 0);
  put(byId("datasets"), datasets.map((one) => {
    const place = h("div", { class: "profile" });
    const is_open = shown.has(one.name);
    const more = h("details", { open: is_open, ontoggle: (event) => {
      if (!event.target.open) shown.delete(one.name);
      else if (!place.childNodes.length) look(place, one.name);
    } }, h("summary", {}, "What the images are like"), place);
    return h("li", { class: "card-row", "data-name": one.name },
      h("div", { class: "head" },
        h("div", {}, h("b", {}, one.name), " ", h("span", { class: "mark" }, one.origin === "uploaded" ? "uploaded" : "folder"),
          h("div", { class: "soft" }, h("code", {}, one.root), ` · ${ago(one.created)}`)),
        canChange && h("div", { class: "actions" },
          h("a", { class: "button", href: `${page("new")}?dataset=${encodeURIComponent(one.name)}` }, "New study"),
          h("button", { type: "button", class: "danger", onclick: () => remove(one), "aria-label": `Remove ${one.name}` }, "Remove"))),
      more);
  }));
}

function look(place, name) {
  shown.add(name);
  showProfile(place, name, { is_wanted: wanted.delete(name) });
}

// Shows a dataset that has just come, with what its images are like.
async function added(name) {
  wanted.add(name);
  shown.add(name);
  await read();
  byId("datasets").querySelector(`[data-name="${CSS.escape(name)}"]`)?.scrollIntoView({ block: "nearest" });
}

async function remove(one) {
  const answer = await ask({ title: `Remove ${one.name}?`, yes: "Remove", is_danger: true,
    text: one.origin === "uploaded" ? "Its files on the server are deleted. This cannot be undone."
      : "The folder and its files stay; only the name is removed." });
  if (!answer) return;
  try {
    await send("DELETE", api("datasets", one.name));
    say("Removed.");
    await read();
  } catch (error) {
    complain(error);
  }
}

if (canChange) {
  byId("add").addEventListener("submit", working(byId("add-go"), async () => {
    const problem = byId("add-problem"), name = byId("add-name").value.trim();
    show(problem, false);
    try {
      await send("POST", api("datasets"), { name, root: byId("add-root").value.trim() });
      byId("add").reset();
      await added(name);
    } catch (error) {
      complain(error, problem);
    }
  }));
  byId("send-file").addEventListener("change", () => {
    const file = byId("send-file").files[0];
    if (file) byId("send-name").value ||= datasetName(file);
  });
  byId("send").addEventListener("submit", working(byId("send-go"), async () => {
    const problem = byId("send-problem"), name = byId("send-name").value.trim();
    show(problem, false);
    try {
      // Its name is known to be free before hundreds of megabytes are sent.
      if ((await get(api("datasets"))).some((one) => one.name === name)) {
        throw new Error(`There is a dataset ${name} already. Give another name.`);
      }
      await uploadDataset(byId("send-state"), byId("send-file").files[0], name);
      byId("send").reset();
      await added(name);
    } catch (error) {
      complain(error, problem);
    }
  }));
}

read().catch(complain);

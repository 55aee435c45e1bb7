// The datasets that the server knows: added, uploaded, looked at and removed.

import { api, canChange, get, page, send } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { showProfile } from "./profile_view.js";
import { ask, begin, complain, say, working } from "./shell.js";
import { ago } from "./words.js";

begin();

async function read() {
  const datasets = await get(api("datasets"));
  show(byId("no-datasets"), datasets.length === 0);
  put(byId("datasets"), datasets.map((one) => {
    const place = h("div", { class: "profile" });
    const more = h("details", { ontoggle: (event) => { if (event.target.open && !place.childNodes.length) showProfile(place, one.name); } },
      h("summary", {}, "What the images are like"), place);
    return h("li", { class: "card-row" },
      h("div", { class: "head" },
        h("div", {}, h("b", {}, one.name), " ", h("span", { class: "mark" }, one.origin === "uploaded" ? "uploaded" : "folder"),
          h("div", { class: "soft" }, h("code", {}, one.root), ` · ${ago(one.created)}`)),
        canChange && h("div", { class: "actions" },
          h("a", { class: "button", href: `${page("new")}?dataset=${encodeURIComponent(one.name)}` }, "New study"),
          h("button", { type: "button", class: "danger", onclick: () => remove(one), "aria-label": `Remove ${one.name}` }, "Remove"))),
      more);
  }));
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
    const problem = byId("add-problem");
    show(problem, false);
    try {
      await send("POST", api("datasets"), { name: byId("add-name").value.trim(), root: byId("add-root").value.trim() });
      byId("add").reset();
      await read();
    } catch (error) {
      complain(error, problem);
    }
  }));
  byId("send-file").addEventListener("change", () => {
    const file = byId("send-file").files[0];
    if (file && !byId("send-name").value) byId("send-name").value = file.name.replace(/\.(zip|tar|tar\.gz|tgz)$/i, "").replace(/[^A-Za-z0-9._-]+/g, "-");
  });
  byId("send").addEventListener("submit", working(byId("send-go"), async () => {
    const problem = byId("send-problem"), file = byId("send-file").files[0];
    show(problem, false);
    byId("send-state").textContent = `Uploading ${file.name}…`;
    const address = api("datasets", "upload");
    address.searchParams.set("name", byId("send-name").value.trim());
    try {
      await send("POST", address, file, { type: "application/octet-stream" });
      byId("send").reset();
      await read();
    } catch (error) {
      complain(error, problem);
    } finally {
      byId("send-state").textContent = "";
    }
  }));
}

read().catch(complain);

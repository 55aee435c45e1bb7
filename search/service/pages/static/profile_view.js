// What a dataset is like: looked at in the background, then shown in a few lines.

import { api, canChange, get, send } from "./api.js";
import { h, put } from "./dom.js";
import { complain, working } from "./shell.js";
import { count, listed, name as words, short } from "./words.js";

const LOOK_MS = 2000;

// Fills a place with the profile of a dataset, or with a button that makes one.
export async function showProfile(place, dataset, task = null) {
  try {
    draw(place, dataset, await get(api("datasets", dataset, "profile")));
  } catch (error) {
    if (error.status !== 404 && error.status !== 409) {
      complain(error);
      return;
    }
    offer(place, dataset, task, error.status === 409 ? error.message : "");
  }
}

function offer(place, dataset, task, why) {
  const button = h("button", { type: "button" }, "Look at the images");
  const said = h("span", { class: "soft", role: "status" }, why);
  button.addEventListener("click", working(button, async () => {
    said.textContent = "Looking at every image…";
    const made = await send("POST", api("datasets", dataset, "profile"),
      { choices: { data: "auto", ...(task ? { task } : {}) }, options: {} });
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      if (!place.isConnected) return;
      const now = await get(api("tasks", made.id));
      if (now.state === "finished") break;
      if (["failed", "cancelled"].includes(now.state)) {
        said.textContent = now.message || now.state;
        return;
      }
    }
    await showProfile(place, dataset, task);
  }));
  put(place, canChange && button, " ", said);
}

function draw(place, dataset, found) {
  const splits = Object.entries(found.splits ?? {}).map(([split, part]) => `${count(part.images, "image")} to ${{ train: "train on", val: "validate on", test: "test on" }[split] ?? split}`);
  const side = found.images?.longer_side, balance = found.balance;
  const lines = [
    `${words(found.task)}: ${listed(splits)}.`,
    side && `Longer sides of ${short(side.p50 ?? side.median)} pixels in the middle (${short(side.min)} to ${short(side.max)}).`,
    balance && balance.most !== balance.least && `${short(balance.imbalance)} times as many of ${balance.most} as of ${balance.least}.`,
    !found.faults?.length && "No faults were found.",
  ].filter(Boolean);
  put(place, lines.map((line) => h("p", {}, line)),
    found.faults?.length > 0 && h("ul", { class: "faults" }, found.faults.map((fault) => h("li", {}, h("b", {}, fault.kind), `: ${fault.text} `, h("span", { class: "soft" }, fault.remedy)))),
    h("p", {}, h("a", { href: api("datasets", dataset, "profile.html"), target: "_blank", rel: "noopener" }, "All that was found, with the images")));
}

// What a dataset is like: looked at in the background, then shown in a few lines.

import { api, canChange, get, send } from "./api.js";
import { h, put } from "./dom.js";
import { complain, working } from "./shell.js";
import { count, listed, name as words, short } from "./words.js";

const LOOK_MS = 1500;
const OPEN = ["waiting", "running"];

// Fills a place with the profile of a dataset, with how far one is, or with a button that makes one.
// ``task`` is what the images are looked at for; one that is wanted is made without the button.
export async function showProfile(place, dataset, { task = null, is_wanted = false } = {}) {
  try {
    draw(place, dataset, await get(api("datasets", dataset, "profile")));
  } catch (error) {
    if (error.status !== 404 && error.status !== 409) {
      complain(error);
      return;
    }
    offer(place, dataset, task, error.status === 409 ? error.message : "");
    const going = await open(dataset).catch(() => null);
    if (going) await follow(place, dataset, task, going);
    else if (is_wanted) place.querySelector("button")?.click();
  }
}

// Returns the task that looks at a dataset now, if there is one.
async function open(dataset) {
  const address = api("tasks");
  address.searchParams.set("subject", dataset);
  address.searchParams.set("kind", "profile");
  return (await get(address)).find((task) => OPEN.includes(task.state)) ?? null;
}

// Waits for the end of a look at the images, and shows what it found.
async function follow(place, dataset, task, going) {
  const said = place.querySelector("[role=status]"), button = place.querySelector("button");
  if (button) button.hidden = true;
  said.textContent = "Looking at every image…";
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    if (!place.isConnected || said.parentElement !== place) return;
    const now = await get(api("tasks", going.id));
    if (OPEN.includes(now.state)) continue;
    if (now.state === "finished") await showProfile(place, dataset, { task });
    else offer(place, dataset, task, now.message || now.state, "problem");
    return;
  }
}

function offer(place, dataset, task, why, kind = "soft") {
  const button = h("button", { type: "button" }, "Look at the images");
  const said = h("span", { class: `${kind} lines`, role: "status" }, why);
  button.addEventListener("click", working(button, async () => {
    said.className = "soft lines";
    const made = await send("POST", api("datasets", dataset, "profile"),
      { choices: { data: "auto", ...(task ? { task } : {}) }, options: {} });
    await follow(place, dataset, task, made);
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

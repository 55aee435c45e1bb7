// An archive sent to the server as a dataset, with what has arrived so far and a way to end it.

import { api, sendFile } from "./api.js";
import { h, put } from "./dom.js";
import { count, megabytes } from "./words.js";

const ENDING = /\.(zip|tar|tar\.gz|tgz|tar\.bz2|tbz2)$/i;

// A name that the server takes, after the file.
export function datasetName(file) {
  return file.name.replace(ENDING, "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 60);
}

// A name that no dataset has yet, where nobody is asked for one.
export function freeName(file, taken) {
  const own = datasetName(file) || "images";
  let name = own;
  for (let n = 2; taken.includes(name); n += 1) name = `${own.slice(0, 55)}-${n}`;
  return name;
}

// Sends a file as a dataset of a name, and shows in a place how far it is; returns the dataset.
export async function uploadDataset(place, file, name) {
  const ending = new AbortController();
  const bar = h("progress", { max: file.size || 1, value: 0, "aria-label": `Upload of ${file.name}` });
  const said = h("span", { class: "soft", role: "status" });
  const cancel = h("button", { type: "button", class: "quiet", onclick: () => ending.abort() }, "Cancel");
  put(place, h("div", { class: "sending" }, bar, said, cancel));
  let tenth = -1;
  const moved = (sent, all) => {
    bar.value = sent;
    // Screen readers say each tenth, not each packet.
    if (Math.floor((10 * sent) / all) === tenth && sent < all) return;
    tenth = Math.floor((10 * sent) / all);
    said.textContent = sent < all ? `${megabytes(sent)} of ${megabytes(all)} sent`
      : "It is unpacked and checked on the server…";
    if (sent === all) bar.removeAttribute("value");
  };
  moved(0, file.size || 1);
  const address = api("datasets", "upload");
  address.searchParams.set("name", name);
  try {
    const made = await sendFile(address, file, { moved, signal: ending.signal });
    put(place, h("p", { class: "soft", role: "status" },
      `${file.name} is unpacked as ${made.name}: ${count(made.n_files, "file")}, ${megabytes(made.n_bytes)}.`));
    return made;
  } catch (error) {
    put(place, error.name === "AbortError"
      && h("p", { class: "soft", role: "status" }, "Cancelled. Nothing of it was kept."));
    throw error;
  }
}

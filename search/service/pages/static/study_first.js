// What the page of a study asks for at once, while its other modules are still on their way.

import { api, get } from "./api.js";

const place = document.getElementById("study");
export const study = place.dataset.name;

// An answer that is asked for before it is used; whoever takes it again, or got none, asks anew.
function early(address, is_there = true) {
  let asked = is_there ? get(address) : null;
  asked?.catch(() => {}); // else the browser complains of it
  return () => {
    const found = asked?.catch(() => get(address)) ?? get(address);
    asked = null;
    return found;
  };
}

export const first = {
  running: early(api("studies", study, "running")),
  row: early(api("studies", study)),
  columns: early(api("studies", study, "columns"), "records" in place.dataset),
};

// The studies of the server with their states: those that wait, run, rest or have ended.

import { api, get } from "./api.js";

// What the API says of studies that the records do not: the ones that wait or were paused.
function merged(begun, all) {
  const rows = new Map(begun.map((row) => [row.name, row]));
  for (const one of all) {
    const row = rows.get(one.name) ?? { name: one.name, started: one.created ?? 0, running: [] };
    rows.set(one.name, { ...row, state: one.state ?? row.state, reason: one.reason ?? row.reason });
  }
  return [...rows.values()];
}

export async function readStudies() {
  const [begun, all] = await Promise.all([
    get(api("overview")),
    get(api("studies")).then((found) => found.studies ?? found, () => []),
  ]);
  return merged(begun, all);
}

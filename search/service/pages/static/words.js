// Numbers, times and names as people write them.

export const unknown = "–";

// Returns a number with three significant digits, without an exponent where one can do without.
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return unknown;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  return size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

export function metric(value) {
  return Number.isFinite(value) ? value.toFixed(value >= 10 ? 2 : 4) : unknown;
}

export function ms(value) {
  return Number.isFinite(value) ? `${short(value)} ms` : unknown;
}

export function megabytes(bytes) {
  return `${short(bytes / 1e6)} MB`;
}

export function count(n, word, words = `${word}s`) {
  return `${n.toLocaleString("en-US")} ${n === 1 ? word : words}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return unknown;
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min${s % 60 && s < 600 ? ` ${s % 60} s` : ""}`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.round(s / 86400)} days`;
}

export function ago(seconds, now = Date.now() / 1000) {
  const past = now - seconds;
  if (past < 60) return "just now";
  return past < 2592000 ? `${duration(past)} ago` : new Date(seconds * 1000).toLocaleDateString();
}

export function day(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined,
    { dateStyle: "medium", timeStyle: "short" });
}

export function name(text) {
  return String(text).replaceAll("_", " ");
}

const ENDS = /[/\\]([^/\\]+)[/\\]?$/;
export function lastPart(path) {
  return ENDS.exec(path)?.[1] ?? path;
}

export function listed(words, last = "and") {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}`;
}

export function percent(share) {
  if (share > 0 && share < 0.0005) return "under 0.1 %";
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

// Requests to the API, by addresses relative to the page.

export const UP = new URL(document.documentElement.dataset.up || "./", location.href);
export const canChange = document.documentElement.dataset.scope === "full";
const API = new URL("api/v1/", UP);

// An answer that is an error, with the problems of single fields.
export class Refused extends Error {
  constructor(status, code, message, problems) {
    super(message);
    Object.assign(this, { status, code, problems: problems ?? [] });
  }
}

// Returns the address of a path of the API; of its parts each is a name, whatever is in it.
export function api(...parts) {
  return new URL(parts.map((part) => encodeURIComponent(part)).join("/"), API);
}

export function page(path) {
  return new URL(path, UP).href;
}

export const studyPage = (name) => page(`studies/${encodeURIComponent(name)}`);

function refusal(status, text) {
  try {
    const { code, message, problems } = JSON.parse(text).error;
    return new Refused(status, code, message, problems);
  } catch {
    return new Refused(status, "unreadable",
      `The server answered with status ${status}. Is a proxy in between?`);
  }
}

// Leads to the login, and from there back to this page.
function toLogin() {
  const here = location.href.startsWith(UP.href) ? location.href.slice(UP.href.length) : "";
  location.assign(page(here ? `login?to=${encodeURIComponent(here)}` : "login"));
}

async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "no_answer", "The server does not answer. Is it running?");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && String(address) !== page("login")) toLogin();
  throw refusal(answer.status, await answer.text());
}

export async function get(address, { signal } = {}) {
  return (await ask(address, { signal, headers: { Accept: "application/json" } })).json();
}

// Sends JSON, or bytes as they are, and returns the JSON of the answer; null of an empty one.
export async function send(method, address, content, { signal, type } = {}) {
  const is_bytes = content instanceof Blob;
  const headers = { Accept: "application/json" };
  if (content !== undefined) headers["Content-Type"] = is_bytes
    ? type || content.type || "application/octet-stream" : "application/json";
  const body = content === undefined || is_bytes ? content : JSON.stringify(content);
  const answer = await ask(address, { method, headers, body, signal });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

// Sends a file as it is and tells how many of its bytes have left, which fetch does not.
export function sendFile(address, file, { moved, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => moved?.(event.loaded, event.total);
    request.onload = () => {
      if (request.status === 401) toLogin();
      if (request.status < 200 || request.status > 299) reject(refusal(request.status, request.responseText));
      else resolve(JSON.parse(request.responseText));
    };
    request.onerror = () => reject(new Refused(0, "no_answer",
      "The connection ended before the server had answered. Is it running, and may it take files this large?"));
    request.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

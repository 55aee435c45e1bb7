// Follows a study: by its stream of events, and by asking again where the stream stays silent.
//
// A proxy may hold a stream back. So the page asks by itself every few seconds until events come,
// and rarely after; a page that nobody sees asks nothing.

import { api } from "./api.js";

const OFTEN_S = 2.5, RARELY_S = 15, SILENT_S = 20, AGAIN_S = 60, SOONEST_MS = 400;

// Calls ``refresh`` (which gives whether the study is still going) whenever there may be news.
export function follow(name, refresh, heard = () => {}) {
  let timer, stream, last_heard = 0, last_look = -Infinity, is_going = true, is_busy = false, is_asked = false;

  // At once, unless the page has just looked: news that come together are one look.
  const soon_ms = () => Math.max(0, last_look + SOONEST_MS - performance.now());
  const has_stream = () => Date.now() - last_heard < SILENT_S * 1000;

  function plan(wait_ms) {
    clearTimeout(timer);
    timer = setTimeout(look, wait_ms);
  }

  async function look() {
    if (document.hidden) return;
    if (is_busy) {
      is_asked = true;
      return;
    }
    is_busy = true;
    last_look = performance.now();
    try {
      is_going = await refresh();
    } finally {
      is_busy = false;
    }
    listen();
    const rest_s = !is_going || has_stream() ? RARELY_S : OFTEN_S;
    plan(is_asked ? soon_ms() : rest_s * 1000);
    is_asked = false;
  }

  function listen() {
    if (!is_going) {
      stream?.close();
      stream = null;
      return;
    }
    if (stream || !window.EventSource) return;
    stream = new EventSource(api("studies", name, "events"));
    const hear = (event) => {
      last_heard = Date.now();
      heard(event);
      if (is_busy) is_asked = true;
      else plan(soon_ms());
    };
    stream.onmessage = hear;
    for (const kind of ["snapshot", "change", "study", "removed"]) stream.addEventListener(kind, hear);
    stream.onerror = () => {
      // 404 and the like close a stream for good: then the page goes on asking, and listens again later.
      if (stream?.readyState !== EventSource.CLOSED) return;
      stream = { close() {} };
      setTimeout(end, AGAIN_S * 1000);
    };
  }

  function end() {
    stream?.close();
    stream = null;
  }

  // A browser has six connections to a server: streams of pages that nobody sees would take them all.
  document.addEventListener("visibilitychange", () => { if (document.hidden) end(); else look(); });
  addEventListener("pagehide", end);
  look();
  return { now: () => plan(0) };
}

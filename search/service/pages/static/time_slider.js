// A slider over the time of a study, with a button that lets the front grow as it did.

import { h, isStill, put } from "./dom.js";
import { duration } from "./words.js";

const STEPS = 1000, PLAY_S = 8;

// ``move`` is called with the seconds of the study that are shown, the largest number for all of them.
export function timeSlider(place, move) {
  let end = 0, started = null;
  const slider = h("input", { type: "range", id: "study-time", min: 0, max: STEPS, value: STEPS, step: 1 });
  const shown = h("output", { for: "study-time" });
  const play = h("button", { type: "button", class: "quiet", onclick: toggle }, "▶ Replay");
  put(place, h("label", { for: "study-time" }, "Time of the study"), slider, shown, play,
    h("span", { class: "ramp", "aria-hidden": "true" }, h("span", {}, "early"), h("i"), h("span", {}, "late")));

  function tell() {
    const at = (end * slider.value) / STEPS;
    const is_all = Number(slider.value) === STEPS;
    shown.textContent = is_all ? `all ${duration(end)}` : `first ${duration(at)}`;
    slider.setAttribute("aria-valuetext", shown.textContent);
    move(is_all ? Number.MAX_VALUE : at);
  }

  function toggle() {
    if (started !== null) {
      stop();
      return;
    }
    if (Number(slider.value) === STEPS) slider.value = 0;
    started = performance.now() - (slider.value / STEPS) * PLAY_S * 1000;
    play.textContent = "❚❚ Pause";
    requestAnimationFrame(run);
  }

  function stop() {
    started = null;
    play.textContent = "▶ Replay";
  }

  function run(now) {
    if (started === null) return;
    const share = Math.min(1, (now - started) / (PLAY_S * 1000));
    // Where motion is not wanted, the front grows in ten steps.
    slider.value = Math.round((isStill() ? Math.floor(share * 10) / 10 : share) * STEPS);
    tell();
    if (share < 1) requestAnimationFrame(run);
    else stop();
  }

  slider.addEventListener("input", () => { stop(); tell(); });
  return {
    setEnd(seconds) {
      end = seconds;
      place.hidden = !(seconds > 0);
      if (started === null) {
        shown.textContent = Number(slider.value) === STEPS ? `all ${duration(end)}` : shown.textContent;
      }
    },
  };
}

// An exported model asked about pictures: what it says of each, drawn on the picture.

import { api, send } from "./api.js";
import { byId, h, put } from "./dom.js";
import { maskPixels } from "./masks.js";
import { count, listed, percent } from "./words.js";

const MOST_LABELS = 5, WIDEST = 640, SMALLEST = 280;
// Pictures that are asked about at once; each is a question to the server.
const MOST = 24;
// Okabe and Ito's palette.
const COLORS = ["#2f86c9", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b5a300", "#8a9099"];
// A label keeps its color from picture to picture.
const labels = [];

function color(label) {
  if (!labels.includes(label)) labels.push(label);
  return COLORS[labels.indexOf(label) % COLORS.length];
}

export function beginTrying(study) {
  const drop = byId("drop"), input = byId("try-image");
  input.addEventListener("change", () => take(study, input.files));
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    take(study, event.dataTransfer.files);
  });
  // The same pictures are asked about again.
  for (const id of ["try-with", "try-score"]) byId(id).addEventListener("change", () => take(study, given));
}

let turn = 0, given = [];

// Asks about one picture after the other, in the order in which they were given.
async function take(study, files) {
  if (!files.length) return;
  given = [...files];
  const own = ++turn, asked = given.slice(0, MOST), place = byId("try-answer");
  const said = h("p", { class: "soft", role: "status" });
  const answers = h("div", { class: "answers" });
  put(place, said, answers);
  for (const [i, file] of asked.entries()) {
    said.textContent = `Asking about ${file.name}${asked.length > 1 ? ` (${i + 1} of ${asked.length})` : ""}…`;
    const answer = h("figure", { class: "answer" }, h("figcaption", {}, file.name));
    await predict(study, file, answer);
    if (own !== turn) return; // other pictures were given meanwhile
    answers.append(answer);
  }
  said.textContent = given.length > MOST ? `The first ${MOST} of ${count(given.length, "picture")}.` : "";
}

async function predict(study, file, place) {
  const [id, format] = byId("try-with").value.split("/");
  const address = api("studies", study, "predictions");
  address.searchParams.set("export", id);
  address.searchParams.set("format", format);
  if (byId("try-score").value !== "") address.searchParams.set("min_score", byId("try-score").value);
  try {
    const answer = await send("POST", address, file, { type: file.type || "application/octet-stream" });
    await draw(place, file, answer);
  } catch (error) {
    place.append(h("p", { class: "problem" }, error.message));
  }
}

async function draw(place, file, answer) {
  const things = answer.objects ?? answer.classes ?? [];
  const canvas = h("canvas", { class: "answer-picture", role: "img", "aria-label": `${file.name}: ${spoken(answer)}` });
  place.append(canvas, ...words(answer));
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    canvas.remove(); // a format that this browser does not show, as TIFF
    return;
  }
  const wide = Math.min(WIDEST, Math.max(picture.width, SMALLEST)), by = wide / picture.width;
  Object.assign(canvas, { width: wide, height: Math.round(picture.height * by) });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = by < 2;
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  for (const thing of things) if (thing.mask) await drawMask(context, thing.mask, color(thing.label));
  for (const thing of things) if (thing.box) drawBox(context, thing, color(thing.label), by);
}

async function drawMask(context, mask, color) {
  const pixels = await createImageBitmap(maskPixels(mask, color));
  context.globalAlpha = 0.45;
  context.drawImage(pixels, 0, 0, context.canvas.width, context.canvas.height);
  context.globalAlpha = 1;
}

function drawBox(context, { box, label, score }, color, by) {
  const [left, top, right, bottom] = box.map((value) => value * by);
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.strokeRect(left, top, right - left, bottom - top);
  const text = `${label} ${percent(score)}`;
  context.font = "600 13px system-ui, sans-serif";
  const room = context.measureText(text).width + 8, above = Math.max(0, top - 18);
  context.fillStyle = color;
  context.fillRect(left, above, room, 18);
  context.fillStyle = "#10151a";
  context.fillText(text, left + 4, above + 13);
}

function spoken(answer) {
  const things = answer.objects ?? answer.classes;
  if (!things) return answer.label ?? (listed(answer.labels.map((one) => one.label)) || "none of its labels");
  return listed(things.map((one) => `${one.label} ${percent(one.score ?? one.share)}`)) || "nothing found";
}

function words(answer) {
  if (answer.probabilities) {
    const shares = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, MOST_LABELS);
    return [h("p", {}, h("b", {}, spoken(answer))), h("dl", { class: "values shares" }, shares.map(([label, share]) => [
      h("dt", {}, label), h("dd", {}, h("meter", { min: 0, max: 1, value: share, "aria-label": label }), ` ${percent(share)}`)]))];
  }
  const things = answer.objects ?? answer.classes ?? [];
  return [h("p", {}, h("b", {}, answer.objects ? `${count(things.length, "object")} found` : `${count(things.length, "class", "classes")} in the picture`)),
    h("ul", { class: "found" }, things.map((thing) => {
      const mark = h("i", { "aria-hidden": "true" });
      mark.style.background = color(thing.label);
      return h("li", {}, mark, thing.label, " ", h("span", { class: "soft" },
        percent(thing.score ?? thing.share)));
    }))];
}

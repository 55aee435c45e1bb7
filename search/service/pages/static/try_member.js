// An exported model asked about a picture: what it says, drawn on the picture.

import { api, send } from "./api.js";
import { byId, h, put } from "./dom.js";
import { maskPixels } from "./masks.js";
import { percent } from "./words.js";

const MOST_LABELS = 5, WIDEST = 640;
// Okabe and Ito's palette.
const COLORS = ["#2f86c9", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b5a300", "#8a9099"];

export function beginTrying(study) {
  const drop = byId("drop"), input = byId("try-image");
  const take = (file) => file && predict(study, file);
  input.addEventListener("change", () => take(input.files[0]));
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
}

async function predict(study, file) {
  const place = byId("try-answer"), [id, format] = byId("try-with").value.split("/");
  put(place, h("p", { class: "soft" }, `Asking about ${file.name}…`));
  const address = api("studies", study, "predictions");
  address.searchParams.set("export", id);
  address.searchParams.set("format", format);
  try {
    const answer = await send("POST", address, file, { type: file.type || "application/octet-stream" });
    await draw(place, file, answer);
  } catch (error) {
    put(place, h("p", { class: "problem" }, error.message));
  }
}

async function draw(place, file, answer) {
  const things = answer.objects ?? answer.classes ?? [];
  const names = [...new Set(things.map((thing) => thing.label))];
  const color = (label) => COLORS[names.indexOf(label) % COLORS.length];
  const canvas = h("canvas", { class: "answer-picture", role: "img", "aria-label": `${file.name} with the answer` });
  put(place, canvas, words(answer, color));
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    canvas.remove(); // a format that this browser does not show, as TIFF
    return;
  }
  const wide = Math.min(WIDEST, Math.max(picture.width, 120)), by = wide / picture.width;
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

function words(answer, color) {
  if (answer.probabilities) {
    const shares = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, MOST_LABELS);
    const said = answer.label ?? answer.labels.map((one) => one.label).join(", ");
    return [h("p", {}, h("b", {}, said || "none of its labels")), h("dl", { class: "values shares" }, shares.map(([label, share]) => [
      h("dt", {}, label), h("dd", {}, h("meter", { min: 0, max: 1, value: share, "aria-label": label }), ` ${percent(share)}`)]))];
  }
  const things = answer.objects ?? answer.classes ?? [];
  return [h("p", {}, h("b", {}, `${things.length} ${answer.objects ? "found" : "classes"}`)),
    h("ul", { class: "found" }, things.map((thing) => {
      const mark = h("i", { "aria-hidden": "true" });
      mark.style.background = color(thing.label);
      return h("li", {}, mark, thing.label, " ", h("span", { class: "soft" },
        percent(thing.score ?? thing.share)));
    }))];
}

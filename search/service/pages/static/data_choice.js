// Which images a study is of: a dataset that the server knows, a folder of it, or an upload.

import { api, get } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { showProfile } from "./profile_view.js";
import { complain } from "./shell.js";
import { freeName, uploadDataset } from "./upload.js";

const FOLDER = "", UPLOAD = "upload:", DRAWN = "choice:";
// What needs no folder.
const BUILT_IN = [["digits", "Handwritten digits, to try it out"], ["shapes", "Drawn shapes, to try it out"]];

export class DataChoice {
  constructor(changed) {
    Object.assign(this, { changed, datasets: [] });
    this.select = byId("dataset");
    this.select.addEventListener("change", () => this.show());
    byId("upload").addEventListener("change", () => this.upload(byId("upload").files[0]));
  }

  async read() {
    try {
      const found = await get(api("datasets"));
      this.datasets = found.datasets ?? found;
    } catch {
      this.datasets = [];
    }
    const chosen = this.select.value || new URLSearchParams(location.search).get("dataset") || "";
    put(this.select,
      this.datasets.length > 0 && h("optgroup", { label: "Datasets of this server" }, this.datasets.map((one) =>
        h("option", { value: `set:${one.name}` }, one.name))),
      h("optgroup", { label: "Others" }, h("option", { value: FOLDER }, "A folder of the server"),
        h("option", { value: UPLOAD }, "Upload an archive"),
        BUILT_IN.map(([name, text]) => h("option", { value: DRAWN + name }, text))));
    const wanted = [chosen, `set:${chosen}`].find((value) => [...this.select.options].some((option) => option.value === value));
    this.select.value = wanted ?? FOLDER;
    this.show();
  }

  // The dataset of the server that is chosen, if one is.
  get known() {
    const value = this.select.value;
    return value.startsWith("set:") ? this.datasets.find((one) => `set:${one.name}` === value) : null;
  }

  title() {
    const value = this.select.value;
    if (this.known) return this.known.name;
    return value.startsWith(DRAWN) ? value.slice(DRAWN.length) : byId("root").value;
  }

  addTo(choices, options) {
    const value = this.select.value;
    if (value !== FOLDER) delete options["data.root"];
    if (this.known) options["data.root"] = this.known.root;
    if (value.startsWith(DRAWN)) choices.data = value.slice(DRAWN.length);
    if (choices.data === "digits") choices.space ??= "digits";
    // What a folder holds is found out, unless a format is chosen.
    if (options["data.root"] && !choices.data) choices.data = "auto";
  }

  show() {
    show(byId("root-field"), this.select.value === FOLDER);
    show(byId("upload-field"), this.select.value === UPLOAD);
    this.profile();
    this.changed();
  }

  // Shows what is known of the images; of an upload they are looked at at once.
  profile({ is_wanted = false } = {}) {
    const place = byId("profile"), known = this.known;
    show(place, Boolean(known));
    put(place);
    if (known) showProfile(place, known.name, { task: byId("task").value || null, is_wanted });
  }

  async upload(file) {
    if (!file) return;
    const problem = byId("upload-problem"), input = byId("upload");
    show(problem, false);
    try {
      const taken = (await get(api("datasets"))).map((one) => one.name);
      const made = await uploadDataset(byId("upload-state"), file, freeName(file, taken));
      await this.read();
      this.select.value = `set:${made.name}`;
      show(byId("root-field"), false);
      show(byId("upload-field"), false);
      this.profile({ is_wanted: true });
      this.changed();
    } catch (error) {
      complain(error, problem);
    } finally {
      input.value = ""; // so that the same file can be chosen again
    }
  }
}

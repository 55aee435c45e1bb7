// Which images a study is of: a dataset that the server knows, a folder of it, or an upload.

import { api, get, send } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { showProfile } from "./profile_view.js";
import { complain } from "./shell.js";
import { count } from "./words.js";

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

  // Shows what is known of the images.
  profile() {
    const place = byId("profile"), known = this.known;
    show(place, Boolean(known));
    put(place);
    if (known) showProfile(place, known.name, byId("task").value || null);
  }

  async upload(file) {
    if (!file) return;
    const help = byId("upload-help"), name = file.name.replace(/\.(zip|tar|tar\.gz|tgz)$/i, "");
    help.textContent = `Uploading ${file.name}…`;
    const address = api("datasets", "upload");
    address.searchParams.set("name", name.replace(/[^A-Za-z0-9._-]+/g, "-"));
    try {
      const made = await send("POST", address, file, { type: "application/octet-stream" });
      help.textContent = `${file.name} is unpacked${made?.n_files ? `: ${count(made.n_files, "file")}` : ""}.`;
      await this.read();
      this.select.value = `set:${made.name}`;
      this.show();
    } catch (error) {
      help.textContent = "Nothing was kept of the upload.";
      complain(error);
    }
  }
}

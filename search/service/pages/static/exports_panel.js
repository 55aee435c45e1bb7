// Exports of members: asked for, watched, downloaded; and full trainings before them.

import { api, canChange, get, send } from "./api.js";
import { byId, h, put, show } from "./dom.js";
import { complain, say, working } from "./shell.js";
import { beginTrying } from "./try_member.js";
import { duration, metric, ms, percent, short } from "./words.js";

const LOOK_S = 3, FIRST_FORMATS = ["onnx"];
const OPEN = ["waiting", "running"], MOST_TASKS = 8;
const WHAT = { export: "export", refit: "full training", variants: "variants" };

export class ExportsPanel {
  // ``ended`` is called when variants have been made, which are shown elsewhere.
  constructor(study, { ended = () => {} } = {}) {
    Object.assign(this, { study, ended, tasks: [], is_drawn: false });
    if (!canChange) return;
    byId("export").addEventListener("submit", working(byId("export-go"), () => this.export()));
    byId("refit-go").addEventListener("click", working(byId("refit-go"), () => this.refit()));
    beginTrying(study);
  }

  // Shows what there is to export of a front; called again when the front has changed.
  async draw(front) {
    show(byId("exports"), front.length > 0);
    if (!front.length) return;
    if (canChange) {
      await this.drawForm(front);
    }
    await this.look();
  }

  async drawForm(front) {
    const select = byId("export-member"), was = select.value;
    put(select, front.map((member) => h("option", { value: member.trial },
      `${member.names.length ? `${member.names.join(", ")}: ` : ""}${member.label}, ${metric(member.metric)} at ${ms(member.latency_ms)}`)));
    const knee = front.find((member) => member.names.includes("knee"));
    select.value = front.some((member) => String(member.trial) === was) ? was : String((knee ?? front[0]).trial);
    if (this.is_drawn) return;
    this.is_drawn = true;
    const [{ options }, refits] = await Promise.all([get(api("options")), get(api("studies", this.study, "refits"))]);
    // Without full trainings there are no other weights.
    byId("export-proxy").checked = refits.summary === null;
    const kind = options.find((option) => option.name === "space.exportable")?.kind ?? "";
    const formats = (/one of (.+)$/.exec(kind)?.[1] ?? "onnx").split(", ");
    put(byId("export-formats"), formats.map((format) => h("label", { class: "check" },
      h("input", { type: "checkbox", name: "format", value: format, id: `format-${format}`, ".checked": FIRST_FORMATS.includes(format) }), format)));
  }

  async export() {
    const formats = [...byId("export-formats").querySelectorAll("input:checked")].map((input) => input.value);
    if (!formats.length) {
      say("Choose at least one format.", { is_bad: true });
      return;
    }
    await send("POST", api("studies", this.study, "exports"),
      { member: byId("export-member").value, formats, proxy: byId("export-proxy").checked });
    say("It is exported in the background.");
    await this.look();
  }

  async refit() {
    await send("POST", api("studies", this.study, "refit"), { members: [byId("export-member").value] });
    say("It is trained in full in the background; export it when that is done.");
    await this.look();
  }

  async look() {
    clearTimeout(this.timer);
    if (document.hidden) {
      this.timer = setTimeout(() => this.look(), LOOK_S * 1000);
      return;
    }
    let exports, tasks;
    const address = api("tasks");
    address.searchParams.set("subject", this.study);
    try {
      [exports, tasks] = await Promise.all([get(api("studies", this.study, "exports")), get(address)]);
    } catch (error) {
      if (error.status !== 404) complain(error);
      return;
    }
    const is_open = (task) => task.kind === "variants" && OPEN.includes(task.state);
    const had = this.tasks.filter(is_open).length;
    this.tasks = tasks.filter((task) => task.kind !== "profile");
    if (this.tasks.filter(is_open).length < had) this.ended();
    await this.readLines();
    this.drawTasks();
    this.drawArtifacts(exports);
    this.drawTry(exports);
    if (this.tasks.some((task) => OPEN.includes(task.state))) this.timer = setTimeout(() => this.look(), LOOK_S * 1000);
  }

  // Asks each task that runs how far it is: a full training takes hours.
  async readLines() {
    await Promise.all(this.tasks.filter((task) => task.state === "running").map(async (task) => {
      const { lines } = await get(api("tasks", task.id)).catch(() => ({ lines: [] }));
      task.line = lines.at(-1);
    }));
  }

  // The tasks that are not over, and those that failed and of whose kind none was finished since.
  shown() {
    const finished = new Set();
    return this.tasks.filter((task) => {
      if (task.state === "finished") finished.add(task.kind);
      return OPEN.includes(task.state) || (task.state === "failed" && !finished.has(task.kind));
    }).slice(0, MOST_TASKS);
  }

  drawTasks() {
    const now = Date.now() / 1000;
    const running = (task) => `for ${duration(now - (task.started ?? now))}${task.line ? `: ${task.line}` : ""}`;
    const text = (task) => (task.state === "running" ? running(task)
      : task.state === "waiting" ? "waits for its turn" : task.message);
    put(byId("tasks"), this.shown()
      .map((task) => h("li", {}, h("b", {}, WHAT[task.kind] ?? task.kind), ` ${task.state} `,
        h("span", { class: task.state === "failed" ? "problem" : "soft" }, text(task)),
        canChange && OPEN.includes(task.state) && h("button", { type: "button", class: "quiet", onclick: () => this.cancel(task) }, "Cancel"))));
  }

  async cancel(task) {
    try {
      await send("DELETE", api("tasks", task.id));
      await this.look();
    } catch (error) {
      complain(error);
    }
  }

  drawArtifacts({ artifacts, notes }) {
    put(byId("export-list"), artifacts.length === 0 ? h("p", { class: "soft" }, "Nothing is exported yet.") : [
      notes.map((note) => h("p", {}, note)),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Exported files" }, h("table", {},
        h("thead", {}, h("tr", {}, ["model", "format", "weights", "metric", "lost", "latency", "MB", "verdict", "file"].map((text, i) =>
          h("th", { scope: "col", class: [0, 1, 2, 7].includes(i) && "text" }, text)))),
        h("tbody", {}, artifacts.map((one) => h("tr", {},
          h("th", { scope: "row", class: "text" }, `trial ${one.trial}, ${one.label}`),
          h("td", { class: "text" }, one.format), h("td", { class: "text" }, one.kind === "proxy" ? "of the search" : "of a full training"),
          h("td", {}, metric(one.metric)), h("td", {}, one.lost === null ? "" : percent(one.lost)),
          h("td", {}, ms(one.latency_ms)), h("td", {}, short(one.size_mb)), h("td", { class: "text wrap" }, one.verdict),
          h("td", {}, one.export && h("a", { class: "button", href: this.download(one), download: true }, "Download"))))))),
    ]);
  }

  download(one) {
    const address = api("studies", this.study, "exports", one.export, "download");
    address.searchParams.set("format", one.format);
    return address;
  }

  drawTry({ artifacts }) {
    const own = artifacts.filter((one) => one.export && one.metric !== null);
    show(byId("try"), own.length > 0);
    if (!own.length || !canChange) return;
    const select = byId("try-with"), was = select.value;
    put(select, own.map((one) => h("option", { value: `${one.export}/${one.format}` }, `trial ${one.trial}, ${one.format}`)));
    if ([...select.options].some((option) => option.value === was)) select.value = was;
  }
}

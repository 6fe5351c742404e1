// Runs: training as it goes on in another terminal, and what earlier runs came to.
//
//   /api/runs, every 2 s ──────────▶ the table (runs_table.js)
//   /api/runs/NAME/rows?since=N ───▶ what is new of each chosen run ──▶ curves (curves.js), samples (samples.js)
//
// Nothing is asked while nobody looks: another view is open, or another tab.

import { drawCurves } from "./curves.js";
import { h } from "./elements.js";
import { RunsTable } from "./runs_table.js";
import { Samples } from "./samples.js";

const EVERY_MS = 2000;
const AT_FIRST = 3; // runs that are shown before anyone chooses, where so many train at once

export function mount(element, app) {
  const view = new RunsView(element, app);
  return { show: () => view.show(), hide: () => view.hide() };
}

class RunsView {
  constructor(element, app) {
    this.app = app;
    this.known = new Map(); // name of a run → { rows, next, state }
    this.chosen = null; // names, once a person has chosen
    this.table = new RunsTable((names) => {
      this.chosen = names;
      this.refresh();
    });
    this.curves = h("div", { class: "card look-curves" });
    this.samples = new Samples();
    this.status = h("p", { class: "hint", role: "status" });
    this.begun = h("p", { class: "card", hidden: true }, "This run has begun. It counts the letters of its text first; its curves begin after that.");
    this.some = h("div", { class: "look-runs", hidden: true }, h("div", { class: "card look-table" }, this.table.element),
      this.begun, this.curves, this.samples.element);
    this.none = h("div", { class: "empty", hidden: true }, h("h2", {}, "No run yet"),
      h("p", {}, "A run is what training leaves behind: how it went, and the model. Start one in a terminal, and watch it here:"),
      h("pre", { class: "command" }, h("code", {}, "letterwise train --input_file your.txt")));
    element.replaceChildren(h("div", { class: "look-head" }, h("h1", {}, "Runs"),
      h("p", { class: "hint" }, "How training is going: a run that trains now is shown as it learns. Tick several runs to compare their curves.")),
    this.status, this.none, this.some);
    document.addEventListener("visibilitychange", () => this.shown && !document.hidden && this.refresh());
  }

  show() {
    this.shown = true;
    this.refresh();
  }

  hide() {
    this.shown = false;
    this.abort?.abort();
    clearTimeout(this.timer);
  }

  // Ask now, and then again and again.
  async refresh() {
    clearTimeout(this.timer);
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    try {
      await this.look(signal);
      if (!signal.aborted) this.status.textContent = "";
    } catch (error) {
      if (!signal.aborted) this.status.textContent = error.message;
    }
    if (!signal.aborted && this.shown && !document.hidden) this.timer = setTimeout(() => this.refresh(), EVERY_MS);
  }

  async look(signal) {
    const { runs } = await this.app.api.get("/api/runs", { signal });
    this.none.hidden = runs.length > 0;
    this.some.hidden = runs.length === 0;
    const names = this.names(runs);
    this.table.show(runs, names);
    const shown = runs.filter((run) => names.has(run.name));
    const changed = await Promise.all(shown.map((run) => this.follow(run, signal)));
    const drawn = JSON.stringify(shown.map((run) => [run.name, run.state, run.counting_nats]));
    if (signal.aborted || (drawn === this.drawn && !changed.some(Boolean))) return;
    this.drawn = drawn;
    const followed = shown.map(({ name, state, counts, counting_nats: nats }) => ({ name, state, counts, rows: this.known.get(name).rows,
      baselines: nats === null ? {} : { "counting alone": nats / Math.LN2 } }));
    this.begun.hidden = !followed.some(({ state, rows }) => state === "training" && !rows.length);
    this.curves.hidden = followed.every(({ rows }) => !rows.length);
    drawCurves(this.curves, followed);
    this.samples.show(followed);
  }

  // Which runs are shown? Those that a person ticked; before that, those that train, or else the newest.
  names(runs) {
    if (this.chosen) return this.chosen;
    const training = runs.filter(({ state }) => state === "training").slice(0, AT_FIRST);
    return new Set((training.length ? training : runs.slice(0, 1)).map(({ name }) => name));
  }

  // What came since; a run that began anew is read anew. Says whether there is anything to draw.
  async follow({ name, step, state }, signal) {
    const before = this.known.get(name);
    if (before && state !== "training" && before.state === state && before.step === step) return false;
    const since = before?.next ?? 0;
    const path = `/api/runs/${name.split("/").map(encodeURIComponent).join("/")}/rows?since=${since}`;
    const { rows, next } = await this.app.api.get(path, { signal });
    const goesOn = before && next === since + rows.length;
    this.known.set(name, { rows: goesOn ? before.rows.concat(rows) : rows, next, state, step });
    return rows.length > 0 || !goesOn;
  }
}

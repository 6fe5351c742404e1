// Table of runs: a row for each, kept in place while its figures change; a heading sorts.
//
//   runs of /api/runs ──▶ rows        a tick ──▶ the names of the runs that are shown

import { h } from "./elements.js";
import { duration, short } from "./spelling.js";
import { amount } from "./surprise.js";

const STATES = { training: "training now", finished: "finished", stopped: "stopped" };

// Of each column: its heading, how a run is spelled there, and what it is sorted by. Figures stand to the right.
const COLUMNS = [
  { name: "run", spelled: (run) => run.name, key: (run) => run.name },
  { name: "best, bits", why: "Bits per character that it is surprised by, at its best full check: lower is better", figure: true, spelled: (run) => run.best_bits?.toFixed(4) ?? "", key: (run) => run.best_bits },
  { name: "state", spelled: (run) => STATES[run.state] ?? run.state, key: (run) => run.state },
  { name: "text", spelled: (run) => run.text ?? "", key: (run) => run.text ?? "" },
  { name: "preset", why: "Which settings it trains with, and how large it is", spelled: (run) => [run.preset, run.size].filter(Boolean).join(", "), key: (run) => run.preset ?? "" },
  { name: "parameters", figure: true, spelled: (run) => (run.params === null ? "" : short(run.params)), key: (run) => run.params },
  { name: "steps", figure: true, spelled: steps,
    key: (run) => run.step },
  { name: "time", figure: true, spelled: (run) => (run.seconds === null ? "" : duration(run.seconds)), key: (run) => run.seconds },
];

// Where time is the budget, the number of steps was never a promise.
function steps({ step, max_iters: most, minutes, seconds }) {
  const done = `${amount(step ?? 0)}${most && !minutes ? ` of ${amount(most)}` : ""}`;
  if (!minutes) return done;
  const spent = (seconds ?? 0) / 60, digits = minutes < 3 || !Number.isInteger(minutes) ? 1 : 0;
  return `${done} ${step === 1 ? "step" : "steps"} · ${Number(Math.min(spent, minutes).toFixed(digits))} of ${Number(minutes.toFixed(2))} min`;
}

export class RunsTable {
  // `choose` is called with the names of the runs that are ticked.
  constructor(choose) {
    this.choose = choose;
    this.sorted = null; // { column, down }, or as the server lists them: the newest first
    this.rows = new Map(); // name → { row, tick, cells }
    this.headings = COLUMNS.map((column, i) => h("th", { scope: "col", class: column.figure ? "figure" : "" },
      h("button", { type: "button", class: "quiet", title: column.why, onclick: () => this.sortBy(i) }, column.name)));
    this.body = h("tbody", {});
    this.element = h("div", { class: "look-scroll", role: "region", "aria-label": "Runs", tabindex: "0" }, h("table", { class: "table" },
      h("caption", { class: "unseen" }, "Runs. A heading sorts by its column; a tick shows a run's curves."),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "unseen" }, "shown")), ...this.headings)), this.body));
  }

  // `shown`: names of the runs that are ticked.
  show(runs, shown) {
    this.runs = runs;
    for (const run of runs) {
      if (!this.rows.has(run.name)) this.rows.set(run.name, this.row(run));
      const { row, tick, cells } = this.rows.get(run.name);
      tick.checked = shown.has(run.name);
      row.dataset.state = run.state;
      COLUMNS.forEach(({ spelled }, i) => {
        const words = spelled(run);
        if (cells[i].textContent !== words) cells[i].textContent = words;
      });
    }
    this.arrange();
  }

  row({ name }) {
    const tick = h("input", { type: "checkbox", "aria-label": `Show ${name}`, onchange: () => this.ticked() });
    const cells = COLUMNS.map(({ figure }, i) => (i ? h("td", { class: figure ? "figure" : "" }) : h("th", { scope: "row" })));
    return { row: h("tr", {}, h("td", {}, tick), ...cells), tick, cells };
  }

  ticked() {
    this.choose(new Set([...this.rows].filter(([, { tick }]) => tick.checked).map(([name]) => name)));
  }

  // Upwards, at a second press downwards, at a third as they came.
  sortBy(column) {
    const { sorted } = this;
    if (sorted?.column !== column) this.sorted = { column, down: false };
    else this.sorted = sorted.down ? null : { column, down: true };
    this.headings.forEach((heading, i) => {
      if (this.sorted?.column === i) heading.setAttribute("aria-sort", this.sorted.down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    this.arrange();
  }

  // The rows in their order. What is not known stands last, either way.
  arrange() {
    const runs = [...this.runs];
    if (this.sorted) {
      const { key } = COLUMNS[this.sorted.column], sign = this.sorted.down ? -1 : 1;
      const missing = (run) => key(run) === null || key(run) === undefined || key(run) === "";
      runs.sort((a, b) => missing(a) - missing(b) || sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
    }
    const rows = runs.map(({ name }) => this.rows.get(name).row);
    if (rows.length === this.body.childElementCount && rows.every((row, i) => row === this.body.children[i])) return;
    const focused = document.activeElement;
    this.body.replaceChildren(...rows);
    if (this.body.contains(focused)) focused.focus();
  }
}

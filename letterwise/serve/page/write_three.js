// Three: continuations side by side, of which one is taken.
//
//   one request with n = 3 ──pieces by index──▶ three columns that grow together ──choose──▶ its items

import { make } from "./surprise.js";
import { runs } from "./write_mirror.js";
import { written } from "./write_stream.js";

export const WAYS = 3;

export class Three {
  // `chosen(items)` is called with the items of the continuation that was taken.
  constructor(section, { app, chosen }) {
    Object.assign(this, { section, app, chosen });
    section.querySelector("[data-do=three-close]").addEventListener("click", () => this.close());
  }

  async grow(fields) {
    this.close();
    const { signal } = (this.controller = new AbortController());
    this.ways = Array.from({ length: WAYS }, (_, i) => this.column(i));
    this.section.querySelector(".three").replaceChildren(...this.ways.map(({ column }) => column));
    this.section.hidden = false;
    this.section.scrollIntoView({ block: "nearest" });
    try {
      for await (const { index, items } of written(this.app.api, { ...fields, n: WAYS }, signal)) this.add(this.ways[index], items);
      requestAnimationFrame(() => signal.aborted || this.section.scrollIntoView({ block: "nearest" }));
    } finally {
      this.controller.abort(); // a failure of one stops all
    }
  }

  column(i) {
    const column = make("li", "card"), text = make("div", "written way", "", { dir: "auto", tabindex: "0", role: "region", "aria-label": `Continuation ${i + 1}`, lang: "" });
    const button = make("button", "", "Take this", { type: "button", "aria-label": `Take continuation ${i + 1}` });
    const way = { column, text, items: [], pending: [] };
    button.addEventListener("click", () => this.take(way));
    column.append(text, button);
    return way;
  }

  add(way, items) {
    way.items.push(...items);
    if (way.pending.push(...items) === items.length) requestAnimationFrame(() => this.draw(way));
  }

  draw(way) {
    way.text.append(...runs(way.pending.splice(0)));
  }

  take({ items }) {
    this.close();
    this.chosen(items);
  }

  close() {
    this.controller?.abort();
    this.section.hidden = true;
  }
}

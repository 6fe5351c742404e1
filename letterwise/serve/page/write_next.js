// Next: what a model expects at one place of the text, and the branches one could take there.
//
//   text before the place ──/api/next──▶ a row a character: model │ counting alone │ what is drawn ──chosen──▶ another branch

import { amount, level, make, named, percent, shown } from "./surprise.js";
import { onThePage } from "./write_words.js";

const ROWS = 8;
const MOST = 1000; // characters that are asked for: among them is the one that stands there, however unlikely it is
const PAUSE_MS = 120; // the caret may go on before the server is asked
const BEFORE = 24; // characters of context that are shown

export class Next {
  // `settings()` are the fields of a request; `branch(index, item)` puts another character at a place and lets the rest grow, `failed(error)` hears why nothing is known.
  constructor(element, { app, sheet, settings, branch, failed }) {
    Object.assign(this, { element, app, sheet, settings, branch, failed, index: null });
    this.part = (selector) => element.querySelector(selector);
    element.querySelector("[data-do=regrow]").addEventListener("click", () => this.branch(this.index, null));
  }

  // Look at the place before the item of this index; null for no place.
  look(index) {
    this.index = index;
    this.sheet.markAt(index);
    this.controller?.abort();
    clearTimeout(this.timer);
    if (index === null) this.turn(false);
    if (index === null || !this.app.model()) return;
    const controller = (this.controller = new AbortController());
    this.timer = setTimeout(() => this.ask(index, controller.signal), PAUSE_MS);
  }

  again() {
    this.look(this.index);
  }

  async ask(index, signal) {
    const text = this.sheet.textUpTo(index), stands = this.sheet.items[index] ?? null;
    try {
      const answer = await this.app.api.post("/api/next", { model: this.app.model(), text, shown: MOST, unknown: "skip", ...this.settings() }, { signal });
      if (signal.aborted) return;
      this.part(".next-error").textContent = "";
      this.show(answer, index, stands);
    } catch (error) {
      if (signal.aborted) return;
      this.part(".next-error").textContent = onThePage(error.message);
      this.failed(error);
    }
  }

  show({ next, entropy_bits: entropy }, index, stands) {
    const counts = next.some(({ counting }) => counting !== null && counting !== undefined);
    this.turn(true);
    this.part(".next-counting").hidden = !counts;
    this.showContext(index, stands);
    const rows = next.slice(0, ROWS).map((row) => this.row(row, index, stands, counts));
    const standing = next.findIndex(({ character }) => character === stands?.character);
    if (standing >= ROWS) rows.push(this.row(next[standing], index, stands, counts));
    this.part("tbody").replaceChildren(...rows);
    const choices = 2 ** entropy;
    this.part(".next-words").textContent =
      choices < 1.5 ? "The model is nearly sure." : `The model is as unsure as one that has to choose between ${choices < 10 ? choices.toFixed(1) : amount(choices)} equally likely characters.`;
    if (counts) this.part(".next-words").textContent += " Its figures are counting and network together.";
    this.part("[data-do=regrow]").hidden = index >= this.sheet.items.length;
    this.part("caption").textContent =
      index < this.sheet.items.length ? "Choose a character, and what follows is written anew." : "Choose a character, and the text goes on from it.";
  }

  // What is known of a place, or how to ask for it.
  turn(known) {
    this.part(".next-hint").hidden = known;
    this.part(".next-body").hidden = !known;
  }

  // The last characters before the place, and the one that stands there.
  showContext(index, stands) {
    const before = this.sheet.items.slice(Math.max(0, index - BEFORE), index).map(({ character }) => (character === "\n" ? "↵" : shown(character)));
    const here = make("b", stands ? `here ${level(stands.bits)}` : "here", stands ? (stands.character === "\n" ? "↵" : shown(stands.character)) : "\u2003");
    this.part(".next-context bdi").replaceChildren((index > BEFORE ? "…" : "") + before.join(""), here);
  }

  row({ character, probability, counting, drawn }, index, stands, counts) {
    const row = make("tr"), head = make("th", "", "", { scope: "row" }), standing = character === stands?.character;
    const button = make("button", "branch", named(character), { type: "button" });
    if (standing) {
      row.className = "stands";
      button.append(make("span", "unseen", ", stands here"));
    }
    button.addEventListener("click", () => {
      if (index === this.index) this.branch(index, { character, bits: -Math.log2(probability) }); // or the text has changed since
    });
    head.append(button);
    row.append(head, cell(probability, "by-model"), ...(counts ? [cell(counting, "by-counting")] : []), cell(drawn, "by-draw"));
    return row;
  }
}

function cell(share, kind) {
  const cell = make("td", kind, share > 0 && share < 0.0001 ? "< 0.01 %" : percent(share));
  cell.style.setProperty("--share", `${100 * (share ?? 0)}%`);
  return cell;
}

// Lens: what the model would answer after each layer (the logit lens, nostalgebraist 2020).
//
//   guesses (layers · T · 3) ──▶ a table: a row for each layer, a column for each character of the text
//
// A cell holds the likeliest next character, the surer the darker; it is framed where that is what came.

import { bars } from "./detail.js";
import { h, inFrames, moved } from "./elements.js";
import { glyph, quoted } from "./spelling.js";
import { percent } from "./surprise.js";

const FIRST = 8; // the character whose last guess is explained at first: it has some before it, and is in sight

export class Lens {
  constructor(element) {
    this.table = h("table", { role: "grid", "aria-label": "Guesses, layer by layer" });
    this.detail = h("div", { class: "look-guess", "aria-live": "polite" });
    this.scroll = h("div", { class: "look-scroll" }, this.table);
    element.append(this.scroll, this.detail);
    this.scroll.addEventListener("scroll", () => this.fade());
    new ResizeObserver(() => this.fade()).observe(this.scroll);
    this.table.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["pointerover", "focusin", "click"]) {
      this.table.addEventListener(kind, ({ target }) => {
        const at = this.cells?.indexOf(target.closest("td")) ?? -1;
        if (at >= 0) this.choose(at);
      });
    }
  }

  async show({ characters, layers, guesses }, signal) {
    Object.assign(this, { characters, layers, guesses, cells: [], chosen: null });
    const caption = h("caption", {}, "Down: the layers. Across: the text. In each cell: what would come next; ",
      h("span", { class: "look-right" }, "framed"), " where it did, ", h("span", { class: "look-sure" }, "darker"), " where it is surer.");
    const heading = (name) => h("th", { scope: "row" }, name);
    const came = h("tr", {}, heading("came next"));
    const body = layers.map((name) => h("tr", {}, heading(name)));
    this.table.replaceChildren(caption,
      h("thead", {}, h("tr", {}, h("td", {}), ...characters.map((character) => h("th", { scope: "col" }, glyph(character))))),
      h("tbody", {}, ...body), h("tfoot", {}, came));
    const cells = layers.map(() => []);
    const done = await inFrames(characters.keys(), (t) => {
      body.forEach((row, layer) => {
        cells[layer].push(this.cell(layer, t));
        row.append(cells[layer][t]);
      });
      came.append(h("td", {}, t + 1 < characters.length ? glyph(characters[t + 1]) : "?"));
    }, signal);
    if (!done) return;
    body.forEach((row, layer) => { // how often the guess is what came; what follows the last character is not known
      const right = cells[layer].filter((cell) => cell.classList.contains("look-right")).length;
      row.firstChild.append(h("small", {}, `right: ${right} of ${characters.length - 1}`));
    });
    this.cells = cells.flat();
    this.fade();
    if (this.cells.length) this.choose(this.cells.length - Math.max(1, characters.length - FIRST));
  }

  // The table fades out to the right where more of it is to be scrolled to.
  fade() {
    const { scrollLeft, clientWidth, scrollWidth } = this.scroll;
    this.scroll.classList.toggle("look-more", scrollLeft + clientWidth < scrollWidth - 1);
  }

  cell(layer, t) {
    const [character, chance] = this.guesses[layer][t][0], right = character === this.characters[t + 1];
    const label = `${quoted(character)} ${percent(chance)}${right ? ", right" : ""}`;
    const cell = h("td", { tabindex: "-1", class: right ? "look-right" : "", "aria-label": label }, glyph(character));
    cell.style.setProperty("--sure", `${(100 * chance).toFixed(1)}%`);
    return cell;
  }

  choose(at) {
    const T = this.characters.length, layer = Math.floor(at / T), t = at % T;
    if (this.chosen !== null) {
      this.cells[this.chosen].tabIndex = -1;
      this.cells[this.chosen].classList.remove("chosen");
    }
    this.chosen = at;
    this.cells[at].tabIndex = 0;
    this.cells[at].classList.add("chosen");
    const before = this.characters.slice(Math.max(0, t - 11), t + 1).map((one) => (one === " " ? " " : glyph(one))).join("");
    const came = this.characters[t + 1], first = h("p", {}, `${this.layers[layer]}, after `, h("code", {}, `…${before}`));
    this.detail.replaceChildren(first, bars(this.guesses[layer][t], came),
      h("p", { class: "hint" }, came === undefined ? "What comes next is not known yet." : `What came is ${quoted(came)}.`));
  }

  key(event) {
    if (this.chosen === null) return;
    const to = moved(event.key, this.chosen, this.cells.length, this.characters.length);
    if (to === null || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.cells[to].focus();
    this.cells[to].scrollIntoView({ block: "nearest", inline: "center" });
  }
}

// Heat: a scored text in colours, line by line, each character within reach of the pointer and of the arrow keys.
//
//   scored (unpack.js) ──in the text's order or the oddest first──▶ rows, as many as are in sight and some more
//   a character        ──pointed at, tapped, or reached by keys──▶ detail.js
//
// Rows are drawn as one scrolls towards them, a few in each frame, so a text of a million characters opens like one of a hundred.

import { showDetail } from "./detail.js";
import { announcer, h, inFrames } from "./elements.js";
import { inText, quoted } from "./spelling.js";
import { level } from "./surprise.js";

const AHEAD = 8_000; // characters that are drawn at a time

export class Heat {
  constructor(element, detail) {
    this.detail = detail;
    this.list = h("div", { class: "look-rows", tabindex: "0", role: "group", "aria-describedby": "heat-keys",
      "aria-label": "The text in colours" });
    this.spoken = h("p", { class: "unseen", role: "status" });
    this.announce = announcer(this.spoken);
    this.end = h("div", { class: "look-end" });
    const headings = ["line", "", "bits a character (bar: 0 to 8) · in all"].map((words) => h("span", {}, words));
    element.replaceChildren(h("div", { class: "look-row look-headings", "aria-hidden": "true" }, ...headings), this.list, this.end, this.spoken, h("p", { id: "heat-keys", class: "look-keys" },
      "Arrow keys go from character to character and from line to line, Home and End to the ends of a line; Escape lets go."));
    this.list.addEventListener("pointerover", ({ target }) => this.point(target));
    this.list.addEventListener("click", ({ target }) => this.point(target));
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("focus", () => this.chosen ?? this.choose(this.list.querySelector("[data-i]")));
    new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.more(), { rootMargin: "800px" }).observe(this.end);
    this.clear();
  }

  clear() {
    this.rest();
    Object.assign(this, { scored: null, rows: [], drawn: 0, chosen: null, runs: [] });
    this.list.replaceChildren();
    this.detail.replaceChildren();
  }

  // Stop drawing; what is drawn stays.
  rest() {
    this.abort?.abort();
    this.drawing = null;
  }

  // `characters`: all that the model has seen; "" where it reads bytes, and has seen them all.
  show(scored, order, characters) {
    this.clear();
    this.scored = scored;
    this.seen = characters ? new Set(characters) : null;
    this.order(order);
  }

  // Line by line, or first the lines that cost most beyond what lines of their length do in this text; those in which there is
  // nothing to see come last.
  order(order) {
    if (!this.scored) return;
    this.rest();
    const { rows, summary: { bits_per_char: mean } } = this.scored;
    const odd = ({ line }) => (line.bits - mean * line.chars) / Math.sqrt(line.chars);
    const seen = new Set(rows.filter(({ text }) => /\S/.test(text)).map(({ line }) => line.number));
    const blank = ({ line }) => (seen.has(line.number) ? 0 : 1);
    this.rows = order === "odd" ? rows.toSorted((a, b) => blank(a) - blank(b) || odd(b) - odd(a) || a.start - b.start) : rows;
    this.drawn = 0;
    this.list.replaceChildren();
    this.choose(null);
    this.more();
  }

  // The next rows, if they are not being drawn already.
  more() {
    if (!this.rows || this.drawing || this.drawn >= this.rows.length) return;
    let end = this.drawn;
    for (let size = 0; end < this.rows.length && size < AHEAD; end++) size += this.rows[end].chars;
    const some = this.rows.slice(this.drawn, end), { signal } = (this.abort = new AbortController());
    this.drawing = inFrames(some, (row) => {
      this.list.append(this.row(row));
      this.drawn++;
    }, signal).then((done) => {
      if (!done) return;
      this.drawing = null;
      const room = this.end.getBoundingClientRect().top - innerHeight;
      if (room < 800 && this.end.offsetParent) this.more();
    });
  }

  row({ line, start, chars, text: characters, first }) {
    const text = h("div", { class: "look-line" }), most = 8;
    let i = start;
    for (const character of characters) text.append(this.span(character, i++));
    this.marked(text, start, start + chars);
    const meter = first && h("div", { class: "look-meter", title: `${line.bits_per_char.toFixed(3)} bits a character` },
      h("span", { class: "look-each" }, line.bits_per_char.toFixed(1)), h("i", {}),
      h("span", { class: "look-total" }, line.bits.toFixed(1)));
    if (meter) meter.children[1].style.width = `${Math.min(100, (100 * line.bits_per_char) / most)}%`;
    return h("div", { class: "look-row", "data-line": line.number },
      h("span", { class: "look-number" }, first ? line.number : ""), text, meter || h("div", {}));
  }

  // A hundred thousand times: as few words as can be.
  span(character, i) {
    const span = document.createElement("span"), bits = this.scored.bits[i], shown = inText(character);
    const kind = bits !== bits ? "look-given" : level(bits); // NaN: not predicted
    span.textContent = shown;
    span.dataset.i = i;
    span.className = character === "\n" ? `${kind} look-break` : shown === character ? kind : `${kind} look-sign`;
    return span;
  }

  // What stands so in the training text; runs come in the text's order.
  underline(runs) {
    this.runs = runs;
    for (const text of this.list.querySelectorAll(".look-line")) {
      const start = Number(text.firstChild?.dataset.i);
      this.marked(text, start, start + text.childElementCount);
    }
  }

  marked(text, start, end) {
    for (const run of this.runs) {
      for (let i = Math.max(start, run.start); i < Math.min(end, run.start + run.length); i++) {
        text.children[i - start].classList.add("copied");
      }
    }
  }

  point(target) {
    if (target.dataset?.i !== undefined) this.choose(target);
  }

  choose(span) {
    this.chosen?.classList.remove("chosen");
    this.chosen = span;
    span?.classList.add("chosen");
    const i = Number(span?.dataset.i);
    showDetail(this.detail, span && this.fact(i, span));
  }

  // All that is known of a character.
  fact(i, span) {
    const { bits, probabilities, ranks, known, likeliest, chances, spelled, rows } = this.scored;
    const row = rows.findLast((one) => one.start <= i), alternatives = [];
    for (let k = i * known; k < (i + 1) * known && likeliest[k] >= 0; k++) alternatives.push([spelled[likeliest[k]], chances[k]]);
    const character = Array.from(row.text)[i - row.start], seen = this.seen?.has(character) ?? true;
    return { character, seen, bits: bits[i], probability: probabilities[i], rank: ranks[i], alternatives,
      line: row.line, copied: this.runs.find((run) => run.start <= i && i < run.start + run.length), span };
  }

  key(event) {
    const span = this.chosen, text = span?.parentElement;
    if (!span) return;
    const row = text.parentElement, at = [...text.children].indexOf(span);
    const inLine = (other) => other && other.querySelector(".look-line").children;
    const beside = (other, place) => inLine(other)?.[Math.min(place, inLine(other).length - 1)];
    const moves = {
      ArrowRight: () => span.nextElementSibling ?? beside(row.nextElementSibling, 0),
      ArrowLeft: () => span.previousElementSibling ?? beside(row.previousElementSibling, Infinity),
      ArrowDown: () => beside(row.nextElementSibling, at),
      ArrowUp: () => beside(row.previousElementSibling, at),
      Home: () => text.firstElementChild,
      End: () => text.lastElementChild,
    };
    if (event.key === "Escape") this.choose(null);
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = moves[event.key]();
    if (!next) return;
    this.choose(next);
    next.scrollIntoView({ block: "nearest" });
    this.say(this.fact(Number(next.dataset.i)));
  }

  say({ character, seen, bits, rank, alternatives }) {
    const others = alternatives.slice(0, 3).map(([other]) => quoted(other)).join(", ");
    const how = Number.isNaN(bits) ? "not predicted" : `${bits.toFixed(1)} bits, ${seen ? `rank ${rank}` : "never seen"}`;
    this.announce(`${quoted(character)}: ${how}${others && `; expected ${others}`}`);
  }
}

// Coloured text: each character on a background that shows how surprised the model was by it, and what else it had expected.
//
// Whatever a model writes gets on the page by `textContent` alone: it is text, and nothing in it can be more.

"use strict";

const HOTTEST = 10; // bits: from here on the colour stays the same

class ColouredText {
  // `alphabet` spells; `details` is shown for the character that is pointed at, tapped, or reached by the arrow keys.
  constructor(element, alphabet, details) {
    Object.assign(this, { element, alphabet, details });
    element.addEventListener("mouseover", ({ target }) => this.over(target));
    element.addEventListener("click", ({ target }) => this.over(target));
    element.addEventListener("keydown", (event) => this.key(event));
    this.clear();
  }

  clear() {
    this.element.replaceChildren();
    this.items = []; // of each span: { text, bits, steps }, the steps being what the worker said of its characters
    this.decode = this.alphabet.decoder();
    this.waiting = []; // bytes that are not yet a character
    this.bits = this.priced = 0; // over all
    this.choose(null);
  }

  get text() {
    return this.items.map((item) => item.text).join("");
  }

  // A character that was given, and has no price: a prompt, or one that the model does not know ("unknown").
  given(text, kind) {
    this.add({ text, bits: null, steps: [] }, kind);
  }

  // What the model wrote or read. `step` is { id, p, likeliest, chances }.
  append(step) {
    this.bits -= Math.log2(step.p);
    this.priced++;
    this.waiting.push(step);
    const text = this.decode(step.id);
    if (text === "") return;
    const steps = this.waiting;
    this.waiting = [];
    this.add({ text, bits: steps.reduce((sum, { p }) => sum - Math.log2(p), 0), steps });
  }

  add(item, kind = "") {
    const last = this.items.at(-1), span = this.element.lastElementChild;
    if (this.joins(item, last)) {
      last.text += item.text;
      last.bits += item.bits;
      last.steps = last.steps.concat(item.steps);
      span.textContent = last.text;
      this.colour(span, last);
      return;
    }
    const fresh = document.createElement("b");
    fresh.textContent = SHAPELESS.test(item.text) ? sign(item.text) : item.text;
    fresh.className = kind;
    fresh.classList.toggle("sign", SHAPELESS.test(item.text));
    fresh.classList.toggle("break", item.text === "\n");
    this.items.push(item);
    this.colour(fresh, item);
    this.element.append(fresh);
  }

  // Is it drawn as one with the one before it? Both were predicted, and it is an accent, or a part of the same emoji.
  joins(item, last) {
    if (!last?.steps.length || !item.steps.length || SHAPELESS.test(last.text)) return false;
    return JOINS.test(item.text) || last.text.endsWith("\u200d");
  }

  colour(span, { bits }) {
    if (bits === null) return;
    span.classList.remove(...[...span.classList].filter((name) => /^s\d/.test(name)));
    span.classList.add(`s${Math.min(10, Math.round((10 * bits) / HOTTEST))}`);
  }

  over(span) {
    if (span.parentElement === this.element) this.choose(span);
  }

  // Arrow keys go through the text, Home and End to its ends, Escape leaves.
  key(event) {
    const spans = this.element.children, at = this.chosen ? [...spans].indexOf(this.chosen) : -1;
    const right = getComputedStyle(this.element).direction === "rtl" ? -1 : 1;
    const moves = { ArrowRight: at + right, ArrowLeft: at - right, Home: 0, End: spans.length - 1 };
    if (event.key === "Escape") this.choose(null);
    else if (event.key in moves && spans.length) {
      this.choose(spans[Math.max(0, Math.min(spans.length - 1, moves[event.key]))]);
      this.chosen.scrollIntoView({ block: "nearest" });
      event.preventDefault();
    }
  }

  choose(span) {
    this.chosen?.classList.remove("chosen");
    span?.classList.add("chosen");
    this.chosen = span;
    this.details(span && this.items[[...this.element.children].indexOf(span)]);
  }
}

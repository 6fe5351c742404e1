// Attention: every head of every layer, small; one of them large; and what a character reads, on the text itself.
//
//   weights (layers · heads · T · T) ──▶ a picture for each head: row t is what character t reads
//   a head, a character ──────────────▶ the text, lit by the weights · the five that it reads most

import { announcer, h, inFrames, moved, onColours } from "./elements.js";
import { glyph, inText, quoted } from "./spelling.js";
import { percent } from "./surprise.js";

const MOST = 5; // characters that are named
const EVEN = 2; // times its even share, the most that a character is read, on average: less is no preference

export class Attention {
  constructor(element) {
    this.heads = h("div", { class: "look-heads", role: "radiogroup", "aria-label": "Heads" });
    this.large = h("canvas", { class: "look-large", "aria-hidden": "true" });
    this.matrix = h("div", { class: "look-matrix" }, this.large);
    const axis = (side, words) => h("span", { class: `look-axis-${side}`, "aria-hidden": "true" }, words);
    const scale = h("p", { class: "look-depth hint" }, "0\u00a0%", h("i", {}), "100 % (middle: 25 %)");
    this.habit = h("p", { class: "hint" });
    this.text = h("div", { class: "look-lit", tabindex: "0", role: "group",
      "aria-label": "The text: arrow keys choose the character that reads" });
    this.reads = h("div", { class: "look-reads" });
    this.spoken = h("p", { class: "unseen", role: "status" });
    this.announce = announcer(this.spoken);
    element.append(this.heads, scale, this.text, this.reads, h("div", { class: "look-one" },
      h("div", { class: "look-axes" }, axis("top", "is read →"), axis("side", "reads →"), this.matrix), this.habit), this.spoken);
    this.heads.addEventListener("keydown", (event) => this.headKey(event));
    this.text.addEventListener("keydown", (event) => this.textKey(event));
    this.text.addEventListener("pointerover", ({ target }) => target.dataset.t && this.read(Number(target.dataset.t)));
    this.text.addEventListener("click", ({ target }) => target.dataset.t && this.read(Number(target.dataset.t)));
    this.large.addEventListener("pointermove", (event) => {
      const { top, height } = this.large.getBoundingClientRect(), T = this.answer.characters.length;
      this.read(Math.max(0, Math.min(T - 1, Math.floor(((event.clientY - top) / height) * T))));
    });
    onColours(() => this.answer && this.paint());
  }

  async show(answer, signal) {
    if (!answer.layers) throw new Error("This model has no layer that looks back: it counts what followed in the training text.");
    const { layers, heads, characters } = answer, same = this.answer?.layers === layers && this.answer.heads === heads;
    Object.assign(this, { answer, head: same ? this.head : 0, at: characters.length - 1 });
    this.heads.style.setProperty("--heads", heads);
    this.pictures = Array.from({ length: layers * heads }, (_, i) => {
      const label = `Layer ${Math.floor(i / heads) + 1}, head ${(i % heads) + 1}`;
      return h("button", { type: "button", role: "radio", "aria-label": label, title: label, onclick: () => this.choose(i) }, h("canvas"));
    });
    const name = (words) => h("span", { "aria-hidden": "true" }, words);
    const names = [name("head"), ...Array.from({ length: heads }, (_, i) => name(i + 1))];
    this.heads.replaceChildren(...names, ...this.pictures.flatMap((picture, i) =>
      i % heads ? [picture] : [name(`layer ${i / heads + 1}`), picture]));
    this.text.replaceChildren(...characters.map((character, t) =>
      h("span", { "data-t": t, class: character === "\n" ? "look-break" : "" }, inText(character))));
    if (layers) this.choose(this.head);
    await this.paint(signal);
  }

  async paint(signal) {
    if (!this.pictures.length) return;
    this.picture(this.large, this.head);
    await inFrames(this.pictures.keys(), (i) => this.picture(this.pictures[i].firstChild, i), signal);
  }

  // A head as a picture of T × T points, in the colour of its element.
  picture(canvas, head) {
    const T = this.answer.characters.length, [red, green, blue] = getComputedStyle(canvas).color.match(/[\d.]+/g).map(Number);
    canvas.width = canvas.height = T;
    const context = canvas.getContext("2d"), image = context.createImageData(T, T), { data } = image, from = head * T * T;
    for (let t = 0; t < T; t++) {
      for (let i = t * T; i <= t * T + t; i++) {
        data[4 * i] = red;
        data[4 * i + 1] = green;
        data[4 * i + 2] = blue;
        data[4 * i + 3] = 255 * Math.sqrt(this.answer.weights[from + i]); // the root: small weights are seen, too
      }
    }
    context.putImageData(image, 0, 0);
  }

  choose(head) {
    this.head = head;
    this.pictures.forEach((picture, i) => {
      picture.setAttribute("aria-checked", String(i === head));
      picture.tabIndex = i === head ? 0 : -1;
    });
    this.picture(this.large, head);
    this.habit.textContent = `${this.name()}: ${this.habits()}`;
    this.read(this.at);
  }

  name() {
    return `Layer ${Math.floor(this.head / this.answer.heads) + 1}, head ${(this.head % this.answer.heads) + 1}`;
  }

  // Where does this head look, over the whole text?
  habits() {
    const T = this.answer.characters.length;
    let back = 0, itself = 0, before = 0, even = 0;
    for (let t = 1; t < T; t++) {
      const row = this.row(t);
      row.forEach((weight, s) => (back += weight * (t - s)));
      itself += row[t];
      before += row[t - 1];
      even += Math.max(...row) * row.length; // 1 where all are read alike
    }
    const mean = (sum) => sum / Math.max(1, T - 1);
    return `it looks ${mean(back).toFixed(1)} characters back on average; ${percent(mean(before))} goes to the character just before, `
      + `${percent(mean(itself))} to itself.${mean(even) < EVEN ? " It reads nearly all alike: it has not learned a preference." : ""}`;
  }

  // What character t reads: weights of 0 … t, which sum to 1.
  row(t) {
    const T = this.answer.characters.length, from = (this.head * T + t) * T;
    return this.answer.weights.subarray(from, from + t + 1);
  }

  read(t) {
    const { characters } = this.answer, row = this.row(t);
    this.at = t;
    this.matrix.style.setProperty("--row", (t + 0.5) / characters.length);
    [...this.text.children].forEach((span, s) => {
      span.classList.toggle("chosen", s === t);
      span.style.setProperty("--weight", s <= t ? `${100 * Math.sqrt(row[s])}%` : "0%"); // as in the pictures
      span.classList.toggle("look-later", s > t);
    });
    const first = [...row.keys()].sort((a, b) => row[b] - row[a] || b - a).slice(0, MOST).filter((s) => row[s] > 0);
    const bars = first.map((s) => {
      const bar = h("i", {});
      bar.style.width = `${100 * row[s]}%`;
      return h("li", {}, h("b", {}, glyph(characters[s])), bar, h("span", {}, percent(row[s])), h("small", {}, place(t - s)));
    });
    this.reads.replaceChildren(h("p", {}, `${quoted(characters[t])} reads`), h("ol", { class: "look-bars" }, ...bars));
    this.sentence = `${quoted(characters[t])} reads ${first.slice(0, 3).map((s) => `${quoted(characters[s])} ${place(t - s)}, ${percent(row[s])}`).join("; ")}`;
  }

  headKey(event) {
    const to = moved(event.key, this.head, this.pictures.length, this.answer.heads);
    if (to === null) return;
    event.preventDefault();
    this.choose(to);
    this.pictures[to].focus();
  }

  textKey(event) {
    const length = this.answer.characters.length;
    const keys = { ArrowDown: "ArrowRight", ArrowUp: "ArrowLeft" };
    const to = moved(keys[event.key] ?? event.key, this.at, length, length);
    if (to === null) return;
    event.preventDefault();
    this.read(to);
    this.announce(this.sentence);
  }
}

const place = (back) => (back === 0 ? "itself" : back === 1 ? "just before" : `${back} back`);

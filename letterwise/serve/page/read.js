// Read: how odd a text is to the model, character by character.
//
//   pasted, dropped, or written by the model ──/api/score────▶ rows in colours (heat.js), totals, the oddest lines first
//                                            ──/api/novelty──▶ what stands so in the training text, underlined
//
// Both are asked at once, and neither waits for the other: where the training text is gone, the colours still come.

import { h } from "./elements.js";
import { Heat } from "./heat.js";
import { amount, legend, percent } from "./surprise.js";
import { unpacked } from "./unpacked.js";

const MOST_BYTES = 1_000_000; // of a file; the server has a limit of its own, and says so
const EDITED = 10_000; // characters: a longer text is held, not shown in the field, where a browser would be slow with it
const WRITTEN = 600; // characters that the model writes when it is asked for something to read

export function mount(element, app) {
  const view = new ReadView(element, app);
  app.onModel(() => view.changeModel());
  return { show: () => view.heat.more(), hide: () => view.heat.rest() };
}

class ReadView {
  constructor(element, app) {
    this.app = app;
    this.held = null; // a text too long for the field: { name, text }
    this.build(element);
    this.heat = new Heat(this.parts.heat, this.parts.detail);
  }

  build(element) {
    const parts = (this.parts = {
      field: h("textarea", { class: "box", rows: 5, spellcheck: "false", "aria-label": "A text to read", maxlength: MOST_BYTES,
        placeholder: "Paste a text, or drop a file here. The model reads it and marks what it did not expect." }),
      held: h("p", { class: "look-held", hidden: true }),
      file: h("input", { type: "file", hidden: true }),
      read: h("button", { type: "submit", class: "main" }, "Read"),
      stop: h("button", { type: "button", hidden: true, onclick: () => this.abort?.abort() }, "Stop"),
      status: h("p", { class: "hint", role: "status" }),
      summary: h("div", { class: "look-summary" }),
      copies: h("p", { class: "hint" }),
      order: h("select", { "aria-label": "Order of the lines", onchange: () => this.heat.order(parts.order.value) },
        h("option", { value: "text" }, "as in the text"), h("option", { value: "odd" }, "oddest first")),
      heat: h("div", { class: "look-heat" }),
      detail: h("aside", { class: "look-detail", "aria-label": "The character" }),
      result: h("div", { class: "look-result", hidden: true }),
    });
    parts.form = h("form", { class: "card look-ask", onsubmit: (event) => this.submit(event) }, parts.field, parts.held, h("div",
      { class: "row" }, parts.read, parts.stop,
      h("button", { type: "button", onclick: () => parts.file.click() }, "Open a file"),
      h("button", { type: "button", onclick: () => this.write() }, "Let the model write one"), parts.file, parts.status));
    parts.result.append(
      h("div", { class: "look-bar" }, parts.summary, h("label", { class: "hint spread" }, "Lines ", parts.order)),
      h("div", { class: "look-bar" }, legend(), parts.copies),
      h("div", { class: "look-columns" }, parts.heat, parts.detail));
    element.replaceChildren(h("div", { class: "look-head" }, h("h1", {}, "Read"), h("p", { class: "hint" },
      "How odd is a text? The stronger the colour of a character, the more it surprised the model.")), parts.form, parts.result);
    this.listen(parts);
  }

  listen({ field, file, form }) {
    file.addEventListener("change", () => this.open(file.files[0]));
    field.addEventListener("paste", (event) => {
      const text = event.clipboardData.getData("text/plain");
      if (text.length <= EDITED) return;
      event.preventDefault();
      this.take("The text that you pasted", text);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    for (const kind of ["dragover", "drop", "dragleave"]) {
      form.addEventListener(kind, (event) => {
        event.preventDefault();
        form.classList.toggle("dropping", kind === "dragover");
        if (kind !== "drop") return;
        const [dropped] = event.dataTransfer.files, text = event.dataTransfer.getData("text/plain");
        dropped ? this.open(dropped) : text && this.take("The text that you dropped", text);
      });
    }
  }

  async open(file) {
    this.parts.file.value = "";
    if (!file) return;
    if (file.size > MOST_BYTES) {
      this.say(`${file.name} has ${amount(file.size)} bytes, and the page reads ${amount(MOST_BYTES)}: take a part of it.`);
      return;
    }
    try {
      this.take(file.name, new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()));
    } catch {
      this.say(`${file.name} is no text in UTF-8: save it as UTF-8 first, or paste what it says.`);
    }
  }

  // A text that came as a whole is read at once.
  take(name, text) {
    this.held = text.length > EDITED ? { name, text } : null;
    this.parts.field.hidden = Boolean(this.held);
    this.parts.field.value = this.held ? "" : text;
    this.parts.held.hidden = !this.held;
    if (this.held) {
      this.parts.held.replaceChildren(h("span", {}, h("b", {}, name), `, ${amount(text.length)} characters`),
        h("button", { type: "button", onclick: () => this.take("", "") }, "Take another"));
    }
    if (text) this.read();
    else this.parts.field.focus();
  }

  async write() {
    this.say("The model writes …");
    try {
      const answer = await this.app.api.post("/v1/completions", { model: this.app.model(), prompt: "", max_tokens: WRITTEN,
        temperature: 0.9, seed: Math.floor(Math.random() * 2 ** 31) });
      this.take("", answer.choices[0].text.replace(/^\n+/, ""));
    } catch (error) {
      this.say(error.message);
    }
  }

  submit(event) {
    event.preventDefault();
    this.read();
  }

  say(sentence) {
    this.parts.status.textContent = sentence;
  }

  // The figures are another model's: it reads the same text, if somebody is looking.
  changeModel() {
    const again = !this.parts.result.hidden && this.parts.result.closest("[hidden]") === null;
    this.abort?.abort();
    this.parts.result.hidden = true;
    this.heat.clear();
    this.say("");
    if (again) this.read();
  }

  async read() {
    const text = (this.held?.text ?? this.parts.field.value).replaceAll("\r\n", "\n"), model = this.app.model();
    if (!model) return this.say("There is no model to read with yet.");
    if (!text) return this.say("There is nothing to read yet: paste a text, or drop a file.");
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController()), { read, stop, result, copies } = this.parts;
    this.app.text = text;
    this.say(`Reading ${amount(text.length)} characters …`);
    stop.hidden = false;
    read.disabled = true;
    copies.textContent = "";
    result.classList.add("stale");
    try {
      const novelty = this.app.api.post("/api/novelty", { model, text }, { signal }).catch((error) => ({ error }));
      const scored = await unpacked(this.app.api, "score", { model, text, alternatives: 5 }, signal);
      if (signal.aborted) return;
      this.say("");
      result.hidden = false;
      this.summarize(scored.summary);
      this.heat.show(scored, this.parts.order.value, this.app.facts()?.characters ?? "");
      this.copied(await novelty, signal);
    } catch (error) {
      this.say(signal.aborted ? "" : error.message);
    } finally {
      if (this.abort.signal === signal) {
        stop.hidden = true;
        read.disabled = false;
        result.classList.remove("stale");
      }
    }
  }

  summarize({ bits_per_char: mean, counting_bits_per_char: counting, chars, unknown }) {
    const facts = [[mean.toFixed(3), "bits a character"], [amount(chars), "characters predicted"]];
    if (counting !== null && counting !== undefined) facts.splice(1, 0, [counting.toFixed(3), "bits by counting alone"]);
    facts.at(-2)[1] += " (lower is better)";
    if (unknown) facts.push([amount(unknown), "of them it has never seen"]);
    this.parts.summary.replaceChildren(...facts.map(([figure, words]) => h("span", {}, h("b", {}, figure), ` ${words}`)));
  }

  copied(novelty, signal) {
    if (signal.aborted) return;
    const { copies } = this.parts;
    if (novelty.error) {
      copies.textContent = `Copies from the training text are not marked: ${novelty.error.message}`;
      return;
    }
    this.heat.underline(novelty.runs);
    const share = novelty.shares["20"], longest = novelty.longest;
    if (!novelty.runs.length) {
      copies.textContent = "No passage of 20 characters or more is in the training text.";
      return;
    }
    copies.replaceChildren(h("span", { class: "copied" }, "Underlined"), ` passages of 20 characters or more are in the `
      + `training text, too, character for character: ${percent(share)} of this one. The longest has ${amount(longest.length)} characters.`);
  }
}

// Look inside: what a model computes between a text and its next character.
//
//   a text ──/api/attention──▶ who reads whom (attention.js)        the model ──/api/embedding──▶ a map (characters_map.js)
//          ──/api/lens───────▶ guesses, layer by layer (lens.js)              ──/api/inspect────▶ its parts (parts.js)
//
// Each has one plain sentence, and a link to the file that does it: the code is meant to be read.

import { Attention } from "./attention.js";
import { CharactersMap } from "./characters_map.js";
import { h } from "./elements.js";
import { Lens } from "./lens.js";
import { Parts } from "./parts.js";
import { unpacked } from "./unpacked.js";

const LOOKED_AT = 256; // characters, the last ones: what the server takes
const WRITTEN = 90; // characters that the model writes where nobody has

const SECTIONS = {
  attention: ["What reads what", "Before it guesses, each character looks back at those before it, and each head of each layer has "
    + "its own idea of which ones matter.", "attention.py"],
  lens: ["A guess after each layer", "If the model had to answer after each layer, this is what it would say: the guess becomes "
    + "better on its way down.", "transformer.py"],
  map: ["A map of the characters", "The model knows a character only as a row of numbers, and those it uses alike have come to "
    + "lie close together.", "transformer.py"],
  parts: ["What it is made of", "All it knows is in these numbers, and this is where they are.", "transformer.py"],
};

export function mount(element, app) {
  const view = new InsideView(element, app);
  app.onModel(() => view.forget());
  return { show: () => view.show(), hide: () => view.abort?.abort() };
}

class InsideView {
  constructor(element, app) {
    this.app = app;
    this.field = h("textarea", { class: "box", rows: 2, spellcheck: "false", "aria-label": "A text to look at", maxlength: 5000 });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.look();
    });
    this.status = h("p", { class: "hint", role: "status" });
    this.sections = Object.fromEntries(Object.entries(SECTIONS).map(([name, words]) => [name, section(name, ...words)]));
    this.attention = new Attention(this.sections.attention.body);
    this.lens = new Lens(this.sections.lens.body);
    this.map = new CharactersMap(this.sections.map.body);
    this.parts = new Parts(this.sections.parts.body);
    const form = h("form", { class: "card look-ask", onsubmit: (event) => (event.preventDefault(), this.look()) }, this.field,
      h("div", { class: "row" }, h("button", { type: "submit", class: "main" }, "Look"), this.status));
    element.replaceChildren(h("div", { class: "look-head" }, h("h1", {}, "Look inside"),
      h("p", { class: "hint" }, "What happens between a text and the next character.")),
    form, ...Object.values(this.sections).map((one) => one.element));
  }

  // What is written or read elsewhere is looked at here, until a person looks at something of their own.
  show() {
    if (this.app.model() === null) return;
    const fresh = this.app.text && this.app.text !== this.taken;
    if (fresh) this.field.value = Array.from((this.taken = this.app.text)).slice(-LOOKED_AT).join("");
    if (fresh || !this.done) this.look();
  }

  forget() {
    this.abort?.abort();
    this.done = false;
    if (this.field.closest("[hidden]") === null) this.show();
  }

  async look() {
    const model = this.app.model();
    if (model === null) return;
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController()), { api } = this.app;
    this.done = true;
    this.status.textContent = "Looking …";
    try {
      const written = this.field.value || (await this.written(model, signal));
      this.field.value ||= written; // unless a person was faster
      const text = Array.from(this.field.value.replaceAll("\r\n", "\n")).slice(-LOOKED_AT).join(""), query = `?model=${encodeURIComponent(model)}`;
      await Promise.all([
        this.fill("attention", () => unpacked(api, "attention", { model, text }, signal), signal),
        this.fill("lens", () => api.post("/api/lens", { model, text, top_k: 3 }, { signal }), signal),
        this.fill("map", () => api.get(`/api/embedding${query}`, { signal }), signal),
        this.fill("parts", () => api.get(`/api/inspect${query}`, { signal }), signal),
      ]);
      if (!signal.aborted) this.status.textContent = "";
    } catch (error) {
      if (!signal.aborted) this.status.textContent = error.message;
    }
    if (signal.aborted && this.abort.signal === signal) this.done = false;
  }

  // One section: what it shows, or why it cannot.
  async fill(name, ask, signal) {
    const { trouble, body } = this.sections[name];
    try {
      const answer = await ask();
      if (signal.aborted) return;
      trouble.textContent = "";
      body.hidden = false;
      await this[name].show(answer, signal);
    } catch (error) {
      if (signal.aborted) return;
      trouble.textContent = error.message;
      body.hidden = true;
    }
  }

  async written(model, signal) {
    const asked = { model, prompt: "", max_tokens: WRITTEN, temperature: 0.7, seed: 1 };
    const answer = await this.app.api.post("/v1/completions", asked, { signal });
    return answer.choices[0].text.trim() || answer.choices[0].text;
  }
}

function section(name, title, sentence, file) {
  const body = h("div", { class: `look-${name}` }), trouble = h("p", { class: "hint" });
  const link = h("a", { href: `/source/${file}`, target: "_blank", rel: "noopener" }, h("code", {}, file));
  const element = h("section", { class: "card look-section", "aria-labelledby": `look-${name}` },
    h("h2", { id: `look-${name}` }, title), h("p", { class: "look-sentence" }, `${sentence} `, link), trouble, body);
  return { element, body, trouble };
}

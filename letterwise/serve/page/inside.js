// Look inside: what a model computes between a text and its next character.
//
//   a text ──/api/attention──▶ who reads whom (attention.js)        the model ──/api/embedding──▶ a map (characters_map.js)
//          ──/api/lens───────▶ guesses, layer by layer (lens.js)              ──/api/inspect────▶ its parts (parts.js)
//
// Each has a plain sentence or two, which hold for the model at hand, and a link to the file that does it: the code is meant
// to be read. What is left out of a text is said.

import { Attention } from "./attention.js";
import { CharactersMap } from "./characters_map.js";
import { h } from "./elements.js";
import { Lens } from "./lens.js";
import { Parts } from "./parts.js";
import { glyph } from "./spelling.js";
import { amount } from "./surprise.js";
import { unpacked } from "./unpacked.js";

const LOOKED_AT = 256; // characters, the last ones: what the server takes
const MOST = 5000; // characters in the field
const NAMED = 12; // unknown characters that are named
const WRITTEN = 90; // characters that the model writes where nobody has

const SECTIONS = {
  attention: ["What reads what", "Before it guesses, each character looks at itself and at those before it. As the model learns, "
    + "each head of each layer comes to have its own idea of which ones matter.", "attention.py"],
  lens: ["A guess after each layer", "If the model had to answer after each layer, this is what it would say.", "transformer.py",
    "The counting is already in every row: what the rows below add is what the network does."],
  map: ["A map of the characters", "The model knows a character only as a row of numbers, and those it uses alike come to lie "
    + "close together as it learns.", "transformer.py"],
  parts: ["What it is made of", "All it has learned by training is in these numbers, and this is where they are.", "transformer.py",
    "What it counted in the training text is a table beside them, which is not trained."],
};

export function mount(element, app) {
  const view = new InsideView(element, app);
  app.onModel(() => view.forget());
  return { show: () => view.show(), hide: () => view.abort?.abort() };
}

class InsideView {
  constructor(element, app) {
    this.app = app;
    this.field = h("textarea", { class: "box", rows: 2, spellcheck: "false", "aria-label": "A text to look at", maxlength: MOST,
      placeholder: "Write or paste a text here. Left empty, the model writes one." });
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
    if (fresh) {
      this.field.value = Array.from((this.taken = this.app.text)).slice(-MOST).join("");
      this.field.scrollTop = this.field.scrollHeight; // the end is what is looked at
    }
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
      const own = !this.field.value; // unless a person was faster
      this.field.value ||= written;
      const whole = Array.from(this.field.value.replaceAll("\r\n", "\n")), sent = whole.slice(-LOOKED_AT), text = sent.join("");
      const query = `?model=${encodeURIComponent(model)}`, facts = this.app.facts();
      for (const { counting } of Object.values(this.sections)) counting.hidden = !facts?.counts;
      let shown = "";
      await Promise.all([
        this.fill("attention", async () => {
          const answer = await unpacked(api, "attention", { model, text }, signal);
          shown = leftOut(answer, sent, whole.length - sent.length, facts);
          return answer;
        }, signal),
        this.fill("lens", () => api.post("/api/lens", { model, text, top_k: 3 }, { signal }), signal),
        this.fill("map", () => api.get(`/api/embedding${query}`, { signal }), signal),
        this.fill("parts", () => api.get(`/api/inspect${query}`, { signal }), signal),
      ]);
      if (!signal.aborted) this.status.textContent = `${own ? "The box was empty, so the model wrote this text. " : ""}${shown}`;
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

// What is not seen of a text, in a sentence; "" where all of it is. `cut` characters of it were not even sent.
function leftOut({ start, characters }, sent, cut, facts) {
  const { lines, context, characters: known } = facts ?? {}, length = amount(characters.length);
  const why = lines ? "this model reads one line at a time" : characters.length >= context ? "all that this model sees at once"
    : "all that has room here";
  const unknown = known ? [...new Set(sent.slice(start).filter((one) => !known.includes(one)))] : [];
  const others = unknown.length > NAMED ? ` and ${unknown.length - NAMED} others` : "";
  const out = unknown.length > 0 && `Left out, as this model has never seen them: ${unknown.slice(0, NAMED).map(glyph).join(" ")}${others}.`;
  return [cut + start > 0 && `Shown: the last ${length} characters (${why}).`, out].filter(Boolean).join(" ");
}

function section(name, title, sentence, file, counted) {
  const body = h("div", { class: `look-${name}` }), trouble = h("p", { class: "hint" });
  const link = h("a", { href: `/source/${file}`, target: "_blank", rel: "noopener" }, h("code", {}, file));
  const counting = h("span", { hidden: true }, counted && `${counted} `); // where the model counts
  const element = h("section", { class: "card look-section", "aria-labelledby": `look-${name}` },
    h("h2", { id: `look-${name}` }, title), h("p", { class: "look-sentence" }, `${sentence} `, counting, link), trouble, body);
  return { element, body, trouble, counting };
}

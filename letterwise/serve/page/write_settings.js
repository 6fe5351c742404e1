// Settings: how the next character is chosen, as a person set it.
//
//   sliders and boxes ──values()──▶ fields of a request        a box that the server refuses ──▶ its sentence under the box

import { amount } from "./surprise.js";

const CHECKED = ["stop", "charset", "regex", "must_contain"]; // boxes whose contents may be wrong
const LISTS = ["stop", "must_contain"]; // a text on each line
const NUMBERS = { max_tokens: "Characters", seed: "Seed" }; // boxes for a whole number
const PAUSE_MS = 350; // after the last key, before a box is tried
const NEUTRAL = { top_k: 0, top_p: 1, min_p: 0 }; // values at which a filter removes nothing

export class Settings {
  // `refused(fields, signal)` asks the server whether it would take these fields: null, or its sentence.
  constructor(form, { refused, changed }) {
    Object.assign(this, { form, refused, changed, timers: {}, lastSeed: null });
    this.first = this.dump();
    form.addEventListener("input", ({ target }) => this.touched(target));
    form.addEventListener("submit", (event) => event.preventDefault());
    this.show();
  }

  field(name) {
    return this.form.elements[name];
  }

  // The fields of a request, without those that would do nothing.
  values() {
    return Object.assign(this.drawing(), ...["stop", "regex", "must_contain"].map((name) => this.limit(name)));
  }

  // Those that say how one character is drawn, whatever comes before and after.
  drawing() {
    const number = (name) => Number(this.field(name).value);
    const fields = { temperature: number("temperature"), ...this.limit("charset") };
    for (const [name, neutral] of Object.entries(NEUTRAL)) if (number(name) !== neutral) fields[name] = number(name);
    return fields;
  }

  limit(name) {
    const value = this.field(name).value;
    if (!LISTS.includes(name)) return value ? { [name]: value } : {};
    const texts = value.split("\n").filter((line) => line !== "");
    return texts.length ? { [name]: texts.map((line) => line.replace(/\\n/g, "\n")) } : {};
  }

  get length() {
    const field = this.field("max_tokens");
    return field.checkValidity() ? Number(field.value) : Number(field.defaultValue);
  }

  // The seed that is fixed, or another one each time.
  seed() {
    const { value } = this.field("seed");
    this.lastSeed = value === "" ? Math.floor(Math.random() * 1e6) : Number(value);
    return this.lastSeed;
  }

  touched(target) {
    if (target.name === "seed") this.field("fixed").checked = target.value !== "" || target.validity.badInput;
    if (target.name === "fixed") this.field("seed").value = target.checked ? (this.lastSeed ?? this.seed()) : "";
    if (CHECKED.includes(target.name)) this.tryOut(target.name);
    this.checkNumbers();
    this.show();
    this.changed();
  }

  // Says under a box that its number cannot be, and answers with what was said, or with null.
  checkNumbers() {
    const sentences = Object.entries(NUMBERS).map(([name, label]) => {
      const field = this.field(name), { min, max } = field;
      const sentence = field.checkValidity() ? null : `${label}: a whole number from ${amount(min)} to ${amount(max)}.`;
      this.complain(name, sentence);
      return sentence;
    });
    return sentences.find((sentence) => sentence) ?? null;
  }

  // Ask for the server's opinion of a box when the keys rest.
  tryOut(name) {
    const before = this.timers[name];
    clearTimeout(before?.timer);
    before?.controller.abort();
    const controller = new AbortController();
    const timer = setTimeout(() => this.judge(name, controller.signal), PAUSE_MS);
    this.timers[name] = { timer, controller };
  }

  async judge(name, signal) {
    const fields = this.limit(name), all = Object.assign({}, ...CHECKED.map((each) => this.limit(each)));
    const sentence = Object.keys(fields).length ? await this.refused(fields, signal) : null;
    if (signal.aborted) return;
    this.complain(name, sentence);
    const bad = CHECKED.some((each) => this.field(each).hasAttribute("aria-invalid"));
    const together = !bad && Object.keys(all).length > 1 ? await this.refused(all, signal) : null;
    if (!signal.aborted) document.getElementById("error-together").textContent = together ?? "";
  }

  complain(name, sentence) {
    const field = this.field(name);
    field.removeAttribute("aria-invalid");
    if (sentence) {
      field.setAttribute("aria-invalid", "true");
      if (CHECKED.includes(name)) this.limits.open = true;
    }
    document.getElementById(`error-${name}`).textContent = sentence ?? "";
  }

  // A request was refused for what stands in one of the boxes.
  blame(name, sentence) {
    if (CHECKED.includes(name)) this.complain(name, sentence);
  }

  get limits() {
    return this.form.querySelector(".limits");
  }

  get limited() {
    return CHECKED.some((name) => this.field(name).value !== "");
  }

  // What the sliders say, in numbers and words.
  show() {
    this.form.querySelector(".limited").hidden = !this.limited;
    for (const output of this.form.querySelectorAll("output")) {
      const slider = document.getElementById(output.htmlFor.value);
      output.textContent = inWords(slider.name, Number(slider.value));
      slider.setAttribute("aria-valuetext", output.textContent);
    }
  }

  // All that is set, for a link, and back. A value that no field here could have is left out.
  dump() {
    const values = {};
    for (const { name, type, checked, value } of this.form.elements) if (name) values[name] = type === "checkbox" ? checked : value;
    return values;
  }

  load(values) {
    for (const field of this.form.elements) {
      const value = values?.[field.name];
      if (!field.name || value === undefined) continue;
      if (field.type === "checkbox") field.checked = value === true;
      else if (typeof value === "string") setValue(field, value.slice(0, 2000));
    }
    if (!this.field("fixed").checked) this.field("seed").value = "";
    if (this.limited) this.limits.open = true;
    for (const name of CHECKED) this.tryOut(name);
    this.checkNumbers();
    this.show();
  }
}

function setValue(field, value) {
  const before = field.value;
  field.value = value;
  if (!field.checkValidity()) field.value = before;
}

function inWords(name, value) {
  if (name === "temperature") return value === 0 ? "0 · always the likeliest" : value.toFixed(2);
  if (value === NEUTRAL[name]) return "off";
  return name === "top_k" ? String(value) : value.toFixed(2);
}

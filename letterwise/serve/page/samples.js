// Samples: what a run wrote at each validation, so that one can watch it learn to spell.
//
//   rows with a "sample" ──▶ the last one, or with a slider any before it

import { h } from "./elements.js";
import { amount } from "./surprise.js";

const LITTLE = 0.05; // bits per character: what the network adds to counting can hardly be read

export class Samples {
  constructor() {
    this.element = h("div", { class: "look-samples" });
    this.runs = new Map(); // name → what is shown of it
  }

  show(runs) {
    const figures = runs.map((run) => this.figure(run)).filter(Boolean);
    if (figures.length !== this.element.childElementCount || figures.some((figure, i) => figure !== this.element.children[i])) {
      this.element.replaceChildren(...figures);
    }
  }

  figure({ name, rows, counts, baselines }) {
    const samples = rows.filter((row) => typeof row.sample === "string" && row.sample);
    if (!samples.length) return null;
    if (!this.runs.has(name)) this.runs.set(name, made(name));
    const shown = this.runs.get(name), { range } = shown, last = samples.length - 1;
    const follows = range.value === range.max || Number(range.max) > last; // whoever went back to look at one is left there
    range.max = last;
    if (follows) range.value = last;
    range.parentElement.hidden = last === 0;
    range.oninput = () => tell(shown, samples[Number(range.value)], counts && baselines["counting alone"]);
    range.oninput();
    return shown.figure;
  }
}

function made(name) {
  const text = h("pre", {}), when = h("span", { class: "hint" }), range = h("input", { type: "range", min: 0, max: 0, value: 0 });
  const figure = h("figure", { class: "card look-sample" }, h("figcaption", {}, h("b", {}, name), " ", when),
    h("label", { class: "field" }, h("span", { class: "unseen" }, `Which sample of ${name}`), range), text);
  return { figure, text, when, range };
}

// `counting`: bits per character by the counts alone, of a run that has some.
function tell({ text, when, range }, { sample, step, val_nats_per_char: nats }, counting) {
  const after = `after ${amount(step)} ${step === 1 ? "step" : "steps"}`, both = nats / Math.LN2;
  const unlearned = counting ? ": so far this is counting only; the network has not learned yet" : ": it has not learned yet";
  const little = counting && counting - both < LITTLE
    ? `: nearly all of this is counting (${counting.toFixed(3)} bits alone, ${both.toFixed(3)} with the network)` : "";
  when.textContent = `wrote this ${after}${step === 0 ? unlearned : little}`;
  range.setAttribute("aria-valuetext", after);
  const trimmed = sample.replace(/^\n+/, "");
  if (text.textContent !== trimmed) text.textContent = trimmed;
}

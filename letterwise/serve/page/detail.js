// Detail: what the model thought of one character, and what else it had in mind there.

import { h } from "./elements.js";
import { glyph, ordinal } from "./spelling.js";
import { amount, named, percent } from "./surprise.js";

// `fact` is one of Heat's, or null where no character is chosen.
export function showDetail(element, fact) {
  element.classList.toggle("empty", !fact);
  if (!fact) {
    const how = matchMedia("(hover: none)").matches ? "Tap a character." : "Rest on a character, or reach one by the arrow keys.";
    element.replaceChildren(h("p", { class: "hint" }, how));
    return;
  }
  const { character, seen, bits, probability, rank, alternatives, line, copied } = fact, predicted = !Number.isNaN(bits);
  const facts = predicted ? [["probability", percent(probability)], ["surprise", `${bits.toFixed(2)} bits`]] : [];
  if (seen && rank) facts.push(["rank", ordinal(rank)]);
  const parts = [
    h("p", { class: "look-big" }, h("b", {}, glyph(character)), h("span", {}, named(character).length > 2 ? named(character) : "")),
    predicted ? h("dl", {}, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))
      : h("p", { class: "hint" }, "Nothing comes before it, so nothing predicts it."),
    predicted && !seen && h("p", { class: "hint" }, "The model has never seen this character."),
    alternatives.length > 0 && bars(alternatives, character),
    h("p", { class: "hint" }, `Line ${amount(line.number)}: ${line.bits.toFixed(1)} bits over ${amount(line.chars)} `
      + `characters, ${line.bits_per_char.toFixed(2)} each.`),
    copied && h("p", { class: "hint" }, `It stands in a passage of ${amount(copied.length)} characters from the training text.`),
  ];
  element.replaceChildren(...parts.filter(Boolean));
}

// The likeliest characters as bars; the one that came is marked.
export function bars(alternatives, came) {
  return h("ol", { class: "look-bars", "aria-label": "The likeliest characters there" }, ...alternatives.map(([character, chance]) => {
    const bar = h("i", {});
    bar.style.width = `${100 * chance}%`;
    return h("li", { class: character === came ? "came" : "" }, h("b", {}, glyph(character)), bar, h("span", {}, percent(chance)));
  }));
}

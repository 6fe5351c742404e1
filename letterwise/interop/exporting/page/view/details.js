// Details: what the model thought of a character, and what else it had expected there.

"use strict";

// `item` is one of ColouredText's, or null to hide the details.
function showDetails(item) {
  element("details").hidden = !item;
  if (!item) return;
  const step = item.steps[0];
  element("what").textContent = named(item.text);
  element("how").textContent = step ? `${percent(2 ** -item.bits)}, ${item.bits.toFixed(2)} bits` : "given, not predicted";
  const others = (step?.likeliest ?? []).map((id, i) => {
    const li = document.createElement("li"), chance = document.createElement("span");
    li.textContent = named(alphabet.spell(id));
    chance.textContent = percent(step.chances[i]);
    li.classList.toggle("chosen", id === step.id);
    li.style.setProperty("--chance", `${100 * step.chances[i]}%`);
    li.append(chance);
    return li;
  });
  element("others").replaceChildren(...others);
}

function percent(p) {
  if (p >= 0.1) return `${(100 * p).toFixed(0)} %`;
  if (p >= 0.0001) return `${(100 * p).toPrecision(2)} %`;
  return p > 0 ? `1 in ${amount(1 / p)}` : "0 %";
}

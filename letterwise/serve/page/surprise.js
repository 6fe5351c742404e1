// Surprise: how a character's bits become a colour, and how characters are named in a sentence. Shared by all views.
//
//   bits  0 ──────────── 5 ──────────── 10 and more
//        none            s5             s10             classes in style.css
//
// Whatever a model writes gets on the page by `textContent` alone: it is text, and nothing in it can be more.

const HOTTEST = 10; // bits: from here on the colour stays the same

// The class that colours a character of so many bits: "" where it is no surprise, or where nothing is known.
export function level(bits) {
  const step = bits === null || bits === undefined ? 0 : Math.min(HOTTEST, Math.round(bits));
  return step > 0 ? `s${step}` : "";
}

export const bitsOf = (nats) => -nats / Math.LN2;

// Has it no shape of its own, or does it turn the direction of what is around it? Such a character is shown as a sign.
const SHAPELESS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/u;

// Does it belong to the character before it, as an accent, or a part of an emoji?
export const JOINS = /^[\p{Mark}\u200d\p{Emoji_Modifier}]/u;

// A character as it stands in a text, always one code point: NUL is ␀.
export function shown(character) {
  if (!SHAPELESS.test(character)) return character;
  const point = character.codePointAt(0);
  return point < 32 ? String.fromCharCode(0x2400 + point) : point === 127 ? "\u2421" : "\u25a1";
}

const NAMES = { "\n": "line break", " ": "space", "\t": "tab", "\u00a0": "fixed space" };

// A character as it is named in a sentence or a table.
export function named(character) {
  if (NAMES[character]) return NAMES[character];
  if (!SHAPELESS.test(character)) return JOINS.test(character) ? `\u25cc${character}` : character;
  const point = character.codePointAt(0);
  return point < 32 ? shown(character) : `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

export function percent(p) {
  if (p === null || p === undefined) return "–";
  if (p >= 0.0995) return `${(100 * p).toFixed(0)} %`;
  if (p >= 0.0001) return `${(100 * p).toPrecision(2)} %`;
  return p > 0 ? `1 in ${amount(1 / p)}` : "0 %";
}

export const amount = (value) => Math.round(value).toLocaleString("en");

// The scale of colours in plain words.
export function legend() {
  const figure = document.createElement("div"), bar = document.createElement("span");
  figure.className = "scale";
  bar.className = "scale-bar";
  bar.setAttribute("aria-hidden", "true");
  for (let bits = 0; bits <= HOTTEST; bits++) {
    const cell = document.createElement("i");
    cell.className = level(bits);
    cell.textContent = bits % 5 === 0 ? bits : "";
    bar.append(cell);
  }
  const [left, right, words] = ["expected", "surprising", "1 bit is a coin toss, 10 one chance in a thousand"].map((said, i) => {
    const span = document.createElement("span");
    span.textContent = said;
    span.className = i === 2 ? "scale-words" : "";
    return span;
  });
  figure.append(left, bar, right, words);
  return figure;
}

// A new element: `make("p", "hint", "Some words")`.
export function make(tag, className = "", text = "", attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== "") element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

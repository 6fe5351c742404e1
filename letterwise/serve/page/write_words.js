// Words: what the page says of a text and of what the server refused, in the words that stand on the page.

import { amount, JOINS, named } from "./surprise.js";

const MOST_NAMED = 12; // characters
const LABELS = {
  max_tokens: "Characters", charset: "Only these characters", regex: "the regular expression", stop: "Stop at", seed: "Seed",
  must_contain: "It must contain",
  temperature: "Temperature", top_k: "Top-k", top_p: "Top-p", min_p: "Min-p",
};
const FIELD = /\b(max_tokens|charset|regex|must_contain|top_k|top_p|min_p|(?:stop|seed|temperature)(?==))\b(=?)/g;

// What the server would also take, and the page has no box for.
const ELSEWHERE = /,? (?:or use (?:grammar|exclude)|or exclude|and exclude)\b/g;

// A sentence of the server's, with the page's labels in the place of its fields.
export function onThePage(sentence) {
  return sentence.replace(ELSEWHERE, "").replace(FIELD, (_, name, equals) => `“${LABELS[name]}”${equals && " = "}`).replace(/\bprompt\b/g, "text");
}

// A model, in a line.
export function inShort({ kind, characters, bits_per_char: bits, text }) {
  const known = kind === "byte" ? "bytes" : `${amount(Array.from(characters).length)} characters`;
  const good = bits === null ? "" : ` · ${bits.toFixed(2)} bits a character on text it has not seen`;
  return `Learned from ${text?.split(/[\\/]/).at(-1) || "a text"} · knows ${known}${good}`;
}

// Those of some characters that a model has never seen, named in a row; "" where it knows all.
export function unknownTo(facts, characters) {
  if (!facts || facts.kind === "byte") return "";
  const strange = strangeIn(characters, new Set(facts.characters));
  return strange.slice(0, MOST_NAMED).map(named).join("  ") + (strange.length > MOST_NAMED ? " …" : "");
}

// What a server takes that hardly does what somebody meant by some limits; null where there is nothing to say.
export function notAsMeant(fields, facts) {
  const range = rangeIn(fields.charset), strange = unknownTo(facts, charactersIn(fields));
  if (range) return `${range} is three characters here, - among them: write all that you mean.`;
  return strange ? `Not in this model's alphabet, so it will not come: ${strange}` : null;
}

// The characters that some limits name; in a regular expression, those that can only mean themselves.
function charactersIn({ charset = "", regex = "", stop = [], must_contain: needed = [] }) {
  return [charset, regex.replace(/\\.|\{[^}]*\}|[!-/:-@[-`{-~]/gsu, ""), ...stop, ...needed].join("");
}

// Something like a-z, which in a row of characters is no range; "" where there is none.
const rangeIn = (charset = "") => /[a-z]-[a-z]|[A-Z]-[A-Z]|\d-\d/.exec(charset)?.[0] ?? "";

// An emoji of several code points is one.
function strangeIn(characters, known) {
  const found = new Set();
  let together = "";
  for (const character of characters) {
    const strange = !known.has(character);
    if (together && !(strange && (JOINS.test(character) || together.endsWith("\u200d")))) {
      found.add(together);
      together = "";
    }
    if (strange) together += character;
  }
  if (together) found.add(together);
  return [...found];
}

// How much a server reads, once it has refused more; and what to say of a text that is longer.
export const mostIn = (sentence) => Number(/reads ([\d,]+) at most/.exec(sentence)?.[1].replaceAll(",", "") ?? Infinity);

export function tooLong(count, most) {
  return count > most ? `The text has ${amount(count)} characters, and this server reads ${amount(most)} at most: take out ${amount(count - most)}.` : "";
}

export function howMany(count) {
  return count === 0 ? "" : `${amount(count)} character${count === 1 ? "" : "s"}`;
}

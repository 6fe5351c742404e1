// Spelling: characters and figures as they stand alone, in a cell, a label or a heading. (Sentences: see surprise.js.)
//
//   character ──▶ glyph, inText        828935 ──▶ "829 k"        3 ──▶ "3rd"        5025 s ──▶ "1 h 24 min"

import { amount, named, shown } from "./surprise.js";

const SIGNS = { "\n": "↵", " ": "␣", "\t": "⇥", "\u00a0": "⍽" };

export const glyph = (character) => SIGNS[character] ?? named(character);

// A character as it stands in its line: a line break has a sign, a space is a space.
export const inText = (character) => (character === "\n" ? "↵" : shown(character));

// A character in a sentence: letters in quotation marks, so that they are seen to be meant.
export const quoted = (character) => (named(character).length > 2 ? named(character) : `“${named(character)}”`);

export function short(value) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return String(value);
}

export function ordinal(number) {
  const last = number % 10, teen = Math.floor(number / 10) % 10 === 1;
  return `${amount(number)}${teen || last > 3 || last === 0 ? "th" : ["st", "nd", "rd"][last - 1]}`;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

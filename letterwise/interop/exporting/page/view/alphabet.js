// Alphabet: characters and the model's numbers for them, both ways.
//
// A model of characters has one for each code point that its text had. A model of bytes spells a text in UTF-8, and what it
// writes may be no UTF-8: that is shown as U+FFFD.

"use strict";

class Alphabet {
  constructor({ kind, points }) {
    this.bytes = kind === "byte";
    this.points = points;
    this.ids = new Map(points.map((point, id) => [point, id]));
    this.lineBreak = this.bytes ? 10 : this.ids.get(10);
  }

  // A text as a list of { text, ids }, a character each; one that the model has never seen has no ids.
  encode(text) {
    const utf8 = new TextEncoder();
    return Array.from(text, (character) => {
      const id = this.ids.get(character.codePointAt(0));
      return { text: character, ids: this.bytes ? [...utf8.encode(character)] : id === undefined ? [] : [id] };
    });
  }

  // What one number stands for.
  spell(id) {
    if (!this.bytes) return String.fromCodePoint(this.points[id]);
    return id < 128 ? String.fromCharCode(id) : `byte ${id.toString(16)}`;
  }

  // Turns numbers into text as they come: "" where the bytes so far are not yet a whole character.
  decoder() {
    if (!this.bytes) return (id) => this.spell(id);
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return (id) => utf8.decode(Uint8Array.of(id), { stream: true });
  }
}

// Has it no shape of its own, or does it turn the direction of what is around it? Controls, lone surrogates, marks of
// direction. Such a character is shown as a sign.
const SHAPELESS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/u;

// Does it belong to the character before it, as an accent, or a part of an emoji?
const JOINS = /^[\p{Mark}\u200d\p{Emoji_Modifier}]/u;

function sign(text) {
  const point = text.codePointAt(0);
  return point < 32 ? String.fromCharCode(0x2400 + point) : `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

// A character as it is named in a sentence.
function named(text) {
  const names = { "\n": "line break", " ": "space", "\t": "tab", "\u00a0": "fixed space" };
  return names[text] ?? (SHAPELESS.test(text) ? sign(text) : JOINS.test(text) ? `\u25cc${text}` : text);
}

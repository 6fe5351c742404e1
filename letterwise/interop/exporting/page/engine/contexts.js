// Contexts: what counting knows beside n-grams: what follows words, characters some way back, places in lines, long repeats.
//
//     the last ids ──keys──▶ a number for each kind of context ──▶ its row in that kind's table, or none
//     p(c | context) = weight of c in the context's row + back-off of the row · p(c | the longest n-grams)
//
// A key is a hash of 32 bits, so all arithmetic is that of whole numbers of 32 bits: Math.imul multiplies them, and `>>> 0`
// takes the result as unsigned. letterwise/ngrams/contexts has the same in Python, and says what each kind sees.

"use strict";

const CONTEXT_KINDS = ["word", "word_before", "apart", "wide_apart", "column", "above", "long", "longer"];
const CONTEXT_REACH = 128; // characters that a context sees
const LONG = 10, LONGER = 16; // characters of the last two kinds
const STEP = 0x9e3779b1, FACTOR = 0x85ebca6b; // of a rolling hash, and of what scatters its bits

class Contexts {
  // `codes` and `letters`: what contexts see of each id, 0 for nothing. `breaks`: the id of a line break, and that of one before
  // which nothing counts, each plus 1. `tables`: keys and counts of each kind.
  constructor({ codes, letters, breaks }, tables) {
    Object.assign(this, { codes, letters, lineBreak: breaks[0] - 1, fresh: breaks[1] - 1 });
    this.tables = tables.map((table) => ({ keys: table.keys, ...smooth(table) }));
    this.history = new Int32Array(CONTEXT_REACH); // the last ids; NOWHERE before the first
    this.begin();
  }

  // Begin anew.
  begin() {
    this.history.fill(NOWHERE);
  }

  // One more character.
  extend(id) {
    if (id === this.fresh) this.begin();
    this.history.copyWithin(0, 1);
    this.history[CONTEXT_REACH - 1] = id;
  }

  // What follows, by each kind, into the first rows of `probabilities` (K, V) and `escapes` (K); n-grams say `longest` (V).
  read(longest, probabilities, escapes) {
    const size = longest.length;
    this.keys().forEach((key, kind) => {
      const { keys, starts, characters, weights, backoff } = this.tables[kind];
      const p = probabilities.subarray(kind * size, (kind + 1) * size), row = rowOf(keys, key >>> 0);
      const left = row === NOWHERE ? 1 : backoff[row];
      escapes[kind] = left;
      for (let c = 0; c < size; c++) p[c] = left * longest[c];
      if (row === NOWHERE) return;
      for (let e = starts[row]; e < starts[row + 1]; e++) p[characters[e]] += weights[e];
    });
  }

  // The key of each kind's context.
  keys() {
    const end = CONTEXT_REACH, back = (far) => this.seen(this.codes, end - far);
    const inWord = this.seen(this.letters, end - 1) !== 0;
    const [word, begins] = inWord ? this.wordBefore(end) : [0, end];
    const [before, itsStart] = this.wordBefore(begins);
    const [oneMore] = this.wordBefore(itsStart);
    const [column, above] = this.place();
    let far = 0, long = 0;
    for (let distance = 1; distance <= LONGER; distance++) {
      far = Math.imul(far + back(distance), STEP);
      if (distance === LONG) long = far;
    }
    const parts = [
      [word, before],
      [word, oneMore],
      [back(2), back(3), back(4), back(5)],
      [back(1), back(3), back(4), back(5)],
      [column, back(1), back(2)],
      [above, back(1)],
      [long],
      [far],
    ];
    return parts.map((numbers, kind) => numbers.reduce(scattered, kind + 1));
  }

  // What `codes` or `letters` have for the id at a place of the history; 0 for none.
  seen(codes, place) {
    return place < 0 || this.history[place] < 0 ? 0 : codes[this.history[place]];
  }

  // Hash of the last word that ends before a place, and where it starts; 0 and 0 for none.
  wordBefore(place) {
    let end = place - 1, hashed = 0;
    while (end >= 0 && !this.seen(this.letters, end)) end--;
    let start = end;
    while (start >= 0 && this.seen(this.letters, start)) start--;
    for (let i = start + 1; i <= end; i++) hashed = Math.imul(hashed + this.seen(this.letters, i), STEP);
    return [hashed, start + 1];
  }

  // How far into its line the text is, and the character above, in the line before; CONTEXT_REACH and 0 where none is seen.
  place() {
    const line = this.breakBefore(CONTEXT_REACH);
    if (line < 0) return [CONTEXT_REACH, 0];
    const column = CONTEXT_REACH - 1 - line, earlier = this.breakBefore(line), there = earlier + 1 + column;
    return [column, earlier >= 0 && there <= line ? this.seen(this.codes, there) : 0];
  }

  // The last line break before a place; -1 for none.
  breakBefore(place) {
    do place--;
    while (place >= 0 && (this.history[place] < 0 || this.history[place] !== this.lineBreak));
    return place;
  }
}

// A key, with one more number in it.
function scattered(mixed, value) {
  mixed = Math.imul(mixed ^ value, FACTOR);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, STEP);
  return mixed ^ (mixed >>> 13);
}

// The row of a key among ascending ones, by binary search.
function rowOf(keys, key) {
  let low = 0, high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low < keys.length && keys[low] === key ? low : NOWHERE;
}

// Counts: what n-grams of the training text say comes next, looked up one character at a time.
//
//     p(c | context) = weight of c in the context's row + back-off of the row · p(c | the context without its first character)
//     p(c | nothing) = weight of c + back-off · 1/V
//
// Level j has a row for every run of j characters that occurred, and in a row an entry for each character that followed.
// Entry e of level j is row e of level j + 1. The page holds only what was counted; weights and back-offs follow from it by
// interpolated modified Kneser–Ney smoothing (Chen & Goodman 1998). letterwise/ngrams has the same in Python.

"use strict";

const NOWHERE = -1; // a context that the text never had
const KINDS_WEIGHT = 0.5; // of n in t / (t + n/2)
const FALLBACK = [0.5, 1, 1.5]; // discounts where the text is too small to estimate them

// One level of one text: its distributions over rows. `starts[r]` … `starts[r + 1]` are the entries of row r.
// `few`: how many entries were counted 1, 2, 3, 4 times, where some of them are not among the counts any more.
function smooth({ lengths, characters, counts, few = fewOf(counts) }) {
  const rows = lengths.length, discounts = discountsOf(few);
  const starts = new Uint32Array(rows + 1), weights = new Float32Array(characters.length);
  const backoff = new Float32Array(rows), totals = new Float32Array(rows), kinds = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    const first = starts[row], end = first + lengths[row];
    starts[row + 1] = end;
    let total = 0, taken = 0;
    for (let e = first; e < end; e++) {
      total += counts[e];
      taken += discounts[Math.min(counts[e], 3)];
    }
    totals[row] = total;
    backoff[row] = total ? taken / total : 1;
    for (let e = first; e < end; e++) {
      const left = Math.fround(Math.fround(counts[e]) - discounts[Math.min(counts[e], 3)]);
      weights[e] = counts[e] ? left / Math.fround(Math.max(total, 1)) : 0;
      if (weights[e] > 0) kinds[row]++;
    }
  }
  return { starts, characters, weights, backoff, totals, kinds };
}

// What is taken off a count of 0, 1, 2, 3 or more, from how many n-grams were counted 1, 2, 3, 4 times (equation 26 there).
function discountsOf(few) {
  const n = [0, ...few];
  const y = n[1] / (n[1] + 2 * n[2]);
  const enough = n[1] && n[2] && n[3] && n[4];
  const estimated = [1, 2, 3].map((i) => i - (i + 1) * y * n[i + 1] / n[i]);
  return Float32Array.of(0, ...estimated.map((discount, i) => (enough && discount > 0 ? discount : FALLBACK[i])));
}

function fewOf(counts) {
  const n = [0, 0, 0, 0, 0, 0];
  for (const count of counts) n[Math.min(count, 5)]++;
  return n.slice(1, 5);
}

class Counts {
  // `texts`: the levels of each text that was learned, the first one first. `contexts`: what was counted beside n-grams, or
  // null. `orders`: how many predictions are wanted, each apart: of all kinds of contexts, then of the longest n-grams.
  constructor(texts, contexts, vocabSize, orders) {
    this.texts = texts.map((levels) => levels.map(smooth));
    this.contexts = contexts;
    this.order = texts[0].length;
    this.reach = Math.max(contexts ? CONTEXT_REACH : 0, this.order - 1); // characters that are looked at
    this.vocabSize = vocabSize;
    this.orders = orders;
    this.states = this.texts.map(() => new Int32Array(this.order)); // of each text, the row of the last 0, 1, 2, … characters
    this.probabilities = new Float32Array(orders * vocabSize);
    this.escapes = new Float32Array(orders); // how much each order left to shorter n-grams
    this.begin([]);
  }

  // Begin anew, after these characters.
  begin(before) {
    for (const state of this.states) state.fill(NOWHERE, 1);
    this.contexts?.begin();
    for (const id of before.slice(Math.max(0, before.length - this.reach))) this.extend(id);
  }

  // One more character: every context grows by it, and is looked up one level further.
  extend(id) {
    this.states.forEach((state, text) => {
      for (let j = this.order - 2; j >= 0; j--) {
        state[j + 1] = state[j] === NOWHERE ? NOWHERE : find(this.texts[text][j], state[j], id);
      }
    });
    this.contexts?.extend(id);
  }

  // One more character, and what follows: `probabilities` (orders, V) and `escapes` (orders).
  read(id) {
    this.extend(id);
    const size = this.vocabSize, first = this.order - this.orders;
    let p = this.probabilities.subarray(0, size).fill(1 / size);
    for (let j = 0; j < this.order; j++) {
      const k = j - first;
      if (k > 0) { // the next order goes on from the one below
        const next = this.probabilities.subarray(k * size, (k + 1) * size);
        next.set(p);
        p = next;
      }
      const backoff = this.interpolate(j, p);
      if (k >= 0) this.escapes[k] = backoff;
    }
    this.contexts?.read(p, this.probabilities, this.escapes); // into the rows before those of n-grams
  }

  // p, of shorter contexts, becomes that of this level. Returns its back-off.
  //
  // A model that was fine-tuned has counts of several texts. In each context the newer text has a share of what is predicted,
  // t / (t + n/2) after t characters of n kinds, and those before it have the rest (letterwise/ngrams/adapt.py).
  interpolate(j, p) {
    const found = []; // [level, row, share] of each text
    let backoff = 1, seen = 0;
    this.states.forEach((state, text) => {
      const level = this.texts[text][j], row = state[j];
      if (row === NOWHERE || !level.totals[row]) return;
      const total = level.totals[row];
      const share = seen ? total / Math.max(total + KINDS_WEIGHT * level.kinds[row], 1) : 1;
      for (const part of found) part[2] *= 1 - share;
      found.push([level, row, share]);
      backoff = share * level.backoff[row] + (1 - share) * backoff;
      seen += total;
    });
    if (found.length === 0) return 1;
    backoff = Math.fround(backoff);
    for (let c = 0; c < p.length; c++) p[c] *= backoff;
    for (const [level, row, share] of found) {
      for (let e = level.starts[row]; e < level.starts[row + 1]; e++) p[level.characters[e]] += share * level.weights[e];
    }
    return backoff;
  }
}

// The entry of a character in a row, by binary search.
function find(level, row, id) {
  let low = level.starts[row], high = level.starts[row + 1];
  const end = high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (level.characters[middle] < id) low = middle + 1;
    else high = middle;
  }
  return low < end && level.characters[low] === id ? low : NOWHERE;
}

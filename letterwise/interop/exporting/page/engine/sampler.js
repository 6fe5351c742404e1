// Sampler: from scores to a character. Filters and their order are those of letterwise/inference/sampling/filters.py.
//
//     logits (V) ──÷ temperature──▶ top-k ▶ top-p ▶ min-p ──draw──▶ id
//
// A filter removes a character by setting its score to -∞. Ties at a border are kept.

"use strict";

// Probabilities of scores.
function probabilitiesOf(logits) {
  const p = Float64Array.from(logits);
  softmax(p, p.length, 1);
  return p;
}

function keepFrom(threshold, values, logits) {
  return logits.map((score, c) => (values[c] >= threshold ? score : -Infinity));
}

// The k likeliest (Fan et al. 2018).
function topK(logits, k) {
  if (k >= logits.length) return logits;
  return keepFrom(Float32Array.from(logits).sort()[logits.length - k], logits, logits);
}

// The likeliest that together hold a probability of p: the nucleus (Holtzman et al. 2020).
function topP(logits, p) {
  const probabilities = probabilitiesOf(logits), ascending = Float64Array.from(probabilities).sort();
  let total = 0, threshold = ascending[ascending.length - 1];
  for (let i = ascending.length - 1; i >= 0 && total < p; i--) {
    threshold = ascending[i];
    total += threshold;
  }
  return keepFrom(threshold, probabilities, logits);
}

// Those at least p times as likely as the likeliest (Nguyen et al. 2024).
function minP(logits, p) {
  return keepFrom(Math.fround(logits[argmax(logits)] + Math.log(p)), logits, logits);
}

// Scores after temperature and filters.
function filtered(logits, { temperature, top_k, top_p, min_p }) {
  const top = logits[argmax(logits)]; // subtracted first: a low temperature must not make it infinite
  let kept = logits.map((score) => Math.fround(score - top) / temperature);
  if (top_k) kept = topK(kept, top_k);
  if (top_p < 1) kept = topP(kept, top_p);
  if (min_p > 0) kept = minP(kept, min_p);
  return kept;
}

// The character with the largest score, the first of equals.
function argmax(logits) {
  let best = 0;
  for (let c = 1; c < logits.length; c++) if (logits[c] > logits[best]) best = c;
  return best;
}

// The character at `uniform` (0 ≤ u < 1) of the cumulative distribution.
function draw(logits, uniform) {
  const p = probabilitiesOf(logits);
  let total = 0, last = 0;
  for (let c = 0; c < p.length; c++) {
    if (p[c] === 0) continue;
    last = c;
    total += p[c];
    if (total > uniform) return c;
  }
  return last; // the total may round down to a little below 1
}

function choose(logits, options, random) {
  return options.greedy ? argmax(logits) : draw(filtered(logits, options), random());
}

// The n likeliest characters, the likeliest first.
function likeliest(p, n) {
  const found = [];
  for (let c = 0; c < p.length; c++) {
    if (found.length === n && p[c] <= p[found[n - 1]]) continue;
    let place = found.length;
    while (place > 0 && p[found[place - 1]] < p[c]) place--;
    found.splice(place, 0, c);
    found.length = Math.min(found.length, n);
  }
  return found;
}

// Uniform numbers in [0, 1) that depend on the seed alone: xoshiro128** (Blackman & Vigna 2018), its state filled from the
// seed by a Weyl sequence through a 32-bit mixer. They are not those of `letterwise generate --rng_seed`.
function generator(seed) {
  const mixed = (n) => {
    n = Math.imul(n ^ (n >>> 16), 0x21f0aaad);
    n = Math.imul(n ^ (n >>> 15), 0x735a2d97);
    return n ^ (n >>> 15);
  };
  const rotated = (n, by) => (n << by) | (n >>> (32 - by));
  const s = [1, 2, 3, 4].map((i) => mixed((seed + Math.imul(i, 0x9e3779b9)) | 0) | 0);
  const next = () => {
    const result = Math.imul(rotated(Math.imul(s[1], 5), 7), 9) >>> 0, shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotated(s[3], 11);
    return result;
  };
  return () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992; // 53 bits
}

// Unpack: the numbers inside the page become arrays.
//
//     base64 ──▶ deflated bytes ──▶ bytes ──▶ arrays by name        letterwise/interop/exporting/page/pack.py is the other way
//
// Each array is stored in planes: the lowest byte of all its numbers, then the second byte of all, … Where numbers are small
// or alike, whole planes are nearly constant, which deflates to nothing.

"use strict";

async function unpack(base64, listed) {
  const inflated = new Blob([decoded(base64)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(inflated).arrayBuffer());
  const arrays = {};
  let at = 0;
  for (const { name, kind, size } of listed) {
    const { make, width } = KINDS[kind], whole = new Uint8Array(width * size);
    for (let plane = 0; plane < width; plane++) {
      for (let i = 0; i < size; i++) whole[width * i + plane] = bytes[at++];
    }
    arrays[name] = make(whole.buffer);
  }
  return withScales(arrays);
}

function decoded(base64) {
  const letters = atob(base64.trim()), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

const KINDS = {
  uint8: { width: 1, make: (buffer) => new Uint8Array(buffer) },
  uint16: { width: 2, make: (buffer) => new Uint16Array(buffer) },
  uint32: { width: 4, make: (buffer) => new Uint32Array(buffer) },
  int8: { width: 1, make: (buffer) => new Int8Array(buffer) },
  float16: { width: 2, make: (buffer) => numbers(new Uint16Array(buffer), float16) },
  float32: { width: 4, make: (buffer) => new Float32Array(buffer) },
};

function numbers(stored, value) {
  const found = new Float32Array(stored.length);
  for (let i = 0; i < stored.length; i++) found[i] = value(stored[i], i);
  return found;
}

// A number of 16 bits: 1 for the sign, 5 for the exponent, 10 behind the point.
function float16(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : (fraction / 1024) * 2 ** -14);
}

// Weights in whole numbers of 8 bits are multiples of their row's scale.
function withScales(arrays) {
  for (const name of Object.keys(arrays)) {
    const scales = arrays[`${name}.scales`];
    if (!scales) continue;
    const columns = arrays[name].length / scales.length;
    arrays[name] = numbers(arrays[name], (step, i) => step * scales[Math.floor(i / columns)]);
  }
  return arrays;
}

// The model that a page describes, ready to read.
async function buildWindows(page, base64, options) {
  const arrays = await unpack(base64, page.arrays);
  const transformer = new Transformer(page.config, page.vocab_size, arrays, options);
  return new Windows(transformer, page.config.orders ? buildCounts(page, arrays) : null, page.line_break);
}

function buildCounts({ config, texts, vocab_size: vocabSize }, arrays) {
  const parts = (of, names) => Object.fromEntries(names.map((name) => [name, arrays[`counts.${of}.${name}`]]));
  const entries = ["lengths", "characters", "counts"];
  const levels = Array.from({ length: texts }, (_, text) =>
    Array.from({ length: config.counts_order }, (_, j) => parts(`${text}.${j}`, entries)),
  );
  let contexts = null;
  if (config.counts_contexts) {
    const tables = CONTEXT_KINDS.map((kind) => parts(`contexts.${kind}`, ["keys", ...entries, "few"]));
    contexts = new Contexts(parts("contexts", ["codes", "letters", "breaks"]), tables);
  }
  return new Counts(levels, contexts, vocabSize, config.orders);
}

// Transformer: one character in, a score for every character that may follow out.
//
//     id ──embed──▶ x ──block──▶ x ──block──▶ … ──norm──▶ h ──head──▶ logits
//
// x, the residual stream, is a vector of `n_embd` numbers. Each block adds two things to it: what attention found in the
// characters before, and what the feed-forward makes of that. The keys and values of all characters of the window are
// kept, so that a further character costs one pass over the weights, and no more.

"use strict";

class Transformer {
  // `weights`: arrays by name, as letterwise/config/accounting.py lists them; `options` go to Memory.
  constructor(config, vocabSize, weights, options) {
    this.config = config;
    this.vocabSize = vocabSize;
    this.weights = weights;
    const memory = (this.memory = new Memory(memorySize(config, vocabSize), options));

    const width = config.n_embd, outputs = vocabSize + config.orders;
    this.tokens = weights["tokens.weight"];
    this.positions = new (brick("positions", config.positions))(config, weights);
    this.normalize = brick("norm", config.norm);
    this.order = brick("norm_order", config.norm_order);
    this.head = filled(memory, weights[config.tied ? "tokens.weight" : "head.weight"], vocabSize, width);
    if (config.orders) {
      this.readPrior = filled(memory, weights["prior.read.weight"], width, outputs);
      this.gates = filled(memory, weights["prior.gates.weight"], config.orders, width);
      this.expected = memory.vector(outputs);
      this.gate = memory.vector(config.orders);
    }
    this.x = memory.vector(width);
    this.h = memory.vector(width); // x, normalized
    this.change = memory.vector(width); // what is added to x
    this.scores = memory.vector(vocabSize);
    this.scratch = scratch(config, memory);
    this.blocks = [];
    for (let n = 0; n < config.n_layer; n++) this.blocks.push(new Block(this, `blocks.${n}`));
  }

  // Read a character at a position of the window; those before it were read. `counts` have read it, too.
  read(id, position, counts) {
    const { config, x } = this, width = config.n_embd;
    for (let i = 0; i < width; i++) x[i] = this.tokens[id * width + i];
    this.positions.embed(x, position);
    if (config.orders) this.expect(counts);
    if (config.embed_norm) this.normalize(x, width, x);
    for (const block of this.blocks) block.read(position);
  }

  // What counting expects, and how surely, as a vector beside the character's own.
  expect({ probabilities, escapes }) {
    const size = this.vocabSize;
    this.expected.set(probabilities.subarray(probabilities.length - size));
    this.expected.set(escapes, size);
    this.memory.multiply(this.readPrior, this.expected, this.change);
    add(this.x, this.change);
  }

  // A score for each character that may follow what was read: its probability is softmax(logits).
  //     logits = softcap(head · h) + Σ gate · ln p over all predictions p of counts
  logits(counts) {
    const { config, vocabSize, scores } = this, logits = new Float32Array(vocabSize);
    if (this.order.after) this.h.set(this.x);
    else this.norm("norm", this.x, this.h);
    this.memory.multiply(this.head, this.h, scores);
    for (let c = 0; c < vocabSize; c++) {
      logits[c] = config.softcap ? config.softcap * Math.tanh(scores[c] / config.softcap) : scores[c];
    }
    if (config.orders) {
      this.memory.multiply(this.gates, this.h, this.gate);
      for (let k = 0; k < config.orders; k++) {
        const gate = this.gate[k] + this.weights["prior.gates.bias"][k], p = counts.probabilities;
        for (let c = 0; c < vocabSize; c++) logits[c] += gate * Math.log(p[k * vocabSize + c]);
      }
    }
    return logits;
  }

  // y = x normalized · gain + bias: the normalization of that name.
  norm(name, x, y) {
    const gain = this.weights[`${name}.weight`], bias = this.weights[`${name}.bias`], width = this.config.n_embd;
    this.normalize(x, width, y);
    for (let i = 0; i < width; i++) y[i] = y[i] * gain[i] + (bias ? bias[i] : 0);
  }
}

// A block: attention, then feed-forward, each added to the residual stream.
class Block {
  constructor(transformer, name) {
    const { config, memory, weights } = transformer;
    const { n_embd: width, n_head: heads, n_kv_head: kvHeads, hidden, block_size: size } = config;
    Object.assign(this, { transformer, name, heads, kvHeads, hidden, dim: width / heads });
    const matrix = (part, rows, columns) => filled(memory, weights[`${name}.${part}.weight`], rows, columns);
    this.qkv = matrix("attention.qkv", (heads + 2 * kvHeads) * this.dim, width);
    this.out = matrix("attention.out", width, width);
    this.up = matrix("feedforward.up", config.gated ? 2 * hidden : hidden, width);
    this.down = matrix("feedforward.down", width, hidden);
    this.activate = brick("activation", config.activation);
    this.keys = Array.from({ length: kvHeads }, () => memory.matrix(size, this.dim));
    this.values = Array.from({ length: kvHeads }, () => memory.matrix(this.dim, size)); // transposed: see `attend`
  }

  // The residual stream goes through this block.
  read(position) {
    this.component("attention_norm", (h) => this.attention(h, position));
    this.component("feedforward_norm", (h) => this.feedforward(h));
  }

  // x + component(norm(x)), or norm(x + component(x))
  component(norm, compute) {
    const { transformer: t, name } = this;
    if (t.order.before) t.norm(`${name}.${norm}`, t.x, t.h);
    else t.h.set(t.x);
    compute(t.h);
    add(t.x, t.change);
    if (t.order.after) t.norm(`${name}.${norm}`, t.x, t.x);
  }

  linear(part, matrix, x, y) {
    this.transformer.memory.multiply(matrix, x, y);
    const bias = this.transformer.weights[`${this.name}.${part}.bias`];
    if (bias) add(y, bias);
  }

  // Each head asks with a query which earlier characters matter to it, by their keys, and takes up a mixture of their values.
  attention(h, position) {
    const { heads, kvHeads, dim, transformer } = this, { qkv, heads: mixtures, mixture } = transformer.scratch;
    this.linear("attention.qkv", this.qkv, h, qkv);
    for (let head = 0; head < heads + kvHeads; head++) { // all queries, then all keys
      const vector = qkv.subarray(head * dim, (head + 1) * dim);
      if (transformer.config.qk_norm) transformer.normalize(vector, dim, vector);
      transformer.positions.turn(vector, position);
    }
    for (let head = 0; head < kvHeads; head++) {
      const key = (heads + head) * dim, value = (heads + kvHeads + head) * dim;
      const keys = this.keys[head], values = this.values[head];
      for (let d = 0; d < dim; d++) keys.values[position * keys.step + d] = qkv[key + d];
      for (let d = 0; d < dim; d++) values.values[d * values.step + position] = qkv[value + d];
    }
    for (let head = 0; head < heads; head++) { // heads / kvHeads of them share keys and values
      const shared = Math.floor(head / (heads / kvHeads));
      this.attend(qkv.subarray(head * dim, (head + 1) * dim), this.keys[shared], this.values[shared], position + 1);
      mixtures.set(mixture.subarray(0, dim), head * dim);
    }
    this.linear("attention.out", this.out, mixtures, transformer.change);
  }

  // softmax(K q / √D), then V times that: two products with the matrices of what was read so far. The result is `mixture`.
  attend(q, keys, values, seen) {
    const { memory, scratch } = this.transformer, { query, attention, mixture } = scratch;
    query.set(q);
    memory.multiply(keys, query, attention, seen);
    softmax(attention, seen, 1 / Math.sqrt(this.dim));
    attention.fill(0, seen);
    memory.multiply(values, attention, mixture, this.dim, seen);
  }

  feedforward(h) {
    const { up, hidden } = this.transformer.scratch;
    this.linear("feedforward.up", this.up, h, up);
    this.activate(up, this.hidden, hidden);
    this.linear("feedforward.down", this.down, hidden, this.transformer.change);
  }
}

// What blocks compute on the way, one after another.
function scratch(config, memory) {
  const { n_embd: width, n_head: heads, n_kv_head: kvHeads, hidden, block_size: size } = config, dim = width / heads;
  return {
    qkv: memory.vector((heads + 2 * kvHeads) * dim),
    query: memory.vector(dim),
    attention: memory.vector(size),
    mixture: memory.vector(dim),
    heads: memory.vector(width),
    up: memory.vector(config.gated ? 2 * hidden : hidden),
    hidden: memory.vector(hidden),
  };
}

// The first `size` numbers of x, times `scale`, as probabilities.
function softmax(x, size, scale) {
  let top = x[0], total = 0;
  for (let i = 1; i < size; i++) top = Math.max(top, x[i]);
  for (let i = 0; i < size; i++) total += x[i] = Math.exp((x[i] - top) * scale);
  for (let i = 0; i < size; i++) x[i] /= total;
}

function add(x, y) {
  for (let i = 0; i < y.length; i++) x[i] += y[i];
}

// A matrix with these numbers in it.
function filled(memory, numbers, rows, columns) {
  const matrix = memory.matrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    matrix.values.set(numbers.subarray(row * columns, (row + 1) * columns), row * matrix.step);
  }
  return matrix;
}

// How many numbers a transformer keeps in its Memory: matrices, keys and values, and what is computed.
function memorySize(config, vocabSize) {
  const { n_embd: width, n_head: heads, n_kv_head: kvHeads, hidden, block_size: size, n_layer: layers, orders } = config;
  const dim = width / heads, qkv = (heads + 2 * kvHeads) * dim, up = config.gated ? 2 * hidden : hidden, s = Memory.size;
  const block = s(qkv, width) + s(width, width) + s(up, width) + s(width, hidden) + kvHeads * (s(size, dim) + s(dim, size));
  const ends = s(vocabSize, width) + s(width, vocabSize + orders) + s(orders, width);
  return layers * block + ends + 4 * (8 * width + 2 * vocabSize + 2 * orders + qkv + 2 * dim + size + up + hidden + 64);
}

// Bricks: the exchangeable parts, each by the name that a model's configuration has for it.
//
// Formulas and names are those of letterwise/model. One character's vectors at a time: x is an array of numbers.

"use strict";

// The brick of that name; a page must not compute something else than its model.
function brick(kind, name) {
  const found = Object.hasOwn(BRICKS[kind], name) ? BRICKS[kind][name] : undefined;
  if (!found) throw new Error(`this page has no ${kind} "${name}"`);
  return found;
}

const EPSILON = 1e-5;

// Normalization: x to the same length for every character, into y.
//     layer   (x - mean) / deviation        rms   x / root-mean-square
function normalizeLayer(x, size, y) {
  let mean = 0, variance = 0;
  for (let i = 0; i < size; i++) mean += x[i];
  mean /= size;
  for (let i = 0; i < size; i++) variance += (x[i] - mean) ** 2;
  const scale = 1 / Math.sqrt(variance / size + EPSILON);
  for (let i = 0; i < size; i++) y[i] = (x[i] - mean) * scale;
}

function normalizeRms(x, size, y) {
  let square = 0;
  for (let i = 0; i < size; i++) square += x[i] * x[i];
  const scale = 1 / Math.sqrt(square / size + EPSILON);
  for (let i = 0; i < size; i++) y[i] = x[i] * scale;
}

// Positions. Learned ones are a table whose rows are added to the embedding. Rotary ones turn each pair (x[i], x[i + D/2]) of
// a query or a key by an angle that grows with the position, so that q·k depends on how far apart the two are.
class LearnedPositions {
  constructor(config, weights) {
    this.table = weights["positions.table"];
    this.width = config.n_embd;
  }

  embed(x, position) {
    for (let i = 0; i < this.width; i++) x[i] += this.table[position * this.width + i];
  }

  turn() {}
}

class RotaryPositions {
  constructor(config) {
    const dim = config.n_embd / config.n_head;
    this.half = config.n_layer ? dim / 2 : 0; // a model without layers compares nothing
    this.cos = new Float32Array(config.block_size * this.half);
    this.sin = new Float32Array(config.block_size * this.half);
    for (let position = 0; position < config.block_size; position++) {
      for (let i = 0; i < this.half; i++) {
        const angle = position * config.rotary_base ** (-2 * i / dim);
        this.cos[position * this.half + i] = Math.cos(angle);
        this.sin[position * this.half + i] = Math.sin(angle);
      }
    }
  }

  embed() {}

  turn(x, position) {
    const row = position * this.half;
    for (let i = 0; i < this.half; i++) {
      const left = x[i], right = x[i + this.half], cos = this.cos[row + i], sin = this.sin[row + i];
      x[i] = left * cos - right * sin;
      x[i + this.half] = right * cos + left * sin;
    }
  }
}

// Activations: from what the feed-forward's first layer gives, x, to what its second takes, y, `size` numbers.
function relu(x, size, y) {
  for (let i = 0; i < size; i++) y[i] = Math.max(x[i], 0);
}

function reluSquared(x, size, y) {
  for (let i = 0; i < size; i++) y[i] = Math.max(x[i], 0) ** 2;
}

// x·Φ(x), Φ being the normal distribution: in the tanh form of GPT-2 …
function gelu(x, size, y) {
  for (let i = 0; i < size; i++) {
    const v = x[i];
    y[i] = 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
  }
}

// … and as it is defined
function geluErf(x, size, y) {
  for (let i = 0; i < size; i++) y[i] = x[i] * normalBelow(x[i]);
}

// One half of x gates the other: silu(a)·b
function swiglu(x, size, y) {
  for (let i = 0; i < size; i++) y[i] = (x[i] / (1 + Math.exp(-x[i]))) * x[size + i];
}

// Φ(x) = (1 + erf(x/√2)) / 2, the share of a normal distribution that lies below x.
function normalBelow(x) {
  return x < 0 ? normalAbove(-x) : 1 - normalAbove(x);
}

// 1 - Φ(x) for x ≥ 0. Near 0 by the series  Φ(x) - 1/2 = φ(x) · (x + x³/3 + x⁵/15 + x⁷/105 + …), which has no differences in it;
// further out, where it would take too many terms, by the continued fraction  φ(x) / (x + 1/(x + 2/(x + 3/(x + …)))).
function normalAbove(x) {
  const density = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  if (x < 3) {
    let term = x, sum = x;
    for (let n = 3; term > 1e-12 * sum; n += 2) {
      term *= x * x / n;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = x;
  for (let n = 40; n > 0; n--) fraction = x + n / fraction;
  return density / fraction;
}

// Where the normalization goes: after each addition (post), or before each component, and then once more at the end (pre).
const BRICKS = {
  positions: { learned: LearnedPositions, rotary: RotaryPositions },
  norm: { layer: normalizeLayer, rms: normalizeRms },
  norm_order: { post: { before: false, after: true }, pre: { before: true, after: false } },
  activation: { relu: relu, gelu: gelu, gelu_erf: geluErf, relu_squared: reluSquared, swiglu: swiglu },
};

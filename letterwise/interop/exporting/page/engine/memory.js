// Memory: one stretch of float32 numbers, and the one operation that nearly all time goes into.
//
//     y = W x        W (rows, columns), row after row      y[i] = W[i][0] * x[0] + W[i][1] * x[1] + …
//
// Every vector and matrix of the model lies in this stretch, so that a few instructions of WebAssembly (simd.js) can reach
// them. Sizes are rounded up to whole fours and filled with zeros: then no loop has a rest to care for, and 0 · anything
// adds nothing.

"use strict";

const padded = (size) => (size + 3) & ~3;

class Memory {
  // Room for so many numbers. `simd: false` uses the loop below, as does a browser that has no SIMD.
  constructor(size, { simd = true } = {}) {
    this.next = 0;
    const bytes = 4 * (size + 4);
    try {
      if (!simd) throw new Error("not wanted");
      const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
      this.compiled = compileMultiply(memory);
      this.buffer = memory.buffer;
    } catch {
      this.compiled = null;
      this.buffer = new ArrayBuffer(bytes);
    }
  }

  // A vector of `size` numbers, all 0, with room for a whole number of fours.
  vector(size) {
    const taken = new Float32Array(this.buffer, 4 * this.next, padded(size));
    this.next += taken.length;
    return taken;
  }

  // A matrix of zeros. `step` is how far its rows lie apart.
  matrix(rows, columns) {
    const step = padded(columns);
    return { values: this.vector(padded(rows) * step), rows, columns, step };
  }

  // y = W x, of the first `rows` rows and `columns` columns. What stands behind them in x must be 0.
  multiply(w, x, y, rows = w.rows, columns = w.columns) {
    if (this.compiled) {
      this.compiled(w.values.byteOffset, x.byteOffset, y.byteOffset, rows, columns, 4 * w.step);
    } else {
      multiply(w.values, x, y, rows, padded(columns), w.step);
    }
  }

  // How many numbers a matrix of this shape takes.
  static size(rows, columns = 1) {
    return padded(rows) * padded(columns);
  }
}

// Four rows at once: each number of x is fetched once for all of them, and four sums grow side by side.
function multiply(w, x, y, rows, columns, step) {
  for (let i = 0; i < rows; i += 4) {
    const first = i * step;
    let a = 0, b = 0, c = 0, d = 0;
    for (let j = 0, k = first; j < columns; j++, k++) {
      const v = x[j];
      a += w[k] * v;
      b += w[k + step] * v;
      c += w[k + 2 * step] * v;
      d += w[k + 3 * step] * v;
    }
    y[i] = a;
    y[i + 1] = b;
    y[i + 2] = c;
    y[i + 3] = d;
  }
}

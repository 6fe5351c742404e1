"""Kernel: characters through the transformer on a CPU, compiled by numba. The formulas are those of letterwise/model.

    R rows, each (which text, its place there, the character) ──▶ x (R, C) ──layers──▶ logits (R, V)

A row appends its keys and values to its own text's cache, and attends to what that text holds up to there. So one function
reads a prompt (rows of one text, one place after another), writes many texts side by side (rows of many texts), and writes
one (one row). Whatever the company and the number of threads, a row's numbers are added up in the same order: the same bits.

Why it stands beside the model: one character at a time, PyTorch pays more for calling than for computing (docs/log.md). The
model is its oracle in tests/inference.
"""

import math
import os

import numpy as np

from letterwise.inference.weights import LINE, cut, unfold

# How long a thread waits awake for more to do. The default burns a processor for milliseconds after each product.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
from numba import njit, prange

EPSILON = np.float32(1e-5)
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
POWERS = np.exp2(np.arange(-126, 128)).astype(np.float32)  # 2^n at n + 126
DEEPEST, HIGHEST = np.float32(-87.0), np.float32(88.0)  # exp of less is 0 in float32, of more infinity

exact = njit(nogil=True, cache=True, fastmath={"contract"})
swift = njit(nogil=True, cache=True, fastmath=True)  # sums may be taken in any order, but always the same


@swift
def dot(a, b):
    """Σ a·b of two vectors of one length."""
    total = np.float32(0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@exact
def exp(x):
    """e^x within 2 units in the last place, in steps that a compiler can do for many numbers at once (Cephes' expf)."""
    x = min(max(x, DEEPEST), HIGHEST)
    n = np.floor(x * LOG2_E + np.float32(0.5))
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    return (p * r * r + r + np.float32(1)) * POWERS[np.uint32(n + np.float32(126))]


@exact
def tanh(x):
    """The hyperbolic tangent, by way of `exp`."""
    return np.float32(1) - np.float32(2) / (exp(np.float32(2) * x) + np.float32(1))


@swift
def normalize(x, rms, y):
    """y = x at unit length: by deviation from the mean, or by root mean square."""
    mean = np.float32(0)
    if not rms:
        for i in range(x.size):
            mean += x[i]
        mean /= np.float32(x.size)
    power = np.float32(0)
    for i in range(x.size):
        power += (x[i] - mean) * (x[i] - mean)
    scale = np.float32(1) / np.sqrt(power / np.float32(x.size) + EPSILON)
    for i in range(x.size):
        y[i] = (x[i] - mean) * scale


@exact
def norm(x, gain, shift, rms, y):
    """y = x normalized, stretched and shifted."""
    normalize(x, rms, y)
    for i in range(x.size):
        y[i] = y[i] * gain[i] + shift[i]


@swift
def linear(matrix, x, y, first, last):
    """y[r, j] = matrix[j] · x[r], for all rows of x, and outputs j from `first` to `last`. A matrix row is fetched once."""
    for j in range(first, last):
        row = matrix[j]
        for r in range(x.shape[0]):
            y[r, j] = dot(row, x[r])


@njit(nogil=True, cache=True, parallel=True)
def linear_by_threads(matrix, x, y, threads):
    """The same, each thread taking its share of the outputs."""
    outputs = matrix.shape[0]
    for t in prange(threads):
        linear(matrix, x, y, outputs * t // threads, outputs * (t + 1) // threads)


@exact
def project(matrix, x, y, threads):
    """y = x · matrixᵀ, with as many threads as it pays for."""
    if threads > 1:
        linear_by_threads(matrix, x, y, threads)
    else:
        linear(matrix, x, y, 0, matrix.shape[0])


@exact
def rotate(x, cos, sin):
    """Turn each pair (x[i], x[i + D/2]) in place (model/positions.py)."""
    half = cos.size
    for i in range(half):
        left, right = x[i], x[i + half]
        x[i] = left * cos[i] - right * sin[i]
        x[i + half] = right * cos[i] + left * sin[i]


@swift
def attend(q, keys, values, seen, shares, y):
    """y (D,) = softmax(q·kᵀ / √D) · v over the first `seen` places.

    `keys` (D·block_size,) lie on their side, a row per dimension; `values` (block_size·D,) have a row per place.
    """
    dim, size = q.size, keys.size // q.size
    told = shares[:seen]
    told[:] = np.float32(0)
    for d in range(dim):
        turned, key = q[d], keys[d * size : d * size + seen]
        for t in range(seen):
            told[t] += turned * key[t]
    peak = told[0]
    for t in range(seen):
        peak = max(peak, told[t])
    scale, total = np.float32(1) / np.sqrt(np.float32(dim)), np.float32(0)
    for t in range(seen):
        told[t] = exp((told[t] - peak) * scale)
    for t in range(seen):
        total += told[t]
    y[:] = np.float32(0)
    for t in range(seen):
        share, value = told[t] / total, values[t * dim : (t + 1) * dim]
        for d in range(dim):
            y[d] += share * value[d]


@exact
def attention(bricks, held, rows, queries, shares, mixed, first, last):
    """What rows `first` to `last` read from their texts, whose keys and values are all `held`: into `mixed` (R, C)."""
    dim, group = bricks.head_dim, bricks.heads // bricks.kv_heads
    for r in range(first, last):
        mine = held[rows[r, 0]]
        for h in range(bricks.heads):
            begin, end = h * dim, (h + 1) * dim
            attend(
                queries[r, begin:end], mine[0, h // group], mine[1, h // group], rows[r, 1] + 1, shares[r], mixed[r, begin:end]
            )


@njit(nogil=True, cache=True, parallel=True)
def attention_by_threads(bricks, held, rows, queries, shares, mixed, threads):
    """The same for all rows, each thread taking its share of them."""
    count = len(rows)
    for t in prange(threads):
        attention(bricks, held, rows, queries, shares, mixed, count * t // threads, count * (t + 1) // threads)


@exact
def remember(bricks, turns, held, rows, projected):
    """Normalize and turn queries and keys, in place, and append each row's keys and values to its text's."""
    dim, heads, kv_heads, size = bricks.head_dim, bricks.heads, bricks.kv_heads, bricks.block_size
    for r in range(len(rows)):
        place, mine, row = rows[r, 1], held[rows[r, 0]], projected[r]
        for h in range(heads + kv_heads):
            part = row[h * dim : (h + 1) * dim]
            if bricks.qk_norm:
                normalize(part, bricks.rms, part)
            if bricks.rotary:
                rotate(part, turns[0, place], turns[1, place])
        for h in range(kv_heads):
            k, v = row[(heads + h) * dim :], row[(heads + kv_heads + h) * dim :]
            keys, values = mine[0, h], mine[1, h]
            for d in range(dim):
                keys[d * size + place] = k[d]
                values[place * dim + d] = v[d]


@exact
def activate(activation, x, y):
    """What `up` gave (U,) becomes what `down` takes (F,). Numbers as in `weights.ACTIVATIONS`."""
    zero, one = np.float32(0), np.float32(1)
    hidden = y.size
    if activation == 0:
        for i in range(hidden):
            y[i] = max(x[i], zero)
    elif activation == 1:
        for i in range(hidden):
            v = x[i]
            bent = tanh(np.float32(math.sqrt(2 / math.pi)) * (v + np.float32(0.044715) * v * v * v))
            y[i] = np.float32(0.5) * v * (one + bent)
    elif activation == 2:
        for i in range(hidden):
            v = max(x[i], zero)
            y[i] = v * v
    else:
        gates, values = x[:hidden], x[hidden:]
        for i in range(hidden):
            y[i] = gates[i] / (one + exp(-gates[i])) * values[i]


@exact
def add(x, y, bias):
    """x += y + bias, for all rows."""
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            x[r, i] += y[r, i] + bias[i]


@exact
def shift(x, bias):
    """x += bias, for all rows."""
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            x[r, i] += bias[i]


@exact
def enter(bricks, x, gain, shift, y):
    """What a component takes of the stream x, into y: normalized, or as it is where normalization comes after (post-norm)."""
    for r in range(x.shape[0]):
        if bricks.post:
            y[r] = x[r]
        else:
            norm(x[r], gain, shift, bricks.rms, y[r])


@exact
def leave(bricks, x, gain, shift):
    """Normalize the stream, in place, after a component was added to it: only in post-norm."""
    if bricks.post:
        for r in range(x.shape[0]):
            norm(x[r], gain, shift, bricks.rms, x[r])


@exact
def embed(bricks, weights, rows, prior, x):
    """The characters' vectors, with their places and what counts expect of them, into `x` (R, C)."""
    vocab_size = weights.tokens.shape[0]
    for r in range(len(rows)):
        row, vector = x[r], weights.tokens[rows[r, 2]]
        for i in range(row.size):
            row[i] = vector[i]
        if not bricks.rotary:
            place = weights.places[rows[r, 1]]
            for i in range(row.size):
                row[i] += place[i]
        for k in range(bricks.orders):
            escape, share = weights.told[vocab_size + k], exp(prior[r, k, vocab_size])
            for i in range(row.size):
                row[i] += share * escape[i]
        if bricks.orders:
            expected = prior[r, bricks.orders - 1]
            for c in range(vocab_size):
                likely, share = weights.told[c], exp(expected[c])
                for i in range(row.size):
                    row[i] += share * likely[i]
        if bricks.embed_norm:
            normalize(row, bricks.rms, row)


@exact
def score(bricks, weights, h, prior, logits):
    """What follows (V,), from the blocks' last word `h` (C,) and what counts say (K, V+1)."""
    for c in range(logits.size):
        logits[c] = dot(weights.head[c], h)
    if bricks.softcap:
        cap = np.float32(bricks.softcap)
        for c in range(logits.size):
            logits[c] = cap * tanh(logits[c] / cap)
    for k in range(bricks.orders):
        gate, told = dot(weights.gates[k], h) + weights.gates_bias[k], prior[k]
        for c in range(logits.size):
            logits[c] += gate * told[c]


@exact
def forward(bricks, numbers, memory, scratch, rows, prior, wanted, logits, threads):
    """Read R `rows` (R, 3): text, place, id. For those `wanted` (W,), `logits[text]` (texts, V) is then what follows.

    Rows of one text stand in the order of their places, which follow on what `memory` (L, texts, 2, kv_heads, block_size·D)
    holds of it. `numbers` are the weights; `prior` (R, K, V+1) is what counts say after each row; `scratch` has
    `scratch_size` numbers.
    """
    weights, count = unfold(bricks, numbers), len(rows)
    x, rest = cut(scratch, 1, count, bricks.wide)
    y, rest = cut(rest, 1, count, bricks.wide)
    mixed, rest = cut(rest, 1, count, bricks.wide)
    projected, rest = cut(rest, 1, count, weights.qkv.shape[1])
    grown, rest = cut(rest, 1, count, weights.up.shape[1])
    inner, rest = cut(rest, 1, count, bricks.hidden)
    shares, rest = cut(rest, 1, count, bricks.block_size)
    x, y, mixed, projected, grown, inner, shares = x[0], y[0], mixed[0], projected[0], grown[0], inner[0], shares[0]
    embed(bricks, weights, rows, prior, x)
    for layer in range(bricks.layers):
        vectors, held = weights.vectors[layer], memory[layer]
        enter(bricks, x, vectors[0], vectors[1], y)
        project(weights.qkv[layer], y, projected, threads)
        shift(projected, weights.qkv_bias[layer])
        remember(bricks, weights.turns, held, rows, projected)
        if threads > 1:
            attention_by_threads(bricks, held, rows, projected, shares, mixed, threads)
        else:
            attention(bricks, held, rows, projected, shares, mixed, 0, count)
        project(weights.out[layer], mixed, y, threads)
        add(x, y, vectors[4])
        leave(bricks, x, vectors[0], vectors[1])
        enter(bricks, x, vectors[2], vectors[3], y)
        project(weights.up[layer], y, grown, threads)
        shift(grown, weights.up_bias[layer])
        for r in range(count):
            activate(bricks.activation, grown[r], inner[r])
        project(weights.down[layer], inner, y, threads)
        add(x, y, vectors[5])
        leave(bricks, x, vectors[2], vectors[3])
    for r in wanted:
        if bricks.post:
            y[0] = x[r]
        else:
            norm(x[r], weights.norm[0], weights.norm[1], bricks.rms, y[0])
        score(bricks, weights, y[0], prior[r], logits[rows[r, 0]])


def scratch_size(bricks, rows):
    """How much room so many rows take on their way through `forward`."""
    projections, grown = (bricks.heads + 2 * bricks.kv_heads) * bricks.head_dim, 2 * bricks.hidden
    widths = (bricks.wide, bricks.wide, bricks.wide, projections, grown, bricks.hidden, bricks.block_size)
    return sum(rows * width + LINE for width in widths)

"""Kernel: characters through the transformer on a CPU, compiled by numba. The formulas are those of letterwise/model.

    R rows, each (which text, its place there, the character) ──▶ x (R, C) ──layers──▶ logits (R, V) ──draw──▶ R characters

A row appends its keys and values to its own text's cache, and attends to what that text holds up to there. So one function
reads a prompt (rows of one text, one place after another), writes many texts side by side (rows of many texts), and writes
one (one row). Whatever the company and the number of threads, a row's numbers are added up in the same order: the same bits.
So they are on every processor (arithmetic.py).

Threads go through all of it together (threads.py). Each takes its share of a product's outputs, of the heads, of the rows to
draw for; what costs less than waiting for each other, all do for themselves: the stream x is every thread's own. Where there
are several texts for each thread and the weights are small, each writes some texts alone.

Why it stands beside the model: one character at a time, PyTorch pays more for calling than for computing (docs/log.md). The
model is its oracle in tests/inference.
"""

import math
from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import exact, exp, normalize, tanh
from letterwise.inference.cpu.layout import GELU, RELU, RELU_SQUARED, SWIGLU, cut, grown, projections
from letterwise.inference.cpu.matmul import LANES, blend, compare, padded, project, strip_place, tile_place
from letterwise.inference.cpu.threads import meet
from letterwise.ngrams.reader import read_on


@exact
def norm(x, gain, shift, rms, y):
    """y = x normalized, stretched and shifted."""
    normalize(x, rms, y)
    for i in range(x.size):
        y[i] = y[i] * gain[i] + shift[i]


@exact
def rotate(x, cos, sin):
    """Turn each pair (x[i], x[i + D/2]) in place (model/positions.py)."""
    half = cos.size
    for i in range(half):
        left, right = x[i], x[i + half]
        x[i] = left * cos[i] - right * sin[i]
        x[i + half] = right * cos[i] + left * sin[i]


@exact
def attend(q, keys, values, seen, shares, mixture, y):
    """y (D,) = softmax(q·kᵀ / √D) · v over the first `seen` places of `keys` and `values` (block_size, D).

    Keys lie in tiles, values in strips. `shares` and `mixture` are room for as many places and numbers, padded.
    """
    compare(keys, q, seen, shares)
    peak = shares[0]
    for t in range(seen):
        peak = max(peak, shares[t])
    scale, total = np.float32(1) / np.sqrt(np.float32(q.size)), np.float32(0)
    for t in range(seen):
        shares[t] = exp((shares[t] - peak) * scale)
    for t in range(seen):
        total += shares[t]
    for t in range(seen, padded(seen)):
        shares[t] = np.float32(0)
    blend(values, shares, seen, mixture)
    for d in range(q.size):
        y[d] = mixture[d] / total


@exact
def aim(bricks, turns, place, bias, x):
    """A query or a key (D,) as it is compared, in place: with its bias, normalized and turned as the model has it."""
    for d in range(x.size):
        x[d] += bias[d]
    if bricks.qk_norm:
        normalize(x, bricks.rms, x)
    if bricks.rotary:
        rotate(x, turns[0, place], turns[1, place])


@exact
def remember(bricks, weights, bias, held, rows, projected, first, last):
    """Append the keys and values of key/value heads `first` to `last` of each row to its text's."""
    dim, heads, kv_heads, size = bricks.head_dim, bricks.heads, bricks.kv_heads, bricks.block_size
    for r in range(len(rows)):
        place, mine, row = rows[r, 1], held[rows[r, 0]], projected[r]
        for h in range(first, last):
            begin, other = (heads + h) * dim, (heads + kv_heads + h) * dim
            k, v, v_bias = row[begin : begin + dim], row[other : other + dim], bias[other : other + dim]
            aim(bricks, weights.turns, place, bias[begin : begin + dim], k)
            keys, values = mine[0, h], mine[1, h]
            for d in range(dim):
                keys[tile_place(place, d, padded(dim))] = k[d]
                values[strip_place(place, d, padded(size))] = v[d] + v_bias[d]


@exact
def attention(bricks, weights, layer, held, rows, room, thread, threads):
    """What rows read from their texts, whose keys and values are all `held`: `projected` into `mixed`. A share of the heads.

    Threads share the key/value heads, with all heads that read them.
    """
    dim, group, bias = bricks.head_dim, bricks.heads // bricks.kv_heads, weights.qkv_bias[layer]
    first, last = bricks.kv_heads * thread // threads, bricks.kv_heads * (thread + 1) // threads
    remember(bricks, weights, bias, held, rows, room.projected, first, last)
    for r in range(len(rows)):
        mine, place, row, read = held[rows[r, 0]], rows[r, 1], room.projected[r], room.mixed[r]
        for h in range(first * group, last * group):
            q, y = row[h * dim : (h + 1) * dim], read[h * dim : (h + 1) * dim]
            aim(bricks, weights.turns, place, bias[h * dim : (h + 1) * dim], q)
            attend(q, mine[0, h // group], mine[1, h // group], place + 1, room.shares, room.mixture, y)


@exact
def activate(activation, x, bias, y):
    """What `up` gave (U,), with its bias, becomes what `down` takes (F,). Numbers as in layout.py; of another, NaN."""
    zero, one = np.float32(0), np.float32(1)
    hidden = y.size
    if activation == RELU:
        for i in range(hidden):
            y[i] = max(x[i] + bias[i], zero)
    elif activation == GELU:
        for i in range(hidden):
            v = x[i] + bias[i]
            bent = tanh(np.float32(math.sqrt(2 / math.pi)) * (v + np.float32(0.044715) * v * v * v))
            y[i] = np.float32(0.5) * v * (one + bent)
    elif activation == RELU_SQUARED:
        for i in range(hidden):
            v = max(x[i] + bias[i], zero)
            y[i] = v * v
    elif activation == SWIGLU:
        for i in range(hidden):
            v = x[i] + bias[i]
            y[i] = v / (one + exp(-v)) * (x[hidden + i] + bias[hidden + i])
    else:
        for i in range(hidden):
            y[i] = np.nan


@exact
def enter(bricks, x, gain, shift, count, y):
    """What a component takes of the stream x, into y: normalized, or as it is where normalization comes after (post-norm)."""
    for r in range(count):
        if bricks.post:
            for i in range(bricks.wide):
                y[r, i] = x[r, i]
        else:
            norm(x[r, : bricks.wide], gain, shift, bricks.rms, y[r])


@exact
def leave(bricks, x, y, bias, gain, shift, count):
    """x += y + bias, the stream with what a component says; in post-norm it is normalized then."""
    for r in range(count):
        row, said = x[r, : bricks.wide], y[r]
        for i in range(row.size):
            row[i] += said[i] + bias[i]
        if bricks.post:
            norm(row, gain, shift, bricks.rms, row)


class Room(NamedTuple):
    """Where numbers stand on their way, for M rows at most; widths are padded. The first six are a thread's own, always."""

    x: np.ndarray  # (M, C): the stream
    y: np.ndarray  # (M, C): what a component takes of it
    inner: np.ndarray  # (M, F)
    shares: np.ndarray  # (block_size,)
    mixture: np.ndarray  # (D,)
    scores: np.ndarray  # (V,)
    told: np.ndarray  # (M, V + K): probabilities that counts give, and their escapes
    projected: np.ndarray  # (M, P)
    mixed: np.ndarray  # (M, C)
    said: np.ndarray  # (M, C): what a component says
    grown: np.ndarray  # (M, U)
    scored: np.ndarray  # (M, V + K): the head's scores, and the gates


@exact
def room_of(bricks, own, common, most):
    """The `Room` for so many rows in two stretches of `scratch_size`: a thread's `own`, and what those together share."""
    wide = padded(bricks.wide)
    x, own = cut(own, 1, most, wide)
    y, own = cut(own, 1, most, wide)
    inner, own = cut(own, 1, most, padded(bricks.hidden))
    shares, own = cut(own, 1, 1, padded(bricks.block_size))
    mixture, own = cut(own, 1, 1, padded(bricks.head_dim))
    scores, own = cut(own, 1, 1, bricks.vocab_size)
    told, common = cut(common, 1, most, padded(bricks.vocab_size + bricks.orders))
    projected, common = cut(common, 1, most, padded(projections(bricks)))
    mixed, common = cut(common, 1, most, wide)
    said, common = cut(common, 1, most, wide)
    up, common = cut(common, 1, most, padded(grown(bricks)))
    scored, common = cut(common, 1, most, padded(bricks.vocab_size + bricks.orders))
    return Room(
        x[0], y[0], inner[0], shares[0, 0], mixture[0, 0], scores[0, 0], told[0], projected[0], mixed[0], said[0], up[0],
        scored[0],
    )  # fmt: skip


def scratch_size(bricks, most):
    """How many numbers a stretch of scratch has for so many rows: the larger of both kinds."""
    wide, scores = padded(bricks.wide), padded(bricks.vocab_size + bricks.orders)
    own = most * (2 * wide + padded(bricks.hidden)) + padded(bricks.block_size) + wide + scores + 5 * LANES
    common = most * (2 * scores + padded(projections(bricks)) + 2 * wide + padded(grown(bricks))) + 6 * LANES
    return padded(max(own, common))


@exact
def count_on(bricks, tables, states, rows, prior, told, thread, threads):
    """What counts say after each row: logarithms into `prior` (R, K, V+1), what the model is told into `told`. Some texts'."""
    vocab_size, orders = bricks.vocab_size, bricks.orders
    for r in range(len(rows)):
        if rows[r, 0] % threads == thread:
            read_on(tables, states[rows[r, 0]], rows[r, 2], prior[r])
            likely, row = prior[r, orders - 1], told[r]
            for c in range(vocab_size):
                row[c] = exp(likely[c])
            for k in range(orders):
                row[vocab_size + k] = exp(prior[r, k, vocab_size])


@exact
def embed(bricks, weights, rows, said, x):
    """The characters' vectors, with their places and what counts expect of them, into `x` (R, C)."""
    for r in range(len(rows)):
        row, vector = x[r, : bricks.wide], weights.tokens[rows[r, 2]]
        for i in range(row.size):
            row[i] = vector[i]
        if not bricks.rotary:
            place = weights.places[rows[r, 1]]
            for i in range(row.size):
                row[i] += place[i]
        if bricks.orders:
            expected = said[r]
            for i in range(row.size):
                row[i] += expected[i]
        if bricks.embed_norm:
            normalize(row, bricks.rms, row)


@exact
def score(bricks, weights, scored, prior, logits):
    """What follows (V,), from what the head and the gates say of a row, and what counts say (K, V+1)."""
    for c in range(logits.size):
        logits[c] = scored[c]
    if bricks.softcap:
        cap = np.float32(bricks.softcap)
        for c in range(logits.size):
            logits[c] = cap * tanh(logits[c] / cap)
    for k in range(bricks.orders):
        gate, told = scored[logits.size + k] + weights.gates_bias[k], prior[k]
        for c in range(logits.size):
            logits[c] += gate * told[c]


@exact
def forward(bricks, weights, memory, room, tables, states, rows, prior, wanted, logits, gate, thread, threads):
    """Read R `rows` (R, 3): text, place, id. For those `wanted` (W,), `logits[text]` (texts, V) is then what follows.

    Rows of one text stand in the order of their places, which follow on what `memory` (L, texts, 2, kv_heads, a head's
    keys or values) holds of it, and its `states` (texts, order) in the counts' `tables`. `prior` (M, K, V+1) is room for what
    counts say.
    """
    count, x, y = len(rows), room.x, room.y
    if bricks.orders:
        count_on(bricks, tables, states, rows, prior, room.told, thread, threads)
        meet(gate, thread, threads)
        project(weights.told, room.told, count, room.said, thread, threads)
        meet(gate, thread, threads)
    embed(bricks, weights, rows, room.said, x)
    for layer in range(bricks.layers):
        vectors, held = weights.vectors[layer], memory[layer]
        enter(bricks, x, vectors[0], vectors[1], count, y)
        project(weights.qkv[layer], y, count, room.projected, thread, threads)
        meet(gate, thread, threads)
        attention(bricks, weights, layer, held, rows, room, thread, threads)
        meet(gate, thread, threads)
        project(weights.out[layer], room.mixed, count, room.said, thread, threads)
        meet(gate, thread, threads)
        leave(bricks, x, room.said, vectors[4], vectors[0], vectors[1], count)
        enter(bricks, x, vectors[2], vectors[3], count, y)
        project(weights.up[layer], y, count, room.grown, thread, threads)
        meet(gate, thread, threads)
        for r in range(count):
            activate(bricks.activation, room.grown[r], weights.up_bias[layer], room.inner[r, : bricks.hidden])
        project(weights.down[layer], room.inner, count, room.said, thread, threads)
        meet(gate, thread, threads)
        leave(bricks, x, room.said, vectors[5], vectors[2], vectors[3], count)
    for i in range(len(wanted)):
        row, end = x[wanted[i], : bricks.wide], y[i]
        if bricks.post:
            for j in range(row.size):
                end[j] = row[j]
        else:
            norm(row, weights.norm[0], weights.norm[1], bricks.rms, end)
    project(weights.head, y, len(wanted), room.scored, thread, threads)
    meet(gate, thread, threads)
    for i in range(thread, len(wanted), threads):
        r = wanted[i]
        score(bricks, weights, room.scored[i], prior[r], logits[rows[r, 0]])
    meet(gate, thread, threads)

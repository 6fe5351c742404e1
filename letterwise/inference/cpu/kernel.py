"""Kernel: characters through the transformer on a CPU, compiled by numba. The formulas are those of letterwise/model.

    N tokens, each (row, position, id) ──▶ x (N, C) ──layers──▶ logits (N, V)

A token appends its keys and values to the KV cache of its row, and attends to what is there up to its position. So one function
reads a prompt (tokens of one row, one position after another), writes many texts side by side (tokens of many rows), and writes
one text (one token). Whatever the batch and the number of threads, a token's numbers are added up in the same order: the same
bits. So they are on every processor (arithmetic.py).

All threads run all of it (threads.py). Each takes its share of a product's outputs, of the heads and of the rows to draw for.
What costs less than a barrier, every thread does for itself: each has its own residual stream x.

Why it stands beside the model: one character at a time, PyTorch pays more for calling than for computing (docs/log.md). The
model is its oracle in tests/inference.
"""

import math
from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import exact, exp, normal_cdf, normalize, tanh
from letterwise.inference.cpu.layout import (
    GELU,
    GELU_ERF,
    RELU,
    RELU_SQUARED,
    SWIGLU,
    KernelConfig,
    Weights,
    qkv_size,
    take,
    up_size,
)
from letterwise.inference.cpu.matmul import LANES, dot_keys, matmul, padded, strip_offset, tile_offset, weighted_sum
from letterwise.inference.cpu.threads import barrier
from letterwise.ngrams.reader import Tables, read_on


class KernelModel(NamedTuple):
    """A model as the kernel reads it."""

    config: KernelConfig
    weights: Weights
    tables: Tables  # of the n-gram counts


class CacheArrays(NamedTuple):
    """What is kept of the texts in some rows."""

    kv: np.ndarray  # (L, rows, 2, kv_heads, numbers of a head): keys in tiles, values in strips
    ngrams: np.ndarray  # (rows, order): where each text is in the counts


class Batch(NamedTuple):
    """Tokens to read. Those of one row stand in the order of their positions, and follow on what its cache holds."""

    tokens: np.ndarray  # (N, 3): row, position, id
    wanted: np.ndarray  # (W,): the tokens whose logits are wanted
    prior: np.ndarray  # (M, K, V+1): room for the counts' log-probabilities, M ≥ N
    logits: np.ndarray  # (rows, V): of what follows each wanted token, in its row


class Scratch(NamedTuple):
    """Room for intermediate results of M tokens; widths are padded. The first five always belong to one thread."""

    x: np.ndarray  # (M, C): the residual stream
    normed: np.ndarray  # (M, C): a component's input
    hidden: np.ndarray  # (M, F): the activations
    attention_weights: np.ndarray  # (block_size,)
    mixture: np.ndarray  # (D,): values, each times its attention weight
    prior: np.ndarray  # (M, V + K): the counts' probabilities, and those of their back-off
    qkv: np.ndarray  # (M, P): queries, keys and values
    heads: np.ndarray  # (M, C): the heads' outputs
    output: np.ndarray  # (M, C): a component's output
    up: np.ndarray  # (M, U)
    head: np.ndarray  # (M, V + K): the head's logits, and the prior's gates


@exact
def norm(x, gain, shift, rms, y):
    """y = x normalized, scaled and shifted."""
    normalize(x, rms, y)
    for i in range(x.size):
        y[i] = y[i] * gain[i] + shift[i]


@exact
def rotate(x, cos, sin):
    """Rotate each pair (x[i], x[i + D/2]) in place (model/positions.py)."""
    half = cos.size
    for i in range(half):
        left, right = x[i], x[i + half]
        x[i] = left * cos[i] - right * sin[i]
        x[i + half] = right * cos[i] + left * sin[i]


@exact
def attend(q, keys, values, seen, weights, mixture, y):
    """y (D,) = softmax(q·kᵀ / √D) · v over the first `seen` positions of `keys` and `values` (block_size, D).

    Keys lie in tiles, values in strips. `weights` and `mixture` are room for as many positions and numbers, padded.
    """
    dot_keys(keys, q, seen, weights)
    peak = weights[0]
    for t in range(seen):
        peak = max(peak, weights[t])
    scale, total = np.float32(1) / np.sqrt(np.float32(q.size)), np.float32(0)
    for t in range(seen):
        weights[t] = exp((weights[t] - peak) * scale)
    for t in range(seen):
        total += weights[t]
    for t in range(seen, padded(seen)):
        weights[t] = np.float32(0)
    weighted_sum(values, weights, seen, mixture)
    for d in range(q.size):
        y[d] = mixture[d] / total


@exact
def prepare_qk(config, rotations, position, bias, x):
    """A query or a key (D,) as it is compared, in place: its bias added, normalized and rotated as the model has it."""
    for d in range(x.size):
        x[d] += bias[d]
    if config.qk_norm:
        normalize(x, config.rms_norm, x)
    if config.rotary:
        rotate(x, rotations[0, position], rotations[1, position])


@exact
def append_kv(config, weights, layer, kv, tokens, qkv, first, last):
    """Append the keys and values of key/value heads `first` to `last` of each token to its row's."""
    dim, heads, kv_heads, size = config.head_dim, config.heads, config.kv_heads, config.block_size
    bias = weights.qkv_bias[layer]
    for n in range(len(tokens)):
        position, cache, row = tokens[n, 1], kv[tokens[n, 0]], qkv[n]
        for h in range(first, last):
            begin, other = (heads + h) * dim, (heads + kv_heads + h) * dim
            k, v, v_bias = row[begin : begin + dim], row[other : other + dim], bias[other : other + dim]
            prepare_qk(config, weights.rotations, position, bias[begin : begin + dim], k)
            keys, values = cache[0, h], cache[1, h]
            for d in range(dim):
                keys[tile_offset(position, d, padded(dim))] = k[d]
                values[strip_offset(position, d, padded(size))] = v[d] + v_bias[d]


@exact
def attention(config, weights, layer, kv, tokens, scratch, thread):
    """Attention of each token to its row's keys and values: `qkv` to `heads`. This thread's share of the key/value heads."""
    dim, group, bias = config.head_dim, config.heads // config.kv_heads, weights.qkv_bias[layer]
    first = config.kv_heads * thread.rank // thread.threads
    last = config.kv_heads * (thread.rank + 1) // thread.threads
    append_kv(config, weights, layer, kv, tokens, scratch.qkv, first, last)
    for n in range(len(tokens)):
        cache, position, row, heads = kv[tokens[n, 0]], tokens[n, 1], scratch.qkv[n], scratch.heads[n]
        for h in range(first * group, last * group):
            q, y = row[h * dim : (h + 1) * dim], heads[h * dim : (h + 1) * dim]
            prepare_qk(config, weights.rotations, position, bias[h * dim : (h + 1) * dim], q)
            attend(q, cache[0, h // group], cache[1, h // group], position + 1, scratch.attention_weights, scratch.mixture, y)


@exact
def activate(activation, x, bias, y):
    """What `up` gave (U,), with its bias, becomes the input of `down` (F,). Activations as in layout.py; of another, NaN."""
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
    elif activation == GELU_ERF:
        for i in range(hidden):
            v = x[i] + bias[i]
            y[i] = v * normal_cdf(v)
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
def pre_norm(config, x, gain, shift, count, y):
    """The input y of a component: the residual stream x, normalized (pre-norm) or as it is (post-norm)."""
    for n in range(count):
        if config.post_norm:
            for i in range(config.width):
                y[n, i] = x[n, i]
        else:
            norm(x[n, : config.width], gain, shift, config.rms_norm, y[n])


@exact
def residual_add(config, x, y, bias, gain, shift, count):
    """x += y + bias: the residual stream and a component's output; in post-norm it is normalized then."""
    for n in range(count):
        row, output = x[n, : config.width], y[n]
        for i in range(row.size):
            row[i] += output[i] + bias[i]
        if config.post_norm:
            norm(row, gain, shift, config.rms_norm, row)


@exact
def scratch_of(config, own, shared, count):
    """The `Scratch` for so many tokens in two stretches of `scratch_size`: a thread's `own`, and what its threads share."""
    width = padded(config.width)
    x, own = take(own, 1, count, width)
    normed, own = take(own, 1, count, width)
    hidden, own = take(own, 1, count, padded(config.hidden))
    attention, own = take(own, 1, 1, padded(config.block_size))
    mixture, own = take(own, 1, 1, padded(config.head_dim))
    prior, shared = take(shared, 1, count, padded(config.vocab_size + config.orders))
    qkv, shared = take(shared, 1, count, padded(qkv_size(config)))
    heads, shared = take(shared, 1, count, width)
    output, shared = take(shared, 1, count, width)
    up, shared = take(shared, 1, count, padded(up_size(config)))
    head, shared = take(shared, 1, count, padded(config.vocab_size + config.orders))
    return Scratch(
        x[0], normed[0], hidden[0], attention[0, 0], mixture[0, 0], prior[0], qkv[0], heads[0], output[0], up[0],
        head[0],
    )  # fmt: skip


def scratch_size(config, count):
    """How many numbers a stretch of scratch has for so many tokens: the larger of both kinds."""
    width, scores = padded(config.width), padded(config.vocab_size + config.orders)
    own = count * (2 * width + padded(config.hidden)) + padded(config.block_size) + width + 4 * LANES
    shared = count * (2 * scores + padded(qkv_size(config)) + 2 * width + padded(up_size(config))) + 6 * LANES
    return padded(max(own, shared))


@exact
def prior_input(log_probs, probs):
    """What the model sees of counts' log-probabilities (K, V+1): p of the longest n-grams, and all back-offs, (V + K)."""
    orders, vocab_size = log_probs.shape[0], log_probs.shape[1] - 1
    longest = log_probs[orders - 1]
    for c in range(vocab_size):
        probs[c] = exp(longest[c])
    for k in range(orders):
        probs[vocab_size + k] = exp(log_probs[k, vocab_size])


@exact
def read_prior(model, cache, batch, probs, thread):
    """What counts say after each token: log-probabilities into the batch's `prior`, probabilities into `probs`. Some rows'."""
    tokens = batch.tokens
    for n in range(len(tokens)):
        if tokens[n, 0] % thread.threads == thread.rank:
            read_on(model.tables, cache.ngrams[tokens[n, 0]], tokens[n, 2], batch.prior[n])
            prior_input(batch.prior[n], probs[n])


@exact
def embed(config, weights, tokens, prior, x):
    """The tokens' embeddings, with those of their positions and of what counts say, into `x` (N, C)."""
    for n in range(len(tokens)):
        row, vector = x[n, : config.width], weights.tokens[tokens[n, 2]]
        for i in range(row.size):
            row[i] = vector[i]
        if not config.rotary:
            position = weights.positions[tokens[n, 1]]
            for i in range(row.size):
                row[i] += position[i]
        if config.orders:
            expected = prior[n]
            for i in range(row.size):
                row[i] += expected[i]
        if config.embed_norm:
            normalize(row, config.rms_norm, row)


@exact
def add_prior(config, gates_bias, head, prior, logits):
    """Logits (V,) from a token's output of the head, soft-capped, and the counts' log-probabilities (K, V+1), gated."""
    for c in range(logits.size):
        logits[c] = head[c]
    if config.softcap:
        cap = np.float32(config.softcap)
        for c in range(logits.size):
            logits[c] = cap * tanh(logits[c] / cap)
    for k in range(config.orders):
        gate, log_probs = head[logits.size + k] + gates_bias[k], prior[k]
        for c in range(logits.size):
            logits[c] += gate * log_probs[c]


@exact
def final_norm(config, weights, x, y):
    """The head's input y from a token's residual stream x: normalized (pre-norm) or as it is (post-norm)."""
    if config.post_norm:
        for i in range(config.width):
            y[i] = x[i]
    else:
        norm(x[: config.width], weights.norm[0], weights.norm[1], config.rms_norm, y)


@exact
def forward(model, cache, batch, scratch, thread):
    """Read a batch, and score what follows its wanted tokens. Called by each of its threads."""
    config, weights, tokens, count = model.config, model.weights, batch.tokens, len(batch.tokens)
    x, normed = scratch.x, scratch.normed
    if config.orders:
        read_prior(model, cache, batch, scratch.prior, thread)
        barrier(thread)
        matmul(weights.prior, scratch.prior, count, scratch.output, thread)
        barrier(thread)
    embed(config, weights, tokens, scratch.output, x)
    for layer in range(config.layers):
        vectors = weights.vectors[layer]
        pre_norm(config, x, vectors[0], vectors[1], count, normed)
        matmul(weights.qkv[layer], normed, count, scratch.qkv, thread)
        barrier(thread)
        attention(config, weights, layer, cache.kv[layer], tokens, scratch, thread)
        barrier(thread)
        matmul(weights.out[layer], scratch.heads, count, scratch.output, thread)
        barrier(thread)
        residual_add(config, x, scratch.output, vectors[4], vectors[0], vectors[1], count)
        pre_norm(config, x, vectors[2], vectors[3], count, normed)
        matmul(weights.up[layer], normed, count, scratch.up, thread)
        barrier(thread)
        for n in range(count):
            activate(config.activation, scratch.up[n], weights.up_bias[layer], scratch.hidden[n, : config.hidden])
        matmul(weights.down[layer], scratch.hidden, count, scratch.output, thread)
        barrier(thread)
        residual_add(config, x, scratch.output, vectors[5], vectors[2], vectors[3], count)
    wanted = batch.wanted
    for i in range(len(wanted)):
        final_norm(config, weights, x[wanted[i]], normed[i])
    matmul(weights.head, normed, len(wanted), scratch.head, thread)
    barrier(thread)
    for i in range(thread.rank, len(wanted), thread.threads):
        n = wanted[i]
        add_prior(config, weights.gates_bias, scratch.head[i], batch.prior[n], batch.logits[tokens[n, 0]])
    barrier(thread)

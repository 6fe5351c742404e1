"""Scoring: windows of a text through the transformer on a CPU, compiled by numba: what each character costs.

    ids (n,), windows (W, 3) ──some windows at a time──▶ x (N, C) ──layers──▶ logits (V,) ──▶ nats (n,), in the order of ids

The formulas are the kernel's, and so the model's, which is their oracle (tests/inference). What differs is the order of the
work: whole windows are read at once, one behind the other without padding, so that products take many vectors (matmul.py), and
no keys are kept. Each thread reads windows of its own, few at a time: what is between stays in the processor's cache. Of an
ensemble, each member reads them, and their logits are added up, each with its weight.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from letterwise.checkpoint.model_file import Member
from letterwise.compiling.arithmetic import EXACT, exact, exp
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part
from letterwise.data.batches import Cuts
from letterwise.inference.cpu.backend import NO_COUNTS
from letterwise.inference.cpu.kernel import (
    KernelModel,
    activate,
    add_prior,
    embed,
    final_norm,
    pre_norm,
    prepare_qk,
    prior_input,
    residual_add,
)
from letterwise.inference.cpu.layout import (
    KernelConfig,
    aligned,
    kernel_config,
    pack_weights,
    qkv_size,
    unpack_weights,
    up_size,
)
from letterwise.inference.cpu.matmul import LANES, VECTORS, padded, panel_matmul, panel_of_all, to_panels
from letterwise.machine import processors
from letterwise.ngrams import Counts
from letterwise.ngrams.reader import Tables, begin, read_on, state_size, tables

ROWS = 128  # characters that are read together, if a context is no longer
PIECES = 8  # for each thread: one that is held up leaves more to the others


class Room(NamedTuple):
    """Room for intermediate results of N characters; widths are padded."""

    tokens: np.ndarray  # (N, 3): 0, the place in its window, and the id of each character
    targets: np.ndarray  # (N, 2): which of them is followed by a target, and where that stands in the text
    state: np.ndarray  # where a text is in the counts
    prior: np.ndarray  # (N, K, V+1): the counts' log-probabilities
    logits: np.ndarray  # (V,)
    totals: np.ndarray  # (VECTORS,): of attention weights
    x: np.ndarray  # (N, C): the residual stream
    normed: np.ndarray  # (N, C): a component's input
    hidden: np.ndarray  # (N, F): the activations
    probs: np.ndarray  # (N, V + K): the counts' probabilities, and those of their back-off
    qkv: np.ndarray  # (N, P): queries, keys and values
    heads: np.ndarray  # (N, C): the heads' outputs
    output: np.ndarray  # (N, C): a component's output
    up: np.ndarray  # (N, U)
    head: np.ndarray  # (N, V + K): the head's logits, and the prior's gates
    keys: np.ndarray  # a head's (block_size, D), in panels
    values: np.ndarray  # a head's (block_size, D)
    weights: np.ndarray  # (VECTORS, block_size): attention weights
    mixture: np.ndarray  # (VECTORS, D): values, each times its weight


def room_for(kernel: KernelConfig, rows: int, state: int) -> Room:
    """Room for `rows` characters that are read together, and for what products write behind them."""
    rows += VECTORS
    width, dim, size = padded(kernel.width), padded(kernel.head_dim), padded(kernel.block_size)
    scores = padded(kernel.vocab_size + kernel.orders)
    hidden, qkv, up = padded(kernel.hidden), padded(qkv_size(kernel)), padded(up_size(kernel))
    widths = width, width, hidden, scores, qkv, width, width, up, scores
    return Room(
        np.zeros((rows, 3), np.int64), np.zeros((rows, 2), np.int64), np.zeros(state, np.int64),
        np.zeros((rows, kernel.orders, kernel.vocab_size + 1), np.float32), aligned(kernel.vocab_size),
        aligned(VECTORS),
        *(aligned(rows, each) for each in widths),
        aligned(size * dim), aligned(size, dim), aligned(VECTORS, size), aligned(VECTORS, dim),
    )  # fmt: skip


@exact
def place_windows(windows, ids, room):
    """Put the windows one behind the other. How many characters these are, and how many of them are followed by a target."""
    count = wanted = 0
    for w in range(len(windows)):
        start, length, skipped = windows[w]
        for t in range(length):
            token = room.tokens[count]
            token[1], token[2] = t, ids[start + t]
            if t >= skipped:
                target = room.targets[wanted]
                target[0], target[1] = count, start + t + 1
                wanted += 1
            count += 1
    return count, wanted


@exact
def read_prior(model, ids, windows, room):
    """What counts say in the windows: log-probabilities, and the probabilities of the longest and their back-off."""
    n = 0
    for w in range(len(windows)):
        start, length = windows[w, 0], windows[w, 1]
        begin(model.tables, room.state, ids[:start])
        for place in range(start, start + length):
            read_on(model.tables, room.state, ids[place], room.prior[n])
            prior_input(room.prior[n], room.probs[n])
            n += 1


@part(fastmath={"nnan", "nsz"}, **EXACT)
def largest(x):
    """The largest of x."""
    peak = x[0]
    for t in range(x.size):
        peak = x[t] if x[t] > peak else peak
    return peak


@part(fastmath={"reassoc", "nsz"}, **EXACT)
def total(x):
    """The sum of x, in whatever order is fastest."""
    sum = np.float32(0)
    for t in range(x.size):
        sum += x[t]
    return sum


@exact
def softmax(x, seen, scale):
    """e^(x · scale) of the first `seen` of x, in place, as multiples of the largest; zeros behind. Their sum."""
    peak = largest(x[:seen])
    for t in range(x.size):  # a multiple of 16: all are computed several at a time
        x[t] = exp((x[t] - peak) * scale)
    for t in range(seen, x.size):
        x[t] = np.float32(0)
    return total(x)


@exact
def attend(model, layer, head, begin, length, room):
    """Attention by a key/value head, in the window whose rows begin at `begin`: its part of `qkv` to its part of `heads`."""
    config, rotations, bias = model.config, model.weights.rotations, model.weights.qkv_bias[layer]
    dim, group, width = config.head_dim, config.heads // config.kv_heads, room.qkv.shape[1]
    key, value = (config.heads + head) * dim, (config.heads + config.kv_heads + head) * dim
    keys, values, weights, mixture, totals = room.keys, room.values, room.weights, room.mixture, room.totals
    for t in range(length):
        row, v, place = room.qkv[begin + t], values[t], t // LANES * LANES * dim + t % LANES
        prepare_qk(config, rotations, t, bias[key : key + dim], row[key : key + dim])
        for d in range(dim):
            keys[place + d * LANES] = row[key + d]
        for d in range(dim):
            v[d] = row[value + d] + bias[value + d]
    scale = np.float32(1) / np.sqrt(np.float32(dim))
    for query in range(head * group * dim, (head + 1) * group * dim, dim):
        for t in range(length):
            prepare_qk(config, rotations, t, bias[query : query + dim], room.qkv[begin + t, query : query + dim])
        for first in range(0, length, VECTORS):
            last = min(first + VECTORS, length)
            for t in range(0, last, LANES):
                places = t * dim, (begin + first) * width + query, t
                panel_of_all(keys, room.qkv, weights, places, (LANES, width, weights.shape[1]), dim)
            for t in range(first, last):
                totals[t - first] = softmax(weights[t - first, : padded(last)], t + 1, scale)
            for d in range(0, padded(dim), LANES):
                panel_of_all(values, weights, mixture, (d, 0, d), (values.shape[1], weights.shape[1], mixture.shape[1]), last)
            for t in range(first, last):
                y, mixed, total = room.heads[begin + t, query : query + dim], mixture[t - first], totals[t - first]
                for d in range(dim):
                    y[d] = mixed[d] / total


@exact
def apply_layers(model, windows, count, room):
    """All layers, for the `count` characters of these windows."""
    config, weights, x, normed, output = model.config, model.weights, room.x, room.normed, room.output
    for layer in range(config.layers):
        vectors, begin = weights.vectors[layer], 0
        pre_norm(config, x, vectors[0], vectors[1], count, normed)
        panel_matmul(weights.qkv[layer], normed, count, room.qkv)
        for w in range(len(windows)):
            for head in range(config.kv_heads):
                attend(model, layer, head, begin, windows[w, 1], room)
            begin += windows[w, 1]
        panel_matmul(weights.out[layer], room.heads, count, output)
        residual_add(config, x, output, vectors[4], vectors[0], vectors[1], count)
        pre_norm(config, x, vectors[2], vectors[3], count, normed)
        panel_matmul(weights.up[layer], normed, count, room.up)
        for n in range(count):
            activate(config.activation, room.up[n], weights.up_bias[layer], room.hidden[n, : config.hidden])
        panel_matmul(weights.down[layer], room.hidden, count, output)
        residual_add(config, x, output, vectors[5], vectors[2], vectors[3], count)


@exact
def surprise(logits, target):
    """-ln of the target's probability."""
    peak, sum = largest(logits), 0.0
    for c in range(logits.size):
        sum += np.float64(exp(logits[c] - peak))
    return np.float32(math.log(sum) - np.float64(logits[target] - peak))


@exact
def read_together(model, ids, windows, room):
    """Read some windows, which fit the room. How many targets they have, whose outputs of the head are in `room.head` then."""
    config, weights, x, normed = model.config, model.weights, room.x, room.normed
    count, wanted = place_windows(windows, ids, room)
    if config.orders:
        read_prior(model, ids, windows, room)
        panel_matmul(weights.prior, room.probs, count, room.output)
    embed(config, weights, room.tokens[:count], room.output, x)
    apply_layers(model, windows, count, room)
    for i in range(wanted):
        final_norm(config, weights, x[room.targets[i, 0]], normed[i])
    panel_matmul(weights.head, normed, wanted, room.head)
    return wanted


@entry(silent=True, **EXACT)
def score_windows(members, ids, windows, sums, nats):
    """What the targets of `windows` (W, 3) cost, in nats, each at its place among `ids` (n,), which hold what is before, too.

    Of each window: where it begins, how many characters it reads, and how many of those that follow them are no targets. Each
    of the `members`, which is one unless it is an ensemble, is a model, its `Room` and its weight; `sums` (N, V) is room.
    """
    first = 0
    while first < len(windows):
        last, rows = first + 1, windows[first, 1]
        while last < len(windows) and rows + windows[last, 1] <= len(sums):
            rows += windows[last, 1]
            last += 1
        for m in range(len(members)):
            model, room, weight = members[m][0], Room(*members[m][1]), members[m][2]
            config = KernelConfig(*model[0])
            read = KernelModel(config, unpack_weights(config, model[1]), Tables(*model[2]))
            for i in range(read_together(read, ids, windows[first:last], room)):
                n, place = room.targets[i]
                add_prior(config, read.weights.gates_bias, room.head[i], room.prior[n], room.logits)
                for c in range(config.vocab_size):
                    sums[i, c] = sums[i, c] + weight * room.logits[c] if m else weight * room.logits[c]
                if m == len(members) - 1:
                    nats[place] = surprise(sums[i], ids[place])
        first = last


class WindowScorer:
    """A model that scores windows, by as many threads as there are processors."""

    def __init__(self, networks: Sequence[Member], vocab_size: int, counts: Counts | None = None) -> None:
        """Of an ensemble's members, or of one network alone."""
        self.vocab_size, self.threads = vocab_size, processors()
        self.rows = max(ROWS, networks[0].model.block_size)
        self.members, known = [], tables(counts) if counts else NO_COUNTS
        for network in networks:
            kernel = kernel_config(network.model, vocab_size)
            of_counts = known if kernel.orders else NO_COUNTS
            packed = tuple(kernel), pack_weights(network.model, kernel, network.weights, to_panels), tuple(of_counts)
            self.members.append((kernel, of_counts, packed, np.float32(network.weight)))

    def nats(self, ids: np.ndarray, windows: Cuts) -> np.ndarray | None:
        """What each target among `ids` (n,) costs, at its place: (n,) float32. None as long as it is being compiled.

        The ids must be the vocabulary's, and the windows within them.
        """
        ids, all, nats = ids.astype(np.int64), np.stack(windows, 1).astype(np.int64), np.zeros(len(ids), np.float32)
        if not score_windows.compiled:
            self._run(ids, all[:0], nats)  # has it compiled
            if not score_windows.compiled:
                return None
        pieces = np.array_split(all, max(1, min(len(all) // 2, PIECES * self.threads)))
        if len(pieces) == 1 or self.threads == 1:
            self._run(ids, all, nats)
            return nats
        with ThreadPoolExecutor(self.threads, "letterwise") as pool:
            for done in [pool.submit(self._run, ids, piece, nats) for piece in pieces]:
                done.result()
        return nats

    def _run(self, ids: np.ndarray, windows: np.ndarray, nats: np.ndarray) -> None:
        members = tuple(
            (packed, tuple(room_for(kernel, self.rows, state_size(of_counts))), weight)
            for kernel, of_counts, packed, weight in self.members
        )
        score_windows(members, ids, windows, aligned(self.rows, self.vocab_size), nats)

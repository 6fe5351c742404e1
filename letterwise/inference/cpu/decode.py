"""Decode: characters are drawn and read, one after another, for many texts at once. Compiled by numba.

    texts ──forward (kernel.py)──▶ logits (V,) ──bias, DFA, filters, a uniform number──▶ a character each ──┐
      ▲─────────────────────────────────────────────────────────────────────────────────────────────────────┘

Each text has its own filters, bias, DFA and random numbers, and draws as many characters as it asks for: in any batch the same
ones. Those that have ended are left out of the next step.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import EXACT, exact
from letterwise.compiling.entry import entry
from letterwise.inference.constraints.language.dfa import END, draw_under_dfa
from letterwise.inference.cpu.dfa_tables import unpack_dfa
from letterwise.inference.cpu.kernel import Batch, CacheArrays, KernelModel, forward, scratch_of
from letterwise.inference.cpu.layout import KernelConfig, unpack_weights
from letterwise.inference.cpu.threads import Thread, barrier
from letterwise.inference.sampling.filters import biased
from letterwise.ngrams.reader import Tables

CACHED = 2**22  # weights of at most so many numbers stay in the processor's cache: then each thread may read all of them


class Draws(NamedTuple):
    """What is to be drawn for R texts, n characters for each at most; of those with the most first."""

    lengths: np.ndarray  # (R,): characters, 1 at least
    filters: np.ndarray  # (R,) of FILTERS
    bias: np.ndarray  # (R, V): added to the scores
    uniforms: np.ndarray  # (R, n): random numbers, one for each character that is drawn
    dfas: np.ndarray  # (N,): DFAs, packed
    guides: np.ndarray  # (R, 5): where a text's DFA begins there, its states, its classes; its state, characters left. Updated
    ids: np.ndarray  # (R, n): what was drawn; -1 where scores are NaN. END before, and from the end of a text on
    drawn: np.ndarray  # (R, n): whether a random number was used for it
    used: np.ndarray  # (R,): how many were. 0 before


@entry(**EXACT)
def decode(model, cache, batch, scratch, draws, unread, thread):
    """Read a batch; or draw characters for R texts, as `draws` says, and read all but the last. Called by each thread.

    Reading (n = 0) is what `forward` does. To draw, the batch's tokens (R, 3) are the texts' rows, their next positions, and,
    where they are `unread`, the ids that come there first; `wanted` (R,) is 0, 1, 2 …. They are overwritten. `scratch`
    (2, threads, N) is room for what each thread has to itself, and for what threads share. Returns how many steps it took.

    Of several texts each thread draws for its share by itself, if the weights are small enough.

    `model`, `cache`, `batch` and `draws` are plain tuples of the fields: each named tuple would cost 5 µs a call, as numba asks
    Python for its type.
    """
    config, packed, batch, draws = KernelConfig(*model[0]), model[1], Batch(*batch), Draws(*draws)
    texts, length = len(batch.tokens), draws.ids.shape[1]
    apart = length > 0 and texts >= 2 * thread.threads and packed.size <= CACHED
    own_scratch = scratch_of(config, scratch[0, thread.rank], scratch[1, thread.rank if apart else 0], len(batch.prior))
    first, last = 0, texts
    if apart:
        first, last = share(draws.lengths, thread.rank, thread.threads), share(draws.lengths, thread.rank + 1, thread.threads)
    own_draws = Draws(
        draws.lengths[first:last], draws.filters[first:last], draws.bias[first:last], draws.uniforms[first:last], draws.dfas,
        draws.guides[first:last], draws.ids[first:last], draws.drawn[first:last], draws.used[first:last],
    )  # fmt: skip
    decode_on(
        KernelModel(config, unpack_weights(config, packed), Tables(*model[2])),
        CacheArrays(*cache),
        Batch(batch.tokens[first:last], batch.wanted[: last - first], batch.prior[first:last], batch.logits),
        own_scratch,
        own_draws,
        unread,
        Thread(thread.arrivals, 0 if apart else thread.rank, 1 if apart else thread.threads),
    )
    if apart:
        barrier(thread)
    steps = 0
    while steps < length and not all_ended(draws.ids, steps):
        steps += 1
    return max(1, min(length, steps + 1))


@exact
def share(lengths, rank, threads):
    """The first text of a thread's share, so that all draw about as many characters."""
    total = 0
    for length in lengths:
        total += length
    first, before = 0, 0
    while before < total * rank // threads:
        before += lengths[first]
        first += 1
    return first


@exact
def all_ended(ids, step):
    """Has every text (R, n) ended before, or with, this step?"""
    going = 0
    for r in range(len(ids)):
        going += ids[r, step] != END
    return going == 0


@exact
def decode_on(model, cache, batch, scratch, draws, unread, thread):
    """`decode`, by threads that go through each step together, or by a lone one."""
    length, going = draws.ids.shape[1], len(batch.tokens)
    for step in range(max(1, length)):
        while length and going and draws.lengths[going - 1] <= step:
            going -= 1
        if step or unread:
            wanted = batch.wanted[:going] if length else batch.wanted
            some = Batch(batch.tokens[:going], wanted, batch.prior[:going], batch.logits)
            forward(model, cache, some, scratch, thread)
        if length == 0:
            return
        for r in range(thread.rank, going, thread.threads):
            draw(batch, draws, r, step, scratch.scores, 1 if step or unread else 0)
        barrier(thread)
        if all_ended(draws.ids, step):
            return


@exact
def draw(batch, draws, r, step, scores, read):
    """Draw a character for text r, unless it has ended; it is to be read next, behind the one that was `read`."""
    if step and draws.ids[r, step - 1] == END:  # what its row of the cache holds is of no more use
        return
    row = batch.tokens[r]
    biased(batch.logits[row[0]], draws.bias[r], scores)
    guide, uniform = draws.guides[r], draws.uniforms[r, draws.used[r]]
    dfa, state, left = unpack_dfa(draws.dfas, guide[0], guide[1], guide[2], scores.size), guide[3], guide[4]
    id, drawn = draw_under_dfa(scores, dfa, state, left, draws.filters[r], uniform)
    draws.ids[r, step], draws.drawn[r, step] = id, drawn
    draws.used[r] += drawn
    row[1] += read
    row[2] = max(id, 0)
    if id >= 0 and dfa.classes.size:
        guide[3], guide[4] = dfa.transitions[state, dfa.classes[id]], left - 1

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
from letterwise.inference.cpu.threads import Thread, barrier, claim, wait_for
from letterwise.inference.sampling.filters import Room, biased
from letterwise.ngrams.reader import Tables


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
def decode(task, thread):
    """Read tokens; or draw characters for R texts, as `draws` says, and read all but the last. Called by each thread.

    A `task` is (model, cache, tokens, wanted, logits, scratch, draws, unread, groups): the first two, `scratch` and `draws` are
    plain tuples of arrays. It is packed once, for all threads. Returns how many steps it took.

    To read (n = 0), tokens (N, 3) are those of one text after another, of which logits are `wanted` behind some. To draw, they
    (R, 3) are the texts' rows, their next positions, and, where they are `unread`, the ids that come there first. They are
    overwritten. `scratch` is room: numbers (2, threads, N), for what each thread has to itself, and for what threads share;
    `prior` (threads, M, K, V+1) and `wanted` (threads, M) of a batch; and a `Room` for each thread.

    Several `groups` (G+1,) of texts, which begin with these tokens, are taken one after another by whatever thread has time;
    one group is the work of all threads together.
    """
    model, cache, tokens, wanted, logits, scratch, draws, unread, groups = task
    config, packed, draws = KernelConfig(*model[0]), model[1], Draws(*draws)
    numbers, prior, wanted_room, order, probabilities, typicality = scratch
    apart, length = len(groups) > 2, draws.ids.shape[1]
    own = Thread(thread.arrivals, 0 if apart else thread.rank, 1 if apart else thread.threads)
    shared = thread.rank if apart else 0
    own_scratch = scratch_of(config, numbers[0, thread.rank], numbers[1, shared], prior.shape[1])
    own_model, own_cache = KernelModel(config, unpack_weights(config, packed), Tables(*model[2])), CacheArrays(*cache)
    own_room = Room(order[thread.rank], probabilities[thread.rank], typicality[thread.rank])
    group = claim(thread, 0) if apart else 0
    while group < len(groups) - 1:
        first, last = groups[group], groups[group + 1]
        some = Batch(tokens[first:last], wanted_room[thread.rank], prior[shared], logits)
        if length:
            own_draws = Draws(
                draws.lengths[first:last], draws.filters[first:last], draws.bias[first:last], draws.uniforms[first:last],
                draws.dfas, draws.guides[first:last], draws.ids[first:last], draws.drawn[first:last], draws.used[first:last],
            )  # fmt: skip
            draw_on(own_model, own_cache, some, own_scratch, own_room, own_draws, unread, own)
        else:
            read_on(own_model, own_cache, some, first, wanted, own_scratch, own)
        group = claim(thread, group + 1) if apart else len(groups)
    if apart:
        wait_for(thread, len(groups) - 1)
    steps = 0
    while steps < length and not all_ended(draws.ids, steps):
        steps += 1
    return max(1, min(length, steps + 1))


@exact
def read_on(model, cache, batch, first, wanted, scratch, thread):
    """Read tokens, the `first` of all and those behind it, of which some are `wanted`. Some at a time, as there is room."""
    room, w = len(batch.prior), 0
    while w < len(wanted) and wanted[w] < first:
        w += 1
    for start in range(0, len(batch.tokens), room):
        tokens, n = batch.tokens[start : start + room], 0
        while w < len(wanted) and wanted[w] < first + start + len(tokens):
            batch.wanted[n] = wanted[w] - first - start
            n, w = n + 1, w + 1
        forward(model, cache, Batch(tokens, batch.wanted[:n], batch.prior, batch.logits), scratch, thread)


@exact
def all_ended(ids, step):
    """Has every text (R, n) ended before, or with, this step?"""
    going = 0
    for r in range(len(ids)):
        going += ids[r, step] != END
    return going == 0


@exact
def draw_on(model, cache, batch, scratch, room, draws, unread, thread):
    """Draw characters for some texts, by threads that go through each step together, or by a lone one."""
    length, going = draws.ids.shape[1], len(batch.tokens)
    for n in range(going):
        batch.wanted[n] = n
    for step in range(length):
        while going and draws.lengths[going - 1] <= step:
            going -= 1
        if step or unread:
            some = Batch(batch.tokens[:going], batch.wanted[:going], batch.prior, batch.logits)
            forward(model, cache, some, scratch, thread)
        for r in range(thread.rank, going, thread.threads):
            draw(batch, draws, r, step, scratch.scores, room, 1 if step or unread else 0)
        barrier(thread)
        if all_ended(draws.ids, step):
            return


@exact
def draw(batch, draws, r, step, scores, room, read):
    """Draw a character for text r, unless it has ended; it is to be read next, behind the one that was `read`."""
    if step and draws.ids[r, step - 1] == END:  # what its row of the cache holds is of no more use
        return
    row = batch.tokens[r]
    biased(batch.logits[row[0]], draws.bias[r], scores)
    guide, uniform = draws.guides[r], draws.uniforms[r, draws.used[r]]
    dfa, state, left = unpack_dfa(draws.dfas, guide[0], guide[1], guide[2], scores.size), guide[3], guide[4]
    id, drawn = draw_under_dfa(scores, dfa, state, left, draws.filters[r], uniform, room)
    draws.ids[r, step], draws.drawn[r, step] = id, drawn
    draws.used[r] += drawn
    row[1] += read
    row[2] = max(id, 0)
    if id >= 0 and dfa.classes.size:
        guide[3], guide[4] = dfa.transitions[state, dfa.classes[id]], left - 1

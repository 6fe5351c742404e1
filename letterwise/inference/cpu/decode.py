"""Decode: characters are drawn and read, one after another, for many texts at once. Compiled by numba.

    texts ──forward (kernel.py)──▶ logits (V,) ──bias, DFA, filters, a uniform number──▶ a character each ──┐
      ▲─────────────────────────────────────────────────────────────────────────────────────────────────────┘

Each text has its own filters, bias, DFA and random numbers, and draws as many characters as it asks for: whatever its company,
the same ones. Those that are done drop out of the next step.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import EXACT, exact
from letterwise.compiling.entry import entry
from letterwise.inference.constraints.language.dfa import END, draw_under_dfa
from letterwise.inference.cpu.dfa_tables import unpack
from letterwise.inference.cpu.kernel import forward, room_of
from letterwise.inference.cpu.layout import unfold
from letterwise.inference.cpu.threads import meet
from letterwise.inference.sampling.filters import biased

NEAR = 2**22  # weights of at most so many numbers stay in the cache: then each thread may read all of them


class Draws(NamedTuple):
    """What is to be drawn for R texts, n characters for each at most; of those with the most first."""

    counts: np.ndarray  # (R,): characters, 1 at least
    filters: np.ndarray  # (R,) of FILTERS
    bias: np.ndarray  # (R, V): added to the scores
    uniforms: np.ndarray  # (R, n): random numbers, one for each character that is drawn
    dfas: np.ndarray  # (N,): DFAs, packed
    guides: np.ndarray  # (R, 5): where a text's DFA begins there, its states, its classes; its state, characters left. Used up
    ids: np.ndarray  # (R, n): what was drawn; -1 where scores are NaN. END before, and from the end of a text on
    drawn: np.ndarray  # (R, n): whether a random number was used for it
    used: np.ndarray  # (R,): how many were. 0 before


@entry(**EXACT)
def decode(
    bricks, numbers, memory, scratch, tables, states, rows, prior, wanted, logits, unread, draws, gate, thread, threads
):  # fmt: skip
    """Read R rows, or draw characters for R texts, as `draws` says, and read all but the last. By each of `threads` threads.

    Reading (n = 0) is what `forward` does. To draw, `rows` (R, 3) are the texts, their next places, and, where they are
    `unread`, the ids that come there first; `wanted` (R,) is 0, 1, 2 …. They are used up. Returns how many steps it took.

    Of several texts each thread draws for its share by itself, if the weights are small enough.
    """
    texts, length = len(rows), draws.ids.shape[1]
    apart = length > 0 and texts >= 2 * threads and numbers.size <= NEAR
    room = room_of(bricks, scratch[0, thread], scratch[1, thread if apart else 0], len(prior))
    first, last = 0, texts
    if apart:
        first, last = share(draws.counts, thread, threads), share(draws.counts, thread + 1, threads)
    mine = Draws(
        draws.counts[first:last], draws.filters[first:last], draws.bias[first:last], draws.uniforms[first:last], draws.dfas,
        draws.guides[first:last], draws.ids[first:last], draws.drawn[first:last], draws.used[first:last],
    )  # fmt: skip
    decode_on(
        bricks, unfold(bricks, numbers), memory, room, tables, states, rows[first:last], prior[first:last],
        wanted[: last - first], logits, unread, mine, gate, 0 if apart else thread, 1 if apart else threads,
    )  # fmt: skip
    if apart:
        meet(gate, thread, threads)
    steps = 0
    while steps < length and not over(draws.ids, steps):
        steps += 1
    return max(1, min(length, steps + 1))


@exact
def share(counts, thread, threads):
    """The first text of a thread's share, so that all draw about as many characters."""
    total = 0
    for count in counts:
        total += count
    first, before = 0, 0
    while before < total * thread // threads:
        before += counts[first]
        first += 1
    return first


@exact
def over(ids, step):
    """Has every text (R, n) ended before, or with, this step?"""
    going = 0
    for r in range(len(ids)):
        going += ids[r, step] != END
    return going == 0


@exact
def decode_on(bricks, weights, memory, room, tables, states, rows, prior, wanted, logits, unread, draws, gate, thread, threads):
    """`decode`, by threads that go through each step together, or by a lone one."""
    length, going = draws.ids.shape[1], len(rows)
    for step in range(max(1, length)):
        while length and going and draws.counts[going - 1] <= step:
            going -= 1
        if step or unread:
            some = wanted[:going] if length else wanted
            forward(
                bricks, weights, memory, room, tables, states, rows[:going], prior[:going], some, logits, gate, thread, threads
            )  # fmt: skip
        if length == 0:
            return
        for r in range(thread, going, threads):
            draw(bricks, room, rows, logits, draws, r, step, 1 if step or unread else 0)
        meet(gate, thread, threads)
        if over(draws.ids, step):
            return


@exact
def draw(bricks, room, rows, logits, draws, r, step, read):
    """Draw a character for text r, unless it is over; it is to be read next, behind the one that was `read`."""
    if step and draws.ids[r, step - 1] == END:  # what its place in the memory holds is of no more use
        return
    biased(logits[rows[r, 0]], draws.bias[r], room.scores)
    guide, uniform = draws.guides[r], draws.uniforms[r, draws.used[r]]
    dfa, state, left = unpack(draws.dfas, guide[0], guide[1], guide[2], bricks.vocab_size), guide[3], guide[4]
    id, drawn = draw_under_dfa(room.scores, dfa, state, left, draws.filters[r], uniform)
    draws.ids[r, step], draws.drawn[r, step] = id, drawn
    draws.used[r] += drawn
    rows[r, 1] += read
    rows[r, 2] = max(id, 0)
    if id >= 0 and dfa.classes.size:
        guide[3], guide[4] = dfa.transitions[state, dfa.classes[id]], left - 1

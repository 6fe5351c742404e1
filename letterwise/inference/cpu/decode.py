"""Decode: characters are drawn and read, one after another, for many texts at once. Compiled by numba.

    texts ──forward (kernel.py)──▶ logits (V,) ──bias, DFA, filters, a uniform number──▶ a character each ──┐
      ▲─────────────────────────────────────────────────────────────────────────────────────────────────────┘

Of an ensemble, each member reads the same texts, and their logits are added up, each with its weight.

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


class Asked(NamedTuple):
    """Tokens that all members read."""

    tokens: np.ndarray  # (N, 3): row, position, id
    wanted: np.ndarray  # (W,): the tokens whose logits are wanted
    logits: np.ndarray  # (rows, V): of what follows each wanted token, in its row
    summand: np.ndarray  # (rows, V): room for one member's; none where there is one member


@entry(**EXACT)
def decode(task, thread):
    """Read tokens; or draw characters for R texts, as `draws` says, and read all but the last. Called by each thread.

    A `task` is (members, tokens, wanted, logits, rooms, draws, unread, groups). It is packed once, for all threads. Each of the
    `members`, which is one unless it is an ensemble, is (model, cache, scratch, weight): plain tuples of arrays, and a number.
    Returns how many steps it took.

    To read (n = 0), tokens (N, 3) are those of one text after another, of which logits are `wanted` behind some. To draw, they
    (R, 3) are the texts' rows, their next positions, and, where they are `unread`, the ids that come there first. They are
    overwritten. A member's `scratch` is room: numbers (2, threads, N), for what each thread has to itself, and for what threads
    share; and `prior` (threads, M, K, V+1) of a batch. `rooms` are `wanted` (threads, M) of a batch, logits
    (rows, V) of one member, scores (threads, V) to draw from, and a `Room` for each thread.

    Several `groups` (G+1,) of texts, which begin with these tokens, are taken one after another by whatever thread has time;
    one group is the work of all threads together.
    """
    members, tokens, wanted, logits, rooms, draws, unread, groups = task
    wanted_room, summand, scores, order, probabilities, typicality = rooms
    draws = Draws(*draws)
    apart, length = len(groups) > 2, draws.ids.shape[1]
    own = Thread(thread.arrivals, 0 if apart else thread.rank, 1 if apart else thread.threads)
    places = thread.rank, thread.rank if apart else 0
    own_room = Room(order[thread.rank], probabilities[thread.rank], typicality[thread.rank])
    group = claim(thread, 0) if apart else 0
    while group < len(groups) - 1:
        first, last = groups[group], groups[group + 1]
        some = Asked(tokens[first:last], wanted_room[thread.rank], logits, summand)
        if length:
            own_draws = Draws(
                draws.lengths[first:last], draws.filters[first:last], draws.bias[first:last], draws.uniforms[first:last],
                draws.dfas, draws.guides[first:last], draws.ids[first:last], draws.drawn[first:last], draws.used[first:last],
            )  # fmt: skip
            draw_on(members, some, places, scores[thread.rank], own_room, own_draws, unread, own)
        else:
            read_on(members, some, places, first, wanted, own)
        group = claim(thread, group + 1) if apart else len(groups)
    if apart:
        wait_for(thread, len(groups) - 1)
    steps = 0
    while steps < length and not all_ended(draws.ids, steps):
        steps += 1
    return max(1, min(length, steps + 1))


@exact
def forward_all(members, asked, places, thread):
    """Read tokens by each member, and add up the logits of what follows those that are wanted: the weighted sum of theirs.

    A thread adds up the rows that it has scored itself. `places`: where its own scratch is, and what it shares with others.
    """
    for m in range(len(members)):
        model, cache, room, weight = members[m]
        config, (numbers, prior) = KernelConfig(*model[0]), room
        scratch = scratch_of(config, numbers[0, places[0]], numbers[1, places[1]], prior.shape[1])
        read = KernelModel(config, unpack_weights(config, model[1]), Tables(*model[2]))
        logits = asked.summand if m else asked.logits
        forward(read, CacheArrays(*cache), Batch(asked.tokens, asked.wanted, prior[places[1]], logits), scratch, thread)
        if m == 0 and weight == np.float32(1):
            continue
        for i in range(thread.rank, len(asked.wanted), thread.threads):
            row = asked.tokens[asked.wanted[i], 0]
            total, mine = asked.logits[row], logits[row]
            for c in range(total.size):
                total[c] = total[c] + weight * mine[c] if m else weight * mine[c]
        barrier(thread)  # whoever called may read all rows when one thread is done


@exact
def read_on(members, asked, places, first, wanted, thread):
    """Read tokens, the `first` of all and those behind it, of which some are `wanted`. Some at a time, as there is room."""
    room, w = len(asked.wanted), 0
    while w < len(wanted) and wanted[w] < first:
        w += 1
    for start in range(0, len(asked.tokens), room):
        tokens, n = asked.tokens[start : start + room], 0
        while w < len(wanted) and wanted[w] < first + start + len(tokens):
            asked.wanted[n] = wanted[w] - first - start
            n, w = n + 1, w + 1
        forward_all(members, Asked(tokens, asked.wanted[:n], asked.logits, asked.summand), places, thread)


@exact
def all_ended(ids, step):
    """Has every text (R, n) ended before, or with, this step?"""
    going = 0
    for r in range(len(ids)):
        going += ids[r, step] != END
    return going == 0


@exact
def draw_on(members, asked, places, scores, room, draws, unread, thread):
    """Draw characters for some texts, by threads that go through each step together, or by a lone one."""
    length, going = draws.ids.shape[1], len(asked.tokens)
    for n in range(going):
        asked.wanted[n] = n
    for step in range(length):
        while going and draws.lengths[going - 1] <= step:
            going -= 1
        if step or unread:
            some = Asked(asked.tokens[:going], asked.wanted[:going], asked.logits, asked.summand)
            forward_all(members, some, places, thread)
        for r in range(thread.rank, going, thread.threads):
            draw(asked, draws, r, step, scores, room, 1 if step or unread else 0)
        barrier(thread)
        if all_ended(draws.ids, step):
            return


@exact
def draw(asked, draws, r, step, scores, room, read):
    """Draw a character for text r, unless it has ended; it is to be read next, behind the one that was `read`."""
    if step and draws.ids[r, step - 1] == END:  # what its row of the cache holds is of no more use
        return
    row = asked.tokens[r]
    biased(asked.logits[row[0]], draws.bias[r], scores)
    guide, uniform = draws.guides[r], draws.uniforms[r, draws.used[r]]
    dfa, state, left = unpack_dfa(draws.dfas, guide[0], guide[1], guide[2], scores.size), guide[3], guide[4]
    id, drawn = draw_under_dfa(scores, dfa, state, left, draws.filters[r], uniform, room)
    draws.ids[r, step], draws.drawn[r, step] = id, drawn
    draws.used[r] += drawn
    row[1] += read
    row[2] = max(id, 0)
    if id >= 0 and dfa.classes.size:
        guide[3], guide[4] = dfa.transitions[state, dfa.classes[id]], left - 1

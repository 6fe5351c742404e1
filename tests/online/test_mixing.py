"""Mixing: each part by its own law, and compiled as in plain Python."""

import math

import numpy as np
import pytest

from letterwise.data.vocabulary import Vocabulary
from letterwise.online.contexts import (
    CAPITAL,
    CONTEXTS,
    DIGIT,
    LINE_END,
    ORDERS,
    OTHER,
    SMALL,
    SPACE,
    fill,
    follow,
    no_contexts,
    shapes_of,
)
from letterwise.online.histories import count, no_histories, own_logit, remember_bit, slot_of, state_of
from letterwise.online.logistic import exp, log, softmax, squash, stretch
from letterwise.online.maps import corrected, maps_step, straight_maps
from letterwise.online.matches import check, find, longest_match, no_matches
from letterwise.online.mixer import SETS, mix, mixer_step, new_mixer
from letterwise.online.mixing import Past, empty_past, learn, predict, study
from letterwise.online.tree import balanced

LETTERS = Vocabulary("char", "\n abc")
SHARES = np.array([0.8, 0.2])  # of the models


def contexts_of(text: str, vocabulary: Vocabulary = LETTERS):
    contexts = no_contexts(shapes_of(vocabulary))
    for id in vocabulary.encode(text).tolist():
        follow(contexts, id)
    return contexts


def test_the_tree_cuts_into_halves_of_equal_weight() -> None:
    tree = balanced(np.array([8.0, 1.0, 1.0, 4.0, 2.0]))
    depths = (tree.path >= 0).sum(-1)
    assert depths.tolist() == [1, 3, 3, 3, 3]
    assert tree.depth.tolist() == [0, 1, 2, 2]
    for id in range(5):  # from the root along the path to the character
        node = 0
        for at, bit in zip(tree.path[id], tree.bits[id], strict=True):
            if at >= 0:
                assert at == node
                node = tree.children[node, bit]
        assert node == -1 - id
    assert all(child < 0 or child > node for node, pair in enumerate(tree.children) for child in pair)


def test_exponential_and_logarithm_are_the_librarys() -> None:
    for x in np.linspace(-30, 30, 241):
        assert exp(float(x)) == pytest.approx(math.exp(x), rel=1e-12)
        assert log(math.exp(x)) == pytest.approx(x, abs=1e-9)
    for p in (1e-5, 0.1, 0.5, 0.75, 0.99999):
        assert squash(stretch(p)) == pytest.approx(p, rel=1e-9)


def test_softmax_is_that() -> None:
    logits, found = np.array([0.0, 1.0, -2000.0, 3.0], np.float32), np.empty(4)
    softmax(logits, found)
    assert found == pytest.approx([p / (1 + math.e + math.e**3) for p in (1, math.e, 0, math.e**3)], abs=1e-12)


def test_shapes_of_characters() -> None:
    assert shapes_of(Vocabulary("char", "\n '7Aaé")).tolist() == [LINE_END, SPACE, SMALL, DIGIT, CAPITAL, SMALL, SMALL]
    assert shapes_of(Vocabulary("byte"))[ord(".")] == OTHER


def test_contexts_know_the_past_they_name_and_no_more() -> None:
    one, two = contexts_of("abc\nab cab"), contexts_of("cba\nbb cab")
    same = one.hashes == two.hashes
    assert len(set(one.hashes.tolist())) == CONTEXTS
    assert same[: len(ORDERS)].tolist() == [True, True, True, True, True, False, False]  # " cab" and a "b" before it
    assert same[len(ORDERS) + 1]  # the word
    assert not same[len(ORDERS) + 2]  # and the one before
    before = one.hashes.copy()
    fill(one)
    assert (one.hashes == before).all()


def test_a_history_counts_and_its_map_learns_what_came_after_such_ones() -> None:
    histories, key = no_histories(2**10), np.uint64(5)
    for _ in range(3):
        remember_bit(histories, 0, key, 1)
    slot, known = slot_of(histories, key)
    assert known
    cell = histories.cells[slot]
    assert (count(cell, 0), count(cell, 1)) == (0, 3)
    p = 0.5
    for n in range(3):  # bits
        p += (1 - p) / (n + 1.5)
    assert own_logit(histories, cell) == pytest.approx(math.log(p / (1 - p)), abs=0.01)
    for _ in range(300):  # other contexts that came as often, and then saw a 0
        histories.cells[slot] = cell
        remember_bit(histories, 0, key, 0)
    state = state_of(cell)
    assert histories.map[0, state] < 0.02
    assert histories.logits[0, state] == stretch(float(histories.map[0, state]))
    assert histories.map[1, state] > 0.5


def test_a_match_is_found_goes_on_and_ends() -> None:
    contexts, matches = contexts_of(""), no_matches()
    for id in LETTERS.encode("abcab abcab").tolist():
        check(matches, contexts, id)
        follow(contexts, id)
        find(matches, contexts)
    assert longest_match(matches) == 5
    assert contexts.text[matches.found[0, 0]] == LETTERS.encode(" ")[0]
    check(matches, contexts, LETTERS.encode(" ")[0])
    assert longest_match(matches) == 6
    check(matches, contexts, LETTERS.encode("c")[0])
    assert longest_match(matches) == 0


def test_a_step_of_the_mixer_makes_the_bit_cheaper() -> None:
    mixer = new_mixer(5, SHARES)
    mixer.inputs[:] = np.random.default_rng(0).normal(size=len(mixer.inputs))
    mixer.rows[:SETS] = mixer.begins
    for bit in (0, 1):
        before = mix(mixer)
        mixer_step(mixer, bit, 0.01)
        assert (mix(mixer) > before) == bool(bit)


def test_maps_change_nothing_at_first_and_then_towards_the_bit() -> None:
    maps, contexts = straight_maps(), contexts_of("ab")
    for logit in (-9.0, -3.0, 0.25, 7.9):
        assert corrected(maps, contexts, 1, logit) == pytest.approx(squash(logit), abs=0.01)
    before = corrected(maps, contexts, 1, 1.0)
    maps_step(maps, 1)
    assert corrected(maps, contexts, 1, 1.0) > before


def ran(text: str, *, compiled: bool) -> tuple[list[np.ndarray], Past]:
    """A text read after another was studied: what was predicted, and what was learned."""
    tree, past = balanced(np.arange(1.0, 6.0)), empty_past(shapes_of(LETTERS), SHARES, 2**10)
    models, mixed, rows = np.array([[0.1, 0.2, 0.3, 0.25, 0.15], [0.2, 0.2, 0.3, 0.2, 0.1]]), np.ones(5), []
    functions = [function if compiled else function.plain for function in (study, predict, learn)]
    with np.errstate(all="ignore"):
        functions[0](tree, past, np.zeros((0, 5)), SHARES, LETTERS.encode("ab cab\n").astype(np.int64))
        for id in LETTERS.encode(text).tolist():
            functions[1](tree, past, models, mixed)
            rows.append(mixed.copy())
            functions[2](tree, past, models, id)
    return rows, past


def test_plain_python_gives_the_same_bits() -> None:
    (rows, past), (plain_rows, plain_past) = (ran("abc\nabc cab", compiled=compiled) for compiled in (True, False))
    assert all((row == plain).all() for row, plain in zip(rows, plain_rows, strict=True))
    assert (past.mixer.weights == plain_past.mixer.weights).all()
    assert (past.histories.map == plain_past.histories.map).all()
    assert (past.maps.curves == plain_past.maps.curves).all()

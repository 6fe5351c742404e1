"""Contexts: what the next character may depend on, each as a hash of the text before it.

    text so far ──follow──▶ hashes (CONTEXTS,): the last 1 … 8 characters, words, places in the line, shapes, …

A context is any function of the past. Beside the last characters there are (Mahoney 2013, "Data Compression Explained", 4.3):
sparse ones, which skip the last characters; words, alone and with those before; the first line of the paragraph, which in
a play says who speaks; shapes, which know only capital, small, digit, space; and indirect ones: what came the last times
after the last characters.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.parts import part
from letterwise.data.vocabulary import Vocabulary
from letterwise.online.logistic import hashed

ORDERS = (1, 2, 3, 4, 5, 6, 8)  # characters in a context, with which the list begins
CONTEXTS = len(ORDERS) + 17
OTHER, SMALL, LINE_END, CAPITAL, SPACE, DIGIT = range(6)  # shapes
RING = 2**21  # characters that are kept
AFTER = 2**16  # last characters whose followers are kept

# What `state` holds: numbers, and hashes.
LENGTH, COLUMN, LETTERS = 0, 1, 2  # characters of the text, of the line, of the word
WORD, WORD_1, WORD_2 = 3, 4, 5  # this word as far as it goes, the one before, and the one before that
LINE, LINE_1, HEADING, BLANK = 6, 7, 8, 9  # how the line begins, the one before; the paragraph's first line; after a blank line
SHAPES, STUDIED = 10, 11  # of the last 21 characters, three bits each; how long the text is that came before this one
STATE = 12


class Contexts(NamedTuple):
    """The text, and what is remembered of it."""

    text: np.ndarray  # (RING,) int64: the last characters
    shapes: np.ndarray  # (V,) int64: of each character
    state: np.ndarray  # (STATE,) uint64
    hashes: np.ndarray  # (CONTEXTS,) uint64
    after_one: np.ndarray  # (V,) uint64: the last two that came after each character
    after_two: np.ndarray  # (AFTER,) uint64: and after two


def no_contexts(shapes: np.ndarray) -> Contexts:
    """Of a text that has not begun."""
    return Contexts(
        np.zeros(RING, np.int64),
        shapes,
        np.zeros(STATE, np.uint64),
        np.zeros(CONTEXTS, np.uint64),
        np.zeros(len(shapes), np.uint64),
        np.zeros(AFTER, np.uint64),
    )


def shapes_of(vocabulary: Vocabulary) -> np.ndarray:
    """The shape of each character (V,); bytes are taken for Latin-1."""
    characters = map(chr, range(256)) if vocabulary.kind == "byte" else vocabulary.characters
    return np.array([shape(c) for c in characters], np.int64)


def shape(c: str) -> int:
    """Capital, digit, small (all other letters, and the apostrophe), space, the end of a line, or other."""
    if c.isdecimal():
        return DIGIT
    if c.isupper():
        return CAPITAL
    if c.isalnum() or c == "'":
        return SMALL
    return {"\n": LINE_END, " ": SPACE}.get(c, OTHER)


@part()
def last(contexts, back):
    """The character so far back, 1 for the last one; 0 before the text."""
    length = np.int64(contexts.state[LENGTH])
    return contexts.text[(length - back) & (RING - 1)] if back <= length else 0


@part()
def follow(contexts, id):
    """One more character."""
    state = contexts.state
    contexts.text[np.int64(state[LENGTH]) & (RING - 1)] = id
    state[LENGTH] += np.uint64(1)
    one, two, three = last(contexts, 1), last(contexts, 2), last(contexts, 3)
    contexts.after_one[two] = (contexts.after_one[two] << np.uint64(20)) | np.uint64(one)
    slot = np.int64(hashed(np.uint64(two), np.uint64(three)) & np.uint64(AFTER - 1))
    contexts.after_two[slot] = (contexts.after_two[slot] << np.uint64(20)) | np.uint64(one)
    remember(state, np.uint64(id), contexts.shapes[id])
    fill(contexts)


@part()
def remember(state, id, shape):
    """Words, lines and shapes."""
    zero, one = np.uint64(0), np.uint64(1)
    state[SHAPES] = (state[SHAPES] << np.uint64(3)) | np.uint64(shape)
    if shape in (SMALL, CAPITAL, DIGIT):
        state[WORD] = hashed(state[WORD], id)
        state[LETTERS] += one
    elif state[LETTERS] > zero:
        state[WORD_2], state[WORD_1] = state[WORD_1], state[WORD]
        state[WORD] = state[LETTERS] = zero
    if shape == LINE_END:
        state[BLANK] = one if state[COLUMN] == zero else zero
        state[LINE_1], state[LINE], state[COLUMN] = state[LINE], zero, zero
        return
    if state[BLANK] == one:
        state[HEADING] = hashed(state[HEADING] if state[COLUMN] > zero else zero, id)
    if state[COLUMN] < np.uint64(12):
        state[LINE] = hashed(state[LINE], id)
    state[COLUMN] += one


@part()
def fill(contexts):
    """The hashes, each with its own number."""
    state, hashes = contexts.state, contexts.hashes
    key, at = np.uint64(0), 0
    for back in range(1, ORDERS[-1] + 1):
        key = hashed(key, np.uint64(last(contexts, back) + 1 if back <= np.int64(state[LENGTH]) else 0))
        if back == ORDERS[at]:
            hashes[at] = hashed(key, np.uint64(at))
            at += 1
    one, two = np.uint64(last(contexts, 1)), np.uint64(last(contexts, 2))
    three, four = np.uint64(last(contexts, 3)), np.uint64(last(contexts, 4))
    word, before, shapes = hashed(state[WORD], one), state[WORD_1], state[SHAPES]
    slot = np.int64(hashed(one, two) & np.uint64(AFTER - 1))
    hashes[at] = np.uint64(1)  # no context at all
    hashes[at + 1] = word
    hashes[at + 2] = hashed(word, before)
    hashes[at + 3] = hashed(word, state[WORD_2])
    hashes[at + 4] = hashed(word, hashed(before, state[WORD_2]))
    hashes[at + 5] = hashed(two, three)
    hashes[at + 6] = hashed(two, hashed(three, four))
    hashes[at + 7] = hashed(one, three)
    hashes[at + 8] = hashed(min(state[COLUMN], np.uint64(15)), two)
    hashes[at + 9] = hashed(state[LINE], state[COLUMN])
    hashes[at + 10] = hashed(state[LINE], state[LINE_1])
    hashes[at + 11] = hashed(word, state[HEADING])
    hashes[at + 12] = shapes & np.uint64(0xFFFFFF)
    hashes[at + 13] = hashed(shapes & np.uint64(0x7FFF), hashed(one, two))
    hashes[at + 14] = hashed(hashed(shapes & np.uint64(0xFFF), state[WORD]), before)
    hashes[at + 15] = hashed(contexts.after_one[np.int64(one)] & np.uint64(0xFFFFFFFFFF), one)
    hashes[at + 16] = hashed(contexts.after_two[slot] & np.uint64(0xFFFFFFFFFF), one)
    for c in range(at, CONTEXTS):
        hashes[c] = hashed(hashes[c], np.uint64(100 + c))

"""Sampling: every filter and penalty by hand, and drawn characters follow the distribution."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterwise.compiling.parts import Part
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import Diverged, UserError
from letterwise.inference.backend import scores_of
from letterwise.inference.constraints.language.dfa import NO_DFA, draw_under_dfa
from letterwise.inference.sampling import penalties as penalties_of
from letterwise.inference.sampling.filters import FILTERS, argsort, draw, min_p, room_for, top_k, top_p, typical_p
from letterwise.inference.sampling.sampler import PENALTIES, Sampler, SamplerState, frequency, repetition

HALVES = np.log(np.array([0.5, 0.25, 0.125, 0.125], np.float32))
ABCD = Vocabulary("char", "abcd")


def random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def kept(filter: Part, logits: np.ndarray, *options: object) -> list[int]:
    scores = logits.copy()
    filter(scores, *options)
    return np.flatnonzero(np.isfinite(scores)).tolist()


@pytest.mark.parametrize(("k", "expected"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2, 3]), (4, [0, 1, 2, 3]), (99, [0, 1, 2, 3])])
def test_top_k_keeps_ties_at_the_border(k: int, expected: list[int]) -> None:
    assert kept(top_k, HALVES, k, room_for(4)) == expected


@pytest.mark.parametrize(("p", "expected"), [(0.1, [0]), (0.5, [0]), (0.6, [0, 1]), (0.75, [0, 1]), (0.8, [0, 1, 2, 3])])
def test_top_p_keeps_the_smallest_set_that_holds_p(p: float, expected: list[int]) -> None:
    assert kept(top_p, HALVES, p, room_for(4)) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(1.0, [0]), (0.5, [0, 1]), (0.3, [0, 1]), (0.25, [0, 1, 2, 3]), (0.1, [0, 1, 2, 3])]
)
def test_min_p_is_measured_from_the_likeliest(p: float, expected: list[int]) -> None:
    assert kept(min_p, HALVES, p) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(0.1, [1]), (0.24, [1]), (0.26, [0, 1]), (0.74, [0, 1]), (0.76, [0, 1, 2, 3]), (0.99, [0, 1, 2, 3])]
)
def test_typical_p_keeps_what_surprises_as_much_as_expected(p: float, expected: list[int]) -> None:
    """1.75 bits are expected; the four bring 1, 2, 3 and 3, so they are 0.75, 0.25, 1.25 and 1.25 away: the second is first."""
    assert kept(typical_p, HALVES, p, room_for(4)) == expected


def test_typical_p_does_not_bring_back_what_is_gone() -> None:
    """Of 1/2, 1/4, 1/4, 0: 1.5 bits are expected, 1, 2 and 2 are found, all half a bit away."""
    scores = np.log(np.array([2, 1, 1, 1e-30], np.float32)) + np.array([0, 0, 0, -np.inf])
    assert kept(typical_p, scores, 0.1, room_for(4)) == [0, 1, 2]


@given(st.lists(st.floats(-3, 3, width=16).map(round) | st.floats(allow_nan=False, width=32), min_size=1, max_size=40))
def test_places_in_ascending_order(keys: list[float]) -> None:
    """Ties, infinities and signed zeros included."""
    values = np.array(keys, np.float64)
    order = np.zeros(len(values), np.int64)
    argsort(values, order)
    assert sorted(order) == list(range(len(keys)))
    assert values[order].tolist() == sorted(keys)


def test_repetition_penalty_by_hand() -> None:
    logits = np.array([2.0, -2.0, 3.0, 0.0], np.float32)
    assert repetition(logits, np.array([1, 2, 0, 1]), 2.0).tolist() == [1.0, -4.0, 3.0, 0.0]


def test_frequency_and_presence_by_hand() -> None:
    logits = np.array([5.0, 5.0, 5.0, -math.inf], np.float32)
    assert frequency(logits, np.array([0, 1, 3, 1]), 0.5, 1.0).tolist() == [5.0, 3.5, 2.5, -math.inf]


def test_penalties_look_at_the_window_and_no_further() -> None:
    state = SamplerState(Sampler(frequency_penalty=1.0, penalty_window=3), ABCD)
    state.saw(np.array([3, 3, 3, 3, 0]))
    state.saw([0])
    assert state.scores(np.zeros(4, np.float32)).tolist() == [-2, 0, 0, -1]  # d a a
    state.saw([1, 1, 2])
    assert state.scores(np.zeros(4, np.float32)).tolist() == [0, -2, -1, 0]  # b b c


def test_bias_and_only_by_hand() -> None:
    sampler = Sampler(logit_bias={"ab": 1.5, "b": 1.0})
    assert sampler.bias(ABCD).tolist() == [1.5, 2.5, 0, 0]
    only = np.array([True, False, True, True])
    assert SamplerState(sampler, ABCD, only=only).scores(np.ones(4, np.float32)).tolist() == [2.5, -math.inf, 1, 1]


def test_bias_of_characters_that_are_none() -> None:
    with pytest.raises(UserError, match="€"):
        Sampler(logit_bias={"€": 1.0}).bias(ABCD)
    with pytest.raises(UserError, match="writes bytes"):
        Sampler(logit_bias={"€": 1.0}).bias(Vocabulary("byte"))
    assert Sampler(logit_bias={"a": 1.0}).bias(Vocabulary("byte")).nonzero()[0].tolist() == [97]


def test_temperature_by_hand() -> None:
    """Halving the temperature squares the odds: 4:2:1:1 becomes 16:4:1:1."""
    np.testing.assert_allclose(Sampler(temperature=0.5).distribution(HALVES), np.array([16, 4, 1, 1]) / 22, rtol=1e-6)


def test_filters_follow_temperature() -> None:
    """After temperature 2 the odds are 2:√2:1:1; min-p 0.6 keeps √2/2 = 0.71 and drops 0.5."""
    got = Sampler(temperature=2.0, min_p=0.6).distribution(HALVES)
    np.testing.assert_allclose(got, np.array([math.sqrt(2), 1, 0, 0]) / (1 + math.sqrt(2)), rtol=1e-6)


@pytest.mark.parametrize("scores", [[0.0, math.nan], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_scores_that_are_no_numbers_are_told(scores: list[float]) -> None:
    with pytest.raises(UserError, match="diverged"):
        Sampler().choose(np.array(scores, np.float32), random(0))


def test_greedy_takes_the_likeliest() -> None:
    assert Sampler(greedy=True).choose(np.array([0.1, 3.0, 2.9], np.float32), random(0)) == 1


@pytest.mark.parametrize(
    ("uniform", "expected"), [(0.0, 1), (0.499, 1), (0.501, 3), (0.749, 3), (0.751, 4), (0.99, 4), (math.nextafter(1, 0), 4)]
)
def test_a_draw_inverts_the_cumulative_distribution(uniform: float, expected: int) -> None:
    """Of 0, 1/2, 0, 1/4, 1/4 and 0: the impossible are never drawn, not at either border either."""
    with np.errstate(divide="ignore"):
        logits = np.log(np.array([0, 2, 0, 1, 1, 0], np.float32))
    assert draw(logits, uniform, np.zeros(len(logits))) == expected


@pytest.mark.parametrize("seed", [5, 6])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_k": 2}, {"typical_p": 0.6, "temperature": 1.5}])
def test_draws_follow_the_distribution(seed: int, options: dict) -> None:
    """Chi-squared over 20,000 draws; 16.27 is the 0.1 % point at 3 degrees of freedom."""
    sampler, generator, draws = Sampler(**options), random(seed), 20_000
    counts = np.bincount([sampler.choose(HALVES, generator) for _ in range(draws)], minlength=4)
    expected = sampler.distribution(HALVES) * draws
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert ((counts - expected)[possible] ** 2 / expected[possible]).sum() < 16.27


@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30),
    k=st.integers(0, 40),
    p=st.floats(0.01, 1.0),
    least=st.floats(0.0, 1.0),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_whatever_the_filters_the_likeliest_stays_and_what_is_drawn_is_possible(
    logits: list[float], k: int, p: float, least: float, uniform: float
) -> None:
    sampler, scores = Sampler(top_k=k, top_p=p, min_p=least), np.array(logits, np.float32)
    got = sampler.distribution(scores)
    assert got.sum() == pytest.approx(1, abs=1e-9)
    assert got[int(scores.argmax())] > 0
    assert got[draw(sampler.filtered(scores), uniform, np.zeros(len(scores)))] > 0


@given(logits=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30), p=st.floats(0.01, 0.99))
def test_typical_p_holds_p_and_no_odder_ones(logits: list[float], p: float) -> None:
    """The plain statement: whoever is kept is less odd than whoever is not, and together they hold p."""
    scores = np.array(logits, np.float32)
    probabilities = Sampler().distribution(scores)
    odd = np.abs(-np.log(probabilities) + np.sum(probabilities * np.log(probabilities)))
    typical_p(scores, p, room_for(len(scores)))
    inside = np.isfinite(scores)
    assert probabilities[inside].sum() >= p - 1e-9
    assert odd[inside].max() <= odd[~inside].min(initial=math.inf)
    assert probabilities[inside & (odd < odd[inside].max() - 1e-8)].sum() < p  # without the oddest ones it would be too little


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"min_p": 1.01}, "min_p=1.01"),
        ({"typical_p": 0.0}, "typical_p=0.0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0.0"),
        ({"frequency_penalty": math.inf}, "frequency_penalty=inf"),
        ({"presence_penalty": math.nan}, "presence_penalty=nan"),
        ({"penalty_window": 0}, "penalty_window=0"),
        ({"logit_bias": {"e": math.nan}}, "logit_bias 'e': nan"),
        ({"logit_bias": {"": 1.0}}, "logit_bias ''"),
        ({"beam": -1}, "beam=-1"),
        ({"beam": 2, "temperature": 0.5}, "leave out temperature"),
        ({"beam": 2, "greedy": True}, "leave out greedy"),
    ],
)
def test_senseless_values_are_refused_with_the_value(options: dict, value: str) -> None:
    with pytest.raises(UserError, match=value):
        Sampler(**options)


def test_a_seed_below_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="rng_seed=-1"):
        SamplerState(Sampler(), ABCD, rng_seed=-1)


HOSTILE = [
    {"logit_bias": {"a": -1e39}}, {"logit_bias": {"a": 1e39, "b": -1e308}}, {"frequency_penalty": 1e308},
    {"presence_penalty": -1e308}, {"repetition_penalty": 1e300}, {"repetition_penalty": 1e-300},
]  # fmt: skip


@pytest.mark.parametrize("knobs", HOSTILE, ids=str)
@pytest.mark.parametrize(
    "more", [{"greedy": True}, {}, {"temperature": 1e-40}, {"temperature": 1e300}, {"top_k": 1, "min_p": 1.0}]
)
@pytest.mark.parametrize("logits", [[0, 1, 2, 3], [-math.inf, -math.inf, 3e38, 0], [-3e38, 3e38, -20, 1]])
def test_what_may_be_written_stays_ahead_of_what_may_not(knobs: dict, more: dict, logits: list[float]) -> None:
    """Whatever the scores, and whatever is added to them: a choice between a and b is one of these. (Warnings are errors.)"""
    may, scores = np.array([True, True, False, False]), np.array(logits, np.float32)
    state = SamplerState(Sampler(**knobs, **more), ABCD, only=may)
    state.saw([0, 0, 1, 2])
    ids = [state.choose(state.scores(scores)) for _ in range(5)]
    room = room_for(4)
    plain = [
        draw_under_dfa(scores_of(scores, state.bias), NO_DFA, 0, 0, state.sampler.filters, u, room)[0]
        for u in (0.0, 0.5, 0.999)
    ]
    assert set(ids + plain) <= {0, 1}


def test_order_survives_penalties_that_are_too_large() -> None:
    """b was there once, a twice, c and d not: c is first, then d, b, a."""
    state = SamplerState(Sampler(frequency_penalty=1e308, greedy=True), ABCD)
    state.saw([0, 1, 0])
    assert np.argsort(-state.scores(np.array([9, 9, 1, 0], np.float32))).tolist() == [2, 3, 1, 0]


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("logits", [[math.nan, 0, 0, 0], [0, 0, 0, math.nan], [0, math.inf, 0, 0], [-math.inf] * 4])
def test_a_model_that_answers_nan_writes_nothing(logits: list[float], greedy: bool) -> None:
    """Not where its choice is narrowed down to characters that have a score, either."""
    state, scores = (
        SamplerState(Sampler(greedy=greedy), ABCD, only=np.array([False, True, True, False])),
        np.array(logits, np.float32),
    )
    with pytest.raises(Diverged, match="NaN"):
        state.scores(scores)
    assert draw_under_dfa(scores_of(scores, state.bias), NO_DFA, 0, 0, state.sampler.filters, 0.5, room_for(4))[0] == -1


@pytest.mark.parametrize(
    "knob", [{"top_k": 10**20}, {"beam": 10**20}, {"penalty_window": 10**20}, {"penalty_window": 0}, {"top_k": -1}], ids=str
)
def test_knobs_have_two_bounds(knob: dict) -> None:
    (name,) = knob
    with pytest.raises(UserError, match=f"{name}=.* is too (small: the minimum|large: the maximum) is "):
        Sampler(**knob)


@given(
    seed=st.integers(0, 99), options=st.sampled_from([{}, {"temperature": 0.5, "top_k": 3}, {"greedy": True}, {"top_p": 0.8}])
)
def test_penalties_of_several_texts_are_those_of_each(seed: int, options: dict) -> None:
    """Compiled for all at once, they give the same bits as the formulas."""
    numbers, states = random(seed), list[SamplerState]()
    for k in range(3):
        given = {name: float(numbers.choice([0.5, 1.0, 1.7, 1e9])) for name in PENALTIES}
        states.append(SamplerState(Sampler(**options, **given, logit_bias={"b": 2.0}), ABCD, k, numbers.random(4) < 0.8))
        states[-1].saw(numbers.integers(0, 4, 1 + k * 3))
    logits = (numbers.normal(size=(5, 4)) * 10).astype(np.float32)
    logits[3, 1], rows, ids = np.nan, np.array([4, 0, 2, 3]), np.zeros(4, np.int64)
    states.append(SamplerState(Sampler(presence_penalty=1.0), ABCD))
    filters, penalties = [state.sampler.filters for state in states], [state.sampler.penalties for state in states]
    bias, counts = np.array([state.bias for state in states]), np.array([state.counts for state in states])
    uniforms = np.array([state.sampler.uniform(random(k)) for k, state in enumerate(states)])
    each = (np.array(penalties, penalties_of.PENALTIES), np.array(filters, FILTERS), uniforms, ids, (np.zeros(4), room_for(4)))
    for function in (penalties_of.draw_penalized, penalties_of.draw_penalized.plain):
        function(logits[rows], bias, counts, *each)
        alone = [states[k].sampler.choose(states[k].scores(logits[rows[k]]), random(k)) for k in range(3)]
        assert ids.tolist() == [*alone, -1]

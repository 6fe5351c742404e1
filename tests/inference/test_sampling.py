"""Sampling: every filter by hand, and drawn characters follow the distribution."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.errors import UserError
from letterwise.inference.sampling import Sampler, min_p, top_k, top_p

HALVES = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits).nonzero().flatten().tolist()


@pytest.mark.parametrize(("k", "expected"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2, 3]), (4, [0, 1, 2, 3]), (99, [0, 1, 2, 3])])
def test_top_k_keeps_ties_at_the_border(k: int, expected: list[int]) -> None:
    assert kept(top_k(HALVES, k)) == expected


@pytest.mark.parametrize(("p", "expected"), [(0.1, [0]), (0.5, [0]), (0.6, [0, 1]), (0.75, [0, 1]), (0.8, [0, 1, 2, 3])])
def test_top_p_keeps_the_smallest_set_that_holds_p(p: float, expected: list[int]) -> None:
    assert kept(top_p(HALVES, p)) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(1.0, [0]), (0.5, [0, 1]), (0.3, [0, 1]), (0.25, [0, 1, 2, 3]), (0.1, [0, 1, 2, 3])]
)
def test_min_p_is_measured_from_the_likeliest(p: float, expected: list[int]) -> None:
    assert kept(min_p(HALVES, p)) == expected


def test_temperature_by_hand() -> None:
    """Halving the temperature squares the odds: 4:2:1:1 becomes 16:4:1:1."""
    torch.testing.assert_close(Sampler(temperature=0.5).distribution(HALVES), torch.tensor([16, 4, 1, 1]) / 22)


def test_filters_follow_temperature() -> None:
    """After temperature 2 the odds are 2:√2:1:1; min-p 0.6 keeps √2/2 = 0.71 and drops 0.5."""
    got = Sampler(temperature=2.0, min_p=0.6).distribution(HALVES)
    torch.testing.assert_close(got, torch.tensor([math.sqrt(2), 1, 0, 0]) / (1 + math.sqrt(2)))


def test_scores_that_are_no_numbers_are_told() -> None:
    with pytest.raises(UserError, match="blown up"):
        Sampler().choose(torch.tensor([0.0, math.nan]), torch.Generator())


def test_greedy_takes_the_likeliest() -> None:
    assert Sampler(greedy=True).choose(torch.tensor([0.1, 3.0, 2.9]), torch.Generator()) == 1


def test_draws_follow_the_distribution() -> None:
    """Chi-squared over 20,000 draws; 16.27 is the 0.1 % point at 3 degrees of freedom."""
    generator, draws = torch.Generator().manual_seed(5), 20_000
    counts = torch.zeros(4)
    for _ in range(draws):
        counts[Sampler().choose(HALVES, generator)] += 1
    expected = HALVES.exp() * draws
    assert ((counts - expected) ** 2 / expected).sum() < 16.27


@settings(deadline=None)
@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30),
    k=st.integers(0, 40),
    p=st.floats(0.01, 1.0),
    least=st.floats(0.0, 1.0),
)
def test_whatever_the_filters_something_is_left_and_the_likeliest_stays(
    logits: list[float], k: int, p: float, least: float
) -> None:
    got = Sampler(top_k=k, top_p=p, min_p=least).distribution(torch.tensor(logits))
    assert got.sum().item() == pytest.approx(1, abs=1e-5)
    assert got[int(torch.tensor(logits).argmax())] > 0


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
    ],
)
def test_senseless_values_are_refused_with_the_value(options: dict, value: str) -> None:
    with pytest.raises(UserError, match=value):
        Sampler(**options)

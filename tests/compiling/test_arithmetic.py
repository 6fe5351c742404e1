"""Arithmetic: near the true values, and the same bits on whatever processor this test runs."""

import hashlib
import math

import numpy as np
import pytest

from letterwise.compiling import arithmetic
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import Part
from letterwise.inference.cpu import kernel, matmul
from letterwise.ngrams import reader

X = np.random.default_rng(0).normal(0, 10, 4096).astype(np.float32)
WIDTHS = (1, 7, 8, 16, 24, 129, 4096)


@entry(waits=True)
def each(x, exps, logs, bent):
    """All three functions of each number."""
    for i in range(x.size):
        exps[i], logs[i], bent[i] = arithmetic_exp(x[i]), arithmetic_log(abs(x[i])), arithmetic_tanh(x[i])


@entry(waits=True)
def shares_below(x, shares):
    """The normal distribution's."""
    for i in range(x.size):
        shares[i] = arithmetic_cdf(x[i])


arithmetic_exp, arithmetic_log, arithmetic_tanh = arithmetic.exp, arithmetic.log, arithmetic.tanh
arithmetic_cdf = arithmetic.normal_cdf


def found() -> list[np.ndarray]:
    """exp, log and tanh of X, and its beginnings normalized both ways."""
    many = [np.empty_like(X) for _ in range(3)]
    each(X, *many)
    for rms in (True, False):
        for width in WIDTHS:
            many.append(np.empty(width, np.float32))
            arithmetic.normalize(X[:width], rms, many[-1])
    return many


def test_the_bits_are_those_of_every_processor() -> None:
    """Found on one with AVX-512; the same where the compiler may use nothing but SSE2 (NUMBA_CPU_NAME=generic)."""
    told = hashlib.sha256(b"".join(array.astype("<f4").tobytes() for array in found())).hexdigest()
    assert told[:16] == "3dc520f534f5fb29"


def test_the_values_are_right() -> None:
    exps, logs, bent, *normal = (array.astype(float) for array in found())
    wide = X.astype(float)
    assert exps == pytest.approx(np.exp(wide), rel=3e-7)
    assert logs == pytest.approx(np.log(abs(wide)), rel=3e-7, abs=1e-7)
    assert bent == pytest.approx(np.tanh(wide), abs=2e-7)
    for rms, row in zip([True] * len(WIDTHS) + [False] * len(WIDTHS), normal, strict=True):
        away = wide[: len(row)] - (0 if rms else wide[: len(row)].mean())
        assert row == pytest.approx(away / math.sqrt((away**2).mean() + 1e-5), abs=2e-6)
    for x in (0.0, 1e-45, 1.1754944e-38, 1.0, 3.4e38):
        assert arithmetic.log(np.float32(x)) == pytest.approx(math.log(max(x, 1.1754944e-38)), rel=3e-7)


def test_the_normal_distribution_is_right_and_the_same_everywhere() -> None:
    shares = np.empty_like(X)
    shares_below(X / 4, shares)
    assert shares.astype(float) == pytest.approx([math.erfc(-x / math.sqrt(2)) / 2 for x in (X / 4).tolist()], abs=3e-7)
    assert [arithmetic.normal_cdf.plain(x) for x in (X[:64] / 4)] == shares[:64].tolist()
    assert hashlib.sha256(shares.astype("<f4").tobytes()).hexdigest()[:16] == "dd005ea764d35361"


def test_nothing_that_predicts_lets_the_compiler_choose() -> None:
    """Neither which multiplications are fused with an addition, nor the order of a sum."""
    for module in (arithmetic, kernel, reader, matmul):
        compiled = [value for value in vars(module).values() if isinstance(value, Part)]
        assert compiled
        assert not [value for value in compiled if value.options.get("fastmath")]

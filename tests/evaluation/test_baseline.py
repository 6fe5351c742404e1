"""Baseline: by hand."""

import math

import numpy as np
import pytest

from letterwise.evaluation import baseline
from letterwise.evaluation.baseline import frequency_bits


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """aab over {a, b, c}: counted 3, 2, 1 of 6. Then `abc` costs log₂ 2, log₂ 3 and log₂ 6."""
    expected = (math.log2(2) + math.log2(3) + math.log2(6)) / 3
    for chunk in (1, 2, 100):
        monkeypatch.setattr(baseline, "CHUNK", chunk)
        got = frequency_bits(np.array([0, 0, 1], np.uint8), np.array([0, 1, 2], np.uint8), 3)
        assert got == pytest.approx(expected)

"""Shapes: what has been seen is not checked again, and whatever differs from it in a way that a signature can tell, is."""

import jaxtyping
import numpy as np
import pytest
from jaxtyping import Float
from shapes import check, checked_once


@checked_once(typechecker=check)
def cut(a: Float[np.ndarray, "N V"], b: Float[np.ndarray, "V"], n: int) -> Float[np.ndarray, "V"]:
    return a[0, :n] + b[:n]


A, B = np.zeros((2, 3)), np.zeros(3)


@pytest.mark.parametrize(
    "wrong",
    [
        (A, B, 2),  # what it gives is too short, for arguments of the same kinds
        (A, B[:2], 3),
        (A[0], B, 3),
        (A.astype(np.int64), B, 3),
        (A, B.tolist(), 3),
        (A, B, "3"),
    ],
)
def test_what_differs_from_what_was_seen_is_checked(wrong: tuple) -> None:
    for _ in range(3):
        assert cut(A, B, 3).shape == (3,)
    for _ in range(2):  # what was refused is not known
        with pytest.raises(jaxtyping.TypeCheckError):
            cut(*wrong)
    assert cut(A, B, n=3).shape == (3,)


def test_a_function_is_called_once_for_each_call() -> None:
    calls = []

    @checked_once(typechecker=check)
    def noted(a: Float[np.ndarray, "N"], n: int) -> Float[np.ndarray, "M"]:
        calls.append(n)
        return a[:n]

    for n in (3, 3, 2, 2):
        noted(B, n)
    assert calls == [3, 3, 2, 2]

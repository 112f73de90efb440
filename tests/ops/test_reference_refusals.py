"""What the NumPy definitions refuse when they see the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backlit.errors import LinAlgError
from backlit.ops import reference as ref

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ref.inv(np.zeros((2, 2))),
        LinAlgError,
        (
            "linalg.inv: a matrix of the input (2, 2) is singular and has no inverse; "
            "linalg.pinv gives a pseudoinverse."
        ),
    ),
    (
        lambda: ref.solve(np.zeros((2, 2)), np.ones((2, 1))),
        LinAlgError,
        (
            "linalg.solve: a matrix of A (2, 2) is singular, so A X = B has no unique "
            "solution; linalg.lstsq finds the best one."
        ),
    ),
    (
        lambda: ref.cholesky(-np.eye(3), False, True),
        LinAlgError,
        (
            "linalg.cholesky: a matrix of the input (3, 3) is not positive-definite, so the "
            "factorization could not be completed; adding a small multiple of the identity "
            "may help."
        ),
    ),
    (
        lambda: ref.svd(np.full((2, 2), np.nan), True),
        LinAlgError,
        (
            "linalg.svd: the algorithm failed to converge for a matrix of the input (2, 2); "
            "it may hold NaN or infinities."
        ),
    ),
    (
        lambda: ref.pick(np.ones((2, 3)), np.array([0, -1]), 1, -100),
        IndexError,
        "Target -1 is out of bounds.",
    ),
    (
        lambda: ref.take_rows(np.ones((4, 2)), np.array([1, -2])),
        IndexError,
        "index -2 is out of range for a table of 4 rows",
    ),
    (
        lambda: ref.wrap_index(np.array([0, -5, 1]), 3),
        IndexError,
        "index -5 is out of bounds for dimension with size 3",
    ),
    (
        lambda: ref.index(np.ones((2, 3)), np.array([0, 3]), 1),
        IndexError,
        "index 3 is out of bounds for dimension with size 3",
    ),
    (
        lambda: ref.gather(np.ones((2, 3)), np.array([[0, -1]]), 1),
        IndexError,
        "index -1 is out of bounds for dimension with size 3",
    ),
    (
        lambda: ref.wrap_index(np.array([3]), 3),
        IndexError,
        "index 3 is out of bounds for dimension with size 3",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_eigh_that_does_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK's failure becomes an error that names the op and the shape.

    No matrix is known for which it fails on every machine, so the failure is made.
    """

    def fails(*args: Any) -> None:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    monkeypatch.setattr(np.linalg, "eigh", fails)
    with pytest.raises(LinAlgError) as caught:
        ref.eigh(np.eye(2), "L")
    assert str(caught.value) == (
        "linalg.eigh: the algorithm failed to converge for a matrix of the input (2, 2); "
        "it may hold NaN or have too many repeated eigenvalues."
    )

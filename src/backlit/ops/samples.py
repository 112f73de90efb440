"""Sample operands of cards, for the laws in ``tests/laws`` and for demonstrations.

A card may bring samples of its own (`Primitive.samples`). For the cards that move, reduce and
index, whose operands follow from their attributes, they are here. The points keep clear of kinks
and of ties, so that central differences exist there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backlit.core.dtypes import float32
from backlit.core.primitive import Primitive

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Sample:
    """One call of a card: its operands as arrays (or numbers), and its attributes."""

    operands: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = ", ".join(str(np.shape(a)) for a in self.operands)
        named = "".join(f", {k}={v}" for k, v in self.attributes.items())
        return f"{shapes}{named}"


def samples_of(card: Primitive) -> list[Sample]:
    """The samples of ``card``: its own, else the standard ones of its name; none if there are none.

    >>> from backlit.core.primitive import PRIMITIVES
    >>> print(samples_of(PRIMITIVES["permute"])[0])
    (2, 3, 4), dims=(2, 0, 1)
    """
    given = card.samples() if callable(card.samples) else card.samples
    if not given and card.name in STANDARD:
        given = STANDARD[card.name]()
    return [_sample(row) for row in given]


def _sample(row: Any) -> Sample:
    """A sample from the short forms: an array, a tuple of them, or (tuple, attributes)."""
    if isinstance(row, Sample):
        return row
    if not isinstance(row, tuple):
        return Sample((np.asarray(row),))
    if len(row) == 2 and isinstance(row[1], dict):
        operands = row[0] if isinstance(row[0], tuple) else (row[0],)
        return Sample(tuple(_operand(a) for a in operands), row[1])
    return Sample(tuple(_operand(a) for a in row))


def _operand(a: Any) -> Any:
    return a if isinstance(a, (bool, int, float)) else np.asarray(a)


def points(*shape: int, seed: int = 0) -> Array:
    """Distinct numbers between -2 and 2, none near 0, in random order."""
    n = int(np.prod(shape))
    spaced = (np.arange(n) + 0.5) / max(n, 1) * 4 - 2
    return np.random.default_rng(seed).permutation(spaced + 0.03).reshape(shape)


def _each(*rows: tuple[Any, dict[str, Any]]) -> Callable[[], list[Any]]:
    return lambda: [(a if isinstance(a, tuple) else (a,), attrs) for a, attrs in rows]


def _reduction() -> list[Any]:
    rows: list[Any] = [
        ((points(3, 4),), {"dims": d, "keepdim": k})
        for d in ((0,), (1,), (0, 1))
        for k in (True, False)
    ]
    return [
        *rows,
        ((points(2, 3, 2),), {"dims": (0, 2), "keepdim": False}),
        ((points(),), {"dims": (), "keepdim": False}),
    ]


def _index_of_best() -> list[Any]:
    return [((points(3, 4),), {"dim": d, "keepdim": k}) for d in (0, 1) for k in (True, False)]


def _along() -> list[Any]:
    return [
        ((points(3, 4),), {"dim": 0}),
        ((points(2, 3, 2),), {"dim": 1}),
        ((points(5),), {"dim": 0}),
    ]


_INDEX = np.array([[0, 2], [1, 1], [2, 0]])


STANDARD: dict[str, Callable[[], list[Any]]] = {
    "clone": lambda: [points(2, 3), points()],
    "detach": lambda: [points(2, 3), points()],
    "leaf": lambda: [points(2, 3)],
    "with_history": lambda: [(points(2, 3), points(2, 3, seed=1))],
    "overwrite": lambda: [(points(2, 3), points(2, 3, seed=1))],
    "convert": _each((points(2, 3), {"dtype": float32})),
    "reshape": _each(
        (points(2, 3), {"shape": (6,)}),
        (points(4), {"shape": (2, 1, 2)}),
        (points(), {"shape": (1, 1)}),
    ),
    "permute": _each((points(2, 3, 4), {"dims": (2, 0, 1)}), (points(2, 3), {"dims": (1, 0)})),
    "expand": _each(
        (points(3), {"shape": (2, 3)}),
        (points(2, 1), {"shape": (2, 4)}),
        (points(), {"shape": (2, 2)}),
    ),
    "flip": _each((points(2, 3), {"dims": (1,)}), (points(2, 3), {"dims": (0, 1)})),
    "slice": _each(
        ((points(4, 3), 1), {"dims": (0,), "lengths": (2,), "steps": (1,)}),
        ((points(4, 5), 0, 1), {"dims": (0, 1), "lengths": (2, 2), "steps": (2, 3)}),
    ),
    "slice_write": _each(
        ((points(4, 3), points(2, 3, seed=1), 1), {"dims": (0,), "lengths": (2,), "steps": (1,)}),
        (
            (points(4, 5), points(2, 2, seed=1), 0, 1),
            {"dims": (0, 1), "lengths": (2, 2), "steps": (2, 3)},
        ),
    ),
    "cat": _each(
        ((points(2, 3), points(1, 3, seed=1)), {"dim": 0}),
        ((points(2, 1), points(2, 2, seed=1), points(2, 3, seed=2)), {"dim": 1}),
    ),
    "full": _each((points(), {"shape": (2, 3)}), (points(), {"shape": ()})),
    "strided": _each(
        (points(3, 3), {"size": (3,), "offset": (0, 0), "steps": ((1, 1),)}),
        (points(4), {"size": (3, 2), "offset": (0,), "steps": ((1,), (1,))}),
    ),
    "strided_write": _each(
        (
            (points(3, 3), points(3, seed=1)),
            {"offset": (0, 0), "steps": ((1, 1),), "accumulate": False},
        ),
        (
            (points(4), points(3, 2, seed=1)),
            {"offset": (0,), "steps": ((1,), (1,)), "accumulate": True},
        ),
    ),
    "sum": _reduction,
    "prod": _reduction,
    "amax": _reduction,
    "amin": _reduction,
    "argmax": _index_of_best,
    "argmin": _index_of_best,
    "argsort": _each(
        (points(3, 4), {"dim": 1, "descending": False}),
        (points(3, 4), {"dim": 0, "descending": True}),
    ),
    "argkth": _each((points(3, 4), {"k": 2, "dim": 1})),
    "argmode": _each((np.array([[1.0, 2.0, 1.0], [3.0, 3.0, 2.0]]), {"dim": 1})),
    "argtopk": _each(
        (points(3, 4), {"k": 2, "dim": 1, "largest": True}),
        (points(4), {"k": 3, "dim": 0, "largest": False}),
    ),
    "cumsum": _along,
    "cumprod": _along,
    "cummax": _along,
    "cummin": _along,
    "logcumsumexp": _along,
    "linear_scan": _each(
        ((points(3, 4), points(3, 4, seed=1)), {"dim": 0}),
        ((points(4), points(4, seed=1)), {"dim": 0}),
    ),
    "wrap_index": _each((np.array([0, -1, 2]), {"n": 3})),
    "index": _each(
        ((points(4, 3), np.array([0, 2, 2])), {"dim": 0}),
        ((points(2, 4), np.array([[0, 3], [1, 1]])), {"dim": 1}),
    ),
    "index_write": _each(
        ((points(4, 3), np.array([0, 2]), points(2, 3, seed=1)), {"dim": 0, "accumulate": False}),
        ((points(2, 4), np.array([1, 1, 3]), points(2, 3, seed=1)), {"dim": 1, "accumulate": True}),
    ),
    "gather": _each(((points(3, 3), _INDEX), {"dim": 0}), ((points(3, 3), _INDEX), {"dim": 1})),
    "scatter": _each(
        ((points(3, 3), _INDEX, points(3, 2, seed=1)), {"dim": 0, "reduce": "sum"}),
        ((points(3, 3), _INDEX[:1], points(1, 2, seed=1)), {"dim": 1, "reduce": "set"}),
    ),
    "scatter_reduce": _each(
        ((points(3, 3), _INDEX, points(3, 2, seed=1)), {"dim": 0, "reduce": "prod"}),
        ((points(3, 3), _INDEX, points(3, 2, seed=1)), {"dim": 0, "reduce": "amax"}),
        ((points(3, 3), _INDEX, points(3, 2, seed=1)), {"dim": 1, "reduce": "amin"}),
    ),
    "searchsorted": _each(
        ((np.array([1.0, 2.0, 3.0]), np.array([0.5, 2.0, 2.5])), {"right": False}),
        ((np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.5, 5.0]])), {"right": True}),
    ),
    "histc": _each((points(6), {"bins": 3, "low": -2.0, "high": 2.0})),
    "frexp": lambda: [points(2, 3), points()],
    "igamma": lambda: [(np.array([0.7, 1.5, 3.0]), np.array([0.4, 2.0, 2.5]))],
    "igammac": lambda: [(np.array([0.7, 1.5, 3.0]), np.array([0.4, 2.0, 2.5]))],
}

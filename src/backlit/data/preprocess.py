"""Preparing features: standardising, and polynomial features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any, TypeVar

import numpy as np

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.data.sampler import check_count
from backlit.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]
Data = TypeVar("Data", bound=Tensor | Array)


class Standardize:
    """Shifts and scales every column to mean 0 and standard deviation 1: z = (x - μ) / σ.

    Columns that are constant become 0 and come back as they were. Large tables can be fitted in
    pieces with `partial_fit` (Chan, Golub and LeVeque 1979: means and squares are merged without
    loss of digits). Tensors give tensors, arrays give arrays, of the same dtype.

    Raises:
        ShapeError: the data have other columns than those fitted.
        ArgumentError: a value is NaN or infinite, or nothing has been fitted.

    >>> scale = backlit.data.Standardize()
    >>> x = np.array([[1.0, 7.0], [3.0, 7.0]])
    >>> scale.fit_transform(x).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> scale.inverse(scale.transform(x)).tolist()
    [[1.0, 7.0], [3.0, 7.0]]
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Array | None = None
        self._squares: Array | None = None  # Σ (x - μ)²

    def fit(self, x: Tensor | Array) -> Standardize:
        """Take mean and standard deviation of every column of x, (rows, columns)."""
        self.count, self._mean, self._squares = 0, None, None
        return self.partial_fit(x)

    def partial_fit(self, x: Tensor | Array) -> Standardize:
        """Take more rows into mean and standard deviation."""
        rows = self._checked(x)
        if not len(rows):
            raise ArgumentError("Standardize: cannot fit a table without rows.")
        mean = rows.mean(axis=0)
        squares = ((rows - mean) ** 2).sum(axis=0)
        if self._mean is None or self._squares is None:
            self.count, self._mean, self._squares = len(rows), mean, squares
            return self
        total = self.count + len(rows)
        apart = mean - self._mean
        self._mean = self._mean + apart * (len(rows) / total)
        self._squares = self._squares + squares + apart**2 * (self.count * len(rows) / total)
        self.count = total
        return self

    @property
    def mean(self) -> Array:
        """The mean μ of every column."""
        return self._fitted()[0]

    @property
    def scale(self) -> Array:
        """The standard deviation σ of every column; 1 for a constant one."""
        return self._fitted()[1]

    def _fitted(self) -> tuple[Array, Array]:
        if self._mean is None or self._squares is None:
            raise ArgumentError("Standardize: nothing fitted yet; call fit(x) first.")
        deviation = np.sqrt(self._squares / self.count)
        # What rounding leaves of a constant column, such as 0.1 a thousand times, is no spread.
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(self._mean)
        return self._mean, np.where(constant, 1.0, deviation)

    def transform(self, x: Data) -> Data:
        """(x - μ) / σ."""
        mean, scale = self._fitted()
        return _like(x, (self._checked(x) - mean) / scale)

    def fit_transform(self, x: Data) -> Data:
        """Fit x, then transform it."""
        return self.fit(x).transform(x)

    def inverse(self, z: Data) -> Data:
        """z σ + μ: back to the original units."""
        mean, scale = self._fitted()
        return _like(z, self._checked(z) * scale + mean)

    def _checked(self, x: Tensor | Array) -> Array:
        rows = np.asarray(_array(x), dtype=np.float64)
        if rows.ndim != 2:
            raise ShapeError(
                f"Standardize: expected a table (rows, columns), got shape {rows.shape}; "
                "a single column is x[:, None]."
            )
        if self._mean is not None and rows.shape[1] != len(self._mean):
            raise ShapeError(
                f"Standardize: fitted to {len(self._mean)} columns, got {rows.shape[1]}."
            )
        bad = np.argwhere(~np.isfinite(rows))
        if len(bad):
            row, column = bad[0]
            raise ArgumentError(
                f"Standardize: row {row}, column {column} is {rows[row, column]}; remove or fill "
                "in missing and infinite values first."
            )
        return rows

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, as plain numbers."""
        self._fitted()
        return {
            "count": self.count,
            "mean": [] if self._mean is None else self._mean.tolist(),
            "squares": [] if self._squares is None else self._squares.tolist(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ArgumentError: an entry is missing.
        """
        missing = {"count", "mean", "squares"} - state_dict.keys()
        if missing:
            raise ArgumentError(
                f"Standardize.load_state_dict: the state lacks {', '.join(sorted(missing))}; "
                "pass what Standardize.state_dict() gave."
            )
        self.count = state_dict["count"]
        self._mean = np.array(state_dict["mean"], dtype=np.float64)
        self._squares = np.array(state_dict["squares"], dtype=np.float64)


def polynomial_features(x: Data, degree: int, bias: bool = True, interactions: bool = True) -> Data:
    """Φ(x): all products of at most `degree` features, so that linear models draw curves.

    One feature gives [1, x, x², …]; two give [1, x1, x2, x1², x1 x2, x2², …]. See
    `polynomial_names` for the order.

    Args:
        x: (rows, features), or (rows,) for one feature.
        bias: whether the first column is 1.
        interactions: whether products of different features are there, or powers only.

    Raises:
        ArgumentError: `degree` is not a positive integer.
        ShapeError: x has more than two dimensions.

    >>> polynomial_features(np.array([[2.0], [3.0]]), degree=2).tolist()
    [[1.0, 2.0, 4.0], [1.0, 3.0, 9.0]]
    """
    columns = np.asarray(_array(x))
    if columns.ndim not in (1, 2):
        raise ShapeError(
            f"polynomial_features: expected x of shape (rows, features), got {columns.shape}."
        )
    columns = columns.reshape(len(columns), -1)
    terms = _terms(columns.shape[1], degree, bias, interactions)
    products = [np.prod(columns[:, list(term)], axis=1) for term in terms]
    return _like(x, np.stack(products, axis=1))


def polynomial_names(
    names: Sequence[str], degree: int, bias: bool = True, interactions: bool = True
) -> list[str]:
    """The names of the columns of `polynomial_features`.

    >>> polynomial_names(["a", "b"], degree=2)
    ['1', 'a', 'b', 'a²', 'a b', 'b²']
    """
    powers = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    found = []
    for term in _terms(len(names), degree, bias, interactions):
        factors = [
            names[i] + (str(term.count(i)).translate(powers) if term.count(i) > 1 else "")
            for i in sorted(set(term))
        ]
        found.append(" ".join(factors) or "1")
    return found


def _terms(features: int, degree: int, bias: bool, interactions: bool) -> list[tuple[int, ...]]:
    """Which features each column multiplies, degree by degree."""
    check_count("polynomial_features", "degree", degree)
    terms: list[tuple[int, ...]] = [()] if bias else []
    for power in range(1, degree + 1):
        if interactions:
            terms += combinations_with_replacement(range(features), power)
        else:
            terms += [(feature,) * power for feature in range(features)]
    return terms


def _array(x: Tensor | Array) -> Array:
    found: Array = realize(x) if isinstance(x, Tensor) else x
    return found


def _like(x: Data, result: Array) -> Data:
    """`result` as a tensor or an array of the dtype of `x`; whole numbers become float32."""
    was = _array(x).dtype
    made: Any = result.astype(was if was.kind == "f" else np.float32, copy=False)
    if isinstance(x, Tensor):
        made = from_array(made)
    same_type: Data = made
    return same_type

"""Standardising and polynomial features."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backlit import data
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
TABLE = RNG.normal(5, 3, (200, 3)) * [1, 1e-6, 1e6]


def test_columns_get_mean_0_and_deviation_1() -> None:
    """Every column is shifted and scaled by its own numbers, and comes back."""
    scale = data.Standardize().fit(TABLE)
    z = scale.transform(TABLE)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(scale.inverse(z), TABLE, rtol=1e-12)
    np.testing.assert_allclose(scale.mean, TABLE.mean(axis=0))
    np.testing.assert_allclose(scale.scale, TABLE.std(axis=0))


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e20, -1e-20])
def test_constant_columns_are_safe(value: float) -> None:
    """A constant column becomes 0, without NaN, whatever its value; and comes back."""
    x = np.full((1000, 1), value)
    scale = data.Standardize().fit(x)
    assert scale.scale.tolist() == [1.0]
    np.testing.assert_allclose(scale.transform(x), 0, atol=abs(value) * 1e-12)
    np.testing.assert_allclose(scale.inverse(scale.transform(x)), x)


def test_fitting_in_pieces_is_fitting_at_once() -> None:
    """Pieces of any size give the whole table's numbers, also far from 0."""
    far = TABLE + 1e9 * np.array([1, 0, 0])
    pieces = data.Standardize()
    for piece in np.split(far, [1, 7, 100]):
        pieces.partial_fit(piece)
    whole = data.Standardize().fit(far)
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(pieces.scale, whole.scale, rtol=1e-6)


def test_tensors_give_tensors_of_their_dtype() -> None:
    """float32 stays float32; whole numbers become float32."""
    x = from_array(np.array([[1, 2], [3, 4]], np.float32))
    z = data.Standardize().fit_transform(x)
    assert isinstance(z, Tensor)
    assert realize(z).dtype == np.float32
    assert realize(z).tolist() == [[-1, -1], [1, 1]]
    assert data.Standardize().fit_transform(np.array([[1], [3]])).dtype == np.float32


def test_state_survives_json() -> None:
    """A scaler restored from its state does the same."""
    scale = data.Standardize().fit(TABLE)
    other = data.Standardize()
    other.load_state_dict(json.loads(json.dumps(scale.state_dict())))
    assert np.array_equal(other.transform(TABLE), scale.transform(TABLE))
    assert other.count == 200


def test_powers_of_one_feature() -> None:
    """Φ(x) = [1, x, x², x³]."""
    assert data.polynomial_features(np.array([2.0, -1.0]), 3).tolist() == [
        [1, 2, 4, 8],
        [1, -1, 1, -1],
    ]


def test_products_of_two_features() -> None:
    """All products up to the degree, in the order of their names."""
    x = np.array([[2.0, 3.0]])
    assert data.polynomial_features(x, 2).tolist() == [[1, 2, 3, 4, 6, 9]]
    assert data.polynomial_features(x, 2, bias=False).tolist() == [[2, 3, 4, 6, 9]]
    assert data.polynomial_features(x, 3, interactions=False).tolist() == [[1, 2, 3, 4, 9, 8, 27]]
    assert data.polynomial_names(["a", "b"], 3, interactions=False) == [
        "1", "a", "b", "a²", "b²", "a³", "b³",
    ]  # fmt: skip
    assert data.polynomial_names(["a", "b"], 3)[-3:] == ["a² b", "a b²", "b³"]
    tensor = data.polynomial_features(from_array(x.astype(np.float32)), 2)
    assert realize(tensor).dtype == np.float32


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: data.Standardize().fit(np.zeros(3)),
        ShapeError,
        (
            "Standardize: expected a table (rows, columns), got shape (3,); "
            "a single column is x[:, None]."
        ),
    ),
    (
        lambda: data.Standardize().fit(np.zeros((2, 3))).transform(np.zeros((2, 2))),
        ShapeError,
        "Standardize: fitted to 3 columns, got 2.",
    ),
    (
        lambda: data.Standardize().fit(np.array([[1.0, 2.0], [3.0, np.nan]])),
        ArgumentError,
        "Standardize: row 1, column 1 is nan; remove or fill in missing and infinite values first.",
    ),
    (
        lambda: data.Standardize().fit(np.zeros((0, 3))),
        ArgumentError,
        "Standardize: cannot fit a table without rows.",
    ),
    (
        lambda: data.Standardize().transform(np.zeros((2, 2))),
        ArgumentError,
        "Standardize: nothing fitted yet; call fit(x) first.",
    ),
    (
        lambda: data.Standardize().load_state_dict({"mean": []}),
        ArgumentError,
        (
            "Standardize.load_state_dict: the state lacks count, squares; "
            "pass what Standardize.state_dict() gave."
        ),
    ),
    (
        lambda: data.polynomial_features(np.zeros((2, 2)), 0),
        ArgumentError,
        "polynomial_features: degree must be a positive integer, got 0.",
    ),
    (
        lambda: data.polynomial_features(np.zeros((2, 2, 2)), 2),
        ShapeError,
        "polynomial_features: expected x of shape (rows, features), got (2, 2, 2).",
    ),
]


@pytest.mark.parametrize("act, kind, message", ERRORS)
def test_misuse_is_explained(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Every error says where it is and what to do."""
    with pytest.raises(kind) as caught:
        act()
    assert str(caught.value) == message

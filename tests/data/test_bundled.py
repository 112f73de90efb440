"""The tables that come with Backlit."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from backlit import data
from backlit.core.era import realize


def test_iris_is_fishers() -> None:
    """150 flowers, 50 of each species, with known means and rows."""
    iris = data.iris()
    x, y = realize(iris.x), realize(iris.y)
    assert (x.shape, x.dtype, y.dtype) == ((150, 4), np.float32, np.int64)
    assert np.bincount(y).tolist() == [50, 50, 50]
    np.testing.assert_allclose(x.mean(axis=0), [5.843333, 3.057333, 3.758, 1.199333], rtol=1e-6)
    np.testing.assert_allclose(x[[0, 149]], [[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]], rtol=1e-6)
    assert iris.target_names == ("setosa", "versicolor", "virginica")
    assert iris.feature_names[2] == "petal length"
    assert "CC BY 4.0" in iris.description


def test_digits_are_the_uci_test_set() -> None:
    """1797 images of 64 values from 0 to 16, about as many of each digit."""
    digits = data.digits()
    x, y = realize(digits.x), realize(digits.y)
    assert (x.shape, x.dtype, y.dtype) == ((1797, 64), np.float32, np.int64)
    assert (x.min(), x.max()) == (0, 16)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert x.sum() == 561718
    assert x[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert len(digits.feature_names) == 64
    assert digits.feature_names[9] == "pixel 1,1"
    assert "CC BY 4.0" in digits.description


def test_mcycle_is_silvermans() -> None:
    """133 points, the first at rest after 2.4 ms, the lowest at -134 g."""
    mcycle = data.mcycle()
    x, y = realize(mcycle.x), realize(mcycle.y)
    assert x.shape == y.shape == (133, 1)
    assert (x[0, 0], y[0, 0]) == (np.float32(2.4), 0)
    assert y.min() == -134
    assert repr(mcycle) == (
        "Table(133 rows, 1 features: Helmet acceleration (g) over time (ms) in a simulated crash)"
    )


@pytest.mark.parametrize("name", ["iris", "digits", "mcycle"])
def test_every_table_says_where_it_comes_from(name: str) -> None:
    """The attribution names every archive."""
    text = (files("backlit.data") / "tables" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert f"`{name}.npz`" in text

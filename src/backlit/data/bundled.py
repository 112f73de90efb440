"""Small real tables that come with Backlit, so that examples run without network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from backlit.core.create import from_array
from backlit.core.tensor import Tensor


@dataclass(frozen=True)
class Table:
    """A small data set with names.

    Attributes:
        x: the features, (rows, features), float32.
        y: class numbers, (rows,), int64; or the values to predict, (rows, targets), float32.
        feature_names: one name for each column of `x`.
        target_names: the classes' names; or one name for each column of `y`.
        description: what it is and where it comes from.
    """

    x: Tensor
    y: Tensor
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    description: str

    def __repr__(self) -> str:
        rows, features = self.x.shape
        first_line = self.description.splitlines()[0]
        return f"Table({rows} rows, {features} features: {first_line})"


def iris() -> Table:
    """Fisher's irises: 150 flowers of three species, four lengths in cm.

    Source: R. A. Fisher 1936; UCI Machine Learning Repository, CC BY 4.0.

    >>> backlit.data.iris()
    Table(150 rows, 4 features: Irises of three species, lengths in cm)
    """
    return _load(
        "iris",
        ("sepal length", "sepal width", "petal length", "petal width"),
        ("setosa", "versicolor", "virginica"),
        "Irises of three species, lengths in cm\n"
        "R. A. Fisher, Annals of Eugenics 7 (1936); UCI Machine Learning Repository, CC BY 4.0.",
    )


def digits() -> Table:
    """Handwritten digits: 1797 images of 8×8 pixels with values 0 … 16, in rows of 64.

    Source: Alpaydin and Kaynak 1998, UCI Machine Learning Repository (test set), CC BY 4.0.

    >>> backlit.data.digits()
    Table(1797 rows, 64 features: Handwritten digits, 8×8 pixels of 0 … 16)
    """
    return _load(
        "digits",
        tuple(f"pixel {row},{column}" for row in range(8) for column in range(8)),
        tuple(map(str, range(10))),
        "Handwritten digits, 8×8 pixels of 0 … 16\n"
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (1998), test set; "
        "UCI Machine Learning Repository, CC BY 4.0.",
    )


def mcycle() -> Table:
    """Head acceleration after a simulated motorcycle crash: 133 points, time in ms to g.

    Source: B. W. Silverman 1985 (a published table).

    >>> backlit.data.mcycle()
    Table(133 rows, 1 features: Helmet acceleration (g) over time (ms) in a simulated crash)
    """
    return _load(
        "mcycle",
        ("time",),
        ("acceleration",),
        "Helmet acceleration (g) over time (ms) in a simulated crash\n"
        "B. W. Silverman, Journal of the Royal Statistical Society B 47 (1985).",
    )


def _load(
    name: str, feature_names: tuple[str, ...], target_names: tuple[str, ...], description: str
) -> Table:
    with (files("backlit.data") / "tables" / f"{name}.npz").open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        x, y = archive["x"], archive["y"]
    target = y.astype(np.int64) if y.ndim == 1 else y
    return Table(
        from_array(x.astype(np.float32)),
        from_array(target),
        feature_names,
        target_names,
        description,
    )

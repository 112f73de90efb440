"""Underfit, good fit, overfit: scores over the capacity of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.errors import ArgumentError

UNDERFIT, GOOD, OVERFIT = "underfit", "good fit", "overfit"
NEAR = 1.1  # times the lowest validation loss still counts as good


@dataclass(frozen=True)
class ValidationCurve:
    """Losses over a setting that changes a model's capacity.

    Attributes:
        values: the settings, from simple to rich.
        train, validation: the losses at each.
        verdicts: "underfit", "good fit" or "overfit" at each: good within 10 % of the lowest
            validation loss; before that too simple, after that too rich.
    """

    values: tuple[Any, ...]
    train: tuple[float, ...]
    validation: tuple[float, ...]
    verdicts: tuple[str, ...]

    @property
    def best(self) -> Any:
        """The setting with the lowest validation loss."""
        return self.values[int(np.argmin(self.validation))]

    def __str__(self) -> str:
        rows = [("setting", "train", "validation", "verdict")]
        rows += [
            (str(v), f"{t:.4g}", f"{w:.4g}", verdict)
            for v, t, w, verdict in zip(
                self.values, self.train, self.validation, self.verdicts, strict=True
            )
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    __repr__ = __str__


def validation_curve(
    values: Sequence[Any], losses: Callable[[Any], tuple[float, float]]
) -> ValidationCurve:
    """Train once for each setting, and tell where the model is too simple and where too rich.

    A model that is too simple has a high loss on both sets; one that is too rich follows the noise
    of the training set, so its training loss goes on falling while its validation loss rises.

    Args:
        values: the settings, from simple to rich: degrees, widths, 1/λ.
        losses: trains with a setting and gives (training loss, validation loss).

    Raises:
        ArgumentError: there are no settings.

    Source: S. Geman, E. Bienenstock and R. Doursat, "Neural networks and the bias/variance
    dilemma" (1992).

    >>> found = validation_curve([1, 3, 15], {1: (5.0, 5.2), 3: (1.0, 1.1), 15: (0.1, 9.0)}.get)
    >>> print(found)
    setting  train  validation  verdict
    1        5      5.2         underfit
    3        1      1.1         good fit
    15       0.1    9           overfit
    """
    if not values:
        raise ArgumentError("validation_curve: there are no settings to try; give at least one.")
    pairs = [losses(value) for value in values]
    train, validation = ([float(loss) for loss in side] for side in zip(*pairs, strict=True))
    best = int(np.argmin(validation))
    verdicts = tuple(
        GOOD if loss <= NEAR * validation[best] else UNDERFIT if i < best else OVERFIT
        for i, loss in enumerate(validation)
    )
    return ValidationCurve(tuple(values), tuple(train), tuple(validation), verdicts)

"""Two-dimensional toy sets: TensorFlow Playground's, by its formulas, and two blobs.

Every set is a `Table` of points (x1, x2). Classification sets have classes 0 and 1, or with
`signs=True` the values -1 and +1 that the Playground uses; regression sets have values in [-1, 1].
`noise` runs from 0 to 0.5, the Playground's slider divided by 100. A seed decides everything;
`seed=None` gives new points every time.

Source: playground.tensorflow.org (D. Smilkov and S. Carter, 2016), its data generators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.data.bundled import Table
from backlit.errors import ArgumentError

Array = np.ndarray[Any, np.dtype[np.float64]]
RADIUS = 5.0  # of the classification sets' square
PLANE_RADIUS = 6.0  # of the regression sets' square


def circle(n: int = 500, noise: float = 0.0, seed: int | None = 0, signs: bool = False) -> Table:
    """A disc of class 1 inside a ring of class 0: not linearly separable.

    >>> backlit.data.toys.circle(100)
    Table(100 rows, 2 features: Playground circle: a disc inside a ring)
    """
    rng = _rng(n, noise, seed)
    radii = [rng.uniform(0, 0.5 * RADIUS, n // 2), rng.uniform(0.7 * RADIUS, RADIUS, n - n // 2)]
    r = np.concatenate(radii)
    angle = rng.uniform(0, 2 * np.pi, n)
    points = np.stack([r * np.sin(angle), r * np.cos(angle)], axis=1)
    moved = points + rng.uniform(-RADIUS, RADIUS, (n, 2)) * noise
    inside = np.hypot(moved[:, 0], moved[:, 1]) < 0.5 * RADIUS
    return _classes(rng, points, inside, signs, "Playground circle: a disc inside a ring")


def xor(n: int = 500, noise: float = 0.0, seed: int | None = 0, signs: bool = False) -> Table:
    """Class 1 where both coordinates have the same sign: not linearly separable.

    >>> backlit.data.toys.xor(100)
    Table(100 rows, 2 features: Playground xor: four quadrants)
    """
    rng = _rng(n, noise, seed)
    points = rng.uniform(-RADIUS, RADIUS, (n, 2))
    points += np.where(points > 0, 0.3, -0.3)  # a gap along the axes
    moved = points + rng.uniform(-RADIUS, RADIUS, (n, 2)) * noise
    same = moved[:, 0] * moved[:, 1] >= 0
    return _classes(rng, points, same, signs, "Playground xor: four quadrants")


def gauss(n: int = 500, noise: float = 0.0, seed: int | None = 0, signs: bool = False) -> Table:
    """Two Gaussian clouds around (2, 2), class 1, and (-2, -2), class 0.

    >>> backlit.data.toys.gauss(100)
    Table(100 rows, 2 features: Playground gauss: two clouds)
    """
    rng = _rng(n, noise, seed)
    variance = 0.5 + noise * 7  # noise 0 … 0.5 ↦ variance 0.5 … 4
    first = np.arange(n) < n // 2
    points = np.where(first, 2.0, -2.0)[:, None] + rng.normal(0, math.sqrt(variance), (n, 2))
    return _classes(rng, points, first, signs, "Playground gauss: two clouds")


def spiral(n: int = 500, noise: float = 0.0, seed: int | None = 0, signs: bool = False) -> Table:
    """Two intertwined spirals of 1.75 turns.

    >>> backlit.data.toys.spiral(100)
    Table(100 rows, 2 features: Playground spiral: two arms)
    """
    rng = _rng(n, noise, seed)
    first = np.arange(n) < n // 2
    size = np.where(first, n // 2, n - n // 2)
    along = np.where(first, np.arange(n), np.arange(n) - n // 2) / size  # 0 … 1 on each arm
    angle = 1.75 * along * 2 * np.pi + np.where(first, 0.0, np.pi)
    points = (RADIUS * along * np.stack([np.sin(angle), np.cos(angle)])).T
    points = points + rng.uniform(-1, 1, (n, 2)) * noise
    return _classes(rng, points, first, signs, "Playground spiral: two arms")


def plane(n: int = 500, noise: float = 0.0, seed: int | None = 0) -> Table:
    """Regression of a tilted plane: (x1 + x2) / 10.

    >>> backlit.data.toys.plane(100)
    Table(100 rows, 2 features: Playground plane: regression of (x1 + x2) / 10)
    """
    rng = _rng(n, noise, seed)
    return _values(
        rng, n, noise, lambda p: (p[:, 0] + p[:, 1]) / 10, "plane: regression of (x1 + x2) / 10"
    )


# Centres of the bumps of `bumps`, with their signs.
BUMPS = ((-4, 2.5, 1), (0, 2.5, -1), (4, 2.5, 1), (-4, -2.5, -1), (0, -2.5, 1), (4, -2.5, -1))


def bumps(n: int = 500, noise: float = 0.0, seed: int | None = 0) -> Table:
    """Regression of six cones of height ±1 and radius 2 (the Playground's "multi gaussian").

    >>> backlit.data.toys.bumps(100)
    Table(100 rows, 2 features: Playground bumps: regression of six cones)
    """

    def height(points: Array) -> Array:
        best = np.zeros(len(points))
        for cx, cy, sign in BUMPS:
            distance = np.hypot(points[:, 0] - cx, points[:, 1] - cy)
            cone = sign * np.clip(1 - distance / 2, 0, 1)
            best = np.where(np.abs(cone) > np.abs(best), cone, best)
        return best

    return _values(_rng(n, noise, seed), n, noise, height, "bumps: regression of six cones")


def two_blobs(
    n: int = 200, separable: bool = True, seed: int | None = 0, signs: bool = False
) -> Table:
    """Two clouds that a line separates, with a margin of 1 between them; or that none separates.

    >>> backlit.data.toys.two_blobs(100)
    Table(100 rows, 2 features: Two blobs, linearly separable)
    """
    if n < 4:
        raise ArgumentError(f"two_blobs: n must be at least 4, got {n}.")
    rng = _rng(n, 0.0, seed)
    first = np.arange(n) < n // 2
    side = np.where(first, 1.0, -1.0)
    along = rng.normal(0, 1.5, n)
    if separable:
        across = side * (0.5 + np.abs(rng.normal(0, 1.5, n)))
    else:
        across = side * 0.7 + rng.normal(0, 1.5, n)
    # Turned by 45°: the separating line is x1 + x2 = 0.
    points = np.stack([across + along, across - along], axis=1) / math.sqrt(2)
    if not separable:
        # One point of each class at the other's centre: inside its hull, so no line separates.
        centres = points[first][1:].mean(axis=0), points[~first][1:].mean(axis=0)
        points[np.flatnonzero(~first)[0]], points[0] = centres
    kind = "linearly separable" if separable else "not linearly separable"
    return _classes(rng, points, first, signs, f"Two blobs, {kind}")


def _rng(n: int, noise: float, seed: int | None) -> np.random.Generator:
    if n < 2:
        raise ArgumentError(f"toy set: n must be at least 2, got {n}.")
    if not 0 <= noise <= 0.5:
        raise ArgumentError(
            f"toy set: noise must lie between 0 and 0.5 (the Playground's 0 to 50), got {noise}."
        )
    return np.random.default_rng(seed)


def _classes(
    rng: np.random.Generator, points: Array, positive: Any, signs: bool, description: str
) -> Table:
    """A shuffled classification set."""
    order = rng.permutation(len(points))
    target: Any = positive[order].astype(np.int64)
    if signs:
        target = (2 * target - 1).astype(np.float32)[:, None]
    return Table(
        from_array(points[order].astype(np.float32)),
        from_array(target),
        ("x1", "x2"),
        ("sign",) if signs else ("0", "1"),
        description,
    )


def _values(
    rng: np.random.Generator,
    n: int,
    noise: float,
    value: Callable[[Array], Array],
    description: str,
) -> Table:
    """A regression set on a square; the noise moves the points whose values are taken."""
    points = rng.uniform(-PLANE_RADIUS, PLANE_RADIUS, (n, 2))
    moved = points + rng.uniform(-PLANE_RADIUS, PLANE_RADIUS, (n, 2)) * noise
    return Table(
        from_array(points.astype(np.float32)),
        from_array(value(moved).astype(np.float32)[:, None]),
        ("x1", "x2"),
        ("value",),
        f"Playground {description}",
    )

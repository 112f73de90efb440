"""The toy sets have the Playground's shapes, ranges and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from backlit.core.era import realize
from backlit.data import Table, toys
from backlit.errors import ArgumentError

Array = np.ndarray[Any, np.dtype[Any]]
CLASSES = [toys.circle, toys.xor, toys.gauss, toys.spiral]
VALUES = [toys.plane, toys.bumps]


def points(table: Table) -> tuple[Array, Array]:
    """Points and targets as arrays."""
    return realize(table.x), realize(table.y)


def is_separable(x: Array, positive: Array) -> bool:
    """Whether some line separates the classes: a linear program has a solution."""
    sign = np.where(positive, -1.0, 1.0)[:, None]
    rows = sign * np.hstack([x, np.ones((len(x), 1))])
    found = linprog(np.zeros(3), A_ub=rows, b_ub=-np.ones(len(x)), bounds=[(None, None)] * 3)
    return bool(found.status == 0)


@pytest.mark.parametrize("make", [*CLASSES, *VALUES], ids=lambda f: f.__name__)
def test_seed_decides_the_points(make: Callable[..., Table]) -> None:
    """Equal seeds give equal points; others, and None, give new ones."""
    first, same, other = (points(make(50, noise=0.1, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first[0], same[0])
    assert np.array_equal(first[1], same[1])
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(*(points(make(50, seed=None))[0] for _ in range(2)))


@pytest.mark.parametrize("make", CLASSES, ids=lambda f: f.__name__)
def test_classes_are_balanced_numbers_or_signs(make: Callable[..., Table]) -> None:
    """Classes 0 and 1 about equally often, in random order; with `signs`, -1 and +1."""
    x, y = points(make(400))
    assert (x.shape, x.dtype, y.dtype) == ((400, 2), np.float32, np.int64)
    assert 160 <= y.sum() <= 240
    assert len(set(y[:20])) == 2
    signs = points(make(400, signs=True))[1]
    assert signs.shape == (400, 1)
    assert np.array_equal(signs[:, 0], 2.0 * y - 1)


def test_circle() -> None:
    """Class 1 within half the radius of 5, class 0 beyond 0.7 of it."""
    x, y = points(toys.circle(500))
    r = np.hypot(*x.T)
    assert r[y == 1].max() <= 2.5 < 3.5 <= r[y == 0].min() + 1e-6
    assert r.max() <= 5.00001
    assert not is_separable(x, y == 1)


def test_xor() -> None:
    """Class 1 in the quadrants of equal signs, with a gap of 0.3 along the axes."""
    x, y = points(toys.xor(500))
    assert np.array_equal(y == 1, x[:, 0] * x[:, 1] >= 0)
    assert np.abs(x).min() >= 0.3
    assert np.abs(x).max() <= 5.3


def test_gauss() -> None:
    """Clouds around ±(2, 2), of variance 0.5 without noise and 4 with the most."""
    x, y = points(toys.gauss(4000))
    np.testing.assert_allclose(x[y == 1].mean(axis=0), 2, atol=0.1)
    np.testing.assert_allclose(x[y == 0].mean(axis=0), -2, atol=0.1)
    np.testing.assert_allclose(x[y == 1].var(axis=0), 0.5, atol=0.06)
    x, y = points(toys.gauss(4000, noise=0.5))
    np.testing.assert_allclose(x[y == 1].var(axis=0), 4, atol=0.4)


def test_spiral() -> None:
    """Point i of an arm of n lies at radius 5i/n and angle 3.5π i/n, the other arm opposite."""
    x, y = points(toys.spiral(200))
    arm = x[y == 1][np.argsort(np.hypot(*x[y == 1].T))]
    i = np.arange(100) / 100
    expected = 5 * i * np.stack([np.sin(3.5 * np.pi * i), np.cos(3.5 * np.pi * i)])
    np.testing.assert_allclose(arm, expected.T, atol=1e-5)
    other = x[y == 0][np.argsort(np.hypot(*x[y == 0].T))]
    np.testing.assert_allclose(other, -arm, atol=1e-5)


def test_plane() -> None:
    """Values are (x1 + x2) / 10 on a square of half-width 6."""
    x, y = points(toys.plane(300))
    np.testing.assert_allclose(y[:, 0], x.sum(axis=1) / 10, atol=1e-6)
    assert 5.5 < np.abs(x).max() <= 6


def test_bumps() -> None:
    """Cones of height ±1 and radius 2 with alternating signs; 0 far from all of them."""
    x, y = points(toys.bumps(3000))
    for cx, cy, sign in toys.BUMPS:
        distance = np.hypot(x[:, 0] - cx, x[:, 1] - cy)
        near = distance < 1
        np.testing.assert_allclose(y[near, 0], sign * (1 - distance[near] / 2), atol=1e-6)
    assert {sign for *_, sign in toys.BUMPS} == {1, -1}
    far = (np.abs(x[:, 1]) > 4.6) | (np.abs(x[:, 1]) < 0.4)
    assert np.abs(y[far]).max() == 0


@pytest.mark.parametrize("make", [*CLASSES, *VALUES], ids=lambda f: f.__name__)
def test_noise_blurs(make: Callable[..., Table]) -> None:
    """Noise changes points or targets."""
    clean, noisy = points(make(300, noise=0.0)), points(make(300, noise=0.5))
    assert not all(np.array_equal(a, b) for a, b in zip(clean, noisy, strict=True))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("separable", [True, False])
def test_two_blobs_are_what_they_say(separable: bool, seed: int) -> None:
    """A linear program finds a separating line in exactly those sets that say so."""
    x, y = points(toys.two_blobs(60, separable=separable, seed=seed))
    assert is_separable(x, y == 1) == separable
    if separable:
        across = x.sum(axis=1) / np.sqrt(2)
        assert across[y == 1].min() - across[y == 0].max() >= 1 - 1e-6


ERRORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: toys.circle(1), "toy set: n must be at least 2, got 1."),
    (
        lambda: toys.xor(noise=0.6),
        "toy set: noise must lie between 0 and 0.5 (the Playground's 0 to 50), got 0.6.",
    ),
    (lambda: toys.two_blobs(3), "two_blobs: n must be at least 4, got 3."),
]


@pytest.mark.parametrize("act, message", ERRORS)
def test_misuse_is_explained(act: Callable[[], Any], message: str) -> None:
    """Every error says what is allowed."""
    with pytest.raises(ArgumentError) as caught:
        act()
    assert str(caught.value) == message

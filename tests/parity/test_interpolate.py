"""Resampling equals PyTorch's in every mode: values, gradients, dtypes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import backlit
import backlit.nn.functional as F

torch = pytest.importorskip("torch")

SHAPES = {3: (2, 3, 7), 4: (2, 3, 7, 5), 5: (1, 2, 4, 5, 3)}
PICKING = ["nearest", "nearest-exact", "area"]
MODES = [
    *itertools.product(PICKING, SHAPES, [None], [False]),
    *[(mode, rank, aligned, False)
      for mode, rank in [("linear", 3), ("bilinear", 4), ("bicubic", 4), ("trilinear", 5)]
      for aligned in (False, True)],
    ("bilinear", 4, False, True), ("bilinear", 4, True, True), ("bicubic", 4, False, True),
    ("lanczos", 4, False, True),
]  # fmt: skip
SIZES: list[dict[str, Any]] = [
    {"size": 1},
    {"size": 4},
    {"size": 9},
    {"scale_factor": 2.0},
    {"scale_factor": 1.4},
    {"scale_factor": 0.6},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(("mode", "rank", "aligned", "antialias"), MODES)
def test_values_and_gradients(
    mode: str, rank: int, aligned: bool | None, antialias: bool, sizes: dict[str, Any]
) -> None:
    """Up and down, by size and by scale, each mode gives PyTorch's elements and gradient."""
    array = np.random.default_rng(rank).standard_normal(SHAPES[rank])
    found = []
    for library in (backlit, torch):
        x = library.tensor(array, requires_grad=True)
        out = library.nn.functional.interpolate(
            x, mode=mode, align_corners=aligned, antialias=antialias, **sizes
        )
        (out * out).sum().backward()
        found.append([out.detach().numpy(), x.grad.numpy()])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("sizes", SIZES[1:], ids=str)
def test_narrow_dtypes(dtype: str, mode: str, sizes: dict[str, Any]) -> None:
    """Narrow floats round once, at the end; bytes are within 1 of PyTorch's fixed point."""
    array = np.random.default_rng(0).integers(0, 255, SHAPES[4])
    found = []
    for library in (backlit, torch):
        x = library.tensor(array, dtype=getattr(library, dtype))
        out = library.nn.functional.interpolate(x, mode=mode, **sizes)
        assert str(out.dtype).endswith(dtype)
        found.append(out.double().numpy())
    limits = {"float32": 1e-3, "float16": 0.3, "bfloat16": 2.1, "uint8": 1}
    limit = 0.0 if mode == "nearest" else limits[dtype]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=limit)


def test_sizes_per_dimension_and_no_batch() -> None:
    """A size per dimension, a scale per dimension, and a batch of none."""
    array = np.random.default_rng(0).standard_normal(SHAPES[4])
    for options in ({"size": (3, 8)}, {"scale_factor": (0.5, 3.0)}):
        found = [
            library.nn.functional.interpolate(library.tensor(array), **options).numpy()
            for library in (backlit, torch)
        ]
        np.testing.assert_array_equal(*found)
    assert F.interpolate(backlit.zeros(0, 1, 2, 2), size=3).shape == (0, 1, 3, 3)
    assert F.interpolate(backlit.zeros(1, 1, 2, 2), size=0, mode="area").shape == (1, 1, 0, 0)


def test_infinity_stays_in_its_window() -> None:
    """An infinite element spoils only the means that it is part of."""
    x = backlit.tensor([[[1.0, 2.0, 3.0, 4.0, float("inf")]]])
    out = F.interpolate(x, size=3, mode="area")
    np.testing.assert_array_equal(out.numpy(), [[[1.5, 3.0, np.inf]]])


@pytest.mark.parametrize(
    ("name", "mode", "aligned"),
    [
        ("upsample", "nearest", None),
        ("upsample_nearest", "nearest", None),
        ("upsample_bilinear", "bilinear", True),
    ],
)
def test_old_names(name: str, mode: str, aligned: bool | None) -> None:
    """The names from before 2018 warn and compute the same."""
    x = backlit.tensor(np.arange(12.0).reshape(1, 1, 3, 4))
    message = (
        rf"`nn\.functional\.{name}` is deprecated\. Use `nn\.functional\.interpolate` instead\."
    )
    with pytest.warns(UserWarning, match=message):
        out = getattr(F, name)(x, size=5)
    expected = F.interpolate(x, 5, mode=mode, align_corners=aligned)
    np.testing.assert_array_equal(out.numpy(), expected.numpy())


def test_gradient_of_nearest_where_a_scale_keeps_the_size() -> None:
    """The gradient goes to the elements read (PyTorch's, for volumes, to others of that size)."""
    x = backlit.zeros(1, 1, 3, 3, 3, requires_grad=True)
    F.interpolate(x, scale_factor=1.2).sum().backward()
    assert x.grad is not None
    counts = np.array([2.0, 1.0, 0.0])  # elements 0, 0, 1 are read
    np.testing.assert_array_equal(
        x.grad.numpy()[0, 0], counts[:, None, None] * counts[:, None] * counts
    )


def test_second_derivatives() -> None:
    """Gradients of gradients agree with differences."""
    x = backlit.tensor(np.random.default_rng(0).standard_normal((1, 1, 3, 4)), requires_grad=True)
    for mode in ("nearest", "area", "bicubic"):
        assert backlit.autograd.gradgradcheck(
            lambda x, m=mode: F.interpolate(x, size=(5, 2), mode=m) ** 3, (x,)
        )

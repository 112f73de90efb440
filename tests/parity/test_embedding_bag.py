"""Bags of embeddings equal PyTorch's, values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

TABLE = np.random.default_rng(3).standard_normal((5, 3))
CASES: list[tuple[list[Any], list[int] | None, dict[str, Any]]] = [
    ([[0, 1, 1], [4, 2, 0]], None, {}),
    ([[0, 1, 1], [4, 2, 0]], None, {"mode": "max", "padding_idx": 1}),
    ([0, 1, 1, 4, 2], [0, 2, 2], {"mode": "sum"}),
    ([0, 1, 1, 4, 2], [0, 2, 2, 5], {"mode": "mean", "include_last_offset": True}),
    ([0, 1, 1, 4, 2], [0, 2, 5], {"mode": "max"}),
    ([0, 1, 1, 4, 2], [0, 3], {"mode": "mean", "padding_idx": -1}),
    ([1, 1, 3], [0, 1], {"mode": "sum", "max_norm": 0.5}),
]


@pytest.mark.parametrize(("indices", "offsets", "options"), CASES)
def test_bags(indices: list[Any], offsets: list[int] | None, options: dict[str, Any]) -> None:
    """Empty bags, padding, repeated indices and rescaled rows give PyTorch's numbers."""
    found = []
    for library in (backlit, torch):
        table = library.tensor(TABLE.copy(), requires_grad=True)
        starts = None if offsets is None else library.tensor(offsets)
        out = library.nn.functional.embedding_bag(library.tensor(indices), table, starts, **options)
        (out * out).sum().backward()
        found.append([x.detach().numpy() for x in (out, table.grad, table)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_factors_learn() -> None:
    """``per_sample_weights`` scale the rows of a sum and get a gradient."""
    found = []
    for library in (backlit, torch):
        table, factors = library.tensor(TABLE), library.tensor([0.5, 2.0, -1.0])
        factors = factors.to(table.dtype).requires_grad_()
        out = library.nn.functional.embedding_bag(
            library.tensor([4, 0, 2]),
            table,
            library.tensor([0, 1]),
            mode="sum",
            per_sample_weights=factors,
        )
        (out * out).sum().backward()
        found.append([x.detach().numpy() for x in (out, factors.grad)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)

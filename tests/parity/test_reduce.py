"""Reductions, scans, sorting, searching and statistics: PyTorch's values, dtypes and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

NAN, INF = float("nan"), float("inf")
DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-2, "bfloat16": 1e-1}

# Calls on a matrix `x`; `m` is the library.
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda m, x: x.sum(),
    "sum dims": lambda m, x: x.sum((0, -1), keepdim=True),
    "sum dtype": lambda m, x: x.sum(1, dtype=m.float64),
    "nansum": lambda m, x: m.nansum(x, 0),
    "mean": lambda m, x: x.mean(1),
    "nanmean": lambda m, x: x.nanmean(0, keepdim=True),
    "prod": lambda m, x: x.prod(1),
    "prod all": lambda m, x: x.prod(),
    "amax": lambda m, x: x.amax((0, 1)),
    "amin": lambda m, x: x.amin(1, keepdim=True),
    "aminmax": lambda m, x: x.aminmax(dim=1),
    "max": lambda m, x: x.max(),
    "max dim": lambda m, x: x.max(1),
    "max other": lambda m, x: m.max(x, x.flip(0)),
    "min": lambda m, x: x.min(),
    "min dim": lambda m, x: x.min(0, keepdim=True),
    "argmax": lambda m, x: x.argmax(),
    "argmin dim": lambda m, x: x.argmin(-1, keepdim=True),
    "all": lambda m, x: x.all(1),
    "any": lambda m, x: x.any(),
    "count_nonzero": lambda m, x: m.count_nonzero(x, dim=1),
    "logsumexp": lambda m, x: x.logsumexp((0, 1)),
    "trace": lambda m, x: x.trace(),
    "var": lambda m, x: x.var(1),
    "var correction": lambda m, x: m.var(x, (0, 1), correction=2, keepdim=True),
    "std unbiased": lambda m, x: x.std(1, False),
    "std_mean": lambda m, x: m.std_mean(x, 0),
    "var_mean": lambda m, x: m.var_mean(x, unbiased=False),
    "median": lambda m, x: x.median(),
    "median dim": lambda m, x: x.median(1).values,
    "nanmedian": lambda m, x: x.nanmedian(0).values,
    "mode": lambda m, x: x.mode(1),
    "kthvalue": lambda m, x: x.kthvalue(2, 1).values,
    "quantile": lambda m, x: x.quantile(0.3, 1),
    "nanquantile": lambda m, x: x.nanquantile(0.7, 0, keepdim=True, interpolation="nearest"),
    "cumsum": lambda m, x: x.cumsum(1),
    "cumprod": lambda m, x: x.cumprod(0),
    "cummax": lambda m, x: x.cummax(1),
    "cummin": lambda m, x: x.cummin(0),
    "logcumsumexp": lambda m, x: x.logcumsumexp(1),
    "diff": lambda m, x: x.diff(2, 1),
    "trapezoid": lambda m, x: m.trapezoid(x, dx=0.5),
    "gradient": lambda m, x: m.gradient(x, spacing=2.0),
    "sort": lambda m, x: x.sort(dim=1, stable=True),
    "sort descending": lambda m, x: m.sort(x, dim=0, descending=True, stable=True),
    "argsort": lambda m, x: m.argsort(x, dim=1, stable=True),
    "msort": lambda m, x: x.msort(),
    "topk": lambda m, x: x.topk(2, 1).values,
    "topk smallest": lambda m, x: x.topk(3, 0, largest=False).values,
    "unique": lambda m, x: x.detach().unique(return_inverse=True, return_counts=True),
    "unique_consecutive": lambda m, x: m.unique_consecutive(x.detach(), return_counts=True),
    "searchsorted": lambda m, x: m.searchsorted(x.msort().t()[0].contiguous(), x[0]),
    "bucketize": lambda m, x: m.bucketize(x, x.msort()[:, 0].contiguous(), right=True),
    "histc": lambda m, x: x.histc(4, -2, 2),
    "isin": lambda m, x: m.isin(x, x[0]),
    "norm": lambda m, x: x.norm(dim=1),
    "dist": lambda m, x: m.dist(x, x.flip(1), 3),
    "cdist": lambda m, x: m.cdist(x, x.flip(1) + 1, p=1.0),
    "pdist": lambda m, x: m.pdist(x),
    "cosine": lambda m, x: m.cosine_similarity(x, x.flip(0)),
    "cov": lambda m, x: x.cov(),
    "corrcoef": lambda m, x: x.corrcoef(),
    "renorm": lambda m, x: x.renorm(2, 0, 1.5),
}
DATA = {
    "plain": [[1.5, -0.5, 2.25, 0.25], [3.0, 0.75, -1.0, 2.0], [0.5, 1.75, -2.5, -1.25]],
    "ties": [[1.0, 1.0, 0.0, 2.0], [2.0, 1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]],
    "special": [[NAN, 1.0, INF, 0.5], [-INF, 2.0, 0.25, 1.5], [1.0, 3.0, -1.0, 2.5]],
}
# What PyTorch leaves open, or what its order of operations decides.
OPEN = {
    ("ties", "topk"): "which of equal elements is taken",
    ("ties", "topk smallest"): "which of equal elements is taken",
    ("ties", "kthvalue"): "which of equal elements is taken",
    ("ties", "median dim"): "which of equal elements is taken",
    ("special", "mode"): "where NaN is sorted",
    ("special", "searchsorted"): "the boundaries are not sorted: one is NaN",
    ("special", "bucketize"): "the boundaries are not sorted: one is NaN",
    ("special", "trapezoid"): "an infinity at the end is subtracted from itself",
    ("special", "std_mean"): "the mean is taken by updates, which make NaN of infinity",
}


def leaves(x: Any) -> list[Any]:
    return [y for part in x for y in leaves(part)] if isinstance(x, (tuple, list)) else [x]


def run(m: Any, name: str, data: str, dtype: str) -> Any:
    """Results and gradient of a call, or the exception class it ended in."""
    rows = np.nan_to_num(DATA[data]) if dtype in ("int64", "int32", "uint8", "bool") else DATA[data]
    values = np.abs(rows) if dtype == "uint8" else rows
    x = m.tensor(np.asarray(values).tolist()).to(getattr(m, dtype))
    x.requires_grad_(x.is_floating_point())
    try:
        found = leaves(CALLS[name](m, x))
        total = sum((t.double() * t.double()).sum() for t in found if t.requires_grad)
        if isinstance(total, m.Tensor):
            total.backward()
        outs = [t.detach().double().tolist() for t in found]
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    kinds = [(str(t.dtype).split(".")[-1], tuple(t.shape)) for t in found]
    return kinds, outs, None if x.grad is None else x.grad.double().tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_values_dtypes_and_gradients(name: str, dtype: str) -> None:
    """Plain numbers in every dtype that PyTorch takes: the same results and gradients."""
    expected = run(torch, name, "plain", dtype)
    if expected is None:
        pytest.skip(f"PyTorch does not take {dtype} here")
    compare(run(backlit, name, "plain", dtype), expected, TOLERANCE.get(dtype, 1e-6))


@pytest.mark.parametrize("data", ["ties", "special"])
@pytest.mark.parametrize("name", CALLS)
def test_ties_and_special_values(name: str, data: str) -> None:
    """Ties, NaN and infinities: the same results; gradients too where they are finite."""
    if (data, name) in OPEN:
        pytest.skip(OPEN[data, name])
    expected = run(torch, name, data, "float64")
    found = run(backlit, name, data, "float64")
    if data == "special" and expected is not None:
        expected, found = expected[:2], found[:2]
    compare(found, expected, 1e-9)


def compare(found: Any, expected: Any, tolerance: float) -> None:
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found[0] == expected[0]
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    if len(expected) > 2 and expected[2] is not None:
        np.testing.assert_allclose(found[2], expected[2], rtol=tolerance, atol=tolerance)

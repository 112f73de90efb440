"""Kernels that join products: which do, and that nothing but the time changes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
import backlit.nn.functional as F
from backlit import nn, optim
from backlit.core.tensor import Tensor
from backlit.native.products import dispatch, gemm
from backlit.native.steps import Product
from tests.native.programs import cold, hot, largest_plan, steps

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _all_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products run generated kernels with finishes, also where others are faster."""
    monkeypatch.setattr(gemm, "choose", lambda product: "generated")
    monkeypatch.setattr(dispatch, "_FEWEST_FINISHED", 0)


def given(*shape: int, dtype: Any = backlit.float32) -> Tensor:
    t = backlit.tensor(rng.standard_normal(shape)).to(dtype)
    backlit.flush()
    return t


def agrees(function: Any, rtol: float = 1e-5) -> None:
    """Both tiers give the same values to rounding."""
    found, expected = hot(function), cold(function)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=rtol, atol=1e-4)


def test_bias_and_activation_are_part_of_the_product() -> None:
    """relu(x Wᵀ + b) is one step; its kernel's name and work include bias and activation."""
    x, w, b = given(5, 4), given(3, 4), given(3)
    assert steps(lambda: F.relu(F.linear(x, w, b))) == ["product add relu"]
    y = F.relu(F.linear(x, w, b))
    (kernel,) = backlit.program(y).kernels()
    assert kernel.name == "matmul add relu 5×4·4×3"
    assert kernel.bytes_read == 4 * (5 * 4 + 4 * 3 + 3)
    assert kernel.bytes_written == 4 * 5 * 3


@pytest.mark.parametrize("dtype", [backlit.float32, backlit.float64])
@pytest.mark.parametrize(
    "m, n, k", [(1, 1, 3), (5, 3, 4), (33, 70, 20), (7, 130, 5000), (300, 200, 300)]
)
def test_finishes_of_any_size(m: int, n: int, k: int, dtype: Any) -> None:
    """Rows, columns, numbers and whole matrices are read where they belong, at every edge and
    after the last of several parts of k."""
    x, w, row, column = (given(*s, dtype=dtype) for s in ((m, k), (n, k), (n,), (m, 1)))

    def function(scale: float = 0.5) -> tuple[Tensor, ...]:
        hidden = F.relu(F.linear(x, w, row) * column + scale)
        return hidden, hidden * (x @ w.mT)

    agrees(function, 1e-3)


def test_threads_and_products_apart_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A joined kernel computes what it would compute on its own, on any number of threads."""
    x, w, b = given(128, 300), given(256, 300), given(256)

    def function() -> Any:
        return F.gelu(F.linear(x, w, b)).numpy()

    before = backlit.get_num_threads()
    results = []
    for count in (1, 2, 3):
        backlit.set_num_threads(count)
        results.append(hot(function))
    backlit.set_num_threads(before)
    monkeypatch.setattr("backlit.native.finishes._MOST_COST", -1)
    assert steps(lambda: F.gelu(F.linear(x, w, b)))[0] == "product"
    results.append(hot(function))
    for a, c in itertools.pairwise(results):
        np.testing.assert_array_equal(a, c)


def test_sums_that_others_read_are_kept() -> None:
    """What a backward pass or the user wants of the product itself is stored as well."""
    x, w, b = given(20, 30), given(40, 30), given(40)

    def function() -> tuple[Tensor, ...]:
        product = x @ w.mT
        return product, (product + b).sigmoid()

    plan = largest_plan(function)
    (step,) = plan.steps
    assert isinstance(step, Product)
    assert step.sums is step.out
    agrees(function)


def test_a_training_step() -> None:
    """Forward, an activation joins its layer's product; backward, its gradient joins the product
    that is the upstream gradient. Updates stay apart, and in place."""
    model = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU())
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = given(50, 30)

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    step()
    step()
    plan = largest_plan(step)
    found = [s.finish for s in plan.steps if isinstance(s, Product)]
    assert sum(f is not None for f in found) == 3
    assert len(plan.donors) == 8


def test_kernels_that_stay_apart() -> None:
    """Not joined: reductions, what reads the product in another shape, two large operands, and
    what may be written into an input's array."""
    x, w, y = given(6, 6), given(6, 6), given(6, 6)
    row = given(1, 6)
    assert steps(lambda: (x @ w).softmax(-1)) == ["product", "kernel softmax"]
    assert steps(lambda: (row @ w) + x) == ["product", "kernel add"]
    assert steps(lambda: (x @ w) + y) == ["product", "kernel add"]
    assert steps(lambda: (x @ w) * (x @ y) * (y @ w)) == [*["product"] * 3, "kernel mul mul"]


def test_narrow_products_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finish goes row by row: rows of few vectors have kernels of their own."""
    monkeypatch.undo()
    x, wide, narrow = given(20, 30), given(30, 64), given(30, 10)
    assert steps(lambda: F.sigmoid(x @ wide)) == ["product sigmoid"]
    assert steps(lambda: F.sigmoid(x @ narrow)) == ["product", "kernel sigmoid"]


def test_a_kernel_joins_the_last_product_it_reads() -> None:
    """Of several products, the last; the others are operands, as anything as large is."""
    x, w, v = given(20, 20), given(20, 20), given(20, 20)
    function = lambda: (((x @ w) + (x @ v)).relu(),)  # noqa: E731
    assert steps(function) == ["product", "product add relu"]
    agrees(function)


def test_products_move_down_only_past_what_does_not_read_them() -> None:
    """A product that something reads before the kernel stays in its place."""
    x, w, v = given(20, 20), given(20, 20), given(20, 20)

    def function() -> tuple[Tensor, ...]:
        first = x @ w
        second = first @ v
        return second, (first * second.sum(1, keepdim=True)).relu()

    agrees(function)


def test_denormals_stay_in_what_follows_a_product() -> None:
    """Only multiplying and adding up take denormals for zeros, not what is computed from it."""
    tiny = float(np.finfo("float32").tiny) / 4
    x, w, b = backlit.zeros(3, 4), backlit.zeros(5, 4), backlit.full((5,), tiny)
    backlit.flush()
    function = lambda: F.relu(F.linear(x, w, b))  # noqa: E731
    assert steps(function) == ["product add relu"]
    assert (hot(function).numpy() == np.float32(tiny)).all()

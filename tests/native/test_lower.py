"""Lowering: what shares a kernel, what is read in place, and what stays NumPy source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
import backlit.nn.functional as F
from backlit import nn, optim
from backlit.core.primitive import PRIMITIVES
from backlit.core.tensor import Tensor
from backlit.native.lower import KERNEL_NODES, _card_lowers
from backlit.native.steps import Kernel, Source
from tests.native.programs import cold, described, hot, largest_plan, steps

rng = np.random.default_rng(0)


def given(*shape: int, dtype: Any = backlit.float32) -> Tensor:
    t = backlit.tensor(rng.standard_normal(shape)).to(dtype)
    backlit.flush()
    return t


def agrees(function: Any, *arguments: Any, atol: float = 1e-6) -> None:
    """Both tiers give the same shapes and dtypes, and values to rounding."""
    found, expected = hot(function, *arguments), cold(function, *arguments)
    if not isinstance(found, tuple):
        found, expected = (found,), (expected,)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is b.dtype
        np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=2e-6, atol=atol)


def test_softmax_is_one_kernel() -> None:
    """Softmax along the last dimension, and what follows it element by element, is one kernel."""
    x = given(5, 4)
    assert steps(lambda: (x * 2.0).softmax(-1) + 1.0) == ["kernel mul softmax add"]
    agrees(lambda: (x * 2.0).softmax(-1) + 1.0)


def test_softmax_along_another_dimension() -> None:
    """Along columns it is reductions of columns and kernels, along the last but one rows again."""
    x, y = given(5, 4), given(3, 5, 1)
    assert steps(lambda: x.softmax(0)) == [
        "columns amax", "kernel sub exp", "columns sum", "kernel div",
    ]  # fmt: skip
    assert steps(lambda: y.log_softmax(1)) == ["kernel log_softmax"]
    agrees(lambda: (x.softmax(0), x.log_softmax(0), y.softmax(0), y.log_softmax(1)))


def test_update_of_a_parameter_is_one_kernel() -> None:
    """Each parameter's whole optimizer update is one kernel, written into its own arrays."""
    layer = nn.Linear(4, 3)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    x = given(5, 4)

    def step() -> None:
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        optimizer.step()

    step()
    step()
    plan = largest_plan(step)
    updates = [s for s in plan.steps if isinstance(s, Kernel) and "sqrt" in described(s)]
    assert len(updates) == 2
    assert len(plan.donors) == 6  # the parameter and its two moments, twice


def test_training_step_of_a_classifier_is_native() -> None:
    """Cross entropy with ignored targets, its gradients and the update need no NumPy source."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = given(6, 4), backlit.tensor([0, 1, 2, -100, 1, 0])

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    step()
    step()
    plan = largest_plan(step)
    assert len(plan.segments) == 1
    assert not [s for s in steps(step) if s.startswith("source")]


def test_accuracy_is_native() -> None:
    """argmax, a comparison of class numbers, and their mean need no NumPy source."""
    z, y = given(6, 3), backlit.tensor([0, 1, 2, 2, 1, 0])
    found = steps(lambda: ((z * 1.0).argmax(1) == y).float().mean())
    assert not [s for s in found if s.startswith("source")]
    agrees(lambda: ((z * 1.0).argmax(1) == y).float().mean())


def test_broadcast_operands_are_read_in_place() -> None:
    """Rows, columns and numbers are read where they lie."""
    x, row, column, number = given(5, 4), given(4), given(5, 1), given()
    assert steps(lambda: (x + row) * column - number) == ["kernel add mul sub"]
    agrees(lambda: (x + row) * column - number)


def test_reduction_and_what_reads_it_share_a_kernel() -> None:
    """x - max(x) along the last dimension is one kernel; along the first, it is not."""
    x = given(5, 4)
    assert steps(lambda: x - x.amax(1, keepdim=True)) == ["kernel amax sub"]
    agrees(lambda: x - x.amax(0, keepdim=True))


@pytest.mark.parametrize("dtype", [backlit.float32, backlit.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 1), (3, 1), (1, 3), (2, 3, 4), (2, 1, 4)])
def test_every_shape(shape: tuple[int, ...], dtype: Any) -> None:
    """Chains, reductions and their mixtures agree with NumPy on shapes of every rank."""
    x, y = given(*shape, dtype=dtype), given(*shape, dtype=dtype)

    def mixture() -> Any:
        z = (x * y + 1.0).tanh()
        total = z.sum()
        if not shape:
            return z, total, z / total
        last = z.sum(-1, keepdim=True)
        return z, total, z / total, last, z - last, z.amax(-1), z.sum(0), (z - z.sum(0)).abs()

    agrees(mixture)


def test_masks() -> None:
    """Comparisons, logic, selections and conversions of masks agree, with constants too."""
    x, y = given(5, 4), given(5, 4)

    def logic() -> Any:
        m, n = x > 0, y > x
        both = (m & n) | ~m
        return both, both | True, both & False, both ^ n, both.float().sum(), backlit.where(m, x, y)

    agrees(logic)


def test_numbers_of_every_kind() -> None:
    """Python ints, bools and floats in arithmetic agree, whatever the kind was at first."""
    x, m = given(4), given(4) > 0
    for number in (2, True, 0.5, 3.0, 7):
        agrees(lambda number=number: (x * number, x + number, m | bool(number)))


def test_whole_numbers() -> None:
    """Comparisons, counts, arithmetic and conversions of int64 agree, with wrap-around."""
    i = backlit.tensor([[3, -100, 2**62], [0, -1, 7]])
    j = backlit.tensor([[3, 5, 2**62], [1, -1, 2]])
    backlit.flush()

    def whole() -> Any:
        k = i * 1
        return (
            k == j, k != -100, k < j, k <= j, k > j, k >= 2,
            (k != -100).sum(), (k == j).sum(1), k + j, k - j, k * j, k + 1,
            k.to(backlit.float32), k.double(), (k == j).float().mean(),
        )  # fmt: skip

    agrees(whole)


def test_argmax_of_special_values() -> None:
    """The first of equal elements wins, and the first NaN above all."""
    nan, inf = float("nan"), float("inf")
    rows = [[1, 1, 0], [nan, inf, nan], [0, nan, inf], [-inf, -inf, -inf], [-0.0, 0.0, -1]]
    for dtype in (backlit.float32, backlit.float64):
        x = backlit.tensor(rows, dtype=dtype)
        assert hot(lambda x=x: (x * 1.0).argmax(1)).tolist() == [0, 0, 1, 0, 0]


def test_empty_tensors() -> None:
    """Programs over no elements run, and agree."""
    x = backlit.zeros(0, 3)
    agrees(lambda: (x * 2.0, (x + 1.0).sum(), x.exp().sum(0), x @ backlit.ones(3, 2)))


def test_views_of_temporaries() -> None:
    """Transposed, expanded, sliced and reshaped temporaries are read, and returned, correctly."""
    x = given(3, 4)

    def views() -> Any:
        t = x * 2.0
        return t.t(), t.t() + 1.0, t[1:], t[:, ::2] * 3.0, t.reshape(2, 6), t[0].expand(5, 4)

    agrees(views)
    results = hot(views)
    kept = [r.tolist() for r in results]
    for _ in range(3):
        hot(views)
    assert [r.tolist() for r in results] == kept


@pytest.mark.parametrize("transposed", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1)])
def test_products(sizes: tuple[int, int, int], transposed: tuple[int, int]) -> None:
    """Products agree for every combination of transposed factors and sizes of one."""
    m, k, n = sizes
    a = given(k, m) if transposed[0] else given(m, k)
    b = given(n, k) if transposed[1] else given(k, n)

    def product() -> Any:
        left, right = a * 1.0, b * 1.0
        return (left.t() if transposed[0] else left) @ (right.t() if transposed[1] else right)

    agrees(product)


def test_product_over_one_element_is_arithmetic() -> None:
    """A column times a row shares a kernel with what stands around it, also transposed."""
    column, row, h, batch = given(5, 1), given(1, 3), given(5, 3), given(2, 5, 1)
    assert steps(lambda: (column @ row).where(h > 0, 0.0)) == ["kernel mul gt where"]
    assert steps(lambda: row.t() @ column.t() + 1.0) == ["kernel mul add"]
    agrees(lambda: (column @ row, row.t() @ column.t(), batch @ row))


def test_expanded_factor_is_not_read_in_place() -> None:
    """A factor whose rows are one row in memory has no leading dimension, and agrees."""
    row, w = given(4), given(4, 3)
    agrees(lambda: (row * 1.0).expand(5, 4) @ w)
    agrees(lambda: w.t() @ (row * 1.0).reshape(4, 1).expand(4, 2))


def test_every_elementwise_card_says_whether_it_lowers() -> None:
    """No card's function fails in an unforeseen way for any dtypes, and most have kernels."""
    from backlit.core.primitive import Elementwise

    cards = [card for card in PRIMITIVES.values() if isinstance(card, Elementwise)]
    lowered = set()
    for card in cards:
        count = len(card.operands)
        for kind in ("float32", "float64", "bool"):
            for dtypes in ((kind,) * count, ("bool", *(kind,) * (count - 1))):
                for out in (kind, "bool"):
                    if _card_lowers(card, dtypes, out):
                        lowered.add(card.name)
    assert len(lowered) > 50
    assert {"add", "exp", "tanh", "where", "gt", "bitwise_or", "maximum", "pow"} <= lowered


def test_long_chains_become_several_kernels() -> None:
    """No kernel has more than a few dozen nodes, so that none takes long to compile."""
    x = given(3, 4)

    def chain() -> Tensor:
        y = x
        for k in range(150):
            y = y * 0.9 + 0.01 * k if k % 10 else y / (1.0 + y.sum(1, keepdim=True).abs())
        return y

    sizes = [len(s.nodes) for s in largest_plan(chain).steps if isinstance(s, Kernel)]
    assert sum(sizes) > 200
    assert max(sizes) <= KERNEL_NODES
    agrees(chain)


def test_kernels_keep_the_order_of_the_program() -> None:
    """A node that a pass made reads and is read in the order of the program, not of numbers."""
    a, b = given(1, 3), given(1, 3)

    def shared() -> Any:
        s = a * 2.0
        wide = s.expand(50, 3).tanh()  # becomes the expansion of a new node, tanh(s)
        return wide, s.tanh() + b * 3.0

    assert "kernel mul tanh mul add" in steps(shared)
    agrees(shared)


def test_source_says_why() -> None:
    """What stays NumPy source names the card, its operands, and the reason."""
    x, half = given(3, 4), given(2, 2).half()
    backlit.flush()
    plan = largest_plan(lambda: ((x * 1.0).sort(1).values, half * 2.0, (x[:0] * 1.0).exp()))
    reasons = {r for step in plan.steps if isinstance(step, Source) for r in step.reasons}
    dtypes = "native code computes in float32, float64, bool and int64 only"
    assert {
        "argsort(float32[3, 4]): it has no native form for these dtypes and shapes",
        f"mul(float16[2, 2], float16[]): {dtypes}",
        "exp(float32[0, 4]): it has no elements",
    } <= reasons


def test_numbers_per_row_stay_in_the_kernel_of_their_rows() -> None:
    """Layer norm and logsumexp are one kernel each: what works on sums of rows belongs to it."""
    x, w = given(5, 40), given(40)
    names = "sum div sub mul sum div add sqrt div mul mul"
    assert steps(lambda: F.layer_norm(x * 1.0, (40,), w)) == [f"kernel mul {names}"]
    assert steps(lambda: x.logsumexp(1)) == ["kernel amax abs eq where sub exp sum log add"]
    y, column, row = given(3, 4, 6), given(3, 4), given(4)

    def statistics() -> Any:
        total = y.sum(2)
        scaled = (total + column) * 2.0
        return scaled, y * scaled[..., None], total + row, total.sum(1), y.mean(), y / y.sum()

    agrees(statistics, atol=1e-5)

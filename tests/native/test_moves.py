"""Moving and indexing in native code: views where strides suffice, else copies; indices checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
import backlit.nn.functional as F
from backlit import config, nn
from backlit.compiler import tiers
from backlit.core.tensor import Tensor
from backlit.errors import IndexOutOfRange
from backlit.native.steps import Copy
from tests.native.programs import cold, hot, largest_plan, steps
from tests.native.test_lower import agrees, given

rng = np.random.default_rng(0)


def index(low: int, high: int, *shape: int) -> Tensor:
    t = backlit.tensor(rng.integers(low, high, shape))
    backlit.flush()
    return t


def is_native(function: Any, atol: float = 2e-6) -> None:
    """No step of the program is NumPy source, and both tiers agree on values and gradients."""
    assert not [s for s in steps(function) if s.startswith("source")]
    agrees(function, atol=atol)


def same_bits(function: Any) -> None:
    """Both tiers give the same bits."""
    for a, b in zip(hot(function), cold(function), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


DTYPES = [backlit.float32, backlit.float64, backlit.int64, backlit.int32, backlit.uint8]


@pytest.mark.parametrize("dtype", [*DTYPES, backlit.float16, backlit.bool])
def test_elements_of_every_size_are_moved(dtype: Any) -> None:
    """Slices, transposes, joins and fills keep the bits of every dtype."""
    x = (given(3, 4, 5) * 9).to(dtype)
    backlit.flush()

    def moved() -> Any:
        y = x.clone()
        return (
            y.permute(2, 0, 1).reshape(5, 12), y[1:, ::2, 3].contiguous(), y.flip(0, 2).clone(),
            backlit.cat([y[:, :2], y[:, 3:], y[:, :1]], 1), y.transpose(0, 2).clone(),
            backlit.full((2, 3), 7, dtype=dtype), y.expand(2, 3, 4, 5).clone(),
        )  # fmt: skip

    same_bits(moved)


def test_views_are_not_copied() -> None:
    """Slices along the first dimension, transposed factors and fills are read where they lie."""
    x, w = given(6, 4), given(4, 6)
    assert steps(lambda: (x * 2.0)[1:3] + 1.0) == ["kernel mul", "copy", "kernel add"]
    y = given(8, 4)

    def gates() -> Any:
        z = x @ w
        return z.chunk(2, 1)[0] @ y[:3], z.t()[2:] @ x[:, 1:]

    assert [s for s in steps(gates) if s != "product"] in ([], ["copy"], ["copy", "copy"])
    agrees(gates)
    is_native(lambda: backlit.zeros(6, 4) + x)


def test_large_transposes() -> None:
    """Matrices larger than a tile, and three dimensions in every order, arrive in order."""
    x, y = given(37, 50), given(7, 18, 33)
    orders = [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    same_bits(lambda: ((x * 1.0).t().clone(), *((y * 1.0).permute(*o).clone() for o in orders)))


def test_operands_read_irregularly_are_copied_first() -> None:
    """A transposed or expanded operand of an elementwise operation gets a copy, a small one."""
    x, y = given(4, 5), given(5, 4)
    channel, image = given(3, 1, 1), given(2, 3, 4, 5)
    assert steps(lambda: x * 1.0 + (y * 2.0).t()).count("copy") == 1
    plan = largest_plan(lambda: image * (channel * 2.0))
    (copy,) = (s for s in plan.steps if isinstance(s, Copy))
    assert copy.out.numel == 2 * 3 * 4
    agrees(lambda: (x * 1.0 + (y * 2.0).t(), image * (channel * 2.0), image.sum(0) + channel))


def test_starts_may_vary() -> None:
    """One program serves every start of a slice, read and written."""
    x = given(9, 4)
    with config.flags(tier="hot"):
        for start in (0, 3, 5, 0):
            y = x * 2.0
            z = y[start : start + 4] * 1.0
            y[start : start + 4] = z + 1.0
            expected = x.numpy() * 2
            part = expected[start : start + 4].copy()
            expected[start : start + 4] = part + 1
            np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
            np.testing.assert_allclose(z.numpy(), part, rtol=1e-6)


def test_gradients_of_movements() -> None:
    """The gradients of slices, joins, flips and windows need no NumPy source."""
    x = given(4, 6).requires_grad_()

    def gradient() -> Any:
        y = x * 2.0
        z = backlit.cat([y[:, 1:3], y.flip(1)[:, ::2], y[2:3].expand(4, 6)], 1)
        (grad,) = backlit.autograd.grad((z * z).sum(), x)
        return z.detach(), grad

    is_native(gradient)


# -- indices -----------------------------------------------------------------------------------


def test_embedding() -> None:
    """Rows of a table, and the sum of gradients by row, repeated indices among them."""
    table, where = nn.Embedding(11, 6), index(0, 11, 5, 7)

    def gradient() -> Any:
        out = table(where)
        (grad,) = backlit.autograd.grad((out * out).mean(1).sum(), table.weight)
        return out.detach(), grad

    is_native(gradient)


def test_index_gather_and_scatter() -> None:
    """Indexing along any dimension, with its gradients, agrees."""
    x = given(5, 6, 7).requires_grad_()
    places = [
        index(0, x.shape[d], *(9 if k == d else n for k, n in enumerate(x.shape))) for d in range(3)
    ]
    rows = index(0, 6, 4)

    def gradient() -> Any:
        parts = [x.gather(d, places[d]) for d in range(3)]
        taken = x.index_select(1, rows)
        added = backlit.zeros(5, 6, 7).index_add(1, rows, taken * 2.0)
        spread = backlit.zeros(5, 6, 7).scatter_add(2, places[2], parts[2])
        total = sum((p * p).sum() for p in (*parts, taken, added, spread))
        (grad,) = backlit.autograd.grad(total, x)
        return *(p.detach() for p in (*parts, taken, added, spread)), grad

    is_native(gradient)


def test_cumulative_sums() -> None:
    """Sums along every dimension add in the same order in both tiers."""
    x = given(4, 5, 6)
    same_bits(lambda: tuple((x * 1.0).cumsum(d) for d in range(3)))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("take_rows", lambda x, i: F.embedding(i + 0, x * 1.0)),
        ("index", lambda x, i: (x * 1.0).index_select(0, i + 0)),
        ("gather", lambda x, i: (x * 1.0).gather(0, (i + 0).reshape(2, 1).expand(2, 4))),
    ],
)
@pytest.mark.parametrize("wrong", [3, -1, 2**40])
def test_indices_out_of_range_name_the_line(name: str, call: Any, wrong: int) -> None:
    """An index outside the dimension raises IndexError, and says where."""
    x, i = given(3, 4), backlit.tensor([0, wrong])
    backlit.flush()
    with pytest.raises(IndexOutOfRange) as caught:
        hot(call, x, i)
    message = f"{name}: an index is out of bounds for a dimension of size 3 (0 to 2) [recorded at "
    assert str(caught.value).startswith(message)


# -- reductions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("shape", [(3, 4, 5), (200, 3, 70), (5, 1, 4), (2, 300, 1), (1, 1, 1)])
def test_reductions_over_any_dimensions(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    """Sums and extremes over any dimensions, kept or not, and what reads them, agree."""
    x = given(*shape)

    def reduced() -> Any:
        y = x * 1.0
        return (
            y.sum(dims), y.amax(dims, keepdim=True), y.amin(dims), y - y.sum(dims, keepdim=True),
        )  # fmt: skip

    is_native(reduced, 2e-4)


def test_sums_of_many_rows_are_accurate() -> None:
    """A column of a million ones and a tenth loses no more than blocks of its sum do."""
    x = backlit.full((1_000_000, 3), 0.1)
    backlit.flush()
    (total,) = (hot(lambda: (x * 1.0).sum(0)),)
    np.testing.assert_allclose(total.numpy(), np.float32(0.1) * np.float64(1e6), rtol=2e-6)


@pytest.mark.parametrize("shape", [(16, 10), (8, 3, 5), (4, 6, 3, 3)])
def test_normalisations(shape: tuple[int, ...]) -> None:
    """Batch, layer, group and RMS norm with their gradients and statistics are native."""
    x = given(*shape).requires_grad_()
    channels = shape[1]
    layers: list[nn.Module] = [nn.LayerNorm(shape[1:]), nn.LayerNorm(shape[-1])]
    layers += [nn.GroupNorm(1, channels), nn.RMSNorm(shape[-1])]
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    layers.append(kind(channels))

    def gradients() -> Any:
        found = []
        for layer in layers:
            out = layer(x)
            (grad,) = backlit.autograd.grad((out * out * out).sum(), x)
            found += [out.detach(), grad]
        return tuple(found)

    backlit.flush()
    found, expected = hot(gradients), cold(gradients)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=3e-4, atol=3e-4)
    assert not [s for s in steps(gradients) if s.startswith("source")]


def test_unread_statistics_are_not_computed() -> None:
    """A batch norm whose output nobody reads still moves its statistics, natively."""
    x = given(6, 5)
    layer = nn.BatchNorm1d(5, momentum=None)
    with config.flags(tier="hot"):
        for _ in range(3):
            layer(x)
            backlit.flush()
    assert not tiers.unexpected
    assert layer.running_mean is not None
    np.testing.assert_allclose(layer.running_mean.numpy(), x.numpy().mean(0), rtol=1e-5, atol=1e-6)


def test_argmax_along_any_dimension() -> None:
    """The place of the largest element along every dimension, and of all."""
    x = given(4, 5, 6)
    same_bits(lambda: (*((x * 1.0).argmax(d) for d in range(3)), (x * 1.0).argmax()))


# -- products ------------------------------------------------------------------------------------


def test_batches_of_products() -> None:
    """Batches that broadcast, are transposed, or are the heads of attention."""
    a, b, c = given(3, 4, 5), given(3, 5, 2), given(2, 1, 4, 5)
    heads = given(2, 7, 3, 4)

    def products() -> Any:
        q = (heads * 1.0).transpose(1, 2)
        return (
            a @ b, a @ b[0], a[0] @ b, c @ b, a @ a.transpose(1, 2), b.mT @ a.mT,
            q @ q.transpose(-2, -1), (q @ q.mT) @ q,
        )  # fmt: skip

    is_native(products)


def test_large_batches_run_on_the_pool() -> None:
    """Enough work in a batch is shared out; the results are those of one after the other."""
    a, b = given(16, 64, 64), given(16, 64, 64)
    found = hot(lambda: a @ b)
    np.testing.assert_allclose(found.numpy(), a.numpy() @ b.numpy(), rtol=1e-4, atol=1e-4)


# -- random numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [backlit.float32, backlit.float64])
def test_random_numbers_have_the_same_bits(dtype: Any) -> None:
    """Whatever the seed (up to 128 bits), the offset and the count, both tiers draw the same."""
    for seed in (0, 1, 2**64 + 5, 2**128 - 1):
        for shape in ((1,), (7,), (4096,), (4097,), (3, 5000)):

            def drawn(seed: int = seed, shape: Any = shape) -> Any:
                backlit.manual_seed(seed)
                return backlit.rand(3), backlit.rand(*shape, dtype=dtype), backlit.randn(5)[:0]

            same_bits(drawn)
    assert steps(lambda: backlit.rand(5, 5) + 1.0) == ["random", "kernel add"]


def test_dropout_is_native() -> None:
    """A training step with dropout needs no NumPy source, and drops the same elements."""
    x = given(20, 30)

    def drop() -> Any:
        backlit.manual_seed(3)
        return F.dropout(x * 1.0, 0.3), F.dropout(x * 2.0, 0.5)

    is_native(drop)

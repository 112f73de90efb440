"""Fused kernels: broadcasting, reductions, masks, order of sums, and their error messages."""

from __future__ import annotations

import ctypes
import dataclasses
import math

import numpy as np
import pytest

from backlit.native.kernels.elementwise import FusedKernel, build, module_text, reduce_all
from backlit.native.kernels.expression import (
    Call,
    Const,
    Expression,
    Extent,
    Graph,
    Input,
    Reduce,
    call,
)
from backlit.native.machine import jit

Array = np.ndarray
SIZES = [(1, 1), (3, 5), (2, 16), (4, 63), (5, 64), (3, 65), (2, 1000)]


def normal(*shape: int, dtype: str = "float32", seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def extremes(dtype: str, count: int, seed: int) -> Array:
    """Numbers of all magnitudes and special ones."""
    bits = np.uint32 if dtype == "float32" else np.uint64
    generator = np.random.default_rng(seed)
    anything = generator.integers(0, np.iinfo(bits).max, count, bits, endpoint=True).view(dtype)
    info = np.finfo(dtype)
    edges = [info.tiny, info.max, info.smallest_subnormal, math.inf, 0.0, 1.0, 3.0, math.nan]
    parts = [anything, normal(count, dtype=dtype), edges, np.negative(edges)]
    return np.concatenate(parts).astype(dtype)


def softmax(x: Expression) -> Expression:
    e = call("exp", call("sub", x, Reduce("max", x)))
    return call("div", e, Reduce("sum", e))


def run(kernel: FusedKernel, inputs: list[Array], rows: int, cols: int) -> list[Array]:
    """Allocate the outputs, run, return them."""
    nodes = [kernel.graph.nodes[o] for o in kernel.graph.outputs]
    outputs = [np.full((rows, cols) if n.varies else (rows,), 7, n.dtype) for n in nodes]
    kernel.run(inputs, outputs, rows, cols)
    return outputs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, cols", SIZES)
def test_operands_broadcast(rows: int, cols: int, dtype: str) -> None:
    """Full, row, column and scalar operands combine as NumPy broadcasts them."""
    a, row, column = (
        normal(rows, cols, dtype=dtype),
        normal(cols, dtype=dtype),
        normal(rows, dtype=dtype),
    )
    scalar = np.array([1.5], dtype)
    extents = ("full", "row", "column", "scalar")
    x, r, c, s = (Input(k, e, dtype) for k, e in enumerate(extents))
    kernel = build([call("add", call("mul", x, r), call("mul", c, s))])
    (out,) = run(kernel, [a, row, column, scalar], rows, cols)
    np.testing.assert_array_equal(out, a * row + column[:, None] * scalar[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, cols", SIZES)
def test_reductions(rows: int, cols: int, dtype: str) -> None:
    """sum, mean, max and min along rows; max and min exactly."""
    a = normal(rows, cols, dtype=dtype)
    x = Input(0, dtype=dtype)
    total, mean, high, low = run(
        build([Reduce(op, x) for op in ("sum", "mean", "max", "min")]), [a], rows, cols
    )
    bound = 4 * np.finfo(dtype).eps * np.abs(a).sum(1)
    assert (np.abs(total - a.sum(1, dtype="float64")) <= bound).all()
    assert (np.abs(mean - a.mean(1, dtype="float64")) <= bound / cols).all()
    np.testing.assert_array_equal(high, a.max(1))
    np.testing.assert_array_equal(low, a.min(1))


@pytest.mark.parametrize("rows, cols", SIZES)
def test_softmax_is_three_fused_passes(rows: int, cols: int) -> None:
    """Nested reductions, with the exponentials kept in the output's row between the passes."""
    a = 5 * normal(rows, cols)
    (out,) = run(build([softmax(Input(0))]), [a], rows, cols)
    exact = np.exp(a - a.max(1, keepdims=True), dtype="float64")
    np.testing.assert_allclose(out, exact / exact.sum(1, keepdims=True), rtol=2e-6, atol=1e-37)


def test_layer_norm() -> None:
    """A reduction of an expression that holds another reduction."""
    a, weight, bias = normal(6, 100), normal(100, seed=1), normal(100, seed=2)
    x, w, b = Input(0), Input(1, "row"), Input(2, "row")
    centred = call("sub", x, Reduce("mean", x))
    variance = Reduce("mean", call("square", centred))
    scale = call("rsqrt", call("add", variance, Const(1e-5)))
    (out,) = run(build([call("fma", call("mul", centred, scale), w, b)]), [a, weight, bias], 6, 100)
    exact = (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 100, 4096, 4097, 3 * 4096, 20_000, 4096 * 4096 + 5])
def test_full_reductions(count: int, dtype: str) -> None:
    """All elements of an expression, blocked; a scalar operand is the same in every block."""
    a, scale = normal(count, dtype=dtype), np.array([0.5], dtype)
    product = call("mul", Input(0, dtype=dtype), Input(1, "scalar", dtype))
    total = reduce_all("sum", product).run([a, scale], count)
    exact = math.fsum(a) * 0.5
    assert abs(total - exact) <= 1e-6 * np.abs(a).sum() * (1 if dtype == "float32" else 1e-9)
    if count:
        assert reduce_all("max", product).run([a, scale], count) == a.max() * scale[0]
        np.testing.assert_allclose(
            reduce_all("mean", product).run([a, scale], count), total / count, rtol=1e-6
        )


def test_masks_are_bytes() -> None:
    """Comparisons are stored and read as booleans, select, and convert to numbers."""
    a, m = normal(4, 33), normal(4, 33) > 0.5
    x, mask = Input(0), Input(1, dtype="bool")
    negative = call("lt", x, Const(0.0))
    both = call("and", mask, call("not", negative))
    kernel = build(
        [both, call("where", both, x, Const(-1.0)), Reduce("sum", Call("float32", (both,)))]
    )
    got, chosen, count = run(kernel, [a, m], 4, 33)
    expected = m & ~(a < 0)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(chosen, np.where(expected, a, np.float32(-1)))
    np.testing.assert_array_equal(count, expected.sum(1))


def test_dtypes_convert() -> None:
    """float32 operands may be reduced in float64, and back, in one kernel."""
    a = normal(3, 50)
    wide = Reduce("sum", call("float64", Input(0)))
    total, narrow = run(build([wide, call("float32", wide)]), [a], 3, 50)
    np.testing.assert_allclose(total, a.sum(1, dtype="float64"), rtol=1e-15)
    np.testing.assert_array_equal(narrow, total.astype("float32"))


def test_an_elementwise_kernel_may_run_in_place() -> None:
    """Without reductions, an output may be an input's own buffer."""
    a = normal(3, 21)
    expected = np.maximum(a, 0)
    build([call("relu", Input(0))]).run([a], [a], 3, 21)
    np.testing.assert_array_equal(a, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("extent", ["scalar", "column"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_division_by_what_many_share_is_exact(extent: Extent, dtype: str) -> None:
    """x / y has NumPy's bits where y is the same for a whole row or for all elements; near the
    denormals it is within 1 ulp."""
    x, y = extremes(dtype, 3000, 0), extremes(dtype, 150, 1)
    kernel = build([call("div", Input(0, dtype=dtype), Input(1, extent, dtype))])
    if extent == "column":
        wide = np.repeat(x[None], y.size, 0)
        (got,) = run(kernel, [wide, y], y.size, x.size)
    else:
        got = np.stack([run(kernel, [x, y[k : k + 1]], 1, x.size)[0][0] for k in range(y.size)])
    exact = x / y[:, None]
    number = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(got)[number], np.signbit(exact)[number])
    info = np.finfo(dtype)
    tiny = (np.abs(exact) <= info.tiny) | (np.abs(x) < info.tiny * 2.0 ** (info.nmant + 5))
    np.testing.assert_array_equal(got[~tiny], exact[~tiny])
    finite = tiny & np.isfinite(exact)
    assert (np.abs(got - exact)[finite] <= np.spacing(np.abs(exact))[finite]).all()
    np.testing.assert_array_equal(got[tiny & ~finite], exact[tiny & ~finite])


@pytest.mark.parametrize("rows", [8, 9, 10, 11])
@pytest.mark.parametrize("cols", [13, 16, 100, 1000, 4096])
def test_rows_together_give_the_same_bits(rows: int, cols: int) -> None:
    """Several rows side by side, the last of which may be missing, equal rows one by one."""
    x = Input(0)
    centred = call("sub", x, Reduce("mean", x))
    outputs = [softmax(x), Reduce("mean", call("square", centred)), Reduce("max", x)]
    a = normal(rows, cols)
    together, alone = build(outputs, cols, rows), build(outputs)
    assert (together.together, alone.together) == (2, 1)
    for got, expected in zip(
        run(together, [a], rows, cols), run(alone, [a], rows, cols), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("cols", [1, 31, 100, 5000])
@pytest.mark.parametrize("vector_bytes", [4, 16, 32, 64, 128])
def test_any_width_of_vectors(vector_bytes: int, cols: int, together: int) -> None:
    """Loops over rows are right for vectors of any size, with masked loads or without."""
    host = dataclasses.replace(jit.host(), vector_bytes=vector_bytes, scale_instruction=False)
    graph = Graph([softmax(Input(0)), Reduce("mean", Input(0))])
    text = module_text(graph, host, together=together)
    library = jit.engine().load(text, ["run", "chunk"])
    a = normal(5, cols)
    got, mean = run(FusedKernel(library, graph, flat=False, together=together), [a], 5, cols)
    exact = np.exp(a - a.max(1, keepdims=True), dtype="float64")
    np.testing.assert_allclose(got, exact / exact.sum(1, keepdims=True), rtol=2e-6)
    np.testing.assert_allclose(mean, a.mean(1, dtype="float64"), rtol=1e-5, atol=1e-7)


def test_few_or_long_rows_are_taken_one_by_one() -> None:
    """Where the last of two rows would often be missing, or reductions are long, rows are alone."""
    total = [Reduce("sum", Input(0))]
    assert [build(total, 1000, rows).together for rows in (1, 7, 8)] == [1, 1, 2]
    assert [build(total, cols, 64).together for cols in (4096, 4097)] == [2, 1]
    assert build([call("exp", Input(0))], 1000, 64).together == 1


@pytest.mark.parametrize("output", ["flat", "rows", "mask", "dear"])
@pytest.mark.parametrize("cols", [1, 15, 16, 17, 40])
def test_outputs_may_begin_anywhere(output: str, cols: int) -> None:
    """Wherever an output lies, its elements have the same bits and its neighbours stay."""
    x = Input(0)
    dear = call("erfc", call("sub", x, Input(1, "row")))
    expression = {
        "flat": call("neg", x),
        "rows": call("sub", x, Reduce("mean", x)),
        "mask": call("lt", x, Reduce("mean", x)),
        "dear": dear,
    }[output]
    a, row = normal(3, cols), normal(cols)
    kernel = build([expression])
    (expected,) = run(kernel, [a, row], 3, cols)
    size, before = expected.size, expected.dtype.type(7)
    for offset in range(20):
        around = np.full(size + 60, 7, expected.dtype)
        kernel.run([a, row], [around[offset:]], 3, cols)
        np.testing.assert_array_equal(around[offset : offset + size], expected.ravel())
        assert (around[:offset] == before).all()
        assert (around[offset + size :] == before).all()


def test_empty_rows() -> None:
    """A reduction over nothing gives its neutral element; the mean of nothing is NaN."""
    x = Input(0)
    kernel = build([Reduce("sum", x), Reduce("max", x), Reduce("mean", x)])
    total, high, mean = run(kernel, [np.empty((2, 0), "float32")], 2, 0)
    assert total.tolist() == [0, 0]
    assert high.tolist() == [-math.inf, -math.inf]
    assert np.isnan(mean).all()


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("position", [0, 15, 16, 63, 64, 70])
def test_nan_wins(op: str, position: int) -> None:
    """max and min of a row with a NaN anywhere are NaN, as in NumPy."""
    a = normal(1, 71)
    a[0, position] = math.nan
    (out,) = run(build([Reduce(op, Input(0))]), [a], 1, 71)
    assert math.isnan(out[0])


def test_chunks_give_the_same_bits() -> None:
    """Rows, or elements of a flat kernel, computed in chunks equal those computed at once."""
    for expression, units in ((softmax(Input(0)), 37), (call("tanh", Input(0)), 37 * 53)):
        kernel = build([expression])
        a = normal(37, 53)
        (whole,) = run(kernel, [a], 37, 53)
        out = np.empty_like(a)
        inputs, outputs = (
            (ctypes.c_void_p * 1)(a.ctypes.data),
            (ctypes.c_void_p * 1)(out.ctypes.data),
        )
        addresses = [ctypes.addressof(inputs), ctypes.addressof(outputs)]
        grain = 10
        context = (ctypes.c_int64 * 5)(*addresses, 37, 53, grain)
        chunk = kernel.library.function("chunk", None, ctypes.c_void_p, ctypes.c_int64)
        for i in reversed(range(-(-units // grain))):
            chunk(ctypes.addressof(context), i)
        np.testing.assert_array_equal(out, whole)


def test_results_repeat_bit_for_bit() -> None:
    """Compiling again, without the cache, and running again give the same bits."""
    a = normal(7, 1001)
    kernel = build([softmax(Input(0))])
    first = run(kernel, [a], 7, 1001)[0]
    library = jit.Engine(None).load(module_text(kernel.graph), ["run", "chunk"])
    again = run(FusedKernel(library, kernel.graph, kernel.flat), [a], 7, 1001)[0]
    np.testing.assert_array_equal(first, again)


def test_equal_expressions_share_a_kernel() -> None:
    """Kernels are looked up by what they compute, not by how the expression was built."""
    x = Input(0)
    left = build([call("mul", call("exp", x), call("exp", x))])
    e = call("exp", Input(0))
    assert build([call("mul", e, e)]).library is left.library


def test_a_long_chain_needs_no_recursion() -> None:
    """An expression of 5,000 nodes in a row is numbered iteratively."""
    x: Expression = Input(0)
    for _ in range(5000):
        x = call("neg", x)
    assert len(Graph([x]).nodes) == 5001


def test_constants_are_told_apart() -> None:
    """0.0 and -0.0 compare equal but are different constants."""
    x = Input(0)
    signs = [call("copysign", x, Const(0.0)), call("copysign", x, Const(-0.0))]
    positive, negative = run(build(signs), [np.ones((1, 1), "float32")], 1, 1)
    assert (positive.item(), negative.item()) == (1.0, -1.0)


ERRORS = [
    (
        lambda: Graph([call("gamma", Input(0))]),
        ValueError,
        "native: no function 'gamma'; see backlit.native.kernels.vecmath.FUNCTIONS.",
    ),
    (
        lambda: Graph([call("add", Input(0))]),
        TypeError,
        "native: add takes 2 operands, got 1.",
    ),
    (
        lambda: Graph([call("add", Input(0), Input(1, dtype="float64"))]),
        TypeError,
        (
            "native: add of float32, float64: operands must be of one float dtype; "
            "convert with call('float32', …) or call('float64', …)."
        ),
    ),
    (
        lambda: Graph([Reduce("prod", Input(0))]),
        ValueError,
        "native: no reduction 'prod'; there are sum, max, min, mean.",
    ),
    (
        lambda: Graph([Reduce("sum", Input(0, dtype="bool"))]),
        TypeError,
        "native: sum of a bool value; convert it first with call('float32', …).",
    ),
]


@pytest.mark.parametrize("make, kind, message", ERRORS)
def test_error_messages(make: object, kind: type[Exception], message: str) -> None:
    """A wrong expression says what is wrong and what to do."""
    assert callable(make)
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == message


def test_sums_of_long_rows_are_accurate() -> None:
    """The rounding error of a sum does not grow with the length of the row."""
    a = np.full((1, 3_000_001), 0.1, np.float32)
    total, mean = run(build([Reduce("sum", Input(0)), Reduce("mean", Input(0))]), [a], 1, a.size)
    exact = a.sum(dtype="float64")
    np.testing.assert_allclose(total, exact, rtol=1e-6)
    np.testing.assert_allclose(mean, exact / a.size, rtol=1e-6)

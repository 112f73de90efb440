"""Kernels for short rows: what the general kernels compute, many rows at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from backlit.native.kernels.elementwise import FusedKernel, build, module_text, turns
from backlit.native.kernels.expression import Const, Expression, Graph, Input, Reduce, call
from backlit.native.kernels.narrowloops import is_narrow
from backlit.native.machine import jit
from tests.native.test_elementwise import normal, run

ROWS = (1, 7, 16, 33, 150)
COLUMNS = (1, 2, 3, 4, 5, 8, 10, 12)


def log_softmax(x: Expression) -> Expression:
    shifted = call("sub", x, Reduce("max", x))
    return call("sub", shifted, call("log", Reduce("sum", call("exp", shifted))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cols", COLUMNS)
def test_operands_of_every_extent(cols: int, dtype: str) -> None:
    """Full, row, column and scalar operands, masks among them, with and without reductions."""
    x, m, r, c, s = (
        Input(0, dtype=dtype), Input(1, dtype="bool"), Input(2, "row", dtype),
        Input(3, "column", dtype), Input(4, "scalar", dtype),
    )  # fmt: skip
    by_row = call("tanh", call("add", call("mul", x, r), s))
    chosen = call("where", m, by_row, call("neg", x))
    flat = [chosen, call("gt", chosen, Const(0.0, dtype))]
    turned = [call("mul", chosen, c), Reduce("max", by_row), call("add", c, s), call("not", m)]
    for outputs in (flat, turned, [*flat, *turned]):
        for rows in ROWS:
            arrays = [
                normal(rows, cols, dtype=dtype), normal(rows, cols, seed=1) > 0,
                normal(cols, dtype=dtype, seed=2), normal(rows, dtype=dtype, seed=3),
                np.array([0.25], dtype),
            ]  # fmt: skip
            kernel = build(outputs, cols)
            assert kernel.library is not build(outputs).library
            for found, expected in zip(
                run(kernel, arrays, rows, cols),
                run(build(outputs), arrays, rows, cols),
                strict=True,
            ):
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cols", COLUMNS)
def test_reductions(cols: int, dtype: str) -> None:
    """Sums, means, and reductions of reductions agree with NumPy; maxima and NaNs exactly."""
    x = Input(0, dtype=dtype)
    outputs = [log_softmax(x), Reduce("sum", x), Reduce("mean", x), Reduce("min", x)]
    for rows in ROWS:
        a = normal(rows, cols, dtype=dtype)
        a[rows // 2, cols // 2] = np.inf
        a[0, 0] = np.nan
        found = run(build(outputs, cols), [a], rows, cols)
        with np.errstate(all="ignore"):
            shifted = a - a.max(1, keepdims=True)
            expected = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(found[0], expected, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(found[1], a.sum(1), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(found[2], a.mean(1), rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(found[3], a.min(1))


def test_no_byte_beyond_the_arrays_is_touched() -> None:
    """Rows that do not fill a vector are loaded and stored under a mask."""
    for cols in COLUMNS:
        for rows in ROWS:
            whole = np.full(rows * cols + 64, 3.0, np.float32)
            out = whole[32 : 32 + rows * cols]
            build([log_softmax(Input(0))], cols).run([normal(rows, cols)], [out], rows, cols)
            assert (whole[:32] == 3.0).all()
            assert (whole[32 + rows * cols :] == 3.0).all()
            assert (out <= 0.0).all()


def test_result_of_a_row_does_not_depend_on_its_place() -> None:
    """The same row gives the same bits wherever it stands, hence also however rows are cut."""
    row = normal(10)
    a = np.tile(row, (40, 1))
    (out,) = run(build([log_softmax(Input(0))], 10), [a], 40, 10)
    assert (out == out[0]).all()


@pytest.mark.parametrize("vector_bytes", [16, 32])
def test_narrower_vectors(vector_bytes: int) -> None:
    """Processors with narrower vectors get the same results, for rows longer than a vector too."""
    graph = Graph([log_softmax(Input(0)), Reduce("sum", Input(0))])
    host = dataclasses.replace(jit.host(), vector_bytes=vector_bytes, scale_instruction=False)
    for cols in (3, 10):
        called = turns(graph, host, cols)
        library = jit.engine().load(
            module_text(graph, host, cols),
            ["run", "chunk"],
            imports={name: code.address(name) for name, code in called.items()},
        )
        a = normal(33, cols)
        found = run(FusedKernel(library, graph, False), [a], 33, cols)
        expected = run(build([log_softmax(Input(0)), Reduce("sum", Input(0))], cols), [a], 33, cols)
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)


def test_long_rows_have_the_general_loops() -> None:
    """The code for a number of columns grows with it, so that there is a limit."""
    graph = Graph([log_softmax(Input(0))])
    assert is_narrow(graph, 12)
    assert not is_narrow(graph, 13)

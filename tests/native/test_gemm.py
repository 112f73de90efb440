"""Matrix products: OpenBLAS's entry points and the generated kernels, against float64 products."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools

import numpy as np
import pytest

from backlit.native import blas, jit
from backlit.native.gemm import GemmKernel, Product, build, choose, function, module_text

Array = np.ndarray
SIZES = [
    (1, 1, 1),
    (150, 10, 2),
    (150, 3, 10),
    (5, 16, 7),
    (7, 17, 33),
    (13, 70, 20),
    (64, 10, 64),
    (33, 100, 300),
    (64, 128, 784),
    (3, 5, 0),
]
TRANSPOSES = list(itertools.product([False, True], repeat=2))


def operands(product: Product) -> tuple[Array, Array, Array]:
    generator = np.random.default_rng(0)
    a = generator.normal(size=(product.m, product.k)).astype(product.dtype)
    b = generator.normal(size=(product.k, product.n)).astype(product.dtype)
    out = generator.normal(size=(product.m, product.n)).astype(product.dtype)
    a = np.ascontiguousarray(a.T) if product.transpose_a else a
    b = np.ascontiguousarray(b.T) if product.transpose_b else b
    return a, b, out


def expected(product: Product, a: Array, b: Array, out: Array) -> tuple[Array, Array]:
    """The product in float64, and a bound on the rounding errors of any order of summation."""
    x = (a.T if product.transpose_a else a).astype("float64")
    y = (b.T if product.transpose_b else b).astype("float64")
    start = out if product.accumulate else np.zeros_like(out)
    bound = (np.abs(x) @ np.abs(y) + np.abs(start)) * (product.k + 2) * np.finfo(out.dtype).eps
    return x @ y + start, bound


@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSES)
@pytest.mark.parametrize("m, n, k", SIZES)
def test_generated_products(m: int, n: int, k: int, transpose_a: bool, transpose_b: bool) -> None:
    """A generated kernel computes op(A) op(B), or adds it to C, and writes nothing else."""
    dtype = "float32" if m % 3 else "float64"
    product = Product(m, n, k, transpose_a, transpose_b, dtype, (n + transpose_b) % 2 == 0)
    a, b, start = operands(product)
    guarded = np.full(start.size + 64, 7, dtype)
    out = guarded[32:-32].reshape(start.shape)
    out[:] = start if product.accumulate else np.nan
    build(product).run(a, b, out)
    exact, bound = expected(product, a, b, start)
    assert (np.abs(out - exact) <= bound).all()
    assert (guarded[:32] == 7).all()
    assert (guarded[-32:] == 7).all()


@pytest.mark.parametrize("vector_bytes, registers", [(16, 16), (32, 16)])
@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSES)
def test_narrower_machines(
    vector_bytes: int, registers: int, transpose_a: bool, transpose_b: bool
) -> None:
    """Kernels for AVX2- and NEON-sized registers are right as well."""
    product = Product(13, 70, 45, transpose_a, transpose_b)
    host = dataclasses.replace(jit.host(), vector_bytes=vector_bytes, registers=registers)
    library = jit.engine().load(module_text(product, host), ["gemm"])
    a, b, out = operands(product)
    GemmKernel(library, product).run(a, b, out)
    exact, bound = expected(product, a, b, out)
    assert (np.abs(out - exact) <= bound).all()


def test_rows_do_not_depend_on_the_number_of_rows() -> None:
    """A row of C is the same bits whatever the batch size, so long as k is cut alike."""
    a, b, _ = operands(Product(64, 48, 200))
    whole, part = np.empty((64, 48), "float32"), np.empty((5, 48), "float32")
    build(Product(64, 48, 200)).run(a, b, whole)
    build(Product(5, 48, 200)).run(a[:5], b, part)
    np.testing.assert_array_equal(part, whole[:5])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSES)
def test_openblas_products(transpose_a: bool, transpose_b: bool, dtype: str) -> None:
    """gemm takes transposes, alpha, beta, and parts of wider matrices."""
    product = Product(9, 11, 6, transpose_a, transpose_b, dtype, accumulate=True)
    a, b, out = operands(product)
    wide = np.zeros((a.shape[0], a.shape[1] + 3), dtype)
    wide[:, : a.shape[1]] = a
    exact, bound = expected(product, a, b, out)
    exact = 2 * (exact - out) + 0.5 * out
    blas.gemm(
        wide[:, : a.shape[1]],
        b,
        out,
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        alpha=2.0,
        beta=0.5,
    )
    assert (np.abs(out - exact) <= 4 * bound).all()


def test_generated_code_calls_openblas_by_address() -> None:
    """The address of sgemm, called as C would, multiplies."""
    a, b, out = operands(Product(3, 4, 5))
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    kinds = [*[integer] * 6, ctypes.c_float, pointer, integer, pointer, integer, ctypes.c_float]
    sgemm = ctypes.CFUNCTYPE(None, *kinds, pointer, integer)(blas.address("sgemm"))
    sgemm(101, 111, 111, 3, 4, 5, 1.0, a.ctypes.data, 5, b.ctypes.data, 4, 0.0, out.ctypes.data, 4)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5)


def test_openblas_starts_with_one_thread() -> None:
    """One thread unless told otherwise, so that results repeat."""
    assert blas.get_num_threads() == 1
    blas.set_num_threads(2)
    assert blas.get_num_threads() == 2
    blas.set_num_threads(1)


@pytest.mark.parametrize("n", [10, 2048])
def test_function_picks_the_chosen_implementation(n: int) -> None:
    """Both choices give the product."""
    product = Product(4, n, 8, transpose_b=True, accumulate=True)
    generated = n == 10 and jit.host().vector_bytes >= 32
    assert choose(product) == ("generated" if generated else "openblas")
    a, b, out = operands(product)
    exact, bound = expected(product, a, b, out)
    function(product)(a, b, out)
    assert (np.abs(out - exact) <= bound).all()


def test_error_messages() -> None:
    """gemm names both shapes, both dtypes, or the strides."""
    a, b, out = np.ones((2, 3)), np.ones((4, 5)), np.ones((2, 5))
    with pytest.raises(ValueError) as caught:
        blas.gemm(a, b, out, transpose_b=True)
    assert str(caught.value) == (
        "native: gemm of (2, 3) and (4, 5)ᵀ into (2, 5): the sizes do not fit."
    )
    with pytest.raises(TypeError) as caught_type:
        blas.gemm(a, b[:3].astype("float32"), out)
    assert str(caught_type.value) == (
        "native: gemm of float64 and float32 into float64: all must be float32, or all float64."
    )
    with pytest.raises(ValueError) as caught:
        blas.gemm(np.ones((3, 2)).T, b[:3], out)
    assert str(caught.value) == (
        "native: gemm needs matrices with contiguous rows, got strides (8, 16); "
        "copy it with np.ascontiguousarray, or pass the transpose and transpose_a/b=True."
    )


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package without its shared library says where it was looked for and what to do."""
    monkeypatch.setattr("os.listdir", lambda folder: [])
    with pytest.raises(ImportError) as caught:
        blas.library.__wrapped__()
    assert str(caught.value).startswith("native: scipy-openblas32 has no shared library in ")
    assert str(caught.value).endswith(
        "; reinstall it with pip install --force-reinstall scipy-openblas32."
    )

"""Matrix products: OpenBLAS's entry points, the generated kernels and their entries of the native
loop, against float64 products."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from backlit.native.machine import jit, threads
from backlit.native.products import blas, gemm_plan
from backlit.native.products import dispatch as products
from backlit.native.products.gemm import build, choose, function
from backlit.native.products.gemm_plan import Plan, Product

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
    (0, 5, 3),
    (4, 0, 3),
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


@pytest.mark.skipif("x86" not in jit.host().triple, reason="elsewhere denormals cost nothing")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormals_are_zeros_to_products_alone(dtype: str) -> None:
    """Sums too small for a normal number are 0, and other arithmetic goes on as before."""
    tiny = np.finfo(dtype).tiny
    product = Product(2, 20, 3, dtype=dtype)
    a = np.array([[tiny, 0, 0], [1, 0, tiny / 4]], dtype)
    b = np.full((3, 20), 0.5, dtype)
    b[2] = 8
    out = np.empty((2, 20), dtype)
    build(product).run(a, b, out)
    assert (out[0] == 0).all()
    assert (out[1] == 0.5).all()
    assert (a[0] * a.dtype.type(0.5))[0] == tiny / 2 > 0


def cuts(product: Product, host: jit.Host, generator: np.random.Generator) -> Plan:
    """The model's cut, with any of its parts changed at random."""

    def any_of(most: int) -> int:
        return int(generator.integers(1, most + 1))

    plan = gemm_plan.plan(product, host, 2)
    depth = plan.depth
    if generator.integers(2):
        depth = min(max(product.k, 1), any_of(5) * plan.width)
        while depth < product.k and 0 < product.k % depth < plan.width:
            depth += 1
    return dataclasses.replace(
        plan,
        depth=depth,
        pack_a=plan.rows <= plan.width and bool(generator.integers(2)),
        block_rows=plan.rows * any_of(-(-product.m // plan.rows)),
        block_columns=plan.panel * any_of(-(-product.n // plan.panel)),
    )


@pytest.mark.parametrize("seed", range(24))
def test_any_cut(seed: int) -> None:
    """Registers of any size, and any blocks, panels and copies, give the product and nothing
    else."""
    generator = np.random.default_rng(seed)
    m, n, k = (int(x) for x in generator.choice([1, 2, 5, 8, 17, 33, 70, 130, 300], size=3))
    flags = [bool(x) for x in generator.integers(2, size=3)]
    dtype = "float64" if seed % 3 == 0 else "float32"
    product = Product(m, n, k, flags[0], flags[1], dtype, flags[2])
    host = jit.host()
    if seed % 4:
        vector_bytes = min(host.vector_bytes, (16, 32, 64)[seed % 4 - 1])
        host = dataclasses.replace(host, vector_bytes=vector_bytes, registers=16)
    a, b, start = operands(product)
    guarded = np.full(start.size + 64, 7, dtype)
    out = guarded[32:-32].reshape(start.shape)
    out[:] = start if product.accumulate else np.nan
    build(product, cuts(product, host, generator)).run(a, b, out)
    exact, bound = expected(product, a, b, start)
    assert (np.abs(out - exact) <= bound).all()
    assert (guarded[:32] == 7).all()
    assert (guarded[-32:] == 7).all()


def test_products_share_their_code() -> None:
    """Tiles of one shape, and what copies and transposes a factor, are compiled once, whatever the
    sizes: their shape counts, and whether they end within a vector."""
    cut = Plan(6, 2, 4, 70, pack_a=False, pack_b=True, block_rows=60, block_columns=64)

    def names(*sizes: int, dtype: str = "float32") -> list[str]:
        parts = build(Product(*sizes, transpose_b=True, dtype=dtype), cut).parts
        found.append(set(parts))
        return [name for library in parts for name in library.exports]

    found: list[set[jit.Library]] = []
    assert names(60, 64, 70) == ["turn", "tiles_6x8"]
    assert names(24, 32, 30) == ["turn", "tiles_6x8"]
    edges = ["tiles_6x8", "tiles_6x4_part", "tiles_1x8", "tiles_1x4_part"]
    assert names(25, 35, 70) == ["turn", *edges]
    assert names(60, 64, 70, dtype="float64") == ["turn", "tiles_6x8"]
    assert found[0] == found[1] < found[2]
    assert not found[0] & found[3]


def test_large_results_are_cut_by_rows() -> None:
    """Where C is large, as a weight's gradient is, a block is a part of it that lies together;
    where B is, as a weight in a layer's output, a block needs a part of B only."""
    host = dataclasses.replace(jit.host(), vector_bytes=64, registers=32)
    gradient = Product(128, 784, 64, transpose_a=True)
    plan = gemm_plan.plan(gradient, host, 2)
    assert plan.block_columns >= gradient.n
    assert plan.blocks(gradient) == 2
    output = Product(64, 128, 784, transpose_b=True)
    plan = gemm_plan.plan(output, host, 2)
    assert plan.block_rows >= output.m
    assert plan.blocks(output) == 2


def test_tiles_are_widest_where_b_is_near() -> None:
    """Five vectors side by side, if that leaves fewer at the edge, and the panel of B stays in the
    first-level cache."""
    host = dataclasses.replace(jit.host(), vector_bytes=64, registers=32)
    short = Product(200, 100, 64, transpose_b=True, dtype="float64")  # 13 vectors
    assert (gemm_plan.plan(short, host, 2).rows, gemm_plan.plan(short, host, 2).vectors) == (5, 5)
    assert gemm_plan.plan(dataclasses.replace(short, k=200, ldb=0), host, 2).vectors < 5
    assert gemm_plan.plan(Product(200, 128, 64, transpose_b=True), host, 2).vectors < 5


def test_bits_do_not_depend_on_the_cut() -> None:
    """Blocks, depth and copies change no bit of a result."""
    product = Product(70, 100, 300, transpose_b=True)
    a, b, out = operands(product)
    build(product).run(a, b, out)
    generator = np.random.default_rng(0)
    for _ in range(4):
        other = np.empty_like(out)
        build(product, cuts(product, jit.host(), generator)).run(a, b, other)
        np.testing.assert_array_equal(other, out)


def test_parts_of_wider_matrices() -> None:
    """Rows of A and B may lie further apart than they are long."""
    product = Product(20, 30, 40, transpose_b=True, lda=50, ldb=45)
    wide_a, wide_b, out = np.ones((20, 50), "f4"), np.ones((30, 45), "f4"), np.empty((20, 30), "f4")
    wide_a[:, 40:] = wide_b[:, 40:] = np.nan
    build(product).run(wide_a, wide_b, out)
    np.testing.assert_array_equal(out, np.full_like(out, 40))


@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSES)
def test_what_is_not_finite_spreads(transpose_a: bool, transpose_b: bool) -> None:
    """NaN and infinities of a row of op(A) or a column of op(B) reach that row and column only, and
    meet each other as IEEE 754 says."""
    product = Product(40, 50, 60, transpose_a, transpose_b)
    a, b, out = operands(product)
    x, y = (a.T if transpose_a else a), (b.T if transpose_b else b)
    x[3, 7], x[5, 59], y[0, 49] = np.nan, np.inf, -np.inf
    y[59, 2] = 0
    build(product).run(a, b, out)
    with np.errstate(invalid="ignore"):
        exact = x.astype("float64") @ y.astype("float64")
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(out), kind(exact))


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


@pytest.mark.parametrize(
    "vector_bytes, product, chosen",
    [
        (16, Product(8, 8, 8), "openblas"),
        (32, Product(512, 512, 512), "generated"),
        (32, Product(4, 2048, 4), "openblas"),
        (64, Product(2048, 2048, 2048), "generated"),
        (64, Product(1, 512, 512), "generated"),
        (64, Product(1, 512, 512, transpose_b=True), "openblas"),
    ],
)
def test_the_choice(vector_bytes: int, product: Product, chosen: str) -> None:
    """Generated kernels where they were measured to win, OpenBLAS elsewhere."""
    assert choose(product, dataclasses.replace(jit.host(), vector_bytes=vector_bytes)) == chosen


@pytest.mark.parametrize("m", [1, 40])
def test_function_picks_the_chosen_implementation(m: int) -> None:
    """Both choices give the product."""
    product = Product(m, 100, 300, transpose_b=True, accumulate=True)
    a, b, out = operands(product)
    exact, bound = expected(product, a, b, out)
    function(product)(a, b, out)
    assert (np.abs(out - exact) <= bound).all()


def run(entry: products.Entry, a: Array, b: Array, out: Array) -> None:
    """Run an entry as the native loop does."""
    addresses = [array.ctypes.data for array in (a, b, out)]
    words = [*entry.before, *addresses, *entry.after]
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(entry.function)
    assert function((ctypes.c_int64 * len(words))(*words)) == 0


@pytest.fixture
def pool() -> Iterator[threads.Pool]:
    """The pool of the process, with its number of threads restored."""
    made = threads.pool()
    assert isinstance(made, threads.Pool)
    before = made.num_threads
    yield made
    made.shutdown()
    made.set_num_threads(before)
    made.shutdown()


@pytest.mark.skipif(sys.platform == "win32", reason="no pool on Windows")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSES)
@pytest.mark.parametrize("m, n, k", [(64, 10, 64), (130, 260, 300), (300, 1100, 270)])
def test_threads_do_not_change_bits(
    pool: threads.Pool, m: int, n: int, k: int, transpose_a: bool, transpose_b: bool, dtype: str
) -> None:
    """An entry gives the same bits in every run and for any number of threads: those of the kernel
    on one thread."""
    product = Product(m, n, k, transpose_a, transpose_b, dtype)
    a, b, once = operands(product)
    function(product)(a, b, once)
    exact, bound = expected(product, a, b, once)
    assert (np.abs(once - exact) <= bound).all()
    entry = products.entry(product)
    if entry is None:
        pytest.skip("one call of OpenBLAS here")
    for count in (1, 2, 3, 2):
        pool.set_num_threads(count)
        out = np.full_like(once, np.nan)
        run(entry, a, b, out)
        np.testing.assert_array_equal(out, once)


@pytest.mark.skipif(sys.platform == "win32", reason="no pool on Windows")
def test_concurrent_products_share_a_scratch(pool: threads.Pool) -> None:
    """Products on several Python threads take turns with the memory that A is copied to."""
    product = Product(300, 1100, 270)
    pool.set_num_threads(2)
    entry = products.entry(product)
    assert entry is not None

    def caller(seed: int) -> None:
        generator = np.random.default_rng(seed)
        a = generator.normal(size=(300, 270)).astype("float32")
        b = generator.normal(size=(270, 1100)).astype("float32")
        once, out = np.empty((300, 1100), "float32"), np.empty((300, 1100), "float32")
        function(product)(a, b, once)
        for _ in range(10):
            run(entry, a, b, out)
            right.append(bool((out == once).all()))

    right: list[bool] = []
    callers = [threading.Thread(target=caller, args=(seed,)) for seed in range(3)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert right == [True] * 30


def test_a_scratch_is_free_after_a_fork() -> None:
    """A child does not wait for a thread that it does not have."""
    scratch = products.Scratch(100)
    word = ctypes.c_int64.from_address(scratch.lock)
    word.value = 1
    scratch.unlock()
    assert word.value == 0
    assert scratch.address % 64 == 0


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

"""OpenBLAS through ctypes: matrix products by name, by address, and its thread count.

    C = alpha op(A) op(B) + beta C        op(X) = X or Xᵀ, row-major, float32 or float64

The library is the one that NumPy and SciPy ship, with documented C symbols (`scipy-openblas32`).
Generated code calls the same entry points through `address`.

With one thread, OpenBLAS's result for given sizes is the same in every run. With more it may cut
the inner dimension differently, so Backlit keeps it at one thread and cuts large products itself
(`threads.py`), at places that do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os

import numpy as np

from backlit.native.machine.once import once

_ROW_MAJOR, _NO_TRANSPOSE, _TRANSPOSE = 101, 111, 112
_NAMES = {np.dtype("float32"): "sgemm", np.dtype("float64"): "dgemm"}


@once
def library() -> ctypes.CDLL:
    """The loaded library, set to one thread."""
    # Found, not imported: that would import a reader of package metadata, for a third of the time
    # that getting ready takes.
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is None or spec.origin is None:
        raise ImportError(
            "native: scipy-openblas32 is not installed; pip install scipy-openblas32.",
            name="scipy_openblas32",
        )
    folder = os.path.join(os.path.dirname(spec.origin), "lib")
    names = [n for n in os.listdir(folder) if n.endswith((".so", ".dylib", ".dll"))]
    if not names:
        raise ImportError(
            f"native: scipy-openblas32 has no shared library in {folder}; "
            "reinstall it with pip install --force-reinstall scipy-openblas32."
        )
    loaded = ctypes.CDLL(os.path.join(folder, min(names)))
    loaded.scipy_openblas_set_num_threads.argtypes = [ctypes.c_int]
    loaded.scipy_openblas_set_num_threads.restype = None
    loaded.scipy_openblas_get_num_threads.restype = ctypes.c_int
    loaded.scipy_openblas_get_config.restype = ctypes.c_char_p
    loaded.scipy_openblas_set_num_threads(1)
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    for name, scalar in (("sgemm", ctypes.c_float), ("dgemm", ctypes.c_double)):
        function = getattr(loaded, f"scipy_cblas_{name}")
        function.restype = None
        function.argtypes = [
            *[integer] * 6, scalar, pointer, integer, pointer, integer, scalar, pointer, integer,
        ]  # fmt: skip
    return loaded


def address(name: str) -> int:
    """Where `cblas_<name>` starts, for generated code: "sgemm", "dgemm".

    >>> address("sgemm") != address("dgemm")
    True
    """
    function = getattr(library(), f"scipy_cblas_{name}")
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def get_num_threads() -> int:
    """How many threads OpenBLAS uses."""
    return int(library().scipy_openblas_get_num_threads())


def set_num_threads(count: int) -> None:
    """Let OpenBLAS use so many threads of its own."""
    library().scipy_openblas_set_num_threads(count)


def gemm(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """out = alpha op(a) op(b) + beta out, in place; with beta = 0, out is not read.

    All three are matrices of one float dtype whose rows are contiguous (they may be parts of
    wider matrices).

    >>> a, out = np.eye(2), np.empty((2, 2))
    >>> gemm(a, np.array([[1.0, 2.0], [3.0, 4.0]]), out, transpose_b=True)
    >>> out.tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    m, k = a.shape[::-1] if transpose_a else a.shape
    inner, n = b.shape[::-1] if transpose_b else b.shape
    if k != inner or out.shape != (m, n):
        raise ValueError(
            f"native: gemm of {a.shape}{'ᵀ' * transpose_a} and {b.shape}{'ᵀ' * transpose_b} "
            f"into {out.shape}: the sizes do not fit."
        )
    name = _NAMES.get(out.dtype)
    if name is None or a.dtype != out.dtype or b.dtype != out.dtype:
        raise TypeError(
            f"native: gemm of {a.dtype} and {b.dtype} into {out.dtype}: all must be float32, or "
            "all float64."
        )
    getattr(library(), f"scipy_cblas_{name}")(
        _ROW_MAJOR,
        _TRANSPOSE if transpose_a else _NO_TRANSPOSE,
        _TRANSPOSE if transpose_b else _NO_TRANSPOSE,
        m,
        n,
        k,
        alpha,
        a.ctypes.data,
        _row_stride(a),
        b.ctypes.data,
        _row_stride(b),
        beta,
        out.ctypes.data,
        _row_stride(out),
    )


def _row_stride(matrix: np.ndarray) -> int:
    """Elements from one row to the next."""
    rows, cols = matrix.shape
    if cols > 1 and matrix.strides[1] != matrix.itemsize:
        raise ValueError(
            f"native: gemm needs matrices with contiguous rows, got strides {matrix.strides}; "
            "copy it with np.ascontiguousarray, or pass the transpose and transpose_a/b=True."
        )
    return max(1, cols) if rows <= 1 else matrix.strides[0] // matrix.itemsize


def description() -> str:
    """The library's version and the kernels it chose for this CPU."""
    return str(library().scipy_openblas_get_config().decode())

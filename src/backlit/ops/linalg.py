"""Products of vectors and matrices.

Everything here is one primitive, `matmul`, between reshapes and transposes. Transposes only change
strides: a product and both of its derivatives are single calls of BLAS on the memory as it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from backlit.core.dtypes import promote_types
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.operators import binary
from backlit.core.primitive import Spec, primitive
from backlit.core.size import broadcast, wrap_dim
from backlit.core.tensor import Tensor, handle
from backlit.core.value import Result, Value
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.movement import permute_card, sum_to


def _matmul_shape(x: Value, y: Value) -> Spec:
    same_dtype("matmul", x, y, "x", "y")
    inner, other = x.shape[-1], y.shape[-2]
    if inner != other:
        fits = y.ndim == 2 and y.shape[-1] == inner
        hint = f"; y.T {tuple(y.shape[::-1])} would fit" if fits else ""
        raise ShapeError(
            f"matmul: cannot multiply x {tuple(x.shape)} by y {tuple(y.shape)}: "
            f"inner sizes {inner} and {other} differ{hint}."
        )
    batch = broadcast("matmul", tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    return (*batch, x.shape[-2], y.shape[-1]), x.dtype


def transposed(x: Tensor) -> Tensor:
    """``x`` with its last two dimensions exchanged; what is transposed already is taken back."""
    last = x.ndim - 1
    dims = (*range(last - 1), last, last - 1)
    value = x._var
    node = value.node if isinstance(value, Result) else None
    if node is not None and node.primitive is permute_card and node.attrs["dims"] == dims:
        return handle(local.era, node.args[0])
    found: Tensor = permute_card(x, dims=dims)
    return found


def product(x: Tensor, y: Tensor, x_t: bool = False, y_t: bool = False) -> Tensor:
    """``x @ y`` of matrices (or batches of them), each taken transposed if so marked."""
    found: Tensor = matmul_card(transposed(x) if x_t else x, transposed(y) if y_t else y)
    return found


def _matmul_samples() -> list[Any]:
    r = np.random.default_rng(0)
    return [
        (r.normal(size=(2, 3)), r.normal(size=(3, 4))),
        (r.normal(size=(5, 2, 3)), r.normal(size=(1, 3, 4))),
        (r.normal(size=(2, 0)), r.normal(size=(0, 4))),
    ]


matmul_card = primitive(
    "matmul",
    "x y",
    shape=_matmul_shape,
    numpy="{x} @ {y}",
    vjp=(
        lambda g, y, x_shape: sum_to(product(g, y, y_t=True), x_shape),
        lambda g, x, y_shape: sum_to(product(x, g, x_t=True), y_shape),
    ),
    upcast=True,
    maths="x y",
    local=("ȳ yᵀ", "xᵀ ȳ"),
    samples=_matmul_samples,
    errors=[
        (
            (np.ones((2, 3)), np.ones((4, 3))),
            (
                "matmul: cannot multiply x (2, 3) by y (4, 3): inner sizes 3 and 4 differ; "
                "y.T (3, 4) would fit."
            ),
        )
    ],
)


def same_dtype(name: str, x: Any, y: Any, x_name: str, y_name: str) -> None:
    """Products do not promote: both operands must have one dtype."""
    if x.dtype is not y.dtype:
        raise DtypeError(
            f"{name}: expected {x_name} and {y_name} to have the same dtype, but got: "
            f"{x.dtype.name} != {y.dtype.name}; convert one of them with .to(dtype)."
        )


def check_ndim(name: str, **operands: tuple[Tensor, int]) -> None:
    """Each operand must have exactly the number of dimensions given with it."""
    for operand, (x, ndim) in operands.items():
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): argument '{operand}' must be Tensor, not {type(x).__name__}."
            )
        if x.ndim != ndim:
            kind = {1: "1-D (a vector)", 2: "2-D (a matrix)"}.get(ndim, f"{ndim}-D")
            raise ShapeError(
                f"{name}: {operand} must be {kind}, but its shape is {tuple(x.shape)}; "
                "matmul takes any number of dimensions."
            )


matmul = binary(matmul_card, inplace=False)


def _matmul_body(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; a vector counts as a row on the left, as a column on the right.

    Leading dimensions are batches, and broadcast.

    >>> import backlit
    >>> backlit.matmul(backlit.ones(2, 3), backlit.ones(3)).tolist()
    [3.0, 3.0]
    """
    for name, x in (("input", input), ("other", other)):
        if not isinstance(x, Tensor):
            raise TypeError(f"matmul(): argument '{name}' must be Tensor, not {type(x).__name__}.")
    if not input.ndim or not other.ndim:
        raise ShapeError(
            f"matmul: both arguments to matmul need to be at least 1D, but they are {input.ndim}D "
            "and "
            f"{other.ndim}D; use * to scale a tensor."
        )
    if input.ndim == 2 and other.ndim == 2:
        return product(input, other)
    x = input.reshape(1, input.shape[0]) if input.ndim == 1 else input
    y = other.reshape(other.shape[0], 1) if other.ndim == 1 else other
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(
            f"matmul: cannot multiply input {tuple(input.shape)} by other {tuple(other.shape)}: "
            f"inner sizes {x.shape[-1]} and {y.shape[-2]} differ."
        )
    if x.ndim > 2 and y.ndim == 2:  # one product for the whole batch
        out = product(x.reshape(prod(x.shape[:-1]), x.shape[-1]), y)
    else:
        out = product(x, y)
    lead = broadcast("matmul", tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    rows = () if input.ndim == 1 else (x.shape[-2],)
    columns = () if other.ndim == 1 else (y.shape[-1],)
    shape = (*lead, *rows, *columns)
    return out if tuple(out.shape) == shape else out.reshape(shape)


matmul.op.body = _matmul_body  # type: ignore[attr-defined]
matmul.__doc__ = _matmul_body.__doc__


@op(out=True)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, without broadcasting: (n, k) (k, m) → (n, m)."""
    check_ndim("mm", input=(input, 2), mat2=(mat2, 2))
    return product(input, mat2)


@op(out=True)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """A product for each matrix of a batch: (b, n, k) (b, k, m) → (b, n, m)."""
    check_ndim("bmm", input=(input, 3), mat2=(mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            f"bmm: input {tuple(input.shape)} and mat2 {tuple(mat2.shape)} must hold equally many "
            "matrices; matmul broadcasts batches."
        )
    return product(input, mat2)


@op(out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector: (n, k) (k,) → (n,)."""
    check_ndim("mv", input=(input, 2), vec=(vec, 1))
    return _matmul_body(input, vec)


def _dot(name: str, input: Tensor, other: Tensor, other_name: str) -> Tensor:
    check_ndim(name, input=(input, 1), **{other_name: (other, 1)})
    if input.shape != other.shape:
        raise ShapeError(
            f"{name}: inconsistent tensor size, expected tensor [{input.shape[0]}] and src "
            f"[{other.shape[0]}] to have the same number of elements."
        )
    return _matmul_body(input, other)


@op(out=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product Σ xᵢ yᵢ of two vectors."""
    return _dot("dot", input, tensor, "tensor")


@op(out=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The inner product of two vectors (`dot`, as there are no complex numbers)."""
    return _dot("vdot", input, other, "other")


@op(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Σ over the last dimension of both, for every pair of the other indices."""
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"inner: the last dimension must match on both input tensors but got shapes "
            f"{tuple(input.shape)} and {tuple(other.shape)}."
        )
    k = input.shape[-1]
    x = input.reshape(prod(input.shape[:-1]), k)
    y = other.reshape(prod(other.shape[:-1]), k)
    return product(x, y, False, True).reshape(*input.shape[:-1], *other.shape[:-1])


@op(out=True)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """xᵢ yⱼ for every pair: (n,) (m,) → (n, m)."""
    check_ndim("outer", input=(input, 1), vec2=(vec2, 1))
    return input.reshape(-1, 1) * vec2.reshape(1, -1)


@op(out=True)
def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """The old name of `outer`."""
    check_ndim("ger", input=(input, 1), vec2=(vec2, 1))
    return input.reshape(-1, 1) * vec2.reshape(1, -1)


@op(out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: each element of ``input`` times the whole of ``other``."""
    ndim = max(input.ndim, other.ndim)
    a = (1,) * (ndim - input.ndim) + tuple(input.shape)
    b = (1,) * (ndim - other.ndim) + tuple(other.shape)
    x = input.reshape(tuple(n for size in a for n in (size, 1)))
    y = other.reshape(tuple(n for size in b for n in (1, size)))
    return (x * y).reshape(tuple(m * n for m, n in zip(a, b, strict=True)))


# -- products that add to something ----------------------------------------------------------------


def _add_product(name: str, input: Tensor, found: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta·input + alpha·found``; what ``beta = 0`` switches off may be NaN."""
    same_dtype(name, input, found, "input", "the matrices")
    if not found.dtype.is_floating_point:  # as PyTorch's: fractions are cut off
        beta, alpha = int(beta), int(alpha)
    shape = tuple(found.shape)
    if broadcast(name, tuple(input.shape), shape) != shape:
        raise ShapeError(
            f"{name}: input {tuple(input.shape)} cannot be expanded to the product's shape {shape}."
        )
    if alpha != 1:
        found = found * alpha
    if beta == 0:
        return found
    return (input if beta == 1 else input * beta) + found


@op(out=True, inplace=True)
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """β input + α (mat1 mat2)."""
    check_ndim("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
    return _add_product("addmm", input, product(mat1, mat2), beta, alpha)


@op(out=True, inplace=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """β input + α (mat vec)."""
    check_ndim("addmv", mat=(mat, 2), vec=(vec, 1))
    return _add_product("addmv", input, _matmul_body(mat, vec), beta, alpha)


@op(out=True, inplace=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """β input + α (vec1 vec2ᵀ)."""
    check_ndim("addr", vec1=(vec1, 1), vec2=(vec2, 1))
    found = vec1.reshape(-1, 1) * vec2.reshape(1, -1)
    for factor, number in (("alpha", alpha), ("beta", beta)):
        if isinstance(number, float) and not found.dtype.is_floating_point:
            raise ArgumentError(
                f"addr: for integral input tensors, argument {factor} must not be a floating point "
                f"number, got {number}."
            )
    shape = tuple(found.shape)
    if broadcast("addr", tuple(input.shape), shape) != shape:
        raise ShapeError(
            f"addr: input {tuple(input.shape)} cannot be expanded to the product's shape {shape}."
        )
    d = promote_types(input.dtype, found.dtype)
    if alpha != 1:
        found = found * alpha
    if beta != 0:
        found = (input if beta == 1 else input * beta) + found
    return found.to(d)


@op(out=True, inplace=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """β input + α (batch1 batch2), matrix by matrix."""
    check_ndim("baddbmm", batch1=(batch1, 3), batch2=(batch2, 3))
    if batch1.shape[0] != batch2.shape[0]:
        raise ShapeError(
            f"baddbmm: batch1 {tuple(batch1.shape)} and batch2 {tuple(batch2.shape)} must hold "
            "equally "
            "many matrices."
        )
    return _add_product("baddbmm", input, product(batch1, batch2), beta, alpha)


@op(out=True, inplace=True)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """β input + α Σ_b (batch1_b batch2_b): one product over the joined inner dimensions."""
    check_ndim("addbmm", batch1=(batch1, 3), batch2=(batch2, 3))
    b, n, k = batch1.shape
    if (b, k) != tuple(batch2.shape[:2]):
        raise ShapeError(
            f"addbmm: cannot multiply batch1 {tuple(batch1.shape)} by batch2 "
            f"{tuple(batch2.shape)}: "
            "their batch sizes and inner sizes must agree."
        )
    left = batch1.permute(1, 0, 2).reshape(n, b * k)
    found = product(left, batch2.reshape(b * k, batch2.shape[2]))
    return _add_product("addbmm", input, found, beta, alpha)


# -- products of several ---------------------------------------------------------------------------


def cheapest_order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each stretch of a chain of matrices so that the fewest products are needed.

    Matrix number i is ``sizes[i]`` × ``sizes[i + 1]``. Dynamic programming over stretches
    (Cormen et al., Introduction to Algorithms, 15.2).
    """
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], split[i, j] = min(options)
    return split


def _chain(name: str, matrices: Sequence[Tensor]) -> Tensor:
    for x, y in pairwise(matrices):
        if x.shape[1] != y.shape[0]:
            raise ShapeError(
                f"{name}: cannot multiply matrices of shapes "
                f"{', '.join(str(tuple(m.shape)) for m in matrices)}: sizes {x.shape[1]} and "
                f"{y.shape[0]} of neighbours differ."
            )
    split = cheapest_order([matrices[0].shape[0], *(m.shape[1] for m in matrices)])

    def stretch(i: int, j: int) -> Tensor:
        return (
            matrices[i] if i == j else product(stretch(i, split[i, j]), stretch(split[i, j] + 1, j))
        )

    return stretch(0, len(matrices) - 1)


@op(method=False)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of a chain of matrices, in the order that needs the fewest multiplications."""
    if not matrices:
        raise ArgumentError("chain_matmul: expected at least one matrix.")
    for i, m in enumerate(matrices):
        check_ndim("chain_matmul", **{f"matrices[{i}]": (m, 2)})
    return _chain("chain_matmul", matrices)


@op(name="linalg.multi_dot", out=True)
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices in the cheapest order; the ends may be vectors."""
    if len(tensors) < 2:
        raise ArgumentError(
            f"linalg.multi_dot: expected at least 2 tensors but got {len(tensors)}."
        )
    first, *middle, last = tensors
    for i, m in enumerate(middle, 1):
        check_ndim("linalg.multi_dot", **{f"tensors[{i}]": (m, 2)})
    for i, m in ((0, first), (len(tensors) - 1, last)):
        if m.ndim not in (1, 2):
            raise ShapeError(
                f"linalg.multi_dot: tensors[{i}] must be a vector or a matrix, but its shape is "
                f"{tuple(m.shape)}."
            )
        same_dtype("linalg.multi_dot", first, m, "the first", "the last tensor")
    left = first.reshape(1, -1) if first.ndim == 1 else first
    right = last.reshape(-1, 1) if last.ndim == 1 else last
    out = _chain("linalg.multi_dot", [left, *middle, right])
    shape = (*out.shape[: first.ndim - 1], *out.shape[3 - last.ndim :])
    return out.reshape(shape)


@op(out=True, method=False)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over ``dims`` of ``a`` and ``dims`` of ``b``.

    Args:
        dims: how many last dimensions of ``a`` meet first dimensions of ``b``, or two lists.
    """
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ArgumentError(
                f"tensordot: expects dims >= 0 and at most {min(a.ndim, b.ndim)}, but got "
                f"dims={dims}."
            )
        of_a, of_b = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        of_a, of_b = (
            [int(d) for d in ([part] if isinstance(part, int) else part)] for part in dims
        )
    of_a = [wrap_dim(d, a.ndim, "tensordot") for d in of_a]
    of_b = [wrap_dim(d, b.ndim, "tensordot") for d in of_b]
    if len(of_a) != len(of_b):
        raise ArgumentError(
            f"tensordot: both dimension lists should have same length, got {of_a} and {of_b}."
        )
    for i, j in zip(of_a, of_b, strict=True):
        m, n = a.shape[i], b.shape[j]
        if m == n:
            continue
        if 1 not in (m, n):
            raise ShapeError(
                f"tensordot: contracted dimensions need to match, but first has size {m} in dim "
                f"{i} "
                f"of {tuple(a.shape)} and second has size {n} in dim {j} of {tuple(b.shape)}."
            )
        if m == 1:  # a stretches: sum b first
            b = b.sum(j, keepdim=True)
        else:
            a = a.sum(i, keepdim=True)
    free_a = [d for d in range(a.ndim) if d not in of_a]
    free_b = [d for d in range(b.ndim) if d not in of_b]
    k = prod(a.shape[d] for d in of_a)
    x = a.permute(*free_a, *of_a).reshape(prod(a.shape[d] for d in free_a), k)
    y = b.permute(*of_b, *free_b).reshape(k, prod(b.shape[d] for d in free_b))
    shape = (*(a.shape[d] for d in free_a), *(b.shape[d] for d in free_b))
    return product(x, y).reshape(shape)

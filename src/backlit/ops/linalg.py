"""Linear algebra."""

from __future__ import annotations

from backlit.core.op import binary
from backlit.core.primitive import Spec, primitive
from backlit.core.size import broadcast
from backlit.core.value import Value
from backlit.errors import DtypeError, ShapeError


def _matmul_shape(x: Value, y: Value) -> Spec:
    if x.dtype is not y.dtype:
        raise DtypeError(
            f"matmul: expected x and y to have the same dtype, but got: {x.dtype.name} != {y.dtype.name}; "
            "convert one of them with .to(dtype)."
        )
    inner, other = x.shape[-1], y.shape[-2]
    if inner != other:
        hint = f"; y.T {tuple(y.shape[::-1])} would fit" if y.ndim == 2 and y.shape[-1] == inner else ""
        raise ShapeError(
            f"matmul: cannot multiply x {tuple(x.shape)} by y {tuple(y.shape)}: inner sizes {inner} and {other} "
            f"differ{hint}."
        )
    batch = broadcast("matmul", tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    return (*batch, x.shape[-2], y.shape[-1]), x.dtype


matmul_card = primitive(
    "matmul",
    "x y",
    shape=_matmul_shape,
    numpy="{x} @ {y}",
    vjp=(
        lambda g, y, x_shape: _to(g @ y.mT, x_shape),
        lambda g, x, y_shape: _to(x.mT @ g, y_shape),
    ),
    upcast=True,
    maths="x y",
    local=("ȳ yᵀ", "xᵀ ȳ"),
)


def _to(g, shape):  # type: ignore[no-untyped-def]
    from backlit.ops.movement import sum_to

    return sum_to(g, shape)


mm = binary(matmul_card, "matmul")

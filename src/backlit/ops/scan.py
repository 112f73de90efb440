"""Scans along a dimension: running sums, products and extremes, integrals, slopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backlit.core.dtypes import bool_, dtype, get_default_dtype, int64
from backlit.core.era import local
from backlit.core.op import op
from backlit.core.primitive import Primitive, Spec, primitive
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.value import Node, Value
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.comparison import where_card
from backlit.ops.index_cards import scatter_card
from backlit.ops.movement import cat_card, flip_card
from backlit.ops.returns import named
from backlit.ops.shape_join import cat

# -- shifting: what scans and their gradients have in common --------------------------------------


def filled(shape: Sequence[int], x: float, d: dtype) -> Tensor:
    """A tensor of ``shape`` that holds one number, inside a body or a rule."""
    one: Tensor = local.era.constant(x, d)
    found: Tensor = one.expand(tuple(shape))
    return found


def flipped(x: Tensor, dim: int) -> Tensor:
    """``x`` reversed along ``dim``."""
    found: Tensor = flip_card(x, dims=(dim,))
    return found


def shifted(x: Tensor, dim: int, first: float) -> Tensor:
    """``x`` moved one step on along ``dim``: ``first``, x₀, x₁ … without the last element."""
    n = x.shape[dim]
    if n == 0:
        return x
    head = filled((*x.shape[:dim], 1, *x.shape[dim + 1 :]), first, x.dtype)
    found: Tensor = cat_card(head, x.narrow(dim, 0, n - 1), dim=dim)
    return found


def product_of_others(x: Tensor, dim: int) -> Tensor:
    """For each element, the product of all other elements along ``dim``."""
    before = shifted(cumprod_card(x, dim=dim), dim, 1)
    back = cumprod_card(flipped(x, dim), dim=dim)
    return before * flipped(shifted(back, dim, 1), dim)


# -- running sums and products --------------------------------------------------------------------


def _widened(x: Value, dim: int) -> Spec:
    return tuple(x.shape), x.dtype if x.dtype.is_floating_point else int64


def _same(x: Value, dim: int) -> Spec:
    return tuple(x.shape), x.dtype


def _accumulate_text(ufunc: str) -> Any:
    """NumPy source for a scan by ``ufunc``."""

    def text(node: Node, fields: dict[str, Any]) -> str:
        x = fields["x"]
        if not node.args[0].shape:
            return f"np.asarray({x}).astype({fields['out_dtype']})"
        wide = ", dtype=np.int64" if node.outs[0].dtype is not node.args[0].dtype else ""
        return f"np.{ufunc}.accumulate({x}, axis={node.attrs['dim']}{wide})"

    return text


cumsum_card: Primitive = primitive(
    "cumsum",
    "x",
    shape=_widened,
    numpy=_accumulate_text("add"),
    vjp=(
        lambda g, x_shape, dim: (
            flipped(cumsum_card(flipped(g, dim), dim=dim), dim) if x_shape else g
        ),
    ),
    upcast=True,
    maths="yₜ = x₀ + … + xₜ",
    local="1 for every later element",
)
linear_scan_card = primitive(
    "linear_scan",
    "a b",
    shape=lambda a, b, dim: (tuple(b.shape), b.dtype),
    numpy="ref.linear_scan({a}, {b}, {dim})",
    vjp=(
        lambda g, a, out, dim: reverse_scan(a, g, dim) * shifted(out, dim, 0),
        lambda g, a, dim: reverse_scan(a, g, dim),
    ),
    upcast=True,
    maths="sₜ = aₜ sₜ₋₁ + bₜ",
    local=("λₜ sₜ₋₁", "λₜ = gₜ + aₜ₊₁ λₜ₊₁"),
)


def reverse_scan(a: Tensor, g: Tensor, dim: int) -> Tensor:
    """``λₜ = gₜ + aₜ₊₁ λₜ₊₁``, from the last element to the first: a linear scan's transpose."""
    back = linear_scan_card(shifted(flipped(a, dim), dim, 0), flipped(g, dim), dim=dim)
    return flipped(back, dim)


cumprod_card = primitive(
    "cumprod",
    "x",
    shape=_widened,
    numpy=_accumulate_text("multiply"),
    vjp=(
        lambda g, x, out, x_shape, dim: (
            # Σₖ gₖ Π x without xᵢ, by a scan: no division, so zeros need no special case.
            reverse_scan(x, g, dim) * shifted(out, dim, 1) if x_shape and x_shape[dim] > 1 else g
        ),
    ),
    upcast=True,
    maths="yₜ = x₀ ⋯ xₜ",
    local="yₜ without the factor",
)


def _scan(card: Any, input: Tensor, dim: int, d: dtype | None) -> Tensor:
    x = input if d is None else input.to(d)
    found: Tensor = card(x, dim=wrap_dim(dim, input.ndim, card.name))
    return found if d is None else found.to(d)


@op(out=True, inplace=True)
def cumsum(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """Running sums along ``dim``.

    >>> backlit.tensor([1, 2, 3]).cumsum(0)
    tensor([1, 3, 6])
    """
    return _scan(cumsum_card, input, dim, dtype)


@op(out=True, inplace=True)
def cumprod(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """Running products along ``dim``; the gradient is exact where elements are zero, too.

    >>> backlit.tensor([2, 3, 4]).cumprod(0)
    tensor([ 2,  6, 24])
    """
    return _scan(cumprod_card, input, dim, dtype)


def _logcumsumexp_vjp(
    g: Tensor, x: Tensor, out: Tensor, x_shape: tuple[int, ...], dim: int
) -> Tensor:
    if not x_shape:
        return g
    # Every exponent is at most 0: nothing overflows. Where -inf meets -inf the weight is 0.
    decay = (shifted(out, dim, 0) - out).exp()
    later = reverse_scan(where_card(decay == decay, decay, 0), g, dim)
    weight: Tensor = where_card(out == -float("inf"), 0, (x - out).exp())
    return weight * later


logcumsumexp_card = primitive(
    "logcumsumexp",
    "x",
    shape=_same,
    numpy=_accumulate_text("logaddexp"),
    vjp=(_logcumsumexp_vjp,),
    upcast=True,
    maths="yₜ = ln (exp x₀ + … + exp xₜ)",
    local="exp(xᵢ - yₜ) for every later element",
)


@op(out=True)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """``ln`` of the running sums of ``exp(x)`` along ``dim``, without overflow.

    >>> backlit.tensor([1000.0, 1000.0]).logcumsumexp(0)
    tensor([1000.0000, 1000.6932])
    """
    if not input.dtype.is_floating_point:
        raise DtypeError(
            f'logcumsumexp(): "logcumsumexp" is not implemented for {input.dtype.name} tensors; '
            "convert the input first, as in x.float().logcumsumexp(0)."
        )
    return _scan(logcumsumexp_card, input, dim, None)


# -- running extremes -----------------------------------------------------------------------------


def _with_indices(x: Value, dim: int) -> list[Spec]:
    return [(tuple(x.shape), x.dtype), (tuple(x.shape), int64)]


def _to_indices(g: Tensor, out1: Tensor, x_shape: tuple[int, ...], dim: int) -> Tensor:
    """Each output's gradient goes to the element that it is a copy of."""
    if not x_shape:
        return g
    target = filled(x_shape, 0, g.dtype)
    found: Tensor = scatter_card(target, out1, g, dim=dim, reduce="sum")
    return found


def _running_card(name: str, largest: bool) -> Any:
    return primitive(
        name,
        "x",
        shape=_with_indices,
        numpy=f"ref.running_extreme({{x}}, {{dim}}, {largest})",
        vjp=(_to_indices,),
        maths="largest of x₀ … xₜ, and its index"
        if largest
        else "smallest of x₀ … xₜ, and its index",
        local="1 for the element that is the extreme",
    )


cummax_card = _running_card("cummax", largest=True)
cummin_card = _running_card("cummin", largest=False)

_CumMax = named("cummax", "values indices")
_CumMin = named("cummin", "values indices")


@op(out=True)
def cummax(input: Tensor, dim: int) -> Any:
    """The largest element so far along ``dim``, and where it was (the last such place).

    >>> backlit.tensor([1, 3, 2]).cummax(0).values
    tensor([1, 3, 3])
    """
    return _CumMax(*cummax_card(input, dim=wrap_dim(dim, input.ndim, "cummax")))


@op(out=True)
def cummin(input: Tensor, dim: int) -> Any:
    """The smallest element so far along ``dim``, and where it was (the last such place).

    >>> backlit.tensor([3, 1, 2]).cummin(0).values
    tensor([3, 1, 1])
    """
    return _CumMin(*cummin_card(input, dim=wrap_dim(dim, input.ndim, "cummin")))


# -- differences and integrals --------------------------------------------------------------------


@op(out=True)
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The differences of neighbours along ``dim``, taken ``n`` times.

    >>> backlit.tensor([1, 4, 9]).diff()
    tensor([3, 5])
    """
    if not input.ndim:
        raise ShapeError("diff expects input to be at least one-dimensional; got a 0-d tensor.")
    if n < 0:
        raise ArgumentError(f"diff(): order must be non-negative but got {n}.")
    d = wrap_dim(dim, input.ndim, "diff")
    parts = [p for p in (prepend, input, append) if p is not None]
    for p in parts:
        if p.ndim != input.ndim:
            raise ShapeError(
                "diff expects prepend or append to be the same dimension as input: "
                f"{tuple(p.shape)} and {tuple(input.shape)}."
            )
    if n == 0:
        return input.clone()
    x = parts[0] if len(parts) == 1 else cat(parts, d)
    for _ in range(min(n, x.shape[d])):
        later, earlier = _neighbours(x, d)
        x = later.logical_xor(earlier) if x.dtype is bool_ else later - earlier
    return x


def _neighbours(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """All elements but the first, and all but the last, along ``dim``."""
    n = max(x.shape[dim] - 1, 0)
    return x.narrow(dim, x.shape[dim] - n, n), x.narrow(dim, 0, n)


@op
def trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1
) -> Tensor:
    """The integral of ``y`` along ``dim`` by the trapezoidal rule, at ``x`` or ``dx`` apart.

    >>> backlit.trapezoid(backlit.tensor([1.0, 5.0, 10.0]))
    tensor(10.5000)
    """
    found: Tensor = _areas("trapezoid", y, x, dx, dim).sum(dim)
    return found


@op(name="trapz")
def trapz(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Another name for `trapezoid`.

    >>> backlit.trapz(backlit.tensor([1.0, 5.0, 10.0]), dx=2)
    tensor(21.)
    """
    found: Tensor = _areas("trapz", y, x, dx, dim).sum(dim)
    return found


@op
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1
) -> Tensor:
    """The running integral of ``y`` along ``dim`` by the trapezoidal rule.

    >>> backlit.cumulative_trapezoid(backlit.tensor([1.0, 5.0, 10.0]))
    tensor([ 3.0000, 10.5000])
    """
    found: Tensor = _areas("cumulative_trapezoid", y, x, dx, dim).cumsum(dim)
    return found


def _areas(name: str, y: Tensor, x: Tensor | None, dx: float | None, dim: int) -> Tensor:
    """The area between each two neighbours."""
    d = wrap_dim(dim, y.ndim, name)
    if bool_ in (y.dtype, None if x is None else x.dtype):
        raise DtypeError(
            f"{name}: received a bool input for `x` or `y`, but bool is not supported."
        )
    later, earlier = _neighbours(y, d)
    if x is None:
        return (later + earlier) * ((1 if dx is None else dx) / 2)
    if dx is not None:
        raise ArgumentError(f"{name}: give the sample points x or their distance dx, not both.")
    if x.ndim == 1 and y.ndim > 1:
        if x.shape[0] != y.shape[d]:
            raise ShapeError(
                f"{name}: There must be one `x` value for each sample point: x has {x.shape[0]}, "
                f"and y {tuple(y.shape)} has {y.shape[d]} along dim {dim}."
            )
        after, before = _neighbours(x, 0)
        steps = (after - before).reshape((-1,) + (1,) * (y.ndim - d - 1))
    else:
        after, before = _neighbours(x, d - y.ndim + x.ndim)
        steps = after - before
    return (later + earlier) * steps / 2.0


# -- slopes ---------------------------------------------------------------------------------------


@op
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> list[Tensor]:
    """Slopes along each of ``dim``, by central differences; one-sided at both ends.

    ``spacing`` is a distance, one distance per dim, or one tensor of coordinates per dim.

    >>> backlit.gradient(backlit.tensor([1.0, 2.0, 4.0, 8.0]))[0]
    tensor([1.0000, 1.5000, 3.0000, 4.0000])
    """
    if edge_order not in (1, 2):
        raise ArgumentError(
            "gradient(): edge_order must be 1 or 2 (the order of accuracy at both ends), got "
            f"{edge_order}."
        )
    spacing = 1 if spacing is None else spacing
    dims = _slope_dims(input, dim, spacing)
    steps = list(spacing) if isinstance(spacing, (tuple, list)) else [spacing] * len(dims)
    if len(steps) != len(dims):
        raise ArgumentError(
            "gradient(): expected spacing to be unspecified, a scalar, or a list with one entry "
            f"for each of the {len(dims)} dims; got {len(steps)}."
        )
    x = input if input.dtype.is_floating_point else input.to(get_default_dtype())
    return [_slope(x, d, h, edge_order) for d, h in zip(dims, steps, strict=True)]


def _slope_dims(x: Tensor, dim: Any, spacing: Any) -> list[int]:
    if dim is None:
        n = len(spacing) if isinstance(spacing, (tuple, list)) else x.ndim
        found = list(range(min(n, x.ndim)))
    else:
        given = dim if isinstance(dim, (tuple, list)) else (dim,)
        found = [wrap_dim(d, x.ndim, "gradient") for d in given]
    if len(set(found)) != len(found):
        raise ArgumentError(f"gradient(): dim {dim} appears multiple times in the list of dims.")
    return found


def _slope(x: Tensor, dim: int, h: Any, edge_order: int) -> Tensor:
    n = x.shape[dim]
    if n < edge_order + 1:
        raise ArgumentError(
            "gradient(): expected each dimension size to be at least edge_order+1 = "
            f"{edge_order + 1}; dim {dim} of input {tuple(x.shape)} has {n}."
        )
    even = not (isinstance(h, Tensor) and h.ndim)
    if not even:
        if h.ndim != 1 or h.shape[0] != n:
            raise ArgumentError(
                f"gradient(): expected the coordinates along dim {dim} to be a vector of {n} "
                f"elements, got {tuple(h.shape)}."
            )
        steps = (h.narrow(0, 1, n - 1) - h.narrow(0, 0, n - 1)).reshape(
            (-1,) + (1,) * (x.ndim - dim - 1)
        )
    else:
        steps = filled((n - 1,) + (1,) * (x.ndim - dim - 1), 1, x.dtype) * h
    rise = x.narrow(dim, 1, n - 1) - x.narrow(dim, 0, n - 1)
    slopes = rise / steps
    parts = [_edge(slopes, steps, dim, edge_order, first=True)]
    if n > 2 and even:
        parts.append((x.narrow(dim, 2, n - 2) - x.narrow(dim, 0, n - 2)) / (2 * h))
    elif n > 2:
        a, b = steps.narrow(0, 0, n - 2), steps.narrow(0, 1, n - 2)
        s, t = slopes.narrow(dim, 0, n - 2), slopes.narrow(dim, 1, n - 2)
        parts.append((b * s + a * t) / (a + b))
    parts.append(_edge(slopes, steps, dim, edge_order, first=False))
    found: Tensor = cat_card(*parts, dim=dim)
    return found


def _edge(slopes: Tensor, steps: Tensor, dim: int, edge_order: int, *, first: bool) -> Tensor:
    """The slope at an end: that of the outermost interval, extrapolated if ``edge_order`` is 2."""
    n = slopes.shape[dim]
    outer, inner = (0, 1) if first else (n - 1, n - 2)
    edge = slopes.narrow(dim, outer, 1)
    if edge_order == 1:
        return edge
    a, b = steps.narrow(0, outer, 1), steps.narrow(0, inner, 1)
    bend = (slopes.narrow(dim, inner, 1) - edge) / (a + b)
    return edge - bend * a

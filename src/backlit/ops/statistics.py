"""Statistics: spread, quantiles, covariance."""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from backlit.core.dtypes import bool_, float32, float64, get_default_dtype, int64
from backlit.core.era import local, realize
from backlit.core.op import op, plain
from backlit.core.primitive import elementwise
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.comparison import where_card
from backlit.ops.extreme import picked, taken
from backlit.ops.reduce import Dims, amax_card, reduced_dims, sum_card
from backlit.ops.returns import named
from backlit.ops.sort import argkth_card, argsort_card, kept, require_elements

INF = float("inf")

# -- variance and standard deviation --------------------------------------------------------------

root_card = elementwise(
    "root",
    lambda m, x: m.sqrt(x),
    # 1 / inf is 0, and so is its own derivative: no NaN at 0 at any order.
    lambda m, out: 0.5 / m.where(out == 0, INF, out),
    kinds="f",
    maths="√x",
    local="1/(2√x), and 0 at 0",
    samples=lambda: [np.array([0.5, 1.0, 4.0])],
)


def _moments(
    op_name: str, input: Tensor, dim: Any, unbiased: bool | None, keepdim: bool, correction: Any
) -> tuple[Tensor, Tensor]:
    """The variance, and the mean with the reduced dimensions kept."""
    if isinstance(dim, bool):  # var(x, False): the second argument is `unbiased`
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise ArgumentError(f"{op_name}(): give unbiased or correction, not both.")
    if not input.dtype.is_floating_point:
        raise DtypeError(
            f"{op_name}(): only floating point dtypes are supported, got {input.dtype.name}; "
            f"convert the input first, as in x.float().{op_name}()."
        )
    dims = reduced_dims(op_name, input, dim)
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    count = product(input.shape[d] for d in dims)
    mean = sum_card(input, dims=dims, keepdim=True) * (1.0 / count if count else float("nan"))
    away = input - mean
    total: Tensor = sum_card(away * away, dims=dims, keepdim=keepdim)
    return total / float(max(count - correction, 0)), mean


def _plain_mean(mean: Tensor, out: Tensor, keepdim: bool) -> Tensor:
    found: Tensor = mean if keepdim else mean.reshape(out.shape)
    return found


@op(out=True)
def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance ``Σ (x - mean)² / (n - correction)`` over ``dim``; correction 1 by default.

    >>> backlit.tensor([1.0, 2.0, 3.0]).var()
    tensor(1.)
    """
    return _moments("var", input, dim, unbiased, keepdim, correction)[0]


@op(out=True)
def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation over ``dim``: the square root of `var`; its gradient at 0 is 0.

    >>> backlit.tensor([1.0, 2.0, 3.0]).std()
    tensor(1.)
    """
    found: Tensor = root_card(_moments("std", input, dim, unbiased, keepdim, correction)[0])
    return found


@op
def var_mean(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean over ``dim``.

    >>> backlit.var_mean(backlit.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    found, mean = _moments("var_mean", input, dim, unbiased, keepdim, correction)
    return found, _plain_mean(mean, found, keepdim)


@op
def std_mean(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean over ``dim``.

    >>> backlit.std_mean(backlit.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    found, mean = _moments("std_mean", input, dim, unbiased, keepdim, correction)
    return root_card(found), _plain_mean(mean, found, keepdim)


# -- medians --------------------------------------------------------------------------------------

_Median = named("median", "values indices")
_NanMedian = named("nanmedian", "values indices")


def _middle(x: Tensor, dim: int) -> Tensor:
    """Index of the lower median along ``dim`` (kept), or of the first NaN."""
    n = x.shape[dim] if x.ndim else 1
    place = argkth_card(x, k=(n - 1) // 2 + 1, dim=dim)
    if x.dtype.is_floating_point:
        nan = (x != x).to(int64)
        first = nan.argmax(dim)
        place = where_card(nan.amax(dim) > 0, first, place)
    return kept(place, x, dim)


def _middle_of_numbers(x: Tensor, dim: int) -> Tensor:
    """Index of the lower median of what is not NaN along ``dim`` (kept)."""
    order = argsort_card(x, dim=dim, descending=False)
    if not x.ndim:
        return order
    count = (x == x).to(int64).sum(dim, keepdim=True)
    middle = ((count - 1) // 2).clamp(min=0)
    return picked(order, middle, dim)


def _median(op_name: str, kind: Any, find: Any, x: Tensor, dim: int | None, keepdim: bool) -> Any:
    if x.dtype is bool_:
        raise DtypeError(
            f'{op_name}(): "{op_name}" is not implemented for bool tensors; use '
            f"x.int().{op_name}()."
        )
    if dim is not None:
        d = require_elements(op_name, x, dim)
        return kind(*taken(x, find(x, d), d, keepdim))
    if not x.numel():
        return local.era.constant(float("nan") if x.dtype.is_floating_point else -1, x.dtype)
    flat = x.reshape(-1)
    value = picked(flat, find(flat, 0), 0)
    if x.requires_grad:  # equal elements share the gradient, as those of a maximum do
        same = (flat == value) | (value != value)
        value = amax_card(where_card(same, flat, -INF), dims=(0,), keepdim=True)
    return value.reshape(())


@op(out=True)
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (the lower of two); along ``dim``, with its index. NaN wins.

    >>> backlit.tensor([4.0, 1.0, 3.0, 2.0]).median()
    tensor(2.)
    """
    return _median("median", _Median, _middle, input, dim, keepdim)


@op(out=True)
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element of those that are not NaN; along ``dim``, with its index.

    >>> backlit.tensor([4.0, float("nan"), 3.0]).nanmedian()
    tensor(3.)
    """
    find = _middle_of_numbers if input.dtype.is_floating_point else _middle
    return _median("nanmedian", _NanMedian, find, input, dim, keepdim)


# -- quantiles ------------------------------------------------------------------------------------

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@plain()
def quantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """The ``q``-th quantiles along ``dim`` (of all elements by default), interpolated if need be.

    >>> backlit.tensor([1.0, 2.0, 3.0, 4.0]).quantile(0.5)
    tensor(2.5000)
    """
    _check_quantile("quantile", input, q, interpolation)
    more: dict[str, Any] = {} if out is None else {"out": out}
    return _quantile("quantile", input, q, dim, keepdim, interpolation, **more)


@plain()
def nanquantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """The ``q``-th quantiles of the elements that are not NaN.

    >>> backlit.tensor([1.0, float("nan"), 3.0]).nanquantile(0.5)
    tensor(2.)
    """
    _check_quantile("nanquantile", input, q, interpolation)
    more: dict[str, Any] = {} if out is None else {"out": out}
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, **more)


def _check_quantile(name: str, input: Tensor, q: Any, interpolation: str) -> None:
    """Raise unless the arguments make sense; looks at the values of ``q``."""
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}."
        )
    if not input.numel():
        raise ArgumentError(f"{name}() input tensor must be non-empty, got {tuple(input.shape)}.")
    if input.dtype not in (float32, float64):
        raise DtypeError(
            f"{name}() input tensor must be either float or double dtype, got {input.dtype.name}."
        )
    if isinstance(q, Tensor):
        if q.ndim > 1:
            raise ShapeError(f"{name}() q must be a scalar or 1D tensor, got {tuple(q.shape)}.")
        if q.dtype is not input.dtype:
            raise DtypeError(
                f"{name}() q tensor must be same dtype as the input tensor: {q.dtype.name} and "
                f"{input.dtype.name}."
            )
        values = realize(q)
        fits = bool(((values >= 0) & (values <= 1)).all())
    else:
        fits = 0 <= q <= 1
    if not fits:
        raise ArgumentError(f"{name}() q values must be in the range [0, 1], got {q}.")


@op(public=False, out=True)
def _quantile(
    name: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str
) -> Tensor:
    d = 0 if dim is None else wrap_dim(dim, x.ndim, name)
    if dim is None or not x.ndim:
        rows = x.reshape(-1)
        shape: tuple[int, ...] = (1,) * x.ndim if keepdim else ()
    else:
        rows = x.movedim(d, -1)
        shape = tuple(x.shape[:d]) + ((1,) if keepdim else ()) + tuple(x.shape[d + 1 :])
    if not isinstance(q, Tensor):
        q = local.era.constant(q, x.dtype)
    found = _at_quantiles(name, rows, q.reshape(-1), interpolation)  # one column per q
    if not q.ndim:
        return found.reshape(shape)
    return found.movedim(-1, 0).reshape((q.shape[0], *shape))


def _at_quantiles(name: str, rows: Tensor, q: Tensor, interpolation: str) -> Tensor:
    """The quantiles ``q`` of each row (last dimension) of ``rows``."""
    n = rows.shape[-1]
    last = rows.ndim - 1
    order = argsort_card(rows, dim=last, descending=False)
    ordered = picked(rows, order, last)
    numbers = rows == rows
    if name == "nanquantile":
        count = numbers.sum(-1, keepdim=True).to(rows.dtype)
        rank = (q * (count - 1)).clamp(min=0)
    else:  # a row with a NaN in it has no quantiles: its last element is NaN
        rank = where_card(numbers.all(-1, keepdim=True), q * float(n - 1), float(n - 1))
    if interpolation == "lower":
        rank = rank.floor()
    elif interpolation == "higher":
        rank = rank.ceil()
    elif interpolation == "nearest":
        rank = rank.round()
    below = rank.to(int64)
    low = picked(ordered, below, last)
    if interpolation not in ("linear", "midpoint"):
        return low
    high = picked(ordered, rank.ceil().to(int64), last)
    rise = high - low
    if interpolation == "midpoint":
        return high - rise * 0.5
    part = rank - below.to(rank.dtype)
    # Measured from the nearer end: exact there, and infinite only where an end is.
    found: Tensor = where_card(part < 0.5, low + rise * part, high - rise * (1 - part))
    return found


# -- covariance -----------------------------------------------------------------------------------


@plain()
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariance matrix of variables (rows) observed together (columns).

    >>> backlit.tensor([[0.0, 2.0], [2.0, 0.0]]).cov()
    tensor([[ 2., -2.],
            [-2.,  2.]])
    """
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is not None and (realize(w) < 0).any():
            raise ArgumentError(f"cov(): {name} cannot be negative.")
    return _cov(input, correction, fweights, aweights)


@op(name="cov", public=False)
def _cov(
    input: Tensor, correction: int, fweights: Tensor | None, aweights: Tensor | None
) -> Tensor:
    if input.ndim > 2:
        raise ShapeError(
            f"cov(): expected input to have two or fewer dimensions but got {input.ndim}."
        )
    if input.dtype is bool_:
        raise DtypeError("cov(): bool dtype is not supported for input; use x.float().cov().")
    x = input if input.ndim == 2 else input.reshape((1, -1))
    n = x.shape[1]
    w = _observation_weights(n, fweights, aweights)
    if not x.dtype.is_floating_point:
        x = x.to(get_default_dtype())
    if w is None:
        norm = max(n - correction, 0)
        average = x.sum(1, keepdim=True) / float(n)
        weighted = away = x - average
    else:
        total = w.sum()
        average = (x * w).sum(1, keepdim=True) / total
        if aweights is None or not correction:
            norm = total - correction
        else:
            share = aweights if fweights is None else aweights * w
            norm = total - correction * (w * aweights).sum() / total if share is not None else total
        norm = norm.clamp(min=0)
        away = x - average
        weighted = away * w
    found = weighted @ away.transpose(0, 1) / norm
    return found if x.shape[0] != 1 else found.reshape(())


def _observation_weights(n: int, fweights: Tensor | None, aweights: Tensor | None) -> Tensor | None:
    """The product of both kinds of weights, or None where there is neither."""
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            continue
        if w.ndim > 1:
            raise ShapeError(
                f"cov(): expected {name} to have one or fewer dimensions but got {w.ndim}."
            )
        if w.numel() != n:
            raise ShapeError(
                f"cov(): expected {name} to have the same numel as there are observations in the "
                f"input but got {w.numel()} != {n}."
            )
        if w.dtype.is_floating_point != (name == "aweights"):
            kind = "floating point" if name == "aweights" else "integral"
            raise DtypeError(f"cov(): expected {name} to have {kind} dtype but got {w.dtype.name}.")
    given = [w for w in (fweights, aweights) if w is not None]
    if not given:
        return None
    return given[0] if len(given) == 1 else given[0] * given[1]


@op
def corrcoef(input: Tensor) -> Tensor:
    """The correlation coefficients of variables (rows) observed together (columns).

    >>> backlit.tensor([[0.0, 2.0], [2.0, 0.0]]).corrcoef()
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.ndim > 2:
        raise ShapeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got {input.ndim}."
        )
    c = _cov(input, 1, None, None)
    if not c.ndim:
        return c / c
    spread = c.diagonal().sqrt()
    return (c / spread.unsqueeze(1) / spread.unsqueeze(0)).clamp(-1, 1)

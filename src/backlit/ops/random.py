"""Random numbers: counter-based, so that a recording repeats with fresh numbers.

Every op draws a block of the stream of a `Generator`: the seed and the offset are runtime numbers
of
the recording, the numbers themselves are computed when the program runs.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from backlit.core import dtypes
from backlit.core.create import set_requires_grad, tensor
from backlit.core.device import check_device
from backlit.core.dtypes import dtype, float32, float64, get_default_dtype, int64
from backlit.core.era import realize
from backlit.core.inplace import to_dtype, write_out
from backlit.core.op import op, plain
from backlit.core.primitive import primitive
from backlit.core.registry import PUBLIC
from backlit.core.size import broadcast
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops.generator import Generator, default_generator
from backlit.ops.reference_random import random_words

uniform_card = primitive(
    "random_uniform",
    "seed offset",
    shape=lambda seed, offset, shape, dtype: (shape, dtype),
    numpy="ref.random_uniform({seed}, {offset}, {shape}, {dtype})",
    maths="u ~ U[0, 1)",
)


# -- recorded draws --------------------------------------------------------------------------------


@op(name="_uniform", method=False)
def _uniform(seed: Number, offset: Number, shape: Any, dtype: dtype) -> Tensor:
    return uniform_card(seed, offset, shape=tuple(shape), dtype=dtype)


@op(name="_normal", method=False)
def _normal(seed: Number, offset: Number, offset2: Number, shape: Any, dtype: dtype) -> Tensor:
    """Box and Muller, 1958: √(-2 ln u₁) cos 2πu₂."""
    wide = dtype if dtype is float64 else float32
    u1 = uniform_card(seed, offset, shape=tuple(shape), dtype=wide)
    u2 = uniform_card(seed, offset2, shape=tuple(shape), dtype=wide)
    radius = (-2 * (1 - u1).log()).sqrt()
    return (radius * PUBLIC["cos"](u2 * (2 * math.pi))).to(dtype)


def _count(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def draw_uniform(shape: tuple[int, ...], d: dtype, generator: Generator | None) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return _uniform(*(generator or default_generator).take(_count(shape)), tuple(shape), d)


def draw_normal(shape: tuple[int, ...], d: dtype, generator: Generator | None) -> Tensor:
    """Standard normal numbers."""
    n = _count(shape)
    seed, offset = (generator or default_generator).take(2 * ((n + 3) // 4) * 4)
    return _normal(seed, offset, offset + (n + 3) // 4, tuple(shape), d)


def sizes_of(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as a tuple."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    found = tuple(int(n) for n in size)
    if min(found, default=0) < 0:
        raise ShapeError(
            f"{name}: Trying to create tensor with negative dimension {min(found)}: {list(found)}."
        )
    return found


def _finish(made: Tensor, out: Tensor | None, requires_grad: bool, name: str) -> Tensor:
    if out is not None:
        return write_out(name, out, made)
    return set_requires_grad(made) if requires_grad else made


def float_dtype(name: str, d: dtype | None) -> dtype:
    """``d``, or the default dtype; raises where it is not one of real numbers."""
    d = d or get_default_dtype()
    if not d.is_floating_point:
        raise DtypeError(f'"{name}" is not implemented for {d.name}; use randint for integers.')
    return d


@plain(method=False)
def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1).

    >>> import backlit
    >>> backlit.rand(2, 3).shape
    Size([2, 3])
    """
    check_device(device)
    made = draw_uniform(
        sizes_of("rand", size),
        float_dtype("rand", dtype or (out.dtype if out is not None else None)),
        generator,
    )
    return _finish(made, out, requires_grad, "rand")


@plain(method=False)
def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers from the standard normal distribution."""
    check_device(device)
    made = draw_normal(
        sizes_of("randn", size),
        float_dtype("randn", dtype or (out.dtype if out is not None else None)),
        generator,
    )
    return _finish(made, out, requires_grad, "randn")


@op(name="_integers", method=False)
def _integers(
    seed: Number, offset: Number, low: Number, span: Number, shape: Any, dtype: dtype
) -> Tensor:
    u = uniform_card(seed, offset, shape=tuple(shape), dtype=float64)
    return ((u * span).to(int64) + low).to(dtype)


def draw_integers(
    name: str, low: int, high: int, shape: tuple[int, ...], d: dtype, generator: Generator | None
) -> Tensor:
    """Whole numbers from low to high - 1."""
    if high <= low:
        raise ArgumentError(
            f"{name} expects 'from' to be less than 'to', but got from={low} >= to={high}."
        )
    seed, offset = (generator or default_generator).take(_count(shape))
    return _integers(seed, offset, low, high - low, tuple(shape), d)


@plain(method=False)
def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Whole numbers from ``low`` to ``high - 1``; ``randint(high, size)`` starts at 0."""
    check_device(device)
    if size is None:
        low, high, size = 0, low, high
    if size is None or isinstance(size, int):
        raise TypeError(
            "randint(): argument 'size' must be a tuple of ints, such as randint(0, 10, (3,))."
        )
    shape = sizes_of("randint", tuple(size))
    made = draw_integers("randint", int(low), int(high), shape, dtype or int64, generator)
    return _finish(made, out, requires_grad, "randint")


@plain(method=False)
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype = int64,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A random order of 0 … n - 1."""
    check_device(device)
    n = operator.index(n)
    if n < 0:
        raise ArgumentError(f"randperm: n must be non-negative, got {n}.")
    order = np.argsort(random_words(*(generator or default_generator).take(n), n), kind="stable")
    return _finish(tensor(order, dtype=dtype), out, requires_grad, "randperm")


def _like(draw: Any, name: str) -> Any:
    def call(
        input: Tensor,
        *,
        dtype: dtype | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
        generator: Generator | None = None,
    ) -> Tensor:
        check_device(device)
        made = draw(tuple(input.shape), float_dtype(name, dtype or input.dtype), generator)
        return set_requires_grad(made) if requires_grad else made

    call.__name__ = name
    call.__doc__ = f"``{name.removesuffix('_like')}`` in the shape and dtype of ``input``."
    return plain(name, method=False)(call)


rand_like = _like(draw_uniform, "rand_like")
randn_like = _like(draw_normal, "randn_like")


@plain(method=False)
def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """``randint`` in the shape and dtype of ``input``."""
    if isinstance(low, Tensor):
        low = low.item()
    low, high = (0, low) if high is None else (low, high)
    made = draw_integers(
        "randint_like", int(low), int(high), tuple(input.shape), dtype or input.dtype, None
    )
    return set_requires_grad(made) if requires_grad else made


@plain(method=False)
def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers of the given means and standard deviations (tensors or numbers)."""
    given = [x for x in (mean, std) if isinstance(x, Tensor)]
    if isinstance(std, Tensor):
        if std.numel() and bool((std < 0).any()):
            raise ArgumentError("normal expects all elements of std >= 0.0.")
    elif std < 0:
        raise ArgumentError(f"normal expects std >= 0.0, but found std {std}.")
    if given:
        shape = broadcast("normal", *(tuple(x.shape) for x in given))
        d = (
            given[0].dtype
            if len(given) == 1
            else dtypes.promote_types(given[0].dtype, given[1].dtype)
        )
        d = d if d.is_floating_point else get_default_dtype()
    else:
        shape, d = sizes_of("normal", tuple(size or ())), dtype or get_default_dtype()
    made = to_dtype(draw_normal(shape, d, generator) * std + mean, d)
    return _finish(made, out, requires_grad, "normal")


def check_probability(name: str, p: Any) -> None:
    """Raise where ``p`` is a number that is no probability."""
    if isinstance(p, (int, float)) and not 0 <= p <= 1:
        raise ArgumentError(f"{name} expects p to be in [0, 1], but got p={p}.")


@plain(inplace=False)
def bernoulli(
    input: Tensor, p: Any = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """1 with probability ``input`` (or ``p``), else 0."""
    if p is None and not input.dtype.is_floating_point:
        raise DtypeError(
            f"bernoulli: not implemented for {input.dtype.name}; probabilities are floats."
        )
    check_probability("bernoulli", p)
    u = draw_uniform(tuple(input.shape), float64 if input.dtype is float64 else float32, generator)
    made = to_dtype(u < (input.detach() if p is None else p), input.dtype)
    return made if out is None else write_out("bernoulli", out, made)


@plain()
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn in proportion to the weights in each row of ``input``."""
    weights = realize(input)
    if not input.dtype.is_floating_point:
        raise DtypeError(
            f"multinomial only supports floating-point dtypes for input, got: {input.dtype.name}."
        )
    if weights.ndim not in (1, 2):
        raise ShapeError(
            f"multinomial: prob_dist must be 1 or 2 dim, got shape {tuple(input.shape)}."
        )
    rows = weights.reshape(-1, weights.shape[-1]).astype(np.float64)
    if num_samples <= 0:
        raise ArgumentError(
            f"multinomial: cannot sample n_sample <= 0 samples, got num_samples={num_samples}."
        )
    if not replacement and num_samples > rows.shape[1]:
        raise ArgumentError(
            "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement, "
            f"got num_samples={num_samples} for {rows.shape[1]} weights; use replacement=True."
        )
    if not np.isfinite(rows).all() or (rows < 0).any():
        raise ArgumentError(
            "multinomial: probability tensor contains either `inf`, `nan` or element < 0."
        )
    if (rows.sum(1) <= 0).any():
        raise ArgumentError(
            "multinomial: invalid multinomial distribution (sum of probabilities <= 0); each row "
            "needs a weight above 0."
        )
    draw = (generator or default_generator).numpy()
    if replacement:
        edges = rows.cumsum(1)
        u = draw.random((rows.shape[0], num_samples)) * edges[:, -1:]
        picked = np.stack(
            [np.searchsorted(e, x, side="right") for e, x in zip(edges, u, strict=True)]
        )
    else:  # Efraimidis and Spirakis, 2006: the largest u^(1/w) are a weighted sample
        with np.errstate(divide="ignore"):
            keys = draw.exponential(size=rows.shape) / rows
        picked = np.argsort(keys, axis=1)[:, :num_samples]
    made = tensor(picked.reshape(*weights.shape[:-1], num_samples), dtype=int64)
    return made if out is None else write_out("multinomial", out, made)


@plain()
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson-distributed numbers with the rates in ``input``."""
    if not input.dtype.is_floating_point:
        raise DtypeError(
            f"poisson: not implemented for {input.dtype.name}; convert the rates with .float()."
        )
    rates = realize(input)
    if not (rates >= 0).all():
        raise ArgumentError("poisson: invalid Poisson rate, expected rate to be non-negative.")
    drawn = (generator or default_generator).numpy().poisson(rates.astype(np.float64))
    return tensor(drawn, dtype=input.dtype)


@plain()
def binomial(input: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of successes in ``input`` trials of probability ``prob``.

    A negative number of trials counts as none, and a probability beyond 0 or 1 as that; what is
    NaN stays NaN.
    """
    if not input.dtype.is_floating_point:
        raise DtypeError(
            f"binomial only supports floating-point dtypes for count, got: {input.dtype.name}."
        )
    if prob.dtype is not input.dtype:
        raise DtypeError(
            f"binomial: Found dtype {prob.dtype.name} for prob but expected {input.dtype.name}, "
            "that of count."
        )
    shape = broadcast("binomial", tuple(input.shape), tuple(prob.shape))
    count, p = (np.broadcast_to(realize(x), shape).astype(np.float64) for x in (input, prob))
    known = ~(np.isnan(count) | np.isnan(p))
    trials = np.where(known, count, 0).clip(min=0).astype(np.int64)
    draw = (generator or default_generator).numpy()
    drawn = draw.binomial(trials, np.where(known, p, 0).clip(0, 1))
    return tensor(np.where(known, drawn, np.nan), dtype=input.dtype)

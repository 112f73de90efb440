"""Tensors filled with random numbers in place."""

from __future__ import annotations

import math
from typing import Any

from backlit.core import dtypes
from backlit.core.dtypes import dtype, float64
from backlit.core.inplace import check_inplace, rebind, to_dtype
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError
from backlit.ops.generator import Generator
from backlit.ops.random import (
    check_probability,
    draw_integers,
    draw_normal,
    draw_uniform,
    float_dtype,
)


def _fill(self: Tensor, made: Tensor, name: str) -> Tensor:
    return rebind(self, check_inplace(name, self, made), name)


def _width(self: Tensor, name: str) -> dtype:
    return float_dtype(name, self.dtype)


def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers in [a, b)."""
    if a > b:
        raise ArgumentError(
            f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}."
        )
    u = draw_uniform(tuple(self.shape), _width(self, "uniform_"), generator)
    return _fill(self, u * (b - a) + a, "uniform_")


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers."""
    if std < 0:
        raise ArgumentError(f"normal_ expects std >= 0.0, but found std {std}.")
    z = draw_normal(tuple(self.shape), _width(self, "normal_"), generator)
    return _fill(self, z * std + mean, "normal_")


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 (probability ``p``) and 0."""
    check_probability("bernoulli_", p)
    u = draw_uniform(tuple(self.shape), float64, generator)
    return _fill(self, to_dtype(u < p, self.dtype), "bernoulli_")


def random_(self: Tensor, *limits: Any, generator: Generator | None = None) -> Tensor:
    """Fill with whole numbers: ``random_()``, ``random_(to)`` or ``random_(from, to)``."""
    largest = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53, "bool": 1}
    top = largest.get(self.dtype.name) or dtypes.iinfo(self.dtype).max
    low, high = (0, top + 1) if not limits else (0, limits[0]) if len(limits) == 1 else limits
    if high is None:
        high = top + 1
    return _fill(
        self,
        draw_integers("random_", int(low), int(high), tuple(self.shape), self.dtype, generator),
        "random_",
    )


def _continuous(self: Tensor, distribution: str) -> None:
    if not self.dtype.is_floating_point:
        raise DtypeError(
            f"{distribution} distribution is a continuous probability distribution. dtype must be "
            f"a floating point but you specified {self.dtype.name}."
        )


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of mean 1/λ."""
    _continuous(self, "Exponential")
    if not lambd > 0:
        raise ArgumentError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}.")
    u = draw_uniform(tuple(self.shape), float64, generator)
    return _fill(self, to_dtype(-(1 - u).log() / lambd, self.dtype), "exponential_")


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of trials of probability ``p`` up to the first success."""
    if self.dtype is dtypes.bool_:
        raise DtypeError("geometric_: not implemented for bool; fill integers or floats.")
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_ expects p to be in (0, 1), but got p={p}.")
    u = draw_uniform(tuple(self.shape), float64, generator)
    trials = PUBLIC["ceil"]((1 - u).log() / math.log1p(-p)).clamp(1, None)
    return _fill(self, to_dtype(trials, self.dtype), "geometric_")


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with Cauchy-distributed numbers around ``median``, half of them within ``sigma``."""
    _continuous(self, "Cauchy")
    if not sigma > 0:
        raise ArgumentError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}.")
    u = draw_uniform(tuple(self.shape), float64, generator)
    made = PUBLIC["tan"]((u - 0.5) * math.pi) * sigma + median
    return _fill(self, to_dtype(made, self.dtype), "cauchy_")


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with exp of normal numbers."""
    if not std > 0:
        raise ArgumentError(f"log_normal_ expects std > 0.0, but found std={std}.")
    z = draw_normal(tuple(self.shape), _width(self, "log_normal_"), generator)
    return _fill(self, (z * std + mean).exp(), "log_normal_")


METHODS.update(
    {
        f.__name__: f
        for f in (
            uniform_,
            normal_,
            bernoulli_,
            random_,
            exponential_,
            geometric_,
            cauchy_,
            log_normal_,
        )
    }
)

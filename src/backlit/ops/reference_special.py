"""Scalar functions for the cold tier where NumPy has none, or where PyTorch's edge cases differ.

Programs call them as ``ref.name``; the native tier has its own versions of the common ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backlit.errors import ArgumentError, MissingExtra

Array = Any

_SQRT_PI = math.sqrt(math.pi)


# -- whole numbers --------------------------------------------------------------------------------


def _check_divisor(name: str, y: Array) -> None:
    if np.asarray(y).dtype.kind in "iu" and not np.all(y):
        raise ArgumentError(
            f"{name}: ZeroDivisionError: an integer divisor is 0; divide floats to get inf or nan."
        )


def floor_divide(x: Array, y: Array) -> Array:
    """⌊x / y⌋."""
    _check_divisor("floor_divide", y)
    return np.floor_divide(x, y)


def fmod(x: Array, y: Array) -> Array:
    """The remainder with the sign of x."""
    _check_divisor("fmod", y)
    return np.fmod(x, y)


def remainder(x: Array, y: Array) -> Array:
    """The remainder with the sign of y."""
    _check_divisor("remainder", y)
    return np.remainder(x, y)


def power(x: Array, y: Array) -> Array:
    """xʸ; a whole number to a negative power is rounded towards 0."""
    kind = np.asarray(x).dtype.kind
    if kind == "b":
        return x | ~y
    if kind != "i" or np.all(y >= 0):
        return np.power(x, y)
    reciprocal = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0))
    return np.where(y >= 0, np.power(x, np.maximum(y, 0)), reciprocal).astype(np.asarray(x).dtype)


# -- error function and gamma function ------------------------------------------------------------


def _each(fn: Callable[[float], float]) -> Callable[[Array], Array]:
    """A function of one float as one of arrays, computed in double precision."""
    over = np.frompyfunc(fn, 1, 1)

    def apply(x: Array) -> Array:
        x = np.asarray(x)
        return np.asarray(over(x.astype(np.float64)), np.float64).astype(x.dtype)

    apply.__doc__ = fn.__doc__
    return apply


def _lgamma(x: float) -> float:
    """ln |Γ(x)|; inf at the poles."""
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return math.inf


erf = _each(math.erf)
erfc = _each(math.erfc)
lgamma = _each(_lgamma)


def erfcx(x: Array) -> Array:
    """exp(x²) erfc x; for large x by its asymptotic series (Abramowitz and Stegun 7.1.23)."""
    x64 = np.asarray(x, np.float64)
    near = np.minimum(x64, 10)
    far = np.maximum(x64, 10)
    term = total = np.ones_like(far)
    for k in range(1, 13):
        term = term * (1 - 2 * k) / (2 * far * far)
        total = total + term
    direct = np.exp(near * near) * erfc(near)
    return np.where(x64 > 10, total / (far * _SQRT_PI), direct).astype(np.asarray(x).dtype)


def _upper_quantile(q: Array, x: Array) -> Array:
    """The y ≥ 0 with erfc y = q, for q in [0, 1]; ``x`` is 1 - q, given for its own accuracy.

    A rational first guess (Abramowitz and Stegun 26.2.23) and three steps of Halley's method.
    """
    t = np.sqrt(-2 * np.log(q / 2))
    y = (t - (2.30753 + t * 0.27061) / (1 + t * (0.99229 + t * 0.04481))) / math.sqrt(2)
    for _ in range(3):
        error = np.where(x < 0.5, x - erf(y), erfc(y) - q)
        y = y + error / (2 / _SQRT_PI * np.exp(-y * y) - y * error)
    return np.where(q > 0, y, np.where(q == 0, np.inf, np.nan))


def erfinv(x: Array) -> Array:
    """The y with erf y = x."""
    x64 = np.asarray(x, np.float64)
    size = np.abs(x64)
    return np.copysign(_upper_quantile(1 - size, size), x64).astype(np.asarray(x).dtype)


def ndtri(p: Array) -> Array:
    """The quantile of the standard normal distribution."""
    p64 = np.asarray(p, np.float64)
    tail = np.minimum(p64, 1 - p64)
    y = math.sqrt(2) * _upper_quantile(2 * tail, np.abs(1 - 2 * p64))
    return np.where(p64 > 0.5, y, -y).astype(np.asarray(p).dtype)


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def digamma(x: Array) -> Array:
    """d/dx ln Γ(x): reflection, ten steps up, and the asymptotic series."""
    x64 = np.asarray(x, np.float64)
    y = np.where(x64 < 0, 1 - x64, x64)
    steps = np.zeros_like(y)
    for _ in range(10):
        small = y < 10
        steps = steps - np.where(small, 1 / y, 0)
        y = y + small
    square = 1 / (y * y)
    series = sum(b / (2 * k) * square**k for k, b in enumerate(_BERNOULLI, 1))
    value = np.log(y) - 0.5 / y - np.where(np.isinf(y), 0, series) + steps
    fraction = np.fmod(x64, 1)
    reflected = np.where(fraction == 0, np.nan, value - math.pi / np.tan(math.pi * fraction))
    found = np.where(x64 < 0, reflected, value)
    return np.where(x64 == 0, np.copysign(np.inf, -x64), found).astype(np.asarray(x).dtype)


def zeta(s: Array, q: Array) -> Array:
    """Hurwitz's ζ(s, q) = Σ 1/(q + k)ˢ; for q < 0 only whole s make sense."""
    s64, a = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(q, np.float64))
    bad = (s64 < 1) | ((a <= 0) & (s64 != np.floor(s64))) | np.isnan(s64) | np.isnan(a)
    pole = (s64 == 1) | ((s64 > 1) & (a <= 0) & (a == np.floor(a)))
    a = np.where(bad | pole, 1.0, a)
    found = _zeta_positive(s64, np.where(a < 0, a - np.floor(a), a))
    if np.any(a < 0):  # the terms before 0, as a difference of two sums that run the other way
        part = np.where(a < 0, np.floor(a) + 1 - a, 1.0)
        before = _zeta_positive(s64, part) - _zeta_positive(s64, np.where(a < 0, 1 - a, 1.0))
        found = found + np.where(a < 0, np.where(s64 % 2 == 0, before, -before), 0)
    found = np.where(pole, np.inf, np.where(bad, np.nan, found))
    return found.astype(np.result_type(np.asarray(s), np.asarray(q)))


def _zeta_positive(s64: Array, a: Array) -> Array:
    """ζ(s, a) for a > 0: nine terms, and the rest by Euler and Maclaurin."""
    total = np.zeros(a.shape)
    for _ in range(9):
        total = total + np.power(a, -s64)
        a = a + 1
    power = np.power(a, -s64)
    total = total + power * a / (s64 - 1) + power / 2
    rising, factorial = s64, 2.0
    for k, b in enumerate(_BERNOULLI, 1):
        total = total + b / factorial * rising * power / a
        power = power / (a * a)
        rising = rising * (s64 + 2 * k - 1) * (s64 + 2 * k)
        factorial *= (2 * k + 1) * (2 * k + 2)
    return total


def polygamma(n: int, x: Array) -> Array:
    """The n-th derivative of the digamma function."""
    if n == 0:
        return digamma(x)
    x64 = np.asarray(x, np.float64)
    sign = -1 if n % 2 == 0 else 1
    return (sign * math.gamma(n + 1) * zeta(n + 1.0, x64)).astype(np.asarray(x).dtype)


# -- orthogonal polynomials -----------------------------------------------------------------------

# kind → (p₁(x), pₖ₊₁ from x, k, pₖ and pₖ₋₁); p₀ = 1
_RECURRENCES: dict[str, tuple[Callable[[Array], Array], Callable[..., Array]]] = {
    "chebyshev_polynomial_t": (lambda x: x, lambda x, k, p, o: 2 * x * p - o),
    "chebyshev_polynomial_u": (lambda x: 2 * x, lambda x, k, p, o: 2 * x * p - o),
    "chebyshev_polynomial_v": (lambda x: 2 * x - 1, lambda x, k, p, o: 2 * x * p - o),
    "chebyshev_polynomial_w": (lambda x: 2 * x + 1, lambda x, k, p, o: 2 * x * p - o),
    "hermite_polynomial_h": (lambda x: 2 * x, lambda x, k, p, o: 2 * x * p - 2 * k * o),
    "hermite_polynomial_he": (lambda x: x, lambda x, k, p, o: x * p - k * o),
    "laguerre_polynomial_l": (
        lambda x: 1 - x,
        lambda x, k, p, o: ((2 * k + 1 - x) * p - k * o) / (k + 1),
    ),
    "legendre_polynomial_p": (
        lambda x: x,
        lambda x, k, p, o: ((2 * k + 1) * x * p - k * o) / (k + 1),
    ),
}


_HIGHEST_DEGREE = 10_000  # the recurrence takes one step per degree


def polynomial(x: Array, degree: Array, kind: str) -> Array:
    """The orthogonal polynomial ``kind`` of each degree at x; 0 for negative degrees.

    Raises:
        ArgumentError: for degrees above 10,000.
    """
    first, following = _RECURRENCES[kind]
    n = np.trunc(degree)
    if np.max(n, initial=0.0) > _HIGHEST_DEGREE:
        raise ArgumentError(
            f"{kind}: degrees up to {_HIGHEST_DEGREE} are supported, got {np.max(n):.0f}."
        )
    older, newer = np.ones_like(x), first(x)
    out = np.where(n == 0, older, np.where(n == 1, newer, 0 * x))
    for k in range(1, int(np.max(n, initial=0.0))):
        older, newer = newer, following(x, k, newer, older)
        out = np.where(n == k + 1, newer, out)
    return out.astype(np.result_type(x))


# -- what SciPy has -------------------------------------------------------------------------------


def scipy_special(op: str) -> Any:
    """The module `scipy.special`, which the extra ``special`` installs.

    Raises:
        MissingExtra: if it is not installed.
    """
    try:
        import scipy.special
    except ImportError:
        raise MissingExtra(
            f"{op} needs SciPy, which is not installed; "
            "install it with pip install 'backlit[special]'."
        ) from None
    return scipy.special


def from_scipy(name: str, *arrays: Array) -> Array:
    """``scipy.special.name`` of the arrays, in their dtype."""
    function = getattr(scipy_special(name), name)
    found = function(*(np.asarray(a, np.float64) for a in arrays))
    if name == "airy":  # SciPy returns Ai, Ai′, Bi, Bi′
        found = found[0]
    return np.asarray(found).astype(np.result_type(*(np.asarray(a) for a in arrays)))


def gammainc(a: Array, x: Array) -> Array:
    """The regularized lower incomplete gamma function."""
    return from_scipy("gammainc", a, x)


def gammaincc(a: Array, x: Array) -> Array:
    """The regularized upper incomplete gamma function."""
    return from_scipy("gammaincc", a, x)

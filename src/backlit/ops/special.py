"""Special functions: error and gamma functions, and the elementwise part of `special`."""

from __future__ import annotations

import math
from typing import Any

from backlit.core.era import local
from backlit.core.op import op
from backlit.core.operators import binary, unary
from backlit.core.primitive import Elementwise, Primitive, elementwise, primitive
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.size import broadcast
from backlit.core.tensor import Tensor
from backlit.core.value import Number
from backlit.errors import ArgumentError, GradientError
from backlit.ops.comparison import where, where_card
from backlit.ops.elementwise import alias, common, overwritten, tensors, typed, within
from backlit.ops.mathematics import exp_card, log1p_card, log_card
from backlit.ops.mathematics_trig import sinc_card
from backlit.ops.reference_special import scipy_special

_SQRT_PI = math.sqrt(math.pi)

# -- error functions ------------------------------------------------------------------------------

erf_card = elementwise(
    "erf",
    lambda m, x: m.erf(x),
    lambda m, x: m.exp(-x * x) * (2 / _SQRT_PI),
    kinds="f",
    maths="2/√π ∫₀ˣ exp(-t²) dt",
    local="2/√π exp(-x²)",
    samples=within(-2, 2),
)
erfc_card = elementwise(
    "erfc",
    lambda m, x: m.erfc(x),
    lambda m, x: m.exp(-x * x) * (-2 / _SQRT_PI),
    kinds="f",
    maths="1 - erf x",
    local="-2/√π exp(-x²)",
    samples=within(-2, 2),
)
erfcx_card = elementwise(
    "erfcx",
    lambda m, x: m.erfcx(x),
    lambda m, x, out: 2 * x * out - 2 / _SQRT_PI,
    kinds="f",
    maths="exp(x²) erfc x",
    local="2x erfcx x - 2/√π",
    samples=within(-2, 2),
)
erfinv_card = elementwise(
    "erfinv",
    lambda m, x: m.erfinv(x),
    lambda m, out: m.exp(out * out) * (_SQRT_PI / 2),
    kinds="f",
    maths="the y with erf y = x",
    local="√π/2 exp(y²)",
    samples=within(-0.9, 0.9),
)
ndtri_card = elementwise(
    "ndtri",
    lambda m, x: m.ndtri(x),
    lambda m, out: m.exp(out * out * 0.5) * math.sqrt(2 * math.pi),
    kinds="f",
    maths="the y with Φ(y) = x",
    local="√(2π) exp(y²/2)",
    samples=within(0.1, 0.9),
)

erf = unary(erf_card)
erfc = unary(erfc_card)
erfinv = unary(erfinv_card)
erfcx = unary(erfcx_card, "special.erfcx")
ndtri = unary(ndtri_card, "special.ndtri")
alias(erf, "special.erf")
alias(erfc, "special.erfc")
alias(erfinv, "special.erfinv")


@op(name="special.ndtr", out=True)
def ndtr(input: Tensor) -> Tensor:
    """Φ(x), the standard normal distribution.

    >>> import backlit.special
    >>> backlit.special.ndtr(backlit.tensor([0.0])).item()
    0.5
    """
    (x,) = common(input, floating=True)
    return erfc_card(x * -math.sqrt(0.5)) * 0.5


@op(name="special.log_ndtr", out=True)
def log_ndtr(input: Tensor) -> Tensor:
    """ln Φ(x), accurate far below 0."""
    (x,) = common(input, floating=True)
    below = x < -1
    low, high = where_card(below, x, -1), where_card(below, -1, x)
    tail = log_card(erfcx_card(low * -math.sqrt(0.5)) * 0.5) - low * low * 0.5
    bulk = log1p_card(erfc_card(high * math.sqrt(0.5)) * -0.5)
    return where_card(below, tail, bulk)


# -- gamma functions ------------------------------------------------------------------------------

lgamma_card = elementwise(
    "lgamma",
    lambda m, x: m.lgamma(x),
    lambda m, x: m.digamma(x),
    kinds="f",
    maths="ln |Γ(x)|",
    local="ψ(x)",
    samples=within(0.5, 4),
)
digamma_card = elementwise(
    "digamma",
    lambda m, x: m.digamma(x),
    lambda m, x: m.polygamma(1, x),
    kinds="f",
    maths="ψ(x) = Γ′(x)/Γ(x)",
    local="ψ′(x)",
    samples=within(0.5, 4),
)
polygamma_card: Primitive = primitive(
    "polygamma",
    "x",
    shape=lambda x, n: (tuple(x.shape), x.dtype),
    numpy="ref.polygamma({n}, {x})",
    vjp=(lambda g, x, n: g * polygamma_card(x, n=n + 1),),
    upcast=True,
    maths="the n-th derivative of ψ",
    local="ψ⁽ⁿ⁺¹⁾(x)",
    samples=lambda: [(([[0.5, 1.5], [2.5, 3.5]],), {"n": 1})],
)
zeta_card: Elementwise = elementwise(
    "zeta",
    lambda m, x, y: m.zeta(x, y),
    (None, lambda m, x, y: -x * zeta_card(x + 1, y)),
    kinds="f",
    maths="Σ 1/(y + k)ˣ",
    local=("", "-x ζ(x + 1, y)"),
    samples=lambda: [(2.5, [0.7, 1.5, 3.0])],
)


def _order(name: str, x: Any) -> Any:
    """An operand for which no derivative is known.

    Raises:
        GradientError: if one is wanted.
    """
    if isinstance(x, Tensor) and x.requires_grad and local.era.here.grad:
        raise GradientError(
            f"the derivative for 'input' of {name} is not implemented; detach() that argument."
        )
    return x


@op(name="special.zeta", out=True)
def zeta(input: Number | Tensor, other: Number | Tensor) -> Tensor:
    """Hurwitz's zeta function ζ(x, q) = Σ 1/(q + k)ˣ.

    >>> import backlit.special
    >>> round(backlit.special.zeta(backlit.tensor([2.0]), 1).item(), 5)
    1.64493
    """
    return zeta_card(*common(_order("special.zeta", input), other, floating=True))


lgamma = unary(lgamma_card)
digamma = unary(digamma_card)
alias(lgamma, "special.gammaln")
alias(digamma, "special.digamma", "special.psi")


def _polygamma(n: int, input: Tensor) -> Tensor:
    """The derivative of order ``n`` of the digamma function.

    Raises:
        ArgumentError: if ``n`` is negative.

    >>> import backlit
    >>> round(backlit.polygamma(1, backlit.tensor([1.0])).item(), 5)
    1.64493
    """
    if n < 0:
        raise ArgumentError(f"polygamma(n, x) does not support negative n, got {n}.")
    (x,) = common(input, floating=True)
    return polygamma_card(x, n=n)


polygamma = op(name="polygamma", out=True)(_polygamma)
alias(polygamma, "special.polygamma")


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """The derivative of order ``n`` of the digamma function."""
    return polygamma(n, self)


def _polygamma_in_place(self: Tensor, n: int) -> Tensor:
    """In-place version of ``polygamma``."""
    return overwritten("polygamma", self, polygamma(n, self), True)


METHODS["polygamma"] = _polygamma_method
METHODS["polygamma_"] = _polygamma_in_place


# -- logarithms with a limit ----------------------------------------------------------------------

xlogy_card = elementwise(
    "xlogy",
    lambda m, x, y: m.where((x == 0) & (y == y), x * 0, x * m.log(y)),
    (lambda m, x, y: m.where((x == 0) & (y <= 0), 0, m.log(y)), lambda m, x, y: x / y),
    kinds="f",
    maths="x ln y, and 0 where x = 0",
    local=("ln y", "x/y"),
    samples=within(0.5, 2, 2),
)
entr_card = elementwise(
    "entr",
    lambda m, x: m.where(x < 0, x * math.inf, m.where(x == 0, x * 0, -x * m.log(x))),
    lambda m, x: -(m.log(x) + 1),
    kinds="f",
    maths="-x ln x",
    local="-1 - ln x",
    samples=within(0.1, 2),
)
xlogy = binary(xlogy_card)
entr = unary(entr_card, "special.entr")
alias(xlogy, "special.xlogy")


@op(name="special.xlog1py", out=True)
def xlog1py(input: Number | Tensor, other: Number | Tensor) -> Tensor:
    """x ln(1 + y), and 0 where x = 0.

    >>> import backlit.special
    >>> backlit.special.xlog1py(backlit.tensor([0.0]), backlit.tensor([-1.0])).item()
    0.0
    """
    x, y = common(input, other, floating=True)
    zero = (x == 0) & (y == y)
    return where_card(zero, 0, x * log1p_card(where_card(zero & (y <= -1), 0, y)))


@op(out=True, inplace=True)
def logit(input: Tensor, eps: Number | None = None) -> Tensor:
    """ln(x/(1 - x)), with x first moved into [eps, 1 - eps] where ``eps`` is given.

    >>> import backlit
    >>> backlit.logit(backlit.tensor([0.5])).item()
    0.0
    """
    (x,) = common(input, floating=True)
    if eps is not None:
        low = typed(eps, x.dtype)
        x = PUBLIC["clamp"](x, low, 1 - low)
    return log_card(x / (1 - x))


alias(logit, "special.logit")

# -- Bessel functions and others, through SciPy ---------------------------------------------------

_NAMES = {  # PyTorch's name → SciPy's
    "airy_ai": "airy",
    "bessel_j0": "j0",
    "bessel_j1": "j1",
    "bessel_y0": "y0",
    "bessel_y1": "y1",
    "modified_bessel_i0": "i0",
    "modified_bessel_i1": "i1",
    "modified_bessel_k0": "k0",
    "modified_bessel_k1": "k1",
    "scaled_modified_bessel_k0": "k0e",
    "scaled_modified_bessel_k1": "k1e",
}


def _bessel_rule(g: Tensor, x: Tensor, out: Tensor, name: str) -> Tensor:
    """The derivatives of I₀, I₁ and their versions scaled by exp(-|x|)."""
    scaled = name.endswith("e")
    if name in ("i0", "i0e"):
        found = _bessel(x, "i1e" if scaled else "i1")
    else:
        safe = where(x == 0, 1, x)
        found = where(x == 0, 0.5, _bessel(x, "i0e" if scaled else "i0") - out / safe)
    return g * (found - x.sign() * out if scaled else found)


bessel_card = primitive(
    "bessel",
    "x",
    shape=lambda x, name: (tuple(x.shape), x.dtype),
    numpy="ref.from_scipy({name}, {x})",
    vjp=(_bessel_rule,),
    upcast=True,
    maths="the modified Bessel function Iₙ(x)",
    samples=lambda: [(([-1.5, 0.5, 2.0],), {"name": n}) for n in ("i0", "i1", "i0e", "i1e")],
)
from_scipy_card = primitive(
    "from_scipy",
    "x",
    shape=lambda x, name: (tuple(x.shape), x.dtype),
    numpy="ref.from_scipy({name}, {x})",
    upcast=True,
    maths="a special function of x",
    samples=lambda: [(([0.5, 1.5, 3.0],), {"name": "j0"})],
)


def _bessel(x: Tensor, name: str) -> Tensor:
    found: Tensor = bessel_card(x, name=name)
    return found


def _differentiable(name: str) -> None:
    """Make ``special.name`` public, with its gradient."""

    def body(input: Tensor) -> Tensor:
        scipy_special(f"special.{name}")
        (x,) = common(input, floating=True)
        return _bessel(x, name)

    body.__doc__ = f"The modified Bessel function {name.upper()[:2]} of the first kind."
    op(name=f"special.{name}", out=True)(body)


def _value_only(name: str, scipy_name: str) -> None:
    """Make ``special.name`` public; PyTorch gives it no gradient either."""

    def body(input: Tensor) -> Tensor:
        scipy_special(f"special.{name}")
        (x,) = common(input, floating=True)
        found: Tensor = from_scipy_card(x, name=scipy_name)
        return found

    body.__doc__ = f"The special function {name.replace('_', ' ')}."
    op(name=f"special.{name}", out=True)(body)


for _name in ("i0", "i0e", "i1", "i1e"):
    _differentiable(_name)
for _name, _scipy_name in _NAMES.items():
    _value_only(_name, _scipy_name)


@op(name="special.spherical_bessel_j0", out=True)
def spherical_bessel_j0(input: Tensor) -> Tensor:
    """sin x/x, the spherical Bessel function j₀."""
    (x,) = common(input, floating=True)
    return sinc_card(x / math.pi)


@op(out=True, inplace=True)
def i0(input: Tensor) -> Tensor:
    """The modified Bessel function I₀ of the first kind."""
    found: Tensor = PUBLIC["special.i0"](input)
    return found


# -- incomplete gamma functions -------------------------------------------------------------------


def _density(a: Tensor, x: Tensor) -> Tensor:
    """The gamma density of shape ``a``: the derivative of its distribution function."""
    return exp_card((a - 1) * log_card(x) - x - lgamma_card(a))


igamma_card = elementwise(
    "igamma",
    lambda m, a, x: m.gammainc(a, x),
    (None, lambda m, a, x: _density(a, x)),
    kinds="f",
    maths="1/Γ(a) ∫₀ˣ tᵃ⁻¹ e⁻ᵗ dt",
    local=("", "xᵃ⁻¹ e⁻ˣ/Γ(a)"),
    samples=lambda: [(2.5, [0.7, 1.5, 3.0])],
)
igammac_card = elementwise(
    "igammac",
    lambda m, a, x: m.gammaincc(a, x),
    (None, lambda m, a, x: -_density(a, x)),
    kinds="f",
    maths="1 - igamma(a, x)",
    local=("", "-xᵃ⁻¹ e⁻ˣ/Γ(a)"),
    samples=lambda: [(2.5, [0.7, 1.5, 3.0])],
)


@op(out=True, inplace=True)
def igamma(input: Tensor, other: Tensor) -> Tensor:
    """The regularized lower incomplete gamma function of shape ``input`` at ``other``."""
    scipy_special("igamma")
    return igamma_card(*tensors("igamma", _order("igamma", input), other))


@op(out=True, inplace=True)
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """The regularized upper incomplete gamma function of shape ``input`` at ``other``."""
    scipy_special("igammac")
    return igammac_card(*tensors("igammac", _order("igammac", input), other))


alias(igamma, "special.gammainc")
alias(igammac, "special.gammaincc")

# -- orthogonal polynomials -----------------------------------------------------------------------

polynomial_card = primitive(
    "polynomial",
    "x degree",
    shape=lambda x, degree, kind: (
        broadcast("polynomial", tuple(x.shape), tuple(degree.shape)),
        x.dtype,
    ),
    numpy="ref.polynomial({x}, {degree}, {kind})",
    upcast=True,
    maths="an orthogonal polynomial of a degree at x",
    samples=lambda: [
        (([[-0.5], [0.5]], [0.0, 1.0, 4.0]), {"kind": "legendre_polynomial_p"}),
    ],
)


def _polynomial(kind: str, *, shifted: bool = False) -> None:
    """Make ``special.kind`` public; shifted ones take x in [0, 1]."""

    def body(input: Number | Tensor, n: Number | Tensor) -> Tensor:
        x, degree = common(input, n, floating=True)
        found: Tensor = polynomial_card(2 * x - 1 if shifted else x, degree, kind=kind)
        return found

    name = f"shifted_{kind}" if shifted else kind
    body.__doc__ = f"The {name.replace('_', ' ')} of degree ``n`` at ``input``."
    op(name=f"special.{name}", out=True)(body)


for _letter in "tuvw":
    _polynomial(f"chebyshev_polynomial_{_letter}")
    _polynomial(f"chebyshev_polynomial_{_letter}", shifted=True)
for _kind in ("hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l"):
    _polynomial(_kind)
_polynomial("legendre_polynomial_p")

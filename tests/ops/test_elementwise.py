"""Elementwise ops: identities, edge cases, promotion inside composites, in-place forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import backlit
from backlit import special
from backlit.core.primitive import PRIMITIVES, Elementwise
from backlit.ops.samples import samples_of

finite = st.floats(-1e3, 1e3, allow_nan=False)
vectors = hnp.arrays(np.float64, st.integers(0, 5), elements=finite)
any_vectors = hnp.arrays(np.float64, st.integers(0, 5), elements=st.floats())


def close(a: Any, b: Any, rtol: float = 1e-12, atol: float = 1e-12) -> bool:
    """Whether two tensors (or arrays) agree, NaN with NaN."""
    return np.allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol, equal_nan=True)


# -- identities -----------------------------------------------------------------------------------


@given(vectors)
def test_floor_and_remainder_rebuild_the_dividend(a: Any) -> None:
    """x = y ⌊x / y⌋ + (x mod y)."""
    x = backlit.tensor(a)
    for y in (3.0, -2.5):
        assert close((x // y) * y + x % y, a, atol=1e-9)


@given(vectors)
def test_trunc_and_fmod_rebuild_the_dividend(a: Any) -> None:
    """x = y trunc(x / y) + fmod(x, y)."""
    x = backlit.tensor(a)
    rebuilt = backlit.div(x, 2.5, rounding_mode="trunc") * 2.5 + backlit.fmod(x, 2.5)
    assert close(rebuilt, a, atol=1e-9)


@given(hnp.arrays(np.int64, 4, elements=st.integers(-50, 50)))
def test_whole_numbers_divide_like_python(a: Any) -> None:
    """// and % on whole numbers are Python's; trunc rounds towards 0."""
    x = backlit.tensor(a)
    for y in (7, -7):
        assert (x // y).tolist() == [i // y for i in a.tolist()]
        assert (x % y).tolist() == [i % y for i in a.tolist()]
        towards_zero = backlit.div(x, y, rounding_mode="trunc")
        assert towards_zero.tolist() == [math.trunc(i / y) for i in a.tolist()]


@given(hnp.arrays(np.int64, 4, elements=st.integers(-50, 50)))
def test_gcd_times_lcm_is_the_product(a: Any) -> None:
    """gcd(x, y) lcm(x, y) = |x y|."""
    x = backlit.tensor(a)
    assert (backlit.gcd(x, 12) * backlit.lcm(x, 12)).tolist() == np.abs(a * 12).tolist()


@given(any_vectors)
def test_clamp_keeps_within_bounds(a: Any) -> None:
    """The result is within the bounds, or NaN where the input is."""
    found = backlit.clamp(backlit.tensor(a), -1, 2).numpy()
    assert np.all(np.isnan(found) == np.isnan(a))
    assert np.all((found >= -1) & (found <= 2) | np.isnan(a))


@given(any_vectors)
def test_classes_of_numbers_are_disjoint_and_complete(a: Any) -> None:
    """Each number is finite, infinite or NaN."""
    x = backlit.tensor(a)
    kinds = [f(x).numpy().astype(int) for f in (backlit.isfinite, backlit.isinf, backlit.isnan)]
    assert np.all(sum(kinds) == 1)
    signed = backlit.isposinf(x) | backlit.isneginf(x)
    assert signed.tolist() == backlit.isinf(x).tolist()


@given(vectors)
def test_inverse_functions_undo_each_other(a: Any) -> None:
    """asinh ∘ sinh, log1p ∘ expm1, erfinv ∘ erf, logit ∘ sigmoid and deg ∘ rad are identities."""
    x = backlit.tensor(a / 1e3 * 2)
    assert close(x.sinh().asinh(), x)
    assert close(x.expm1().log1p(), x)
    assert close(x.erf().erfinv(), x, rtol=1e-9)
    assert close(x.sigmoid().logit(), x, rtol=1e-9)
    assert close(x.deg2rad().rad2deg(), x)


@given(vectors, vectors)
def test_logaddexp_is_the_logarithm_of_a_sum(a: Any, b: Any) -> None:
    """ln(eˣ + eʸ), symmetric, and at least the larger operand."""
    n = min(len(a), len(b))
    x, y = backlit.tensor(a[:n]), backlit.tensor(b[:n])
    found = backlit.logaddexp(x, y)
    assert close(found, np.logaddexp(a[:n], b[:n]))
    assert close(found, backlit.logaddexp(y, x))


@given(hnp.arrays(np.float64, 4, elements=st.floats(0.1, 20)))
def test_gamma_functions_obey_their_recurrences(a: Any) -> None:
    """ln Γ(x+1) = ln Γ(x) + ln x, ψ(x+1) = ψ(x) + 1/x, ψ′(x+1) = ψ′(x) - 1/x²."""
    x = backlit.tensor(a)
    assert close((x + 1).lgamma(), x.lgamma() + x.log(), atol=1e-11)
    assert close((x + 1).digamma(), x.digamma() + 1 / x, atol=1e-11)
    assert close((x + 1).polygamma(1), x.polygamma(1) - 1 / x**2, atol=1e-11)


@given(hnp.arrays(np.float64, 4, elements=st.floats(-3.4, -0.1)))
def test_digamma_reflects(a: Any) -> None:
    """ψ(1 - x) - ψ(x) = π / tan(πx)."""
    a = np.where(np.abs(a - np.round(a)) < 0.05, a + 0.1, a)
    x = backlit.tensor(a)
    assert close((1 - x).digamma() - x.digamma(), math.pi / np.tan(math.pi * a), rtol=1e-9)


@pytest.mark.parametrize("q", [1.0, 0.5, 2.5, -0.5, -30.25])
def test_zeta_loses_its_first_term(q: float) -> None:
    """ζ(s, q) - ζ(s, q + 1) = q⁻ˢ, also below 0 for whole s."""
    zeta = special.zeta
    s = backlit.tensor([2.0, 3.0, 6.0], dtype=backlit.float64)
    one = backlit.tensor(q, dtype=backlit.float64)
    assert close(zeta(s, one) - zeta(s, one + 1), q ** -np.array([2.0, 3.0, 6.0]), atol=1e-11)


def test_zeta_of_two_is_pi_squared_over_six() -> None:
    """ζ(2) = π²/6 (Euler)."""
    found = special.zeta(backlit.tensor([2.0], dtype=backlit.float64), 1.0)
    assert close(found, [math.pi**2 / 6], rtol=1e-15)


def test_normal_quantiles_are_accurate_in_the_tails() -> None:
    """ndtri inverts ndtr from 1e-300 to 1 - 1e-10."""
    p = backlit.tensor([1e-300, 1e-20, 1e-3, 0.5, 0.9, 1 - 1e-10], dtype=backlit.float64)

    assert close(special.ndtr(special.ndtri(p)), p, rtol=1e-9, atol=0)
    assert close(
        special.log_ndtr(backlit.tensor([-1e4, 0.0], dtype=backlit.float64)).exp(), [0, 0.5]
    )


# -- values and dtypes of cards -------------------------------------------------------------------

CARDS = [
    pytest.param(card, d, id=f"{name}-{d}")
    for name, card in PRIMITIVES.items()
    if isinstance(card, Elementwise)
    for d in ("float16", "float32", "float64", "int32")
    if ("i" if d == "int32" else "f") in card.kinds
]


@pytest.mark.parametrize(("card", "name"), CARDS)
def test_programs_compute_in_the_declared_dtype(card: Elementwise, name: str) -> None:
    """The array that a card's NumPy source yields has the dtype its rule declares, 0-d included."""
    d = getattr(backlit, name)
    for sample in samples_of(card):
        operands = [backlit.tensor(np.asarray(a)) for a in sample.operands]
        operands = [x if x.dtype is backlit.bool else x.to(d) for x in operands]
        if name == "int32":
            operands = [x if x.dtype is backlit.bool else x.clamp_min(1) for x in operands]
        found = card(*operands)  # type: ignore[operator]
        assert found.numpy().dtype == found.dtype.numpy
        assert found.dtype is (card.result or d)


# -- edge cases -----------------------------------------------------------------------------------


def test_sign_of_nan_is_zero() -> None:
    """As in PyTorch; and |x| passes no gradient there."""
    x = backlit.tensor([math.nan, -2.0], requires_grad=True)
    assert x.sign().tolist() == [0.0, -1.0]
    x.abs().sum().backward()
    assert x.grad.tolist() == [0.0, -1.0]


def test_maximum_propagates_nan_and_fmax_does_not() -> None:
    """NaN wins in maximum and minimum, and loses in fmax and fmin."""
    x, y = backlit.tensor([math.nan, 1.0]), backlit.tensor([2.0, math.nan])
    assert np.isnan(backlit.maximum(x, y).numpy()).all()
    assert np.isnan(backlit.minimum(x, y).numpy()).all()
    assert backlit.fmax(x, y).tolist() == [2.0, 1.0]
    assert backlit.fmin(x, y).tolist() == [2.0, 1.0]


def test_equal_operands_of_maximum_share_the_gradient() -> None:
    """Half each."""
    x = backlit.tensor([1.0, 2.0], requires_grad=True)
    y = backlit.tensor([1.0, 0.0], requires_grad=True)
    backlit.maximum(x, y).sum().backward()
    assert x.grad.tolist() == [0.5, 1.0]
    assert y.grad.tolist() == [0.5, 0.0]


def test_rounding_has_zero_gradient_even_for_infinite_upstream() -> None:
    """The gradient of ⌊x⌋ is 0, not NaN."""
    x = backlit.tensor([1.5], requires_grad=True)
    x.floor().backward(backlit.tensor([math.inf]))
    assert x.grad.tolist() == [0.0]


def test_limits_at_zero() -> None:
    """0 ln 0 = 0, sinc 0 = 1 with slope 0, and x⁰ has no slope."""
    zero = backlit.tensor([0.0], requires_grad=True)
    assert backlit.xlogy(zero, zero).item() == 0.0
    assert special.entr(zero).item() == 0.0
    total = backlit.sinc(zero) + zero**0
    assert total.item() == 2.0
    total.sum().backward()
    assert zero.grad.item() == 0.0


def test_negative_whole_powers_of_whole_numbers() -> None:
    """Elementwise exponents round towards 0; a negative Python number is refused."""
    x = backlit.tensor([1, -1, -1, 2])
    assert (x ** backlit.tensor([-3, -3, -2, -1])).tolist() == [1, -1, 1, 0]


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -0.5, -1, 2.0])
def test_fixed_powers_agree_with_the_general_power(exponent: float) -> None:
    """x², x³, √x, 1/√x and 1/x have shortcuts, with values and slopes of the general power."""
    a = backlit.tensor([0.5, 2.0], dtype=backlit.float64, requires_grad=True)
    b = backlit.tensor([0.5, 2.0], dtype=backlit.float64, requires_grad=True)
    short, general = a**exponent, b ** backlit.tensor(float(exponent), dtype=backlit.float64)
    assert close(short.detach(), general.detach())
    short.sum().backward()
    general.sum().backward()
    assert close(a.grad, b.grad)


def test_where_ignores_what_is_not_chosen() -> None:
    """A NaN in the branch that is not taken reaches neither value nor gradient."""
    x = backlit.tensor([0.0, 4.0], requires_grad=True)
    found = backlit.where(x > 0, x.sqrt(), 0.0)
    assert found.tolist() == [0.0, 2.0]
    (gradient,) = backlit.autograd.grad(backlit.where(x > 0, x, math.nan).nansum(), x)
    assert gradient.tolist() == [0.0, 1.0]


def test_alpha_scales_the_second_operand() -> None:
    """add, sub and rsub with alpha, and their gradients."""
    x = backlit.tensor([1.0], requires_grad=True)
    y = backlit.tensor([2.0], requires_grad=True)
    total = backlit.add(x, y, alpha=3) + x.sub(y, alpha=0.5) + backlit.rsub(x, y, alpha=2)
    assert total.item() == 7.0 + 0.0 + 0.0
    total.backward()
    assert (x.grad.item(), y.grad.item()) == (0.0, 3.5)


def test_number_arguments_keep_double_precision() -> None:
    """A Python float meets a float64 tensor without passing through float32."""
    x = backlit.zeros(1, dtype=backlit.float64)
    one = backlit.ones(1, dtype=backlit.float64)
    assert backlit.lerp(x, one, 0.1).item() == 0.1
    assert backlit.addcmul(x, one, one, value=0.1).item() == 0.1
    assert backlit.clamp(x, min=0.1).item() == 0.1
    assert backlit.nan_to_num(x * math.nan, nan=0.1).item() == 0.1
    assert backlit.logit(x, eps=0.1).item() == pytest.approx(math.log(0.1 / 0.9), rel=1e-15)


def test_round_takes_decimals_and_halves_go_to_even() -> None:
    """Positive decimals after the point, negative ones before it."""
    x = backlit.tensor([0.125, 2.5, 1250.0], dtype=backlit.float64)
    assert x.round().tolist() == [0.0, 2.0, 1250.0]
    assert x.round(decimals=2).tolist() == [0.12, 2.5, 1250.0]
    assert x.round(decimals=-2).tolist() == [0.0, 0.0, 1200.0]


def test_in_place_forms_overwrite_and_keep_the_dtype() -> None:
    """``name_`` returns its tensor, changed; a result that does not fit is refused."""
    x = backlit.tensor([4.0, 9.0])
    assert x.sqrt_().add_(1).mul_(2).clamp_(max=7) is x
    assert x.tolist() == [6.0, 7.0]
    flags = backlit.tensor([1.0, 5.0]).eq_(5)
    assert flags.tolist() == [0.0, 1.0]
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type int64"):
        backlit.tensor([4]).sqrt_()


def test_out_receives_the_result() -> None:
    """``out=`` is bound to the result and returned."""
    out = backlit.zeros(2)
    x = backlit.tensor([1.0, 4.0])
    for call in (
        lambda: backlit.sqrt(x, out=out),
        lambda: backlit.add(x, x, alpha=2, out=out),
        lambda: backlit.pow(x, 2, out=out),
        lambda: backlit.div(x, 2, rounding_mode="floor", out=out),
        lambda: backlit.where(x > 2, x, x, out=out),
    ):
        assert call() is out
    assert out.tolist() == [1.0, 4.0]


def test_comparison_of_shapes_and_values() -> None:
    """equal needs the same shape; allclose takes tolerances and, if asked, NaN for NaN."""
    x = backlit.tensor([1.0, math.nan])
    assert not backlit.equal(x, x)
    assert not backlit.equal(backlit.ones(2), backlit.ones(1))
    assert backlit.allclose(x, x, equal_nan=True)
    assert not backlit.allclose(x, x)
    infinite = backlit.tensor([math.inf, -math.inf])
    assert backlit.isclose(infinite, infinite).all()
    assert not backlit.isclose(infinite, -infinite).any()


def test_shifts_and_bits() -> None:
    """Bitwise ops act on whole numbers and on truth values."""
    x = backlit.tensor([5, -8])
    assert (x << 2).tolist() == [20, -32]
    assert (x >> 1).tolist() == [2, -4]
    assert ((x & 4) | 1).tolist() == [5, 1]
    assert (~backlit.tensor([True, False])).tolist() == [False, True]
    assert backlit.logical_xor(x, backlit.tensor([0, 1])).tolist() == [True, False]


def test_numbers_as_they_are_stored() -> None:
    """frexp, ldexp, copysign and signbit take numbers apart and build them."""
    x = backlit.tensor([-0.0, 10.0, -0.375])
    mantissa, exponent = backlit.frexp(x)
    assert exponent.dtype is backlit.int32
    assert backlit.ldexp(mantissa, exponent).tolist() == x.tolist()
    assert backlit.signbit(x).tolist() == [True, False, True]
    assert backlit.copysign(backlit.ones(3), x).tolist() == [-1.0, 1.0, -1.0]

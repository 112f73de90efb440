"""Laws that every card of the op library obeys, checked on every sample it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import func
from backlit.autograd import gradcheck, gradgradcheck
from backlit.autograd.derivative import gradient, push_forward
from backlit.core.primitive import PRIMITIVES, Primitive
from backlit.errors import DtypeError, GradcheckError
from backlit.ops.samples import Sample, samples_of
from tests.laws.cards import (
    ENGINE,
    apply,
    cards,
    differentiable,
    elementwise,
    tensors,
)

WITHOUT = Path(__file__).with_name("without_samples.txt")
DTYPES = [backlit.float64, backlit.float32, backlit.float16, backlit.bfloat16]


def without_samples() -> list[str]:
    return sorted(name for name, card in PRIMITIVES.items() if not samples_of(card))


def test_every_card_has_samples() -> None:
    """A card without samples obeys no law; the list of those only shrinks."""
    listed = [line for line in WITHOUT.read_text().splitlines() if not line.startswith("#")]
    assert without_samples() == listed


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
@cards()
def test_shape_rule_says_what_is_computed(card: Primitive, sample: Sample, dtype: Any) -> None:
    """Shape and dtype of the arrays are those that the card's rule announced, in every dtype."""
    try:
        found = apply(card, tensors(card, sample, dtype), sample)
    except DtypeError:
        assert dtype is not backlit.float64
        return
    announced = [(tuple(t.shape), t.dtype) for t in found]
    arrays = [t.detach().numpy() for t in found]
    assert [(a.shape, np.dtype(a.dtype)) for a in arrays] == [(s, d.numpy) for s, d in announced]


@cards()
def test_programs_verify(card: Primitive, sample: Sample) -> None:
    """The program of one card, and of its gradients, passes the verifier."""
    with backlit.config.flags(verify=True):
        found = apply(card, tensors(card, sample, requires_grad=True), sample)
        total = [t.sum() for t in found if t.requires_grad]
        if total and card.name not in ENGINE:
            sum(total[1:], total[0]).backward()
        for t in found:
            t.tolist()


@cards(differentiable)
def test_gradient_is_the_derivative(card: Primitive, sample: Sample) -> None:
    """Gradients equal central differences; a batched backward pass equals one pass per row."""
    operands = tensors(card, sample, backlit.float64, requires_grad=True)

    def function(*args: Any) -> Any:
        return tuple(t for t in apply(card, list(args), sample) if t.requires_grad)

    assert gradcheck(function, tuple(operands), check_batched_grad=True, check_grad_dtypes=True)


@cards(differentiable)
def test_second_derivative(card: Primitive, sample: Sample) -> None:
    """Gradients of gradients equal central differences of gradients."""
    operands = tensors(card, sample, backlit.float64, requires_grad=True)

    def function(*args: Any) -> Any:
        return tuple(t for t in apply(card, list(args), sample) if t.requires_grad)

    assert gradgradcheck(function, tuple(operands), atol=1e-4)


@cards(differentiable)
def test_forward_mode_is_the_adjoint(card: Primitive, sample: Sample) -> None:
    """⟨vjp(g), t⟩ = ⟨g, jvp(t)⟩ for random g and t."""
    operands = tensors(card, sample, backlit.float64, requires_grad=True)
    inputs = [t for t in operands if isinstance(t, backlit.Tensor) and t.requires_grad]
    found = [t for t in apply(card, operands, sample) if t.requires_grad]
    rng = np.random.default_rng(0)
    upstream = [backlit.tensor(rng.standard_normal(tuple(y.shape))).to(y.dtype) for y in found]
    tangents = [backlit.tensor(rng.standard_normal(tuple(x.shape))) for x in inputs]
    pulled = gradient(found, inputs, upstream, True)
    pushed = push_forward(found, inputs, tangents, False)
    left = sum(float((p * t).sum()) for p, t in zip(pulled, tangents, strict=True) if p is not None)
    right = sum(
        float((g * t).sum()) for g, t in zip(upstream, pushed, strict=True) if t is not None
    )
    assert left == pytest.approx(right, rel=1e-6, abs=1e-9)


@cards()
@pytest.mark.usefixtures("one_tier")
def test_lazy_equals_eager(card: Primitive, sample: Sample) -> None:
    """Computed at once or recorded first: the same bits."""
    lazy = [t.tolist() for t in apply(card, tensors(card, sample), sample)]
    with backlit.eager():
        eager = [t.tolist() for t in apply(card, tensors(card, sample), sample)]
    assert repr(lazy) == repr(eager)


@cards()
def test_strides_do_not_matter(card: Primitive, sample: Sample) -> None:
    """Operands that are not contiguous in memory give the same values."""
    strided = [
        backlit.from_numpy(np.asarray(a.T, order="C").T) if isinstance(a, np.ndarray) else a
        for a in sample.operands
    ]
    found = apply(card, strided, sample)
    for t, expected in zip(found, apply(card, tensors(card, sample), sample), strict=True):
        np.testing.assert_allclose(t.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
@cards(elementwise)
def test_special_values_keep_dtype_and_shape(card: Primitive, sample: Sample, value: float) -> None:
    """NaN, infinities and zero pass through elementwise cards without a crash."""
    special = Sample(
        tuple(
            np.full_like(a, value) if a.dtype.kind == "f" else a
            for a in map(np.asarray, sample.operands)
        ),
        sample.attributes,
    )
    for t in apply(card, tensors(card, special, requires_grad=True), special):
        assert t.detach().numpy().dtype == t.dtype.numpy
        if t.requires_grad:
            t.sum().backward()


@cards(elementwise)
def test_empty_and_scalar_operands(card: Primitive, sample: Sample) -> None:
    """Elementwise cards map empty to empty, and 0-d to 0-d."""
    for pick in (lambda a: np.zeros((0, 3), a.dtype), lambda a: np.array(a.reshape(-1)[0])):
        other = Sample(tuple(pick(np.asarray(a)) for a in sample.operands), sample.attributes)
        for t in apply(card, tensors(card, other), other):
            assert t.numpy().shape == other.operands[0].shape


@cards(lambda card: card.name not in ENGINE)
def test_vmap_is_a_loop(card: Primitive, sample: Sample) -> None:
    """Mapping a card over examples equals applying it to each example."""
    operands = tensors(card, sample)
    where = [i for i, t in enumerate(operands) if isinstance(t, backlit.Tensor)]
    if not where:
        pytest.skip("no operand is a tensor")
    copies = [sample.operands[i] for i in where]
    examples = [[c, c[::-1].copy() if c.dtype.kind == "f" and c.ndim else c] for c in copies]
    batches = [backlit.tensor(np.stack(pair)) for pair in examples]
    for mapped in (
        [0] * len(where),
        *([0 if j == i else None for j in range(len(where))] for i in range(len(where))),
    ):
        args = [
            b if d == 0 else backlit.tensor(e[0])
            for b, d, e in zip(batches, mapped, examples, strict=True)
        ]

        def function(*given: Any) -> Any:
            full = list(operands)
            for i, t in zip(where, given, strict=True):
                full[i] = t
            return tuple(apply(card, full, sample))

        found = func.vmap(function, in_dims=tuple(mapped))(*args)
        for n in range(2):
            single = function(
                *(
                    backlit.tensor(e[n] if d == 0 else e[0])
                    for d, e in zip(mapped, examples, strict=True)
                )
            )
            for t, expected in zip(found, single, strict=True):
                assert t.dtype is expected.dtype
                np.testing.assert_allclose(t.numpy()[n], expected.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("card", "operands", "message"),
    [
        pytest.param(card, operands, message, id=f"{name}-{i}")
        for name, card in sorted(PRIMITIVES.items())
        for i, (operands, message) in enumerate(card.errors)
    ],
)
def test_error_samples(card: Primitive, operands: Any, message: str) -> None:
    """What a card refuses, it refuses in these words."""
    call = getattr(backlit, card.name, card)
    with pytest.raises((ValueError, TypeError, RuntimeError, IndexError)) as caught:
        call(*(backlit.tensor(a) if isinstance(a, np.ndarray) else a for a in operands))
    assert str(caught.value) == message


# -- tests of the laws ----------------------------------------------------------------------------


def forget() -> None:
    """Begin with an empty trie, in this thread's recording too."""
    backlit.core.position.trie.clear()
    backlit.flush()


@pytest.fixture
def fresh_trie() -> Any:
    forget()
    yield
    forget()


@pytest.mark.usefixtures("fresh_trie")
def test_a_wrong_gradient_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivative that is off by a tenth of a percent and more fails the gradient law."""
    card = PRIMITIVES["tanh"]
    monkeypatch.setattr(card, "derivatives", (lambda m, out: 1.01 - out * out,))
    with pytest.raises(
        GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"
    ):
        test_gradient_is_the_derivative(card, samples_of(card)[0])


@pytest.mark.usefixtures("fresh_trie")
def test_a_wrong_second_derivative_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is right in value but hides its dependence on x fails the second law."""
    card = PRIMITIVES["square"]
    monkeypatch.setattr(card, "derivatives", (lambda m, x: 2 * x.detach(),))
    with pytest.raises(GradcheckError):
        test_second_derivative(card, samples_of(card)[0])


@pytest.mark.usefixtures("fresh_trie")
def test_a_wrong_shape_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that announces another shape than is computed fails the shape law."""
    card = PRIMITIVES["flip"]
    monkeypatch.setattr(card, "shape", lambda x, dims: (tuple(reversed(x.shape)), x.dtype))
    with pytest.raises(AssertionError):
        test_shape_rule_says_what_is_computed(card, samples_of(card)[0], backlit.float64)

"""`insight.op`: what runs for an op."""

from __future__ import annotations

import importlib.util

import pytest

import backlit
from backlit.core.primitive import PRIMITIVES, Elementwise
from backlit.errors import ArgumentError
from backlit.ops.samples import samples_of

needs_native = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed"
)
CARDS = [name for name, card in sorted(PRIMITIVES.items()) if samples_of(card)]


@pytest.mark.parametrize("name", CARDS)
def test_every_card_shows_its_source(name: str) -> None:
    """Formula, NumPy source and native code (or why there is none) of every card."""
    op = backlit.insight.op(name)
    text = op.source()
    assert text.splitlines()[0] == (f"# {name}: {op.maths}" if op.maths else f"# {name}")
    assert "def program(inputs, scalars):" in text
    native = text.split("; LLVM IR of a call (hot tier)")[1]
    card = PRIMITIVES[name]
    if isinstance(card, Elementwise):
        assert op.template == card.numpy_text(card.operands)
        assert f"# NumPy template: {op.template}" in text
    assert "define" in native or "; " in native


@needs_native
@pytest.mark.parametrize("name", ["tanh", "matmul", "log_softmax", "sum", "pick", "random_uniform"])
def test_cards_with_native_forms_show_them(name: str) -> None:
    """The IR is there."""
    card = PRIMITIVES[name]
    arguments = (1, 0) if name == "random_uniform" else ()
    attributes = {"shape": (3,), "dtype": backlit.float32} if arguments else {}
    assert "define" in backlit.insight.op(card).source(*arguments, **attributes)  # type: ignore[arg-type]


def test_composite_needs_arguments() -> None:
    """An op made of others is shown for the arguments it is given."""
    op = backlit.insight.op(backlit.nn.functional.cross_entropy)
    assert (op.card, op.template, op.maths) == (None, "", "")
    assert repr(op) == "<op nn.functional.cross_entropy>"
    text = op.source(backlit.zeros(2, 3), backlit.tensor([0, 1]))
    assert text.startswith("# nn.functional.cross_entropy\n\n# NumPy source of a call (cold tier)")
    assert "log_softmax" in text
    with pytest.raises(ArgumentError) as error:
        op.source()
    assert str(error.value) == (
        "op('nn.functional.cross_entropy'): it is made of other ops, or its card has no samples; "
        "say what it is called with, such as op('nn.functional.cross_entropy').source(x)."
    )


def test_looking_leaves_the_recording_alone() -> None:
    """What was being recorded goes on, and the arguments can be used as before."""
    x = backlit.ones(3, requires_grad=True)
    y = x * 2
    backlit.insight.op("exp").source(x)
    (y * x).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0, 4.0]  # type: ignore[union-attr]


def test_refusals() -> None:
    """What is no op, and ops that look at values."""
    with pytest.raises(ArgumentError) as error:
        backlit.insight.op("tahn")
    assert str(error.value) == (
        "op(): 'tahn' is not an op; give a function such as backlit.tanh, or a name such as "
        '"tanh" or "nn.functional.gelu".'
    )
    with pytest.raises(ArgumentError) as error:
        backlit.insight.op(backlit.nonzero).program(backlit.ones(2) * 3)
    assert str(error.value) == (
        "op('nonzero'): it looks at values or computes nothing, so a call is not one program; "
        "look at the ops it calls."
    )

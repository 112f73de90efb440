"""What the core refuses: dtypes, operands, in-place changes, views, and programs that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import ones, tensor
from backlit.core.era import Backend
from backlit.core.op import op
from backlit.core.primitive import PRIMITIVES, elementwise
from backlit.core.program import Program, extract
from backlit.core.tensor import Tensor
from backlit.core.views import refresh
from backlit.errors import (
    BacklitError,
    DtypeError,
    GradientError,
    ShapeError,
    VerificationError,
)


def leaf(*size: int) -> Tensor:
    return ones(*size).requires_grad_()


@op(name="_writes", method=False)
def writes_in_its_body(input: Tensor) -> Tensor:
    return input.add_(1)


@op(name="_captures", method=False)
def captures_a_tensor(input: Tensor) -> Tensor:
    return input + OUTSIDE


@op(name="_adds", view=True, method=False)
def adds_in_a_view(input: Tensor) -> Tensor:
    return input + 1


OUTSIDE = ones(2)


def program_of(t: Tensor) -> Program:
    """The program that computes ``t``, which is pending."""
    assert t._era is not None
    return extract(t._era.here, (t._var.id,))


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ones(2, dtype="float32"),
        DtypeError,
        "expected a dtype such as backlit.float32, got 'float32'.",
    ),
    (
        lambda: backlit.finfo(backlit.int64),
        DtypeError,
        "finfo: backlit.int64 is not a floating dtype; use iinfo for integers.",
    ),
    (
        lambda: backlit.iinfo(backlit.float32),
        DtypeError,
        "iinfo: backlit.float32 is not an integer dtype; use finfo for floats.",
    ),
    (
        lambda: backlit.from_numpy(np.zeros(2, complex)),
        DtypeError,
        (
            "NumPy dtype complex128 is not supported by backlit; keep real and imaginary "
            "parts apart."
        ),
    ),
    (
        lambda: backlit.from_numpy(np.zeros(2, "datetime64[s]")),
        DtypeError,
        (
            "NumPy dtype datetime64[s] is not supported by backlit; convert it to a "
            "supported dtype first, for example with array.astype(np.int64)."
        ),
    ),
    (
        lambda: backlit.set_default_dtype(backlit.int32),
        DtypeError,
        "set_default_dtype: only floating dtypes can be the default, got backlit.int32.",
    ),
    (lambda: len(ones(())), TypeError, "len() of a 0-d tensor"),
    (
        lambda: Backend().build(ones(2)._era, ()),
        BacklitError,
        "no compiler is registered; import backlit, not only backlit.core.",
    ),
    (
        lambda: Backend().move_function([], ones(2)._var, []),
        BacklitError,
        "no compiler is registered; import backlit, not only backlit.core.",
    ),
    (
        lambda: ones(2).add_(ones(3, 2)),
        ShapeError,
        (
            "add_: output with shape [2] doesn't match the broadcast shape [3, 2]; an "
            "in-place op cannot grow its tensor."
        ),
    ),
    (
        lambda: tensor([1, 2]).add_(1.5),
        DtypeError,
        (
            "add_: result type float32 can't be cast to the desired output type int64; use "
            "the out-of-place op, or convert the tensor first."
        ),
    ),
    (
        lambda: leaf(2).add_(1),
        GradientError,
        (
            "add_: a leaf Variable that requires grad is being used in an in-place "
            "operation; wrap the change in `with backlit.no_grad():`."
        ),
    ),
    (
        lambda: leaf(2)[:1].add_(1),
        GradientError,
        (
            "add_: a view of a leaf Variable that requires grad is being used in an in-place "
            "operation; wrap the change in `with backlit.no_grad():`."
        ),
    ),
    (
        lambda: ones(1).expand(3).add_(ones(3)),
        GradientError,
        (
            "add_: unsupported operation: more than one element of the written-to tensor "
            "refers to a single memory location. Please clone() the tensor before performing "
            "the operation."
        ),
    ),
    (
        lambda: writes_in_its_body(ones(2)),
        GradientError,
        "add_: in-place ops are not allowed inside an op's body.",
    ),
    (
        lambda: backlit.exp(ones(2), out=[1.0]),
        TypeError,
        "exp(): argument 'out' must be Tensor, not float.",
    ),
    (
        lambda: backlit.exp(ones(2), out=tensor([1, 2])),
        DtypeError,
        (
            "exp: result type float32 can't be cast to the desired output type int64; give "
            "an `out` tensor of dtype float32."
        ),
    ),
    (
        lambda: backlit.exp(leaf(2), out=ones(2)),
        GradientError,
        (
            "exp(): functions with out=... arguments don't support automatic "
            "differentiation, but one of the arguments requires grad; assign the result "
            "instead."
        ),
    ),
    (
        lambda: backlit.add(ones(2), "two"),
        TypeError,
        "add(): operands must be tensors or numbers, not str.",
    ),
    (
        lambda: ones(2).sum({1}),
        TypeError,
        (
            "sum(): got arguments of types Tensor, set; expected tensors, numbers and tuples "
            "of them."
        ),
    ),
    (
        lambda: backlit.clamp(ones(2), 0, 1, 2),
        TypeError,
        "clamp() takes 3 positional arguments but 4 were given: input, min, max.",
    ),
    (
        lambda: tensor([[1.0]]).unbind(tensor(0)),
        TypeError,
        "unbind(): expected integers, got a tensor; call .item() on it first.",
    ),
    (
        lambda: captures_a_tensor(ones(2)),
        BacklitError,
        (
            "a composite op captured a tensor of shape (2,) (float32) from outside; pass it "
            "as an argument."
        ),
    ),
    (
        lambda: refresh(ones(2)),
        BacklitError,
        "a tensor without value is not a view; this is a bug in backlit.",
    ),
    (
        lambda: PRIMITIVES["add"].shape(ones(2)._var, tensor([1, 2])._var),
        DtypeError,
        "add: operands of different dtypes ['float32', 'int64'].",
    ),
    (
        lambda: elementwise("add", lambda m, x, y: x + y),
        ValueError,
        "primitive 'add' is defined twice",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "call",
    [
        lambda x: backlit.lerp(x, x, 5.0, 1.0),
        lambda x: backlit.clamp(x, 5.0, {1, 2}),
        lambda x: backlit.add(x, 5.0, alpha={1, 2}),
    ],
)
def test_a_refused_call_leaves_no_numbers_behind(call: Callable[[Any], Any]) -> None:
    """Ops recorded after a call that was refused compute with their own numbers."""
    backlit.flush()
    x = backlit.ones(3)
    with pytest.raises(TypeError):
        call(x)
    assert (x * 2 + 3).tolist() == [5.0, 5.0, 5.0]


def test_view_op_that_computes() -> None:
    """A view op whose body is not movement alone is refused, with the value that is not."""
    with pytest.raises(
        BacklitError,
        match=r"^a view op may only move elements, but it contains v\d+: float32\[2\]\.$",
    ):
        adds_in_a_view(ones(2))


def test_program_in_the_wrong_order() -> None:
    """The verifier names the first node that reads a value before it is computed."""
    program = program_of((ones(2) * 3).exp())
    program.nodes.reverse()
    node = program.nodes[0]
    with pytest.raises(VerificationError) as caught:
        program.verify()
    assert str(caught.value) == f"{node!r} uses v{node.args[0].id} before it is defined."


def test_program_that_says_another_dtype_than_its_rule() -> None:
    """The verifier compares each value with what the card's shape rule derives."""
    program = program_of((ones(2) * 3).exp())
    node = program.nodes[-1]
    (out,) = node.outs
    out.dtype = backlit.float64
    with pytest.raises(VerificationError) as caught:
        program.verify()
    assert str(caught.value) == f"{node!r} says {out!r}, its rule says float32[2]."


def test_checks_of_the_program_find_nothing_in_a_right_one() -> None:
    """`verify` accepts what the recording made."""
    program_of((ones(2) * 3).exp()).verify()

"""What differentiation refuses: hooks, functions of the user's, gradient checks, vmap."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit import func, ones, tensor
from backlit.autograd import Function, gradcheck
from backlit.autograd.sweep import Sweep
from backlit.autograd.vmap import _unknown
from backlit.core.tensor import Tensor
from backlit.errors import (
    BacklitError,
    GradcheckError,
    GradientError,
    ShapeError,
)


def leaf(*size: int) -> Tensor:
    return ones(*size).requires_grad_()


def doubles(*values: float) -> Tensor:
    return tensor(values, dtype=backlit.float64, requires_grad=True)


class Doubled(Function):
    """2 x; `answer` is what backward returns."""

    answer: Any = None

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return 2 * x

    @classmethod
    def backward(cls, ctx: Any, g: Any) -> Any:
        return cls.answer(ctx, g)


def answering(answer: Callable[..., Any]) -> type[Function]:
    return type("Doubled", (Doubled,), {"answer": staticmethod(answer)})


def backward_of(answer: Callable[..., Any]) -> None:
    answering(answer).apply(leaf(2)).sum().backward()


def saved_twice() -> None:
    y = answering(lambda ctx, g: 2 * g + 0 * ctx.saved_tensors[0]).apply(leaf(2)).sum()
    y.backward()
    y.backward()


def saved_and_overwritten() -> None:
    x = leaf(2) * 1
    y = answering(lambda ctx, g: 2 * g + 0 * ctx.saved_tensors[0]).apply(x)
    x.mul_(2)
    y.sum().backward()


class Unfinished(Function):
    """Has a forward only."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.factor = 2
        return ctx.factor * x


class ThreeOutputs(Function):
    """x three times; the gradient is wrong where just one upstream gradient is missing."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        return x * 1, x * 1, x * 1

    @staticmethod
    def backward(_ctx: Any, *upstream: Any) -> Any:
        given = [g for g in upstream if g is not None]
        return sum(given) * (2 if len(given) == 2 else 1)


def backward_with_hook(hook: Callable[[Tensor], Any]) -> None:
    y = leaf(2) * 2
    y.register_hook(hook)
    y.sum().backward()


def check_a_backward_that_changes() -> None:
    calls = itertools.count(1)
    changing = answering(lambda ctx, g: 2 * g * (1 + 1e-6 * (next(calls) % 2)))
    gradcheck(changing.apply, doubles(1.0), nondet_tol=0.0)


def example_kept_after_vmap() -> Tensor:
    kept: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x * 2)
        return x

    func.vmap(keep)(ones(2, 3))
    return kept[0]


def vmap_over_a_backward_that_reads_values() -> None:
    reading = answering(lambda ctx, g: 2 * g * float(g.sum() > -1))
    _, pull = func.vjp(reading.apply, leaf(2))
    func.vmap(pull)(ones(3, 2))


def rule_with_an_unknown_name() -> None:
    y = leaf(2) * 2
    Sweep(None, frozenset(), {}).argument(y._var.node, 0, "mystery", {})


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ones(2).register_hook(print),
        GradientError,
        (
            "cannot register a hook on a tensor that doesn't require gradient; set "
            "requires_grad first."
        ),
    ),
    (
        lambda: (leaf(2) * 2).register_post_accumulate_grad_hook(print),
        GradientError,
        ("post accumulate grad hooks cannot be registered on non-leaf tensors; use register_hook."),
    ),
    (
        lambda: ones(2).retain_grad(),
        GradientError,
        "can't retain_grad on Tensor that has requires_grad=False; set requires_grad first.",
    ),
    (
        lambda: backward_with_hook(lambda g: 1.0),
        TypeError,
        "a tensor hook must return a Tensor or None, not float.",
    ),
    (
        lambda: backward_with_hook(lambda g: ones(3)),
        ShapeError,
        (
            "a tensor hook returned a gradient of shape (3,); the gradient it received has "
            "shape (2,)."
        ),
    ),
    (
        lambda: Function.apply(ones(2)),
        NotImplementedError,
        "You must implement the forward function for custom autograd.Function.",
    ),
    (
        lambda: Function.setup_context(None, (), None),
        NotImplementedError,
        "setup_context is not implemented.",
    ),
    (
        lambda: Unfinished.apply(leaf(2)).sum().backward(),
        NotImplementedError,
        (
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        ),
    ),
    (
        lambda: Doubled()(ones(2)),
        GradientError,
        (
            "Legacy autograd function with non-static forward method is deprecated. Please "
            "use new-style autograd function with static forward method: Doubled.apply(...)."
        ),
    ),
    (
        lambda: backward_of(lambda ctx, g: (g, g)),
        GradientError,
        (
            "function Doubled returned an incorrect number of gradients (expected 1, got 2): "
            "backward must return one per input of forward, None where there is none."
        ),
    ),
    (
        lambda: backward_of(lambda ctx, g: 1.0),
        TypeError,
        "function Doubled.backward returned float where a Tensor or None is expected.",
    ),
    (
        lambda: backward_of(lambda ctx, g: ones(3)),
        GradientError,
        (
            "function Doubled returned an invalid gradient at index 0 - got [3] but expected "
            "shape compatible with [2]."
        ),
    ),
    (
        saved_twice,
        GradientError,
        (
            "Trying to backward through the graph a second time, but the saved tensors have "
            "already been freed. Pass retain_graph=True to the first backward()."
        ),
    ),
    (
        saved_and_overwritten,
        GradientError,
        (
            "one of the variables needed for gradient computation has been modified by an "
            "inplace operation: a tensor that Doubled.forward saved is at version 1; "
            "expected version 0. Save a clone() of it."
        ),
    ),
    (
        lambda: gradcheck(answering(lambda ctx, g: 3 * g).apply, doubles(1.0, 2.0)),
        GradcheckError,
        (
            "Jacobian mismatch for output 0 with respect to input 0 (backward "
            "mode),\nnumerical:[[2. 0.]\n [0. 2.]]\nanalytical:[[3. 0.]\n [0. 3.]]\nRows are "
            "elements of the input, columns of the output. The largest disagreement is at "
            "[0, 0]: numerical 2, analytical 3 (atol=1e-05, rtol=0.001)."
        ),
    ),
    (
        lambda: gradcheck(ThreeOutputs.apply, doubles(1.0)),
        GradcheckError,
        (
            "Expected backward function to handle undefined output grads: leaving out the "
            "gradient of output 0 gives [-1.87162397] for checked input 0, but zeros give "
            "[-0.93581198]."
        ),
    ),
    (
        check_a_backward_that_changes,
        GradcheckError,
        (
            "Backward is not reentrant, i.e., running backward with same input and "
            "grad_output multiple times gives different values: they differ by 6.91e-07 for "
            "checked input 0, more than nondet_tol=0.0."
        ),
    ),
    (
        rule_with_an_unknown_name,
        GradientError,
        "mul: gradient rule parameter 'mystery' names nothing that is known.",
    ),
    (
        lambda: example_kept_after_vmap() + 1,
        BacklitError,
        (
            "a tensor of shape (3,) belongs to another vmap that has already ended; return "
            "it instead of keeping it."
        ),
    ),
    (
        lambda: example_kept_after_vmap().tolist(),
        BacklitError,
        (
            "a tensor of shape (3,) belongs to another vmap that has already ended; return "
            "it instead of keeping it."
        ),
    ),
    (
        lambda: _unknown(ones(2)._var),
        GradientError,
        (
            "vmap: v-1: float32[2] belongs to another vmap that has already ended; return it "
            "instead of keeping it."
        ),
    ),
    (
        vmap_over_a_backward_that_reads_values,
        GradientError,
        (
            "vmap: the backward pass runs hooks or functions of the user's, which see one "
            "example only; call it in a loop over the examples instead."
        ),
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_gradient_that_was_broadcast_is_summed() -> None:
    """A backward may return a gradient of a shape that the input broadcasts to."""
    x = leaf(3)
    answering(lambda ctx, g: ones(4, 3)).apply(x).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0, 4.0]


def test_retained_graph_keeps_what_a_function_saved() -> None:
    """With retain_graph=True a second backward reads the saved tensors again."""
    x = leaf(2)
    y = answering(lambda ctx, g: g * ctx.saved_tensors[0]).apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_work_goes_on_after_a_backward_that_vmap_refused() -> None:
    """The recording that a flush inside the refused backward began is the one in progress."""
    with pytest.raises(GradientError):
        vmap_over_a_backward_that_reads_values()
    assert (ones(2) * 2).tolist() == [2.0, 2.0]

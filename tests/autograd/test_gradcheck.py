"""gradcheck finds what is wrong; transforms refuse what they cannot do, each in its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import func
from backlit.autograd import functional, gradcheck, gradgradcheck
from backlit.errors import ArgumentError, BacklitError, GradcheckError, GradientError, ShapeError

X = [0.3, -1.2, 2.0]


def vector(*values: float) -> backlit.Tensor:
    return backlit.tensor(list(values or X), dtype=backlit.float64)


def cubes(x: backlit.Tensor) -> backlit.Tensor:
    return (x * x * x).sum()


def array(t: backlit.Tensor) -> np.ndarray:
    return np.array(t.detach().tolist())


# -- errors ---------------------------------------------------

MESSAGES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: functional.vjp(lambda x: x, vector()),
        ArgumentError,
        (
            "v can only be None if the function returns a single tensor with a single element; "
            "pass "
            "one tensor per "
            "shape [(3,)]."
        ),
    ),
    (
        lambda: functional.vjp(lambda x: x, vector(), vector(1.0)),
        ArgumentError,
        "v has shapes [(1,)], but must have the shapes [(3,)].",
    ),
    (
        lambda: functional.jacobian(lambda x: 3.0, vector()),
        TypeError,
        (
            "jacobian: the value of the function must be a tensor or a tuple of tensors, but entry "
            "0 "
            "is of type float."
        ),
    ),
    (
        lambda: functional.hessian(lambda x: x, vector()),
        ArgumentError,
        (
            "hessian: the function must return a tensor with a single element, got shape (3,); "
            "reduce "
            "it with .sum() or "
            ".mean()."
        ),
    ),
    (
        lambda: functional.jacobian(cubes, vector(), strategy="sideways"),
        ArgumentError,
        "jacobian: strategy must be 'reverse-mode' or 'forward-mode', got 'sideways'.",
    ),
    (
        lambda: functional.jacobian(cubes, vector(), layout="S0"),  # type: ignore[arg-type]
        ArgumentError,
        "jacobian: layout must be 'numerator' or 'denominator', got 'S0'.",
    ),
    (
        lambda: functional.jacobian(cubes, vector(), strict=True, vectorize=True),
        ArgumentError,
        "jacobian: strict=True and vectorize=True cannot be combined; leave one of them out.",
    ),
    (
        lambda: functional.jacobian(lambda x: vector(), vector(), strict=True),
        GradientError,
        (
            "jacobian: output 0 of the function does not depend on the inputs, which strict=True "
            "refuses; pass "
            "strict=False to get zeros."
        ),
    ),
    (
        lambda: functional.jacobian(lambda x, y: x, (vector(), vector()), strict=True),
        GradientError,
        (
            "output 0 of the function does not depend on input 1, which strict=True refuses; pass "
            "strict=False to get "
            "zeros."
        ),
    ),
    (
        lambda: functional.vjp(lambda x, y: x.sum(), (vector(), vector()), strict=True),
        GradientError,
        (
            "the derivative does not depend on input 1, which strict=True refuses; pass "
            "strict=False "
            "to get zeros."
        ),
    ),
    (
        lambda: func.vmap(cubes, randomness="maybe"),
        ArgumentError,
        "vmap: randomness must be one of ('error', 'different', 'same'), got 'maybe'.",
    ),
    (
        lambda: func.vmap(cubes, chunk_size=0),
        ArgumentError,
        "vmap: chunk_size must be None or more than 0, got 0.",
    ),
    (
        lambda: func.vmap(cubes, in_dims=1)(vector()),
        ArgumentError,
        "vmap: in_dims says 1 for a tensor of shape (3,); expected a dimension in [-1, 0].",
    ),
    (
        lambda: func.vmap(lambda x, y: x)(vector(), 3),
        ArgumentError,
        (
            "vmap: in_dims says 0 for an argument of type int; expected an integer for a tensor, "
            "and "
            "None for everything "
            "else."
        ),
    ),
    (
        lambda: func.vmap(cubes, in_dims=None)(vector()),
        ArgumentError,
        (
            "vmap: no argument has a dimension to map over; give in_dims an integer for at least "
            "one "
            "tensor."
        ),
    ),
    (
        lambda: func.vmap(lambda x, y: x)(vector(), vector(1.0)),
        ShapeError,
        (
            "vmap: expected the mapped dimensions to have the same size, got sizes [3, 1] for the "
            "mapped inputs."
        ),
    ),
    (
        lambda: func.vmap(lambda x: 1.0)(vector()),
        ArgumentError,
        "vmap: the function must return tensors only, got a value of type float.",
    ),
    (
        lambda: func.vmap(lambda x: x, out_dims=3)(vector()),
        ArgumentError,
        (
            "vmap: out_dims says 3 for a result with 1 dimensions (the mapped one included); "
            "expected "
            "an integer in "
            "[-1, 0]."
        ),
    ),
    (
        lambda: func.vmap(lambda x, y: x, in_dims=(0, (0, 0)))(vector(), vector()),
        ArgumentError,
        (
            "in_dims (0, 0) does not have the structure of what it describes: *; give one integer "
            "or "
            "None per tensor, or "
            "one for all of them."
        ),
    ),
    (
        lambda: func.vmap(lambda x: x if x > 0 else -x)(vector()),
        BacklitError,
        (
            "vmap: the function looks at the value of a per-example tensor (print, .item(), "
            ".numpy(), "
            "if, or an op whose "
            "result shape depends on data), but that differs from example to example. Use "
            "backlit.where(condition, a, b) "
            "instead of if, and look at values outside of vmap."
        ),
    ),
    (
        lambda: func.grad(cubes, argnums=2)(vector()),
        ArgumentError,
        "grad: argnums=2 does not name one of the 1 positional arguments.",
    ),
    (
        lambda: func.grad(lambda x: x)(vector()),
        ArgumentError,
        (
            "grad: the function must return one tensor without dimensions, got shapes [(3,)]; "
            "reduce "
            "it with .sum() or "
            ".mean(), or use jacrev."
        ),
    ),
    (
        lambda: func.grad(lambda x: x, has_aux=True)(vector()),
        ArgumentError,
        "grad: with has_aux=True the function must return (output, aux).",
    ),
    (
        lambda: func.jacrev(lambda x: 1.0)(vector()),
        ArgumentError,
        (
            "jacrev: the function must return tensors, got a value of type float; use has_aux=True "
            "to "
            "return other things "
            "beside."
        ),
    ),
    (
        lambda: func.grad(lambda x: x)(3.0),
        TypeError,
        (
            "grad: cannot differentiate by a value of type float; pass a tensor, or choose other "
            "argnums."
        ),
    ),
    (
        lambda: func.vjp(lambda x: x, vector())[1](vector(1.0)),
        ArgumentError,
        "vjp: the vector has the structure * and shapes [(1,)], but the outputs have * and [(3,)].",
    ),
    (
        lambda: func.jvp(cubes, vector(), vector()),
        TypeError,
        "jvp: primals and tangents must be tuples with one entry per argument of the function.",
    ),
    (
        lambda: func.jvp(cubes, (vector(),), (vector(1.0),)),
        ArgumentError,
        "jvp: tangents have shapes [(1,)], but the primals have [(3,)]; they must be equal.",
    ),
    (
        lambda: func.jvp(lambda x: vector(), (vector(),), (vector(),), strict=True),
        ArgumentError,
        "jvp: an output does not depend on the primals, which strict=True refuses.",
    ),
    (
        lambda: gradcheck(cubes, (vector(),)),
        ArgumentError,
        (
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have "
            "requires_grad=True."
        ),
    ),
    (
        lambda: gradcheck(cubes, (vector(),), check_backward_ad=False),
        ArgumentError,
        "gradcheck: give check_backward_ad or check_forward_ad; with neither nothing is checked.",
    ),
    (
        lambda: gradcheck(lambda x: x * x.detach(), (vector(2.0).requires_grad_(),)),
        GradcheckError,
        (
            "Jacobian mismatch for output 0 with respect to input 0 (backward mode),\n"
            "numerical:[[4.]]\nanalytical:[[2.]]\n"
            "Rows are elements of the input, columns of the output. The largest disagreement is at "
            "[0, "
            "0]: numerical 4, "
            "analytical 2 (atol=1e-05, rtol=0.001)."
        ),
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), MESSAGES, ids=range(len(MESSAGES)))
def test_messages(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """What is refused, in these words."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_gradcheck_reports_instead_of_raising() -> None:
    """raise_exception=False turns a disagreement into False; forward mode is checked on request."""
    x = vector().requires_grad_()
    assert not gradcheck(lambda x: x * x.detach(), (x,), raise_exception=False)
    assert gradcheck(cubes, (x,), check_forward_ad=True, check_backward_ad=False)
    assert gradgradcheck(lambda x: x * x * x, (x,), grad_outputs=vector(1.0, 2.0, 3.0))


def test_gradcheck_warns_about_float32() -> None:
    """Differences of 1e-6 are round-off in float32."""
    x = backlit.tensor([0.5], requires_grad=True)
    with pytest.warns(
        UserWarning,
        match="gradcheck: input #0 is float32; with eps=1e-06 the check will likely fail",
    ):
        gradcheck(cubes, (x,), raise_exception=False)


class Moody(backlit.autograd.Function):
    """A function whose backward gives another answer each time."""

    calls = 0

    @staticmethod
    def forward(_ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(_ctx: Any, g: Any) -> Any:
        Moody.calls += 1
        return g * (2 + 1e-7 * Moody.calls)


def test_gradcheck_finds_backward_passes_that_vary() -> None:
    """Two passes at the same point must agree within nondet_tol."""
    x = vector(1.0).requires_grad_()
    with pytest.raises(
        GradcheckError, match=r"Backward is not reentrant, i.e., running backward with same input"
    ):
        gradcheck(Moody.apply, (x,))
    assert gradcheck(Moody.apply, (x,), nondet_tol=1e-3)


def test_gradcheck_finds_what_else_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undefined upstream gradients, dtypes and batched passes are compared too."""
    from backlit.autograd import derivative

    x = vector(1.0, 2.0).requires_grad_()
    gradient = derivative.gradient

    def patched(change: Callable[[list[Any], int], list[Any]]) -> None:
        monkeypatch.setattr(
            derivative, "gradient", lambda ys, *rest: change(gradient(ys, *rest), len(ys))
        )

    patched(lambda found, n: [g + n for g in found])
    with pytest.raises(
        GradcheckError, match="Expected backward function to handle undefined output grads: leaving"
    ):
        gradcheck(lambda x: (x * 2, x * 3), (x,))
    patched(lambda found, n: [g.float() for g in found])
    with pytest.raises(GradcheckError) as caught:
        gradcheck(cubes, (x,), check_grad_dtypes=True)
    assert str(caught.value) == (
        "the gradient of checked input 0 is float32[2], but the input is float64[2]."
    )
    patched(lambda found, n: [g + 1 for g in found])
    with pytest.raises(
        GradcheckError,
        match=r"(?s)the batched backward pass of checked input 0 gives .*one pass per row",
    ):
        gradcheck(cubes, (x,), check_batched_grad=True)

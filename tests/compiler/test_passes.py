"""Passes: fewer nodes, or cheaper ones, that compute the same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit.compiler.passes import simplify
from backlit.compiler.source import Runner
from backlit.core.program import Program, extract
from backlit.core.tensor import Tensor
from tests.recording import recorded

Function = Callable[..., Any]


def names(program: Program) -> list[str]:
    return [node.primitive.name for node in program.nodes]


def simplified(function: Function, *arrays: Any) -> list[str]:
    """Names of the nodes left by the passes, after a check that the values are the same."""
    program, inputs, scalars = recorded(function, *arrays)
    expected = [np.array(a) for a in Runner(program)(inputs, scalars)]
    simplify(program)
    program.verify()
    found = Runner(program)(inputs, scalars)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    return names(program)


X = np.arange(6.0).reshape(2, 3)
Y = np.arange(12.0).reshape(3, 4)


def test_identities_disappear() -> None:
    """Reshapes to the same shape, expansions to the same shape and `detach` pass values on."""

    def same(x: Tensor) -> Tensor:
        return x.exp().detach().reshape(2, 3).expand(2, 3) * 2.0

    assert names(recorded(same, X)[0]) != ["exp", "mul"]
    assert simplified(same, X) == ["exp", "mul"]


def test_two_transposes_cancel() -> None:
    """(xᵀ)ᵀ is x."""
    assert simplified(lambda x: x.exp().t().t() * 2.0, X) == ["exp", "mul"]


def test_the_same_node_twice_is_computed_once() -> None:
    """Equal nodes of equal operands share one value; different attributes keep them apart."""
    assert simplified(lambda x: x.exp() * x.exp(), X) == ["exp", "mul"]
    assert simplified(lambda x: (x.sum(0), x.sum(1)), X) == ["sum", "sum"]


def test_the_same_number_in_two_dtypes_is_two_constants() -> None:
    """float32 1 and float64 1 are different operands."""
    both = simplified(
        lambda x: (x.to(backlit.float32).sigmoid(), x.sigmoid().to(backlit.float32)), X
    )
    assert both.count("sigmoid") == 2


def test_expansions_that_broadcasting_does_anyway() -> None:
    """x + expand(y) reads y itself."""
    assert simplified(lambda x, y: x + y.exp().expand(2, 3), X, X[0]) == ["exp", "add"]


def test_functions_of_an_expansion_are_computed_before_it() -> None:
    """f(expand(x)) becomes expand(f(x))."""

    def spread(x: Tensor) -> Tensor:
        return x.exp().expand(100, 3).tanh()

    program, *_ = recorded(spread, X[:1])
    assert names(program) == ["exp", "expand", "tanh"]
    assert simplified(spread, X[:1]) == ["exp", "tanh", "expand"]
    simplify(program)
    assert tuple(program.nodes[1].outs[0].shape) == (1, 3)


def test_an_expansion_read_as_it_is_stays() -> None:
    """Where the expanded value itself is wanted, it is still made."""

    def both(x: Tensor) -> Any:
        wide = x.exp().expand(100, 3)
        return wide, wide * 2.0

    assert sorted(simplified(both, X[:1])) == ["exp", "expand", "expand", "mul"]


def test_transposed_product_becomes_a_product_of_transposes() -> None:
    """(x y)ᵀ = yᵀ xᵀ, whose factors are read in place."""
    assert simplified(lambda x, y: (x @ y).t(), X, Y) == ["permute", "permute", "matmul"]


def test_product_read_twice_is_not_transposed() -> None:
    """A product that is also wanted as it is stays as it is."""

    def both(x: Tensor, y: Tensor) -> Any:
        product = x @ y
        return product, product.t()

    assert simplified(both, X, Y) == ["matmul", "permute"]


def test_arithmetic_on_constants_is_done_at_once() -> None:
    """A 0-d result of constants is a constant, in the dtype that the program declares."""
    x = backlit.ones(3, requires_grad=True)
    backlit.flush()
    loss = (x * 2.0).mean()
    (g,) = backlit.autograd.grad(loss, [x])
    assert g._era is not None
    program = extract(g._era.here, (g._var.id,))
    before = names(program)
    simplify(program)
    assert len(names(program)) < len(before)
    assert g.tolist() == pytest.approx([2 / 3] * 3)


def test_a_wrong_pass_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that takes different nodes for the same one changes values."""
    from backlit.compiler import passes

    monkeypatch.setattr(passes, "_frozen", lambda attrs: None)
    with pytest.raises(AssertionError):
        simplified(lambda x: x.sum(0, keepdim=True) + x.sum(1, keepdim=True), X[:, :2])


def test_passes_keep_the_gradient_of_a_network() -> None:
    """A training step gives bit for bit the same gradients with and without the passes."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((5, 4), (3, 4), (3,), (5, 3))]

    def step(*tensors: Tensor) -> Any:
        x, w, b, y = tensors
        w, b = w.requires_grad_(), b.requires_grad_()
        loss = ((x @ w.t() + b).tanh() - y).square().mean()
        return (loss, *backlit.autograd.grad(loss, [w, b]))

    program, *_ = recorded(step, *arrays)
    assert len(simplified(step, *arrays)) < len(names(program))

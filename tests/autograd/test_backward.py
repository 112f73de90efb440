"""Backward and grad: what accumulates, what is freed, what is refused, and in which words."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit.core.position import trie
from backlit.errors import GradientError

HERE = Path(__file__).name


def leaf(*values: float) -> backlit.Tensor:
    return backlit.tensor(list(values), dtype=backlit.float64, requires_grad=True)


def test_gradients_accumulate_in_leaves() -> None:
    """Each backward adds to ``.grad``; setting it to None starts afresh."""
    x = leaf(2.0, 3.0)
    (x * x).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [8.0, 12.0]
    x.grad = None
    (3 * x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_tensor_used_many_times_collects_every_use() -> None:
    """Copies add up: d(x·x·x + x)/dx = 3x² + 1."""
    x = leaf(2.0)
    (x * x * x + x).sum().backward()
    assert x.grad.tolist() == [13.0]


def test_upstream_gradient() -> None:
    """``backward(gradient)`` multiplies by it, and it must have the tensor's shape."""
    x = leaf(1.0, 2.0)
    (x * x).backward(backlit.tensor([10.0, 100.0], dtype=backlit.float64))
    assert x.grad.tolist() == [20.0, 400.0]
    with pytest.raises(GradientError) as caught:
        (x * x).backward(backlit.tensor([1.0]))
    assert str(caught.value) == (
        "Mismatch in shape: the gradient has shape (1,) and the tensor (2,); they must be equal."
    )


def test_only_scalars_have_an_implicit_gradient() -> None:
    """The derivative of several numbers needs to be told how to weigh them."""
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError) as caught:
        (x * x).backward()
    assert str(caught.value) == (
        "grad can be implicitly created only for scalar outputs, but got shape (2,); "
        "pass gradient= (a tensor of that shape), or reduce the output with .sum() or .mean()."
    )


def test_without_history_there_is_nothing_to_differentiate() -> None:
    """A result of tensors that need no gradient cannot be differentiated."""
    with pytest.raises(GradientError) as caught:
        backlit.tensor([1.0]).sum().backward()
    assert str(caught.value) == (
        "element 0 of tensors does not require grad and does not have a grad_fn: nothing that it "
        "was computed "
        "from has requires_grad=True; set it on a leaf, or check for detach() and no_grad()."
    )


FREED = (
    "Trying to backward through the graph a second time, but the saved intermediate values have "
    "already been "
    "freed. Pass retain_graph=True to the first backward() or grad() if you need to go through it "
    "again."
)


@pytest.mark.parametrize("look", [False, True], ids=["pending", "realized"])
def test_a_second_backward_needs_retain_graph(look: bool) -> None:
    """Saved values are freed by the first pass unless it retains them."""
    x = leaf(1.0, 2.0)
    y = x.exp().sum()
    if look:
        y.item()
    y.backward()
    with pytest.raises(GradientError) as caught:
        y.backward()
    assert str(caught.value) == FREED
    z = x.exp().sum()
    if look:
        z.item()
    z.backward(retain_graph=True)
    z.backward()
    np.testing.assert_allclose(x.grad.tolist(), 3 * np.exp([1.0, 2.0]))


def test_what_saves_nothing_can_be_walked_twice() -> None:
    """A sum has nothing to free, so a second backward is allowed, as in PyTorch."""
    x = leaf(1.0, 2.0)
    y = x.sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_backward_into_chosen_inputs_only() -> None:
    """``inputs=`` limits which tensors receive gradients, intermediates included."""
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    (h * h).sum().backward(inputs=[w, h])
    assert x.grad is None
    assert w.grad.tolist() == [24.0]
    assert h.grad.tolist() == [12.0]


def test_grad_returns_and_leaves_grad_alone() -> None:
    """`grad` gives the gradients of any tensors and touches no ``.grad``."""
    x = leaf(2.0)
    h = x * x
    y = (h * x).sum()
    dh, dx = backlit.autograd.grad(y, [h, x])
    assert (dh.tolist(), dx.tolist()) == ([2.0], [12.0])
    assert x.grad is None


def test_unused_inputs() -> None:
    """What was not used has no gradient: an error, None, or zeros."""
    x, unused = leaf(2.0), leaf(1.0, 1.0)
    with pytest.raises(GradientError) as caught:
        backlit.autograd.grad((x * x).sum(), [x, unused])
    assert str(caught.value) == (
        "One of the differentiated Tensors appears to not have been used in the graph. Set "
        "allow_unused=True if "
        "this is the desired behavior."
    )
    assert backlit.autograd.grad((x * x).sum(), [x, unused], allow_unused=True)[1] is None
    zeros = backlit.autograd.grad((x * x).sum(), [x, unused], materialize_grads=True)[1]
    assert zeros.tolist() == [0.0, 0.0]


def test_grad_of_a_tensor_that_needs_none() -> None:
    """Asking for the gradient of a constant is an error."""
    with pytest.raises(GradientError) as caught:
        backlit.autograd.grad(leaf(1.0).sum(), [backlit.tensor(1.0)])
    assert str(caught.value) == (
        "One of the differentiated Tensors does not require grad; set requires_grad on it."
    )


def test_higher_derivatives() -> None:
    """create_graph makes gradients differentiable: x⁴ → 4x³ → 12x² → 24x."""
    x = leaf(2.0)
    y = (x * x * x * x).sum()
    expected = [32.0, 48.0, 48.0, 24.0]
    for value in expected:
        (g,) = backlit.autograd.grad(y, [x], create_graph=True)
        assert g.tolist() == [value]
        y = g.sum()


@pytest.mark.parametrize("look", [False, True], ids=["pending", "realized"])
def test_double_backward_through_grad(look: bool) -> None:
    """backward(create_graph=True) leaves a ``.grad`` that has history."""
    x = leaf(1.5)
    (x * x * x).sum().backward(create_graph=True)
    g = x.grad
    if look:
        g.tolist()
    (h,) = backlit.autograd.grad(g.sum(), [x])
    assert h.tolist() == [9.0]


def test_batched_upstream_gradients() -> None:
    """is_grads_batched runs one backward pass for many upstream gradients: here all rows of J."""
    x = leaf(1.0, 2.0, 3.0)
    y = x * x * x
    rows = backlit.tensor(np.eye(3))
    (j,) = backlit.autograd.grad(y, [x], rows, is_grads_batched=True)
    np.testing.assert_allclose(j.tolist(), np.diag([3.0, 12.0, 27.0]))


INPLACE = (
    "one of the variables needed for gradient computation has been modified by an inplace "
    "operation: "
    "exp at {file}:{saved} saved a float64 tensor of shape (2,) that mul_ at {file}:{changed} "
    "overwrote. "
    "Use the out-of-place op there, or clone() first."
)


@pytest.mark.parametrize("look", [False, True], ids=["pending", "realized"])
def test_overwriting_a_saved_value_names_both_lines(look: bool) -> None:
    """exp saves its output; overwriting that is refused at backward, with both places.

    A recording that is recognised names the lines where it was first met, hence the empty trie.
    """
    trie.clear()
    backlit.flush()
    x = leaf(1.0, 2.0)
    y = x.exp()
    saved = _line() - 1
    if look:
        y.tolist()
    z = y.sum()
    y.mul_(2.0)
    changed = _line() - 1
    with pytest.raises(GradientError) as caught:
        z.backward()
    assert str(caught.value) == INPLACE.format(file=__file__, saved=saved, changed=changed)


def _line() -> int:
    import sys

    return sys._getframe(1).f_lineno


def test_overwriting_what_is_not_saved_is_fine() -> None:
    """add saves nothing, so its output may change before backward."""
    x = leaf(1.0, 2.0)
    y = x + 1
    z = y.sum()
    y.mul_(2.0)
    z.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_gradients_flow_through_in_place_changes() -> None:
    """y = x·3, then y *= x: d/dx 3x² = 6x."""
    x = leaf(1.0, 2.0)
    y = x * 3
    y.mul_(x)
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_leaves_refuse_in_place_changes_while_recording() -> None:
    """A leaf that requires grad may only change under no_grad."""
    x = leaf(1.0)
    with pytest.raises(GradientError, match="a leaf Variable that requires grad is being used"):
        x.mul_(2.0)
    with backlit.no_grad():
        x.mul_(2.0)
    assert x.tolist() == [2.0]
    assert x.is_leaf
    assert x.requires_grad


@pytest.mark.parametrize("mode", [contextlib.nullcontext, backlit.eager])
@pytest.mark.parametrize("tracked", [False, True])
def test_writing_to_a_detached_view_passes_on_no_history(mode: Any, tracked: bool) -> None:
    """What shares the memory gets the values and keeps its own history, or none, as in PyTorch."""
    with mode():
        a, c = leaf(1.0, 2.0), leaf(3.0, 4.0)
        b = c * 2 if tracked else backlit.zeros(2, dtype=c.dtype)
        d = b.detach()
        d.add_(a)
        assert d.requires_grad
        assert b.requires_grad is tracked
        assert b.tolist() == d.tolist() == ([7.0, 10.0] if tracked else [1.0, 2.0])
        (d.sum() + b.sum()).backward()
        assert a.grad is not None
        assert a.grad.tolist() == [1.0, 1.0]
        assert (None if c.grad is None else c.grad.tolist()) == ([2.0, 2.0] if tracked else None)


def test_detach_and_no_grad_stop_gradients() -> None:
    """Neither a detached tensor nor one made under no_grad passes gradients on."""
    x = leaf(3.0)
    with backlit.no_grad():
        constant = x * x
    assert not constant.requires_grad
    (x * constant + x * x.detach()).sum().backward()
    assert x.grad.tolist() == [12.0]


def test_tensors_cross_threads() -> None:
    """A pending tensor, with its history, can be used and differentiated in another thread."""
    x = leaf(1.0, 2.0)
    y = (x * x).exp()
    found = []

    def work() -> None:
        z = (y * 2).sum()
        found.append(backlit.autograd.grad(z, [x])[0].tolist())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    values = np.array([1.0, 2.0])
    np.testing.assert_allclose(found[0], 4 * values * np.exp(values**2))
    np.testing.assert_allclose(y.tolist(), np.exp(values**2))


def test_threads_record_independently() -> None:
    """Many threads that differentiate the same parameters do not disturb each other."""
    w = leaf(1.0, 2.0, 3.0)
    found: dict[int, list[float]] = {}

    def work(n: int) -> None:
        for _ in range(20):
            (g,) = backlit.autograd.grad((w * w * n).sum(), [w])
            found[n] = g.tolist()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [2.0 * n, 4.0 * n, 6.0 * n] for n in range(4)}


def test_zero_times_infinity() -> None:
    """A masked-out branch gives NaN as in PyTorch, and 0 with the flag zero_upstream."""
    x = leaf(0.0, 4.0)

    def masked() -> list[float]:
        y = backlit.where(x > 0, x.sqrt(), 0.0)
        return backlit.autograd.grad(y.sum(), [x])[0].tolist()

    assert str(masked()) == "[nan, 0.25]"
    with backlit.config.flags(zero_upstream=True):
        assert masked() == [0.0, 0.25]


def test_gradients_have_history_in_eager_mode_too() -> None:
    """With create_graph a gradient is no leaf, also where it passed through several recordings."""
    with backlit.eager():
        x = leaf(0.5)
        h = x.tanh()
        (g,) = backlit.autograd.grad(h.tanh().sum(), [h], create_graph=True)
        assert not g.is_leaf
        (second,) = backlit.autograd.grad(g.sum(), [x])
    t, d = np.tanh(np.tanh(0.5)), 1 - np.tanh(0.5) ** 2
    np.testing.assert_allclose(second.tolist(), [-2 * t * (1 - t**2) * d])


def test_eager_mode_sees_overwritten_values() -> None:
    """A saved input that changed before backward is refused, recorded or not."""
    with backlit.eager():
        x = leaf(1.0, 2.0)
        y = (x * x).sum()
        with backlit.no_grad():
            x.mul_(2.0)
        with pytest.raises(GradientError, match="modified by an inplace operation: mul at"):
            y.backward()


@pytest.mark.parametrize("mode", [contextlib.nullcontext, backlit.eager])
def test_overwritten_leaf_of_an_earlier_recording(mode: Any) -> None:
    """A leaf that was computed, saved, flushed and then overwritten raises, lazily and eagerly."""
    with mode():
        a = backlit.ones(3).clone().requires_grad_()
        e = (a**2).sum()
        backlit.flush()
        with backlit.no_grad():
            a -= 1
        with pytest.raises(backlit.errors.GradientError, match="modified by an inplace operation"):
            e.backward()


@pytest.mark.parametrize("mode", [contextlib.nullcontext, backlit.eager])
def test_overwritten_base_of_a_saved_view(mode: Any) -> None:
    """Writing to the base overwrites what was saved of its views."""
    with mode():
        a = backlit.ones(2, 3).requires_grad_()
        b = a.transpose(0, 1)
        e = (b * b).sum()
        backlit.flush()
        with backlit.no_grad():
            a *= 0
        with pytest.raises(backlit.errors.GradientError, match="modified by an inplace operation"):
            e.backward()


@pytest.mark.parametrize("mode", [contextlib.nullcontext, backlit.eager])
def test_history_before_what_is_wanted_is_not_needed(mode: Any) -> None:
    """The walk ends at what is wanted, however many recordings led there: what was overwritten
    before it does not matter, and can still be wanted later."""
    with mode():
        a = leaf(0.0, 0.5)
        b = a * 2
        backlit.flush()
        c = b.exp()
        backlit.flush()
        d = c * 3
        backlit.flush()
        with backlit.no_grad():
            c.zero_()
        e = d.sum()
        (g,) = backlit.autograd.grad(e, [d], retain_graph=True)
        assert g.tolist() == [1.0, 1.0]
        with pytest.raises(GradientError, match="modified by an inplace operation: exp at"):
            backlit.autograd.grad(e, [a])


def test_gradient_mode_survives_a_failing_flush() -> None:
    """An error in what `no_grad` computes at its end leaves gradients switched on."""
    scores, w = backlit.ones(1, 2), backlit.ones(2, requires_grad=True)
    with pytest.raises(IndexError), backlit.no_grad():
        w.copy_(backlit.nn.functional.nll_loss(scores, backlit.tensor([5])).expand(2))
    assert backlit.is_grad_enabled()

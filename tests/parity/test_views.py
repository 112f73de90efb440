"""Views behave as PyTorch's: values, strides, sharing, and gradients through chains of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

Change = Callable[[Any], Any]

VIEWS: dict[str, Change] = {
    "transpose": lambda x: x.transpose(0, -1),
    "permute": lambda x: x.permute(*range(1, x.dim()), 0),
    "first": lambda x: x[0],
    "last_column": lambda x: x[..., -1],
    "rows": lambda x: x[1:],
    "every_second": lambda x: x[..., ::2],
    "narrow": lambda x: x.narrow(0, 1, 1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x.squeeze(),
    "expand": lambda x: x.unsqueeze(0).expand(2, *x.shape),
    "diagonal": lambda x: x.diagonal(0, 0, -1),
    "upper_diagonal": lambda x: x.diagonal(1, 0, -1),
    "unfold": lambda x: x.unfold(-1, 2, 1),
    "flatten": lambda x: x.flatten(),
    "reshape": lambda x: x.reshape(2, -1),
    "view": lambda x: x.view(-1),
    "split": lambda x: x.split(1)[-1],
    "chunk": lambda x: x.chunk(2, -1)[0],
    "unbind": lambda x: x.unbind(0)[1],
    "movedim": lambda x: x.movedim(0, -1),
    "alias": lambda x: x[:],
    "detach": lambda x: x.detach(),
    "as_strided": lambda x: x.as_strided((2, 2), (2, 1), 1),
}
OVERLAPPING = {"unfold", "expand"}
SHAPE = (4, 2, 6)
DATA = np.random.default_rng(1).normal(size=SHAPE)
CHAINS = [*itertools.product(VIEWS, repeat=1), *itertools.product(VIEWS, repeat=2)]


def follow(x: Any, chain: tuple[str, ...]) -> Any:
    """``x`` through the chain of views, or None where one of them is refused."""
    try:
        for name in chain:
            x = VIEWS[name](x)
    except (RuntimeError, IndexError, ValueError):
        return None
    return x


@pytest.mark.parametrize("pending", [False, True], ids=["realized", "pending"])
def test_values_strides_and_refusals_agree(pending: bool) -> None:
    """Each chain of views has PyTorch's values, strides and offset, or is refused as PyTorch's."""
    for chain in CHAINS:
        x = backlit.tensor(DATA) * 1.0 if pending else backlit.tensor(DATA)
        found, expected = follow(x, chain), follow(torch.tensor(DATA), chain)
        assert (found is None) == (expected is None), chain
        if expected is None:
            continue
        assert tuple(found.shape) == tuple(expected.shape), chain
        if expected.numel() and "reshape" not in chain and "flatten" not in chain:
            strides = zip(found.stride(), expected.stride(), expected.shape, strict=True)
            assert all(s == e for s, e, n in strides if n > 1), chain
            assert found.storage_offset() == expected.storage_offset(), chain
            assert found.is_contiguous() == expected.is_contiguous(), chain
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=str(chain))


@pytest.mark.parametrize("pending", [False, True], ids=["realized", "pending"])
def test_writes_are_seen_both_ways(pending: bool) -> None:
    """Writing through a view changes base and sibling; writing to the base changes the view."""
    for chain in CHAINS:
        results = []
        for module in (backlit, torch):
            base = module.tensor(DATA) * 1.0 if pending else module.tensor(DATA)
            view, sibling = follow(base, chain), base[1:, :, 1:]
            if view is None:
                break
            try:
                view.mul_(-2.0)
            except RuntimeError:
                results.append("refused")
                continue
            after_view = [t.clone() for t in (base, view, sibling)]
            base.add_(1.0)
            after_base = [t.clone() for t in (base, view, sibling)]
            sibling[0] = 5.0
            results.append([t.numpy() for t in (*after_view, *after_base, base, view, sibling)])
        if "refused" in results:
            # PyTorch notices only some views that show an element twice; here all are refused.
            assert results == ["refused", "refused"] or set(chain) & OVERLAPPING, chain
            continue
        if len(results) == 2:
            for found, expected in zip(*results, strict=True):
                np.testing.assert_array_equal(found, expected, err_msg=str(chain))


def test_gradients_agree() -> None:
    """The gradient through each chain of views is PyTorch's.

    Not that of `as_strided` after another view, which PyTorch gives to the elements of that view
    only, even where the strided view shows others.
    """
    for chain in CHAINS:
        if "detach" in chain or "as_strided" in chain[1:]:
            continue
        x = backlit.tensor(DATA, requires_grad=True)
        y = torch.tensor(DATA, requires_grad=True)
        expected = follow(y, chain)
        if expected is None:
            continue
        weights = np.arange(1.0, expected.numel() + 1).reshape(expected.shape)
        (expected * torch.tensor(weights)).sum().backward()
        (follow(x, chain) * backlit.tensor(weights)).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), err_msg=str(chain))


def test_gradients_through_written_views_agree() -> None:
    """Writing through a view of an intermediate value leaves correct gradients everywhere."""
    for chain in CHAINS:
        if "detach" in chain or "as_strided" in chain[1:] or set(chain) & OVERLAPPING:
            continue
        results = []
        for module in (backlit, torch):
            x = module.tensor(DATA, requires_grad=True)
            w = module.tensor(2.0, dtype=module.float64, requires_grad=True)
            base = x * 1.0
            view = follow(base, chain)
            if view is None:
                break
            try:
                view.mul_(2.0).add_(w)
            except RuntimeError:
                break
            (base * base).sum().backward()
            results.append([None if g is None else g.numpy() for g in (x.grad, w.grad)])
        if len(results) == 2:
            for found, expected in zip(*results, strict=True):
                assert (found is None) == (expected is None), chain
                if found is not None:
                    np.testing.assert_allclose(found, expected, err_msg=str(chain))


def test_view_refuses_scattered_memory_with_the_full_message() -> None:
    """`view` names size, stride and the op to use instead."""
    with pytest.raises(RuntimeError) as error:
        backlit.zeros(2, 3).t().view(6)
    assert str(error.value) == (
        "view: view size is not compatible with input tensor's size [3, 2] and stride [1, 3] (at "
        "least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
    )


def test_reshape_copies_where_it_must() -> None:
    """`reshape` of scattered memory does not share it; of contiguous memory it does."""
    for module in (backlit, torch):
        x = module.zeros(2, 3)
        x.t().reshape(6).add_(1.0)
        assert x.sum().item() == 0.0
        x.reshape(6).add_(1.0)
        assert x.sum().item() == 6.0


def test_memory_is_shared_with_numpy() -> None:
    """Views of a NumPy array's tensor write to that array, and see what NumPy code writes."""
    array = np.zeros((2, 3))
    x = backlit.from_numpy(array)
    row = x.t()[1]
    row += 1.0
    assert array[:, 1].tolist() == [1.0, 1.0]
    array[0, 1] = 7.0
    assert row.tolist() == [7.0, 1.0]
    assert (x + 0.0)[0, 1].item() == 7.0


@pytest.mark.parametrize("op", ["t_", "transpose_", "squeeze_", "unsqueeze_", "swapaxes_"])
def test_inplace_restructuring_agrees(op: str) -> None:
    """``t_`` and the like change the tensor's shape; earlier views keep showing the same memory."""
    arguments = {"transpose_": (0, 1), "swapaxes_": (0, 1), "unsqueeze_": (1,)}.get(op, ())
    shape = (1, 3) if op == "squeeze_" else (2, 3)
    results = []
    for module in (backlit, torch):
        x = module.arange(float(np.prod(shape))).reshape(shape) * 1.0
        row = x[0]
        getattr(x, op)(*arguments)
        x.mul_(3.0)
        row.add_(1.0)
        results.append((x.numpy(), row.numpy()))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)

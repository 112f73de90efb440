"""In-place ops write what PyTorch writes: into tensors, into views, and with its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

DATA = np.random.default_rng(2).normal(size=(4, 3))
Write = Callable[[Any, Any, Any], Any]  # library, target of shape (3, 4), differentiable source


def index(m: Any) -> Any:
    return m.tensor([2, 0])


def places(m: Any) -> Any:
    return m.tensor([[2, 0, 1, 1], [0, 1, 2, 2]])


def mask(m: Any) -> Any:
    return m.tensor(np.arange(12).reshape(3, 4) % 3 == 0)


WRITES: dict[str, Write] = {
    "fill_": lambda m, x, s: x.fill_(s.sum()),
    "zero_": lambda m, x, s: x.zero_(),
    "copy_": lambda m, x, s: x.copy_(s),
    "copy_broadcast": lambda m, x, s: x.copy_(s[0]),
    "add_": lambda m, x, s: x.add_(s),
    "masked_fill_": lambda m, x, s: x.masked_fill_(mask(m), 7.0),
    "masked_fill_tensor": lambda m, x, s: x.masked_fill_(mask(m), s.sum()),
    "masked_scatter_": lambda m, x, s: x.masked_scatter_(mask(m), s),
    "index_add_": lambda m, x, s: x.index_add_(0, index(m), s[:2], alpha=2.0),
    "index_copy_": lambda m, x, s: x.index_copy_(0, index(m), s[:2]),
    "index_fill_": lambda m, x, s: x.index_fill_(1, index(m), 3.0),
    "index_put_": lambda m, x, s: x.index_put_((index(m),), s[:2]),
    "index_put_add": lambda m, x, s: x.index_put_((index(m) * 0,), s[:2], accumulate=True),
    "scatter_": lambda m, x, s: x.scatter_(0, places(m)[:1], s[:1]),
    "scatter_value": lambda m, x, s: x.scatter_(0, places(m), 5.0),
    "scatter_add_": lambda m, x, s: x.scatter_add_(0, places(m), s[:2]),
    "scatter_reduce_": lambda m, x, s: x.scatter_reduce_(0, places(m), s[:2], "amax"),
    "put_": lambda m, x, s: x.put_(m.tensor([0, 5, -1]), s[0, :3]),
    "tril_": lambda m, x, s: x.tril_(),
    "triu_": lambda m, x, s: x.triu_(1),
    "setitem": lambda m, x, s: x.__setitem__((slice(None), 1), s[:, 0]),
    "setitem_mask": lambda m, x, s: x.__setitem__(mask(m), 9.0),
    "row_by_row": lambda m, x, s: [x[i].copy_(s[i]) for i in range(3)],
}


def results(module: Any, name: str, *, transposed: bool) -> list[Any]:
    """Base, written tensor, and gradients of the base's origin and of the source."""
    origin = module.tensor(DATA, requires_grad=True)
    source = module.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    base = origin * 2.0
    target = base.t() if transposed else base.reshape(3, 4)
    WRITES[name](module, target, source * 1.5)
    (base * base).sum().backward()
    gradients = [module.zeros(1) if g is None else g for g in (origin.grad, source.grad)]
    return [t.detach().numpy() for t in (base, target, *gradients)]


@pytest.mark.parametrize("transposed", [False, True], ids=["reshaped", "transposed"])
@pytest.mark.parametrize("name", WRITES)
def test_write_through_a_view_agrees(name: str, transposed: bool) -> None:
    """The base, the view, and all gradients are PyTorch's after a write through a view.

    A tensor whose values were all overwritten gets no gradient here where PyTorch gives zeros.
    """
    found = results(backlit, name, transposed=transposed)
    expected = results(torch, name, transposed=transposed)
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f + np.zeros(e.shape), e, rtol=1e-12)


@pytest.mark.parametrize("name", WRITES)
def test_leaves_are_protected(name: str) -> None:
    """Writing into a leaf that requires grad, or a view of one, is refused, as in PyTorch."""
    for module in (backlit, torch):
        source = module.ones(3, 4, dtype=module.float64)
        for change in (lambda x: x, lambda x: x[:]):
            leaf = module.ones(3, 4, dtype=module.float64, requires_grad=True)
            with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
                WRITES[name](module, change(leaf), source)


@pytest.mark.parametrize("name", WRITES)
def test_writing_without_gradients_agrees(name: str) -> None:
    """Realized tensors without gradients are written alike, and keep their identity and memory."""
    found = []
    for module in (backlit, torch):
        array = np.ascontiguousarray(DATA.T)
        x = module.from_numpy(array)
        WRITES[name](module, x, module.tensor(np.arange(12.0).reshape(3, 4)))
        assert np.shares_memory(x.numpy(), array)
        found.append(array)
    np.testing.assert_array_equal(*found)

"""``x[key]`` and ``x[key] = value`` agree with PyTorch for every kind of key."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

Key = tuple[Any, ...]
SHAPE = (3, 4, 2)


def part_kinds(n: int) -> list[Any]:
    """One example of each kind of index part that fits a dimension of size ``n``."""
    return [
        0,
        -1,
        slice(None),
        slice(1, None),
        slice(-2, None),
        slice(0, n, 2),
        slice(2, 1),
        None,
        Ellipsis,
        [n - 1, 0],
        np.array([0, -1, 1]),
        np.array([[0], [1]]),
        np.arange(n) % 2 == 0,
    ]


def keys() -> list[Key]:
    """All single parts, all pairs, and triples of the kinds that interact."""
    found: list[Key] = [(part,) for part in part_kinds(SHAPE[0])]
    found += [
        key
        for key in itertools.product(part_kinds(SHAPE[0]), part_kinds(SHAPE[1]))
        if sum(part is Ellipsis for part in key) < 2
    ]
    few = [0, slice(1, None), None, Ellipsis, np.array([1, 0]), np.array([[0], [1]])]
    found += [
        key for key in itertools.product(few, repeat=3) if sum(part is Ellipsis for part in key) < 2
    ]
    found += [(np.ones((3, 4), bool),), (slice(None), np.ones((4, 2), bool)), (True,), (False, 0)]
    return found


def converted(key: Key, module: Any) -> Key:
    """``key`` with its arrays as tensors of ``module``."""
    return tuple(module.tensor(part) if isinstance(part, np.ndarray) else part for part in key)


def reachable(key: Key) -> bool:
    """Whether PyTorch accepts the key for a tensor of shape `SHAPE`."""
    try:
        torch.zeros(SHAPE)[converted(key, torch)]
    except IndexError:
        return False
    return True


KEYS = [key for key in keys() if reachable(key)]
DATA = np.random.default_rng(0).normal(size=SHAPE)


@pytest.mark.parametrize("pending", [False, True], ids=["realized", "pending"])
def test_reading_agrees(pending: bool) -> None:
    """The values and shape of ``x[key]`` are PyTorch's, from realized and pending tensors."""
    assert len(KEYS) > 250
    for key in KEYS:
        x = backlit.tensor(DATA) * 1.0 if pending else backlit.tensor(DATA)
        found = x[converted(key, backlit)]
        expected = torch.tensor(DATA)[converted(key, torch)]
        assert tuple(found.shape) == tuple(expected.shape), key
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=str(key))


def test_gradients_of_reading_agree() -> None:
    """The gradient of ``(x[key] * w).sum()`` is PyTorch's: repeated elements add up."""
    for key in KEYS:
        x = backlit.tensor(DATA, requires_grad=True)
        y = torch.tensor(DATA, requires_grad=True)
        expected = y[converted(key, torch)]
        if expected.numel() == 0:
            continue
        weights = np.arange(1.0, expected.numel() + 1).reshape(expected.shape)
        (expected * torch.tensor(weights)).sum().backward()
        (x[converted(key, backlit)] * backlit.tensor(weights)).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), err_msg=str(key))


def distinct(key: Key) -> bool:
    """Whether the key names no element twice (otherwise the result of a write is not defined)."""
    places = torch.arange(int(np.prod(SHAPE))).reshape(SHAPE)[converted(key, torch)]
    return len(places.unique()) == places.numel()


@pytest.mark.parametrize("value", ["number", "tensor", "broadcast"])
def test_writing_agrees(value: str) -> None:
    """``x[key] = value`` leaves the tensor, its base and another view as PyTorch does."""
    for key in filter(distinct, KEYS):
        shape = tuple(torch.zeros(SHAPE)[converted(key, torch)].shape)
        new = {
            "number": np.float64(7.0),
            "tensor": np.arange(np.prod(shape, dtype=int)).reshape(shape) + 100.0,
            "broadcast": np.ones((1, *shape[-1:])) * 3.0,
        }[value]
        results = []
        for module in (backlit, torch):
            base = module.tensor(DATA.reshape(-1)) * 1.0
            x = base.reshape(SHAPE)
            other = base[2:9]
            x[converted(key, module)] = 7.0 if value == "number" else module.tensor(new)
            results.append([t.numpy() for t in (x, base, other)])
        for found, expected in zip(*results, strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=str(key))


def test_gradients_of_writing_agree() -> None:
    """Gradients flow to the written value, and to the elements that were not overwritten.

    Where all were overwritten the gradient is None here and zeros in PyTorch.
    """
    for key in filter(distinct, KEYS):
        shape = tuple(torch.zeros(SHAPE)[converted(key, torch)].shape)
        results = []
        for module in (backlit, torch):
            x = module.tensor(DATA, requires_grad=True)
            v = module.ones(shape, dtype=module.float64, requires_grad=True)
            y = x * 2.0
            y[converted(key, module)] = v * 3.0
            (y * y).sum().backward()
            results.append([g.numpy() if g is not None else np.zeros(()) for g in (x.grad, v.grad)])
        for found, expected in zip(*results, strict=True):
            np.testing.assert_allclose(found, np.zeros(()) + expected, err_msg=str(key))


def test_augmented_assignment_agrees() -> None:
    """``x[key] += 1`` adds once, also through masks and repeated indices."""
    for key in KEYS:
        results = []
        for module in (backlit, torch):
            x = module.tensor(DATA)
            x[converted(key, module)] += 1.0
            results.append(x.numpy())
        np.testing.assert_array_equal(*results, err_msg=str(key))


REFUSED: list[Any] = [
    3, -4, (0, 4), (0, 0, 0, 0), (0, Ellipsis, 0, 0, 0), slice(None, None, -1), 1.5, "a",
    [0, 5], np.array([0.5]), np.array([True, False]), (np.array([0, 1]), np.array([0, 1, 2])),
]  # fmt: skip


@pytest.mark.parametrize("key", REFUSED, ids=str)
def test_refuses_what_torch_refuses(key: Any) -> None:
    """A key that PyTorch refuses is refused at once with an error of the same class."""
    key = key if isinstance(key, tuple) else (key,)
    with pytest.raises(Exception) as expected:
        torch.zeros(SHAPE)[converted(key, torch)]
    kind = next(
        k for k in (IndexError, TypeError, ValueError, Exception) if isinstance(expected.value, k)
    )
    with pytest.raises(kind):
        backlit.zeros(SHAPE)[converted(key, backlit)]


def test_runtime_integers_do_not_grow_the_trie() -> None:
    """A loop over different integers and slice starts repeats one path of recordings."""
    from backlit.core.position import trie

    x = backlit.tensor(DATA.reshape(-1), requires_grad=True)

    def step(i: int) -> float:
        loss = (x[i] * 2.0 + x[i : i + 4].sum()) * x[i].detach()
        return float(loss.item())

    step(0)
    step(1)
    before = trie.count
    for i in range(2, 15):
        step(i)
    assert trie.count == before

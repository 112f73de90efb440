"""Deep and irregular graphs: no recursion, linear work, bounded memory."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable

import numpy as np
import pytest

import backlit
from backlit.autograd import sweep
from backlit.core.position import POSITIONS_KEPT, trie


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how many nodes the reverse walk visits."""
    count = [0]
    apply = sweep.Sweep.apply

    def counted(self: sweep.Sweep, *args: object) -> object:
        count[0] += 1
        return apply(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(sweep.Sweep, "apply", counted)
    trie.clear()
    backlit.flush()
    return count


@pytest.fixture
def shallow() -> object:
    """Little room for recursion: a hundred frames above here."""
    limit, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    sys.setrecursionlimit(depth + 150)
    yield
    sys.setrecursionlimit(limit)


def chain(n: int) -> float:
    """d/dx of x·c₁·c₂·…, with factors that keep it near 1."""
    x = backlit.tensor(1.0, dtype=backlit.float64, requires_grad=True)
    y = x
    for i in range(n):
        y = y * (1.001 if i % 2 else 1 / 1.001)
    y.backward()
    return x.grad.item()


@pytest.mark.usefixtures("shallow")
def test_chain_of_100_000_ops() -> None:
    """A chain far deeper than Python's stack differentiates."""
    assert chain(100_000) == pytest.approx(1.0)


def random_graph(n: int, seed: int) -> tuple[float, float]:
    """The gradient of a random graph of ``n`` nodes: Backlit's, and a plain reverse sweep's."""
    rng = random.Random(seed)
    x = backlit.tensor(0.3, dtype=backlit.float64, requires_grad=True)
    tensors, numbers, edges = [x], [0.3], [()]
    for _ in range(n):
        i, j = (rng.randrange(max(0, len(tensors) - 40), len(tensors)) for _ in range(2))
        if rng.random() < 0.5:
            tensors.append(tensors[i] * 0.5 + tensors[j] * 0.25)
            numbers.append(numbers[i] * 0.5 + numbers[j] * 0.25)
            edges.append(((i, 0.5), (j, 0.25)))
        else:
            tensors.append(tensors[i] * tensors[j] + 0.1)
            numbers.append(numbers[i] * numbers[j] + 0.1)
            edges.append(((i, numbers[j]), (j, numbers[i])))
    tensors[-1].backward()
    slopes = [0.0] * (n + 1)
    slopes[-1] = 1.0
    for k in range(n, 0, -1):
        for i, local in edges[k]:
            slopes[i] += slopes[k] * local
    return x.grad.item(), slopes[0]


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("n", [2_000, pytest.param(34_000, marks=pytest.mark.slow)])
def test_random_graph(n: int) -> None:
    """Irregular graphs (each step is about three nodes) give what a scalar reverse sweep gives."""
    found, expected = random_graph(n, seed=n)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "graph", [chain, lambda n: random_graph(n // 3, seed=1)], ids=["chain", "random"]
)
def test_work_is_linear(graph: Callable[[int], object], visits: list[int]) -> None:
    """Twice the nodes, twice the visits: each node is visited once."""
    graph(2_000)
    small, visits[0] = visits[0], 0
    trie.clear()
    backlit.flush()
    graph(4_000)
    assert 1.8 * small <= visits[0] <= 2.2 * small
    assert visits[0] <= 4_000 + 100


@pytest.mark.parametrize("steps", [2_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_repeated_steps_leave_the_trie_as_it_is(steps: int) -> None:
    """After warm-up no step records anything new, though numbers and row indices keep changing."""
    rng = np.random.default_rng(0)
    data = backlit.tensor(rng.standard_normal((50, 2)))
    w = backlit.tensor([0.0, 0.0], dtype=backlit.float64, requires_grad=True)
    rows = rng.integers(0, 50, steps)

    def step(i: int) -> None:
        loss = ((data[int(rows[i])] * w).sum() - 1).square()
        loss.backward()
        with backlit.no_grad():
            w.sub_(w.grad * (0.1 / (1 + i)))
        w.grad = None
        assert math.isfinite(loss.item())

    for i in range(5):
        step(i)
    w.tolist()
    before = trie.count
    for i in range(5, steps):
        step(i)
    w.tolist()
    assert trie.count - before <= 10


@pytest.mark.slow
def test_paths_that_never_repeat_are_forgotten() -> None:
    """Ever new shapes and structures do not fill memory: the trie stays bounded."""
    rng = random.Random(0)
    for n in range(4_000):
        x = backlit.tensor(np.zeros(1 + n % 97), requires_grad=True)
        y = x
        for _ in range(30):
            y = y * x if rng.random() < 0.5 else y + x
        y.sum().backward()
        x.grad.tolist()
    assert trie.count <= 1.1 * POSITIONS_KEPT

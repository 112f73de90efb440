"""Plans: where temporaries lie, what a run leaves untouched, and runs that begin unusually."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import backlit
import backlit.nn.functional as F
from backlit import config, nn, optim
from backlit.compiler.source import Runner
from backlit.core.dtypes import float32
from backlit.core.value import Constant, Scalar, Value, meta_of
from backlit.native.memory import ALIGNMENT, Life, lives, place, read, written
from backlit.native.plan import Plan
from tests.native.programs import cold, hot, largest_plan
from tests.recording import recorded

rng = np.random.default_rng(0)


def network_step() -> Any:
    """A training step of a deep network, with temporaries of many sizes."""
    layers: list[nn.Module] = []
    for i, o in ((6, 40), (40, 3), (3, 17), (17, 64), (64, 5)):
        layers += [nn.Linear(i, o), nn.Tanh()]
    model = nn.Sequential(*layers)
    optimizer = optim.AdamW(model.parameters())
    x = backlit.tensor(rng.standard_normal((9, 6))).float()
    y = backlit.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3])

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    step()
    step()
    return step


def overlaps(plan: Plan) -> list[str]:
    """Pairs of temporaries that share bytes of the arena while both are needed."""
    temporaries = lives(plan.steps, plan.lowering, plan.out_index)
    found = []
    for i, a in enumerate(temporaries):
        for b in temporaries[:i]:
            together = a.first <= b.last and b.first <= a.last
            p, q = plan.offsets[a.value.id], plan.offsets[b.value.id]
            if together and p < q + b.size and q < p + a.size:
                found.append(f"{a.value} and {b.value}")
    return found


def test_live_temporaries_do_not_overlap() -> None:
    """Two temporaries that are needed at the same time share no byte of the arena."""
    plan = largest_plan(network_step())
    assert len(lives(plan.steps, plan.lowering, plan.out_index)) > 15
    assert overlaps(plan) == []


def test_arena_is_reused() -> None:
    """The arena is smaller than all temporaries together."""
    plan = largest_plan(network_step())
    total = sum(life.size for life in lives(plan.steps, plan.lowering, plan.out_index))
    assert plan.arena.nbytes < total * 3 // 4


def test_temporaries_are_aligned() -> None:
    """Every temporary begins at a multiple of 64 bytes."""
    plan = largest_plan(network_step())
    base = plan.arena.ctypes.data
    assert {(base + offset) % ALIGNMENT for offset in plan.offsets.values()} == {0}


def test_every_value_is_written_before_it_is_read() -> None:
    """The order of the steps is one in which the program can be computed."""
    from backlit.core.value import Result

    plan = largest_plan(network_step())
    known: set[int] = set()
    for step in plan.steps:
        missing = [v for v in read(step, plan.lowering) if isinstance(v, Result)]
        assert {v.id for v in missing} <= known
        known.update(v.id for v in written(step))
    assert {r.value.id for r in plan.returns if isinstance(r.value, Result)} <= known


def value(number: int, size: int) -> Value:
    return Value(number, meta_of((size,), float32, False))


def test_place_takes_the_lowest_gap() -> None:
    """A temporary goes where one that has died lay, if it fits, else behind the living."""
    big, small, late = Life(value(0, 64), 0, 1), Life(value(1, 16), 0, 5), Life(value(2, 32), 2, 3)
    offsets, total = place([small, late, big])
    assert offsets == {0: 0, 2: 0, 1: 256}
    assert total == 256 + 64


def test_random_lives_never_overlap() -> None:
    """Whatever the sizes and lives, those that live together lie apart."""
    for _ in range(200):
        found = []
        for k in range(rng.integers(1, 30)):
            first = int(rng.integers(0, 20))
            last = first + int(rng.integers(0, 8))
            found.append(Life(value(k, int(rng.integers(0, 200))), first, last))
        offsets, total = place(found)
        for i, a in enumerate(found):
            assert offsets[a.value.id] + a.size <= total
            for b in found[:i]:
                if a.first <= b.last and b.first <= a.last:
                    p, q = offsets[a.value.id], offsets[b.value.id]
                    assert p + a.size <= q or q + b.size <= p


def test_results_outlive_the_next_run() -> None:
    """What a run returned does not change when the program runs again."""
    x = backlit.ones(4)
    with config.flags(tier="hot"):
        backlit.flush()
        kept = []
        for k in range(5):
            y = (x + float(k)).exp().log()
            z = (y * 2.0)[1:]
            backlit.flush()
            kept.append((y, z))
    for k, (y, z) in enumerate(kept):
        assert y.tolist() == pytest.approx([1.0 + k] * 4)
        assert z.tolist() == pytest.approx([2.0 + 2 * k] * 3)


def test_several_results_one_of_them_twice() -> None:
    """A value that is wanted twice, and saved for a backward pass, comes out everywhere."""
    x = backlit.ones(3, requires_grad=True)

    def twice() -> Any:
        y = x.exp()
        return y, y.detach(), y.sum()

    for a, b in zip(hot(twice), cold(twice), strict=True):
        assert a.tolist() == pytest.approx(b.tolist())
    y, _, total = hot(twice)
    total.backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx(y.tolist())


def test_slices_of_temporaries_outlive_the_next_run() -> None:
    """A result that NumPy source cut out of the arena is the result's own."""

    def cut(x: backlit.Tensor) -> Any:
        whole = x.exp()
        return whole, whole[1:]

    program, *_ = recorded(cut, np.ones(4))
    program.outputs = program.outputs[1:]  # the view's base is a temporary
    plan = Plan(program, Runner(program))
    (first,) = plan([np.zeros(4)], [1])
    (second,) = plan([np.ones(4)], [1])
    assert (first.tolist(), second.tolist()) == ([1.0] * 3, pytest.approx([np.e] * 3))


def test_constants_that_leave_are_copies() -> None:
    """Writing into a result that is a constant of the program leaves the program as it was."""
    program, inputs, scalars = recorded(lambda x: x * 2.0, np.ones(2))
    number = program.nodes[0].outs[0].id + 1
    constant = Constant(number, np.array([1.0, 2.0]), program.outputs[0].dtype)
    program.outputs = (*program.outputs, constant)
    plan = Plan(program, Runner(program))
    for _ in range(2):
        found = plan(inputs, scalars)[1]
        assert found.tolist() == [1.0, 2.0]
        found[:] = -1.0


def test_numbers_that_leave() -> None:
    """A program may return a number that it was given."""
    program, inputs, _ = recorded(lambda x: x * 2.0, np.ones(2))
    number = program.nodes[0].outs[0].id + 1
    program.outputs = (*program.outputs, Scalar(number, program.outputs[0].dtype, 0, False))
    found = Plan(program, Runner(program))(inputs, [2.0])[1]
    assert (found.tolist(), found.dtype) == (2.0, np.float64)


def test_matrix_that_lies_column_by_column() -> None:
    """Inputs whose memory is not row by row give the same results, run after run."""
    a = np.asfortranarray(rng.standard_normal((3, 4)))
    x = backlit.from_numpy(a)

    def twice() -> Any:
        return x * 2.0, x.sum(0), x @ x.t()

    for _ in range(2):
        for found, expected in zip(hot(twice), (a * 2, a.sum(0), a @ a.T), strict=True):
            np.testing.assert_allclose(found.numpy(), expected)


def test_strided_and_repeated_arrays() -> None:
    """Every second element, rows that are one row, and reversed arrays give the same results."""
    base = rng.standard_normal((6, 8))
    for a in (base[::2], base[:, ::2], np.broadcast_to(base[0], (4, 8)), base[::-1].T):
        x = backlit.from_numpy(np.array(a))
        backlit.flush()
        x._data = a
        for found, expected in zip(
            hot(lambda x=x: (x + 1.0, x.sum(1))), (a + 1, a.sum(1)), strict=True
        ):
            np.testing.assert_allclose(found.numpy(), expected)

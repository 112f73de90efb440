"""Results written into arrays that inputs leave behind: never into one that anyone still holds."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import config
from backlit.compiler.passes import simplify
from backlit.compiler.source import Runner
from backlit.core.program import Program
from backlit.native.lower import Lowering
from backlit.native.memory import can_fail, donations, updates_last
from backlit.native.plan import Plan
from backlit.native.steps import Kernel
from tests.native.programs import plans
from tests.recording import recorded

pytest.importorskip("llvmlite")


@pytest.fixture(autouse=True)
def hot() -> Iterator[None]:
    """Every program runs natively from its first run on."""
    with config.flags(tier="hot"):
        backlit.flush()
        yield
    backlit.flush()


def vector(*values: float) -> backlit.Tensor:
    t = backlit.tensor(values, dtype=backlit.float64)
    backlit.flush()
    return t


def address(t: backlit.Tensor) -> int:
    backlit.flush()
    assert t._data is not None
    found: int = t._data.ctypes.data
    return found


def double(t: backlit.Tensor) -> None:
    t.mul_(2.0)
    backlit.flush()


def test_unheld_array_is_reused() -> None:
    """An in-place change of a tensor that nobody else holds allocates nothing."""
    t = vector(1.0, 2.0)
    double(t)
    before = address(t)
    double(t)
    assert address(t) == before
    assert t.tolist() == [4.0, 8.0]


def hold_tensor(t: backlit.Tensor) -> Any:
    return t.clone()


def hold_detached(t: backlit.Tensor) -> Any:
    return t._data


def hold_view_of_array(t: backlit.Tensor) -> Any:
    assert t._data is not None
    return t._data[::2]


def hold_buffer(t: backlit.Tensor) -> Any:
    return memoryview(t._data)  # type: ignore[arg-type]


@pytest.mark.parametrize("hold", [hold_tensor, hold_detached, hold_view_of_array, hold_buffer])
def test_held_array_is_left_alone(hold: Any) -> None:
    """A tensor, an array, a view of it or a buffer keeps its values when the tensor changes."""
    t = vector(1.0, 2.0)
    double(t)
    held = hold(t)
    before = np.array(held.tolist())
    for _ in range(3):
        double(t)
    assert np.array_equal(np.array(held.tolist()), before)
    assert t.tolist() == [16.0, 32.0]


def test_saved_value_is_left_alone() -> None:
    """What a backward pass has saved keeps its values when the tensor changes under no_grad."""
    w = backlit.tensor([1.0, 2.0], dtype=backlit.float64, requires_grad=True)
    x = vector(3.0, 4.0)
    double(x)
    loss = (w * x.detach().clone()).sum()
    backlit.flush()
    for _ in range(3):
        double(x)
    loss.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [6.0, 8.0]


def test_exported_array_follows_as_a_view_does() -> None:
    """`.numpy()` shares memory: the array shows the tensor's later values, as in PyTorch."""
    t = vector(1.0, 2.0)
    double(t)
    array = t.numpy()
    double(t)
    assert t.tolist() == [4.0, 8.0]
    assert array.tolist() == [4.0, 8.0]


def test_the_same_array_twice() -> None:
    """Two tensors over one array: changing one of them through a program leaves the other."""
    a = np.array([1.0, 2.0])
    t = backlit.from_numpy(a)
    s = t.detach()
    u = s * 1.0
    backlit.flush()
    for _ in range(3):
        u.mul_(2.0).add_(s)
        backlit.flush()
    assert a.tolist() == [1.0, 2.0]
    assert u.tolist() == [15.0, 30.0]


def test_input_read_transposed_is_not_donated() -> None:
    """x += xᵀ reads x in two ways: it needs another array than x's."""
    x = backlit.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=backlit.float64)
    backlit.flush()
    for expected in ([[2.0, 5.0], [5.0, 8.0]], [[4.0, 10.0], [10.0, 16.0]]):
        x.add_(x.t())
        backlit.flush()
        assert x.tolist() == expected


def test_input_read_as_a_row_is_not_donated() -> None:
    """x += x[0] reads the first row for every row, after it would have been overwritten."""
    x = backlit.arange(6.0).reshape(3, 2).clone()
    backlit.flush()
    for _ in range(2):
        expected = x.numpy().copy() + x.numpy()[0]
        x.add_(x[0].clone())
        backlit.flush()
        assert np.array_equal(x.numpy(), expected)


def test_input_read_later_is_not_donated() -> None:
    """The old value that a product reads after the update is the old value."""
    w = backlit.ones(3, 3)
    v = backlit.ones(3, 3)
    backlit.flush()
    for _ in range(3):
        old = w.clone()
        before = w.numpy().copy()
        w.mul_(2.0)
        y = old @ v
        backlit.flush()
        assert np.array_equal(y.numpy(), before @ np.ones((3, 3), np.float32))


def test_swap() -> None:
    """Two tensors that take each other's values need no array to be overwritten too early."""
    a, b = vector(1.0, 2.0), vector(3.0, 4.0)
    double(a)
    double(b)
    for _ in range(2):
        new_a, new_b = b + 1.0, a + 1.0
        a.copy_(new_a)
        b.copy_(new_b)
        del new_a, new_b
        backlit.flush()
    assert a.tolist() == [4.0, 6.0]
    assert b.tolist() == [8.0, 10.0]


def test_columns_first_array_is_replaced() -> None:
    """An array that lies column by column cannot take a result row by row."""
    x = backlit.from_numpy(np.asfortranarray(np.arange(6.0).reshape(2, 3))).clone()
    backlit.flush()
    x._data = np.asfortranarray(x.numpy())
    for _ in range(2):
        double(x)
    assert x.tolist() == [[0.0, 4.0, 8.0], [12.0, 16.0, 20.0]]


def test_read_only_array_is_replaced() -> None:
    """A read-only array is never written to, and the tensor goes on with one that can be."""
    x = vector(1.0, 2.0)
    double(x)
    assert x._data is not None
    x._data.flags.writeable = False
    held = address(x)
    double(x)
    assert x.tolist() == [4.0, 8.0]
    assert x._data.flags.writeable
    assert address(x) != held


def test_unaligned_array_is_copied() -> None:
    """An array whose elements do not lie at multiples of their size is copied first."""
    raw = np.zeros(8 * 4 + 1, np.uint8)
    odd = raw[1:].view(np.float64)
    odd[:] = [1.0, 2.0, 3.0, 4.0]
    assert not odd.flags.aligned
    x = backlit.zeros(4, dtype=backlit.float64)
    backlit.flush()
    x._data = odd
    y = x * 2.0
    assert y.tolist() == [2.0, 4.0, 6.0, 8.0]
    double(x)
    assert odd.tolist() == [1.0, 2.0, 3.0, 4.0]


# -- the rules, on programs as they were recorded --------------------------------------------------

SQUARE = np.arange(9.0).reshape(3, 3)


def pairs(program: Program) -> list[tuple[int, int]]:
    """(output, input) pairs that the plan of ``program`` may donate."""
    simplify(program)
    return Plan(program, Runner(program)).donors


def test_a_last_reader_may_take_the_array() -> None:
    """x → 2 x may be written over x."""
    program, *_ = recorded(lambda x: x * 2.0, SQUARE)
    assert pairs(program) == [(0, 0)]


def test_returned_inputs_are_kept() -> None:
    """An input that the program also returns is not written over."""
    program, *_ = recorded(lambda x: x * 2.0, SQUARE)
    program.outputs = (*program.outputs, program.nodes[0].args[0])
    assert pairs(program) == []


def test_inputs_of_a_backward_pass_are_kept() -> None:
    """An input that a later backward pass reads is not written over."""
    program, *_ = recorded(lambda x: x * 2.0, SQUARE)
    program.kept_inputs = frozenset({0})
    assert pairs(program) == []


def test_only_the_last_reader_takes_the_array() -> None:
    """Of two results the one that reads x last may be written over x."""

    def two(x: backlit.Tensor) -> Any:
        z = x * 2.0
        return z, z @ z + x

    program, *_ = recorded(two, SQUARE)
    assert pairs(program) == [(1, 0)]


def test_nothing_is_taken_before_a_step_that_can_fail() -> None:
    """A result that a step needs which may fail is not written over its input."""

    def fails_later(x: backlit.Tensor, index: backlit.Tensor) -> Any:
        y = x * 2.0
        return y, backlit.gather(y, 1, index + 0)

    program, *_ = recorded(fails_later, SQUARE, np.zeros((3, 1), np.int64))
    assert pairs(program) == []


def test_reduced_inputs_are_kept() -> None:
    """A kernel that makes several passes over its operands writes over none of them."""
    program, *_ = recorded(lambda x: x - x.amax(1, keepdim=True), SQUARE)
    assert pairs(program) == []


def test_numbers_of_rows_are_read_first() -> None:
    """A kernel with reductions may write over what has one number per row, or one in all."""
    column = np.arange(3.0).reshape(3, 1)
    program, *_ = recorded(lambda x, c: c + x.sum(1, keepdim=True), SQUARE, column)
    assert pairs(program) == [(0, 1)]
    program, *_ = recorded(lambda x, c: c + x.sum((0, 1)), SQUARE, np.float64(1.0))
    assert pairs(program) == [(0, 1)]


@pytest.mark.parametrize("rows", [1, 2, 7, 9, 70])
@pytest.mark.parametrize("cols", [3, 300])
def test_numbers_of_rows_are_written_in_place(rows: int, cols: int) -> None:
    """Rows taken together or alone, narrow or wide: c += sum over the row is right in place."""
    x = backlit.randn(rows, cols, dtype=backlit.float64)
    c = backlit.randn(rows, 1, dtype=backlit.float64)
    for _ in range(4):
        expected = c.numpy() + x.numpy().sum(1, keepdims=True)
        before = address(c)
        c.add_(x.sum(1, keepdim=True))
        backlit.flush()
        np.testing.assert_allclose(c.tolist(), expected, rtol=1e-12)
    assert address(c) == before


def test_arrays_read_by_steps_before_are_free() -> None:
    """What an earlier step was the last to read may be written over by a later one."""
    program, *_ = recorded(lambda v, x: v * 0.9 + x.sum(), np.ones(1), SQUARE)
    simplify(program)
    plan = Plan(program, Runner(program))
    reads = [i for i, s in enumerate(plan.steps) if plan.program.nodes[0].args[0] in s.inputs]  # type: ignore[union-attr]
    assert max(reads) < len(plan.steps) - 1
    assert plan.donors == [(0, 0)]


def test_counters_count_in_place() -> None:
    """Whole numbers are added in the array of one of them, unless it is read in two ways."""
    whole = np.arange(9).reshape(3, 3)
    for function, expected in (
        (lambda n: n + 1, [(0, 0)]),
        (lambda n, m: n * m, [(0, 0)]),
        (lambda n: n + n, []),
        (lambda n: n + n[0], []),
        (lambda n: n == 1, []),
    ):
        arrays = [whole] * function.__code__.co_argcount
        program, *_ = recorded(function, *arrays)  # type: ignore[arg-type]
        assert pairs(program) == expected


def test_each_value_takes_the_place_of_the_one_before() -> None:
    """Three of the same shape: the velocity's takes the velocity's, not the weight's array."""

    def step(w: backlit.Tensor, v: backlit.Tensor, x: backlit.Tensor) -> Any:
        slower = v * 0.9  # the inputs are numbered as they are used: v, w, x
        gradient = w.sum() * x + 0.0 * w
        velocity = slower + gradient
        return gradient, velocity, w - velocity * 0.1

    program, *_ = recorded(step, SQUARE, SQUARE, SQUARE)
    assert sorted(pairs(program)) == [(0, 2), (1, 0), (2, 1)]


@pytest.mark.parametrize("second", ["row", "column", "scalar", "full"])
def test_inputs_read_in_two_ways_are_kept(second: str) -> None:
    """An input that a kernel reads element by element and in another way too is kept."""
    program, *_ = recorded(lambda x: x * 2.0, SQUARE)
    simplify(program)
    lowering = Lowering(program)
    (kernel,) = lowering.run()
    assert isinstance(kernel, Kernel)
    (out,) = kernel.outputs
    assert donations(program, [kernel], lowering, {out.id: 0}, set()) == [(0, 0)]
    kernel.inputs.append(kernel.inputs[0])
    kernel.extents.append(second)
    kernel.skips.append(0)
    assert donations(program, [kernel], lowering, {out.id: 0}, set()) == []


# -- failures -------------------------------------------------------------------------------------


def failing_step(w: backlit.Tensor, index: backlit.Tensor) -> backlit.Tensor:
    """An update of ``w``, then a step that may fail."""
    picked = backlit.gather(w.reshape(2, 2), 1, index + 0)
    w.mul_(3.0)
    return picked.sum()


def test_nothing_is_donated_before_a_failure() -> None:
    """A run that ends in an error has overwritten nothing: other results can still be computed."""
    w = vector(1.0, 2.0, 3.0, 4.0)
    good, bad = backlit.tensor([[0], [1]]), backlit.tensor([[0], [7]])
    backlit.flush()
    double(w)
    for _ in range(2):
        failing_step(w, good)
        backlit.flush()
    before = np.array(w.tolist())
    y = failing_step(w, bad)
    with pytest.raises(IndexError):
        backlit.flush()
    del y
    assert w.tolist() == (3 * before).tolist()


def test_updates_come_after_what_can_fail() -> None:
    """Kernels that nothing reads are moved behind the last step that may fail, never before."""
    w = vector(1.0, 2.0, 3.0, 4.0)
    index = backlit.tensor([[0], [1]])
    backlit.flush()
    for _ in range(2):
        y = failing_step(w, index)
        backlit.flush()
        del y
    plan = next(p for p in plans() if any(map(can_fail, p.steps)) and p.donors)
    last = max(i for i, step in enumerate(plan.steps) if can_fail(step))
    assert last < len(plan.steps) - 1
    assert updates_last(plan.steps, plan.lowering) == plan.steps


def test_interrupt_after_the_results_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C that comes while native code runs raises, and the step counts once, not twice."""
    t = vector(1.0, 2.0)
    double(t)
    double(t)
    plan = next(p for p in plans() if p.donors)
    run = plan.native.run

    class Interrupting:
        @staticmethod
        def run(*words: int) -> Any:
            status = run(*words)
            os.kill(os.getpid(), signal.SIGINT)
            return status

    monkeypatch.setattr(plan, "native", Interrupting)
    t.mul_(2.0)
    with pytest.raises(KeyboardInterrupt):
        backlit.flush()
    monkeypatch.undo()
    assert t.tolist() == [8.0, 16.0]
    double(t)
    assert t.tolist() == [16.0, 32.0]


def test_interrupt_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C that comes before native code has run leaves everything to be computed again."""
    t = vector(1.0, 2.0)
    double(t)
    double(t)
    plan = next(p for p in plans() if p.donors)

    class Interrupting:
        @staticmethod
        def run(*_: int) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setattr(plan, "native", Interrupting)
    t.mul_(2.0)
    with pytest.raises(KeyboardInterrupt):
        backlit.flush()
    monkeypatch.undo()
    assert t.tolist() == [8.0, 16.0]


def test_two_threads_run_one_program() -> None:
    """Threads that meet in one program get their own results."""
    failures: list[str] = []

    def work(start: float) -> None:
        t = vector(start, start + 1)
        for k in range(200):
            t.mul_(1.5).sub_(0.5 * t)
            backlit.flush()
            expected = [start * 0.75 ** (k + 1), (start + 1) * 0.75 ** (k + 1)]
            if not np.allclose(t.tolist(), expected):
                failures.append(f"{start} {k}: {t.tolist()} {expected}")
                return

    threads = [threading.Thread(target=work, args=(float(s),)) for s in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_overwriting_a_held_array_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of the tiers notices a plan that gives away arrays in use."""
    from backlit.errors import VerificationError
    from backlit.native.reuse import Reuse

    arrays = Reuse.arrays

    def give(self: Reuse, inputs: list[Any]) -> list[Any]:
        outputs = arrays(self, inputs)
        for k, i in self.donors:
            outputs[k] = inputs[i]
        return outputs

    with config.flags(compare=True):
        t = vector(1.0, 2.0)
        double(t)
        monkeypatch.setattr(Reuse, "arrays", give)
        held = t.detach().clone()
        backlit.flush()
        t._data = held._data
        with pytest.raises(VerificationError) as caught:
            double(t)
    assert str(caught.value) == "input 0: the hot tier wrote to an array in use."

"""Programs from outside: kernels, their costs and their code."""

from __future__ import annotations

import importlib.util
import inspect
import math
import sys
from typing import Any

import pytest

import backlit
from backlit import config, nn
from backlit.core.position import trie
from backlit.errors import ArgumentError
from backlit.insight import Kernels, Program
from backlit.insight.kernels import WIDTH

needs_native = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed"
)


def step() -> tuple[Any, int]:
    """The loss of one training step of a small network, and the line of the forward pass."""
    model = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = backlit.optim.SGD(model.parameters(), lr=0.1)
    x, y = backlit.ones(16, 20), backlit.zeros(16, dtype=backlit.long)
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss, line


@needs_native
def test_kernels_of_a_training_step() -> None:
    """Each kernel says its ops, its phase, its lines, its bytes and FLOPs, and its time."""
    loss, line = step()
    kernels = backlit.program(loss).kernels()
    assert {k.phase for k in kernels} >= {"forward", "backward", "update"}
    (first,) = [k for k in kernels if k.name == "matmul 16×20·20×8"]
    assert first.kind == "product"
    assert first.flops == 2 * 16 * 20 * 8
    assert (first.bytes_read, first.bytes_written) == (4 * (16 * 20 + 20 * 8), 4 * 16 * 8)
    assert first.lines == f"test_program.py:{line} Sequential/0"
    (activation,) = [k for k in kernels if k.name == "add relu 16×8"]
    assert activation.flops == 2 * 16 * 8
    assert activation.bytes_read == 4 * (16 * 8 + 8)  # the product, and one row: the bias
    assert all(0 < k.seconds < 60 for k in kernels)
    assert first.flops_per_second == first.flops / first.seconds
    assert first.bytes_per_second == (first.bytes_read + first.bytes_written) / first.seconds


@needs_native
def test_kernels_read_what_varies_and_no_more() -> None:
    """A picked element of each row is read, not the rows; a number is read once."""
    x = backlit.ones(6, 5)
    index = backlit.zeros(6, dtype=backlit.long)
    loss = nn.functional.nll_loss(x.log(), index, reduction="none")
    kernels = backlit.program(loss).kernels()
    (pick,) = [k for k in kernels if k.kind == "lookup"]
    assert pick.bytes_read == 6 * 4 + 6 * 8


@needs_native
def test_table_of_kernels_fits() -> None:
    """Printed kernels take at most 100 columns."""
    loss, _ = step()
    kernels = backlit.program(loss).kernels()
    lines = str(kernels).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) == len(kernels) + 2
    assert "matmul 16×20·20×8" in lines[2] + lines[3] + lines[4]
    assert repr(kernels) == str(kernels)
    assert isinstance(kernels, Kernels)


@needs_native
def test_ir_and_asm_of_kernels() -> None:
    """Fused kernels, generated products and ready-made entries show the code that runs."""
    import llvmlite.binding as llvm

    loss, _ = step()
    program = backlit.program(loss)
    for kernel in program.kernels():
        assert kernel.ir().startswith(f"; {kernel.name}  ({kernel.lines})\n")
        assert "define" in kernel.ir()
        llvm.parse_assembly(kernel.ir()).verify()
        assert "ret" in kernel.asm()
    fused = next(k for k in program.kernels() if k.name.startswith("add relu"))
    assert '@"body"' in fused.ir()
    assert program.ir() == "\n".join(k.ir() for k in program.kernels())
    assert program.asm().count("; add relu 16×8") == 1


@needs_native
def test_code_of_a_product_is_all_it_calls() -> None:
    """A product shows the walk over its blocks, its tiles, and its finish, at every edge."""
    import llvmlite.binding as llvm

    x, w, b = backlit.ones(65, 40), backlit.ones(200, 40), backlit.ones(200)
    backlit.flush()
    y = nn.functional.relu(nn.functional.linear(x, w, b))
    (kernel,) = backlit.program(y).kernels()
    module = llvm.parse_assembly(kernel.ir())
    names = {f.name.rpartition("_")[0] or f.name for f in module.functions if not f.is_declaration}
    assert names >= {"block", "tiles", "finish"}
    assert "tiles_" in kernel.asm()


@needs_native
def test_code_of_an_entry_is_that_entry_alone() -> None:
    """Of a library with many functions, the one that is called is shown."""
    from backlit.native.anatomy import Function
    from backlit.native.runtime import runtime

    x = backlit.ones(5, dtype=backlit.long)
    (kernel,) = backlit.program(x == 3).kernels()
    assert "define i64 @int_eq(" in kernel.ir()
    assert "int_eq:" in kernel.asm()
    product = Function(runtime().library, "dgemm")
    assert "define i64 @dgemm(" in product.ir
    assert "@sgemm(" not in product.ir
    assert product.assembly.startswith("dgemm:")
    assert "sgemm:" not in product.assembly


@needs_native
def test_numpy_source_between_kernels_says_why() -> None:
    """What has no native form is a kernel of kind "source" with its reason."""
    x = backlit.eye(3)
    program = backlit.program((backlit.linalg.inv(x * 2) + 1).exp())
    kinds = [k.kind for k in program.kernels()]
    assert kinds == ["kernel", "source", "kernel"]
    (reason,) = program.fallbacks
    assert reason == ("inv(float32[3, 3]): it has no native form for these dtypes and shapes")
    source = program.kernels()[1]
    assert source.ir().splitlines() == [f"; {source.name}  ({source.lines})", f"; {reason}"]


def test_program_without_native_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where native code cannot be had, the program is one kernel of NumPy source, and says why."""
    trie.clear()
    monkeypatch.setitem(sys.modules, "backlit.native.plan", None)
    x = backlit.ones(4)
    program = backlit.program((x * 3).sum())
    (kernel,) = program.kernels()
    assert kernel.kind == "source"
    assert kernel.name == "mul sum (2 ops)"
    assert kernel.bytes_read == 16
    assert kernel.seconds > 0
    assert program.failure == "backlit.native.plan is not installed"
    assert kernel.reasons == (program.failure,)
    assert program.asm().splitlines()[1] == f"; {program.failure}"
    trie.clear()


def test_looking_changes_nothing() -> None:
    """A program that is looked at stays in its tier, and computes what it computed."""
    with config.flags(tier="cold"):
        backlit.flush()
        x = backlit.arange(6.0).requires_grad_()
        y = (x * x).sum()
        y.backward()
        program = backlit.program(y)
        program.kernels()
        program.ir()
        assert program.tier == "cold"
        assert repr(program).endswith("ops, cold>")
        assert "v0 = x0 * x0" in program.source
        assert x.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        assert x.grad.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]  # type: ignore[union-attr]


def test_time_is_missing_where_made_up_data_fails() -> None:
    """Cholesky factors exist of few matrices only: the time is NaN, the rest is there."""
    x = backlit.eye(3)
    kernels = backlit.program(backlit.linalg.cholesky(x @ x.mT)).kernels()
    assert all(math.isnan(k.seconds) for k in kernels)
    assert any(k.name.startswith("cholesky") for k in kernels)
    assert str(kernels).count("\n") == len(kernels) + 1


def test_program_of_several_tensors() -> None:
    """A loss and a gradient of one step have one program; used again, a loss keeps its own."""
    w = backlit.ones(3, requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    program = backlit.program(loss, w.grad)  # type: ignore[arg-type]
    assert isinstance(program, Program)
    doubled = loss * 2
    assert "x0 * " in backlit.program(doubled).source
    assert backlit.program(loss).source == program.source


def test_refusals() -> None:
    """Nothing given, data that was given, results of two programs."""
    x = backlit.ones(2, 3)
    with pytest.raises(ArgumentError) as error:
        backlit.program()
    assert str(error.value) == "program(): give at least one tensor."
    with pytest.raises(ArgumentError) as error:
        backlit.program(x)
    assert str(error.value) == (
        "program(): the tensor of shape (2, 3) holds data that was given, or has been used since; "
        "ask for a fresh result, or use backlit.profile()."
    )
    one = x + 1
    backlit.flush()
    two = x + 2
    with pytest.raises(ArgumentError) as error:
        backlit.program(one, two)
    assert str(error.value) == (
        "program(): the tensors were computed by different programs; ask for each one's program "
        "separately."
    )

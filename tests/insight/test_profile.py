"""`profile`: what ran, how long it took, what was compiled, and what fell back and why."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import config, nn
from backlit.compiler import tiers
from backlit.core.era import backend
from backlit.core.position import trie
from backlit.errors import ArgumentError
from backlit.insight.kernels import WIDTH
from backlit.insight.profile import Profile


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are compiled when they repeat, whatever was compiled before on this machine."""
    monkeypatch.setattr(tiers.Tiered, "is_known", False)


needs_native = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed"
)


def training(steps: int, seed: int = 0) -> list[float]:
    """Losses of a small network."""
    backlit.manual_seed(seed)
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = backlit.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = backlit.randn(16, 12), backlit.randint(0, 3, (16,))
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def profiled(tier: str, steps: int = 6) -> Profile:
    with config.flags(tier=tier):
        backlit.flush()
        with backlit.profile() as prof:
            training(steps)
    return prof


@needs_native
def test_native_runs_are_timed_kernel_by_kernel() -> None:
    """Every kernel ran as often as its program, and their times fit into the runs'."""
    prof = profiled("hot")
    assert prof.flushes == sum(p.runs["hot"] for p in prof.programs)
    assert all(p.runs["cold"] == 0 for p in prof.programs)
    for p in prof.programs:
        total = sum(t for _, t in p.native_kernels())
        assert 0 < total <= p.seconds["hot"]
    rows = prof.kernels()
    assert [r.total for r in rows] == sorted((r.total for r in rows), reverse=True)
    assert sum(r.share for r in rows) == pytest.approx(1)
    (product,) = [r for r in rows if r.kernel.name == "matmul 16×12·12×8"]
    assert product.calls == 6
    assert product.kernel.seconds == pytest.approx(product.total / 6)
    assert product.kernel.lines.startswith("test_profile.py:")
    assert product.kernel.flops_per_second > 0


@needs_native
def test_the_parts_make_up_the_whole() -> None:
    """Runs, making programs, Python and the profile itself are all of the block's time."""
    prof = profiled("hot", steps=20)
    runs = sum(sum(p.seconds.values()) for p in prof.programs)
    making = sum(c.seconds for c in prof.compilations if not c.background)
    parts = runs + making + prof.python + prof.overhead
    assert parts == pytest.approx(prof.seconds, rel=0.05)
    assert min(runs, making, prof.python, prof.overhead) > 0


@needs_native
def test_results_are_those_without_a_profile() -> None:
    """The same bits, in each tier; arrays are given to results as ever."""
    for tier in ("hot", "cold"):
        with config.flags(tier=tier):
            backlit.flush()
            expected = training(5)
            with backlit.profile():
                found = training(5)
            assert found == expected
            assert training(5) == expected


def test_cold_runs_are_one_kernel_each() -> None:
    """In the cold tier a program is timed as a whole."""
    prof = profiled("cold")
    assert all(p.runs["hot"] == 0 for p in prof.programs)
    assert {r.kernel.kind for r in prof.kernels()} == {"source"}
    assert sum(r.calls for r in prof.kernels()) == prof.flushes
    assert "programs as NumPy source (cold)" in str(prof)
    assert not any(c.kind == "native" for c in prof.compilations)


@needs_native
def test_compilations_are_noted() -> None:
    """Making NumPy source, compiling while one waits, and compiling in the background."""
    trie.clear()
    prof = profiled("hot")
    kinds = [(c.kind, c.background) for c in prof.compilations]
    assert kinds.count(("source", False)) >= len(prof.programs)  # some have nothing to compute
    assert kinds.count(("native", False)) == len(prof.programs)
    assert all(c.seconds > 0 for c in prof.compilations)
    with config.flags(tier="auto"):
        backlit.flush()
        with backlit.profile() as prof:
            training(4)
            tiers.worker.wait()
    assert ("native", True) in [(c.kind, c.background) for c in prof.compilations]


@needs_native
def test_numpy_source_between_kernels_is_told_with_its_reason() -> None:
    """A program with an op that has no native form names the op and why."""
    with config.flags(tier="hot"):
        backlit.flush()
        with backlit.profile() as prof:
            (backlit.linalg.inv(backlit.eye(3) * 2) + 1).exp().sum().item()
    assert prof.fallbacks() == [
        "program 1: inv(float32[3, 3]): it has no native form for these dtypes and shapes"
    ]
    assert "NumPy: inv 3×3" in str(prof)
    assert "NumPy source between native kernels" in str(prof)
    assert "no native form, so run as NumPy source" in str(prof)


def test_failure_to_compile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the native tier, every program says so."""
    monkeypatch.setitem(sys.modules, "backlit.native.plan", None)
    prof = profiled("hot", steps=1)
    assert prof.fallbacks()[0] == ("program 1, all of it: backlit.native.plan is not installed")
    assert any(c.failure for c in prof.compilations)


@needs_native
def test_printed_table_fits_into_100_columns() -> None:
    """Each part of the report is there, no line is longer than 100 columns."""
    with config.flags(tier="auto"):
        backlit.flush()
        with backlit.profile() as prof:
            training(4)
            tiers.worker.wait()
            training(4)
            backlit.linalg.inv(backlit.eye(30) * 2).sum().item()
    lines = str(prof).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("profile of ")
    heads = [lines[i - 1] for i, line in enumerate(lines) if line.startswith("───")]
    assert [h.split()[0] for h in heads] == ["where", "program", "kernel", "programs"]
    assert any(line.startswith("matmul 16×12·12×8 ") for line in lines)


def test_profile_of_nothing() -> None:
    """An empty block is a profile, too."""
    with backlit.profile() as prof:
        pass
    assert str(prof).splitlines()[0].endswith(": 0 runs of 0 programs")
    assert prof.kernels() == []
    assert prof.fallbacks() == []


@needs_native
def test_chrome_trace(tmp_path: Path) -> None:
    """Complete events with microseconds; kernels lie within their run, runs do not overlap."""
    with config.flags(tier="hot"):
        backlit.flush()
        with backlit.profile() as prof:
            training(5)
    path = tmp_path / "trace.json"
    prof.chrome_trace(path)
    assert list(tmp_path.iterdir()) == [path]
    trace = json.loads(path.read_text(encoding="utf-8"))
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert {e["cat"] for e in events} >= {"flush", "python", "compile", "kernel", "product"}
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in events)
    runs = sorted((e for e in events if e["cat"] == "flush"), key=lambda e: e["ts"])
    for a, b in pairwise(runs):
        assert a["ts"] + a["dur"] <= b["ts"]
    kernels = [e for e in events if "args" in e]
    assert len(kernels) == sum(r.calls for r in prof.kernels())
    for k in kernels:
        slack = 0.001  # of rounding
        assert any(
            r["ts"] - slack <= k["ts"] and k["ts"] + k["dur"] <= r["ts"] + r["dur"] + slack
            for r in runs
        )
    assert any("test_profile.py" in line for k in kernels for line in k["args"]["lines"])
    assert {"process_name", "thread_name"} == {
        e["name"] for e in trace["traceEvents"] if e["ph"] == "M"
    }


@needs_native
def test_captured_steps_are_seen() -> None:
    """A captured function runs no Python, but its programs do run."""
    w = backlit.zeros(4, requires_grad=True)
    optimizer = backlit.optim.SGD([w], lr=0.1)

    @backlit.capture
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = ((w - x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    x = backlit.ones(4)
    for _ in range(5):
        step(x)
    assert step.why == ""
    with backlit.profile() as prof:
        for _ in range(7):
            step(x)
    assert prof.flushes == 7


def test_threads_are_told_apart() -> None:
    """Runs in other threads count, each with the Python of its own thread before it."""
    with backlit.profile() as prof:
        others = [threading.Thread(target=training, args=(2,)) for _ in range(2)]
        for thread in others:
            thread.start()
        for thread in others:
            thread.join()
        backlit.ones(3).sum().item()
    assert len({f.thread for f in prof.events}) >= 2
    assert all(f.before <= f.start <= f.stop for f in prof.events)


def test_nothing_is_left_behind() -> None:
    """After the block, also after an error in it, programs run and are built as before."""
    before = (tiers.Tiered.__call__, tiers.Tiered.compile, backend.build)
    prof = backlit.profile()
    with prof:
        assert tiers.Tiered.__call__ is not before[0]
        training(1)
    assert (tiers.Tiered.__call__, tiers.Tiered.compile, backend.build) == before
    with pytest.raises(ZeroDivisionError), prof:
        raise ZeroDivisionError
    assert (tiers.Tiered.__call__, tiers.Tiered.compile, backend.build) == before
    seen = prof.flushes
    training(1)
    assert prof.flushes == seen


@needs_native
def test_error_in_a_profiled_program_is_the_usual_one() -> None:
    """An index out of range is told with its line, and later runs are profiled as ever."""
    x = backlit.zeros(3, 4)
    with config.flags(tier="hot"):
        backlit.flush()
        with backlit.profile() as prof:
            for index in ([0, 1, 3], [0, 1, 9], [1, 1, 1]):
                y = backlit.tensor(index)
                if 9 in index:
                    with pytest.raises(IndexError, match=r"out of bounds.*test_profile\.py"):
                        nn.functional.cross_entropy(x, y).item()
                else:
                    assert nn.functional.cross_entropy(x, y).item() == pytest.approx(np.log(4))
    assert sum(p.runs["hot"] for p in prof.programs) == 2


def test_one_profile_at_a_time() -> None:
    """A second one is refused, and the first goes on."""
    with backlit.profile() as prof:
        with pytest.raises(ArgumentError) as error, backlit.profile():
            pass
        training(1)
    assert str(error.value) == (
        "profile(): a profile is running already; leave its block before beginning another."
    )
    assert prof.flushes > 0


@needs_native
def test_both_tiers_compared_under_a_profile() -> None:
    """The flag that compares the tiers works as without: both run, the native one is timed."""
    with config.flags(tier="hot", compare=True):
        backlit.flush()
        with backlit.profile() as prof:
            training(3)
    assert all(p.runs["hot"] > 0 for p in prof.programs)
    assert any(r.kernel.name.startswith("matmul") for r in prof.kernels())


@needs_native
def test_long_tables_are_cut() -> None:
    """Of many kernels the dearest are shown, and where the others are."""
    with config.flags(tier="hot"):
        backlit.flush()
        with backlit.profile() as prof:
            for n in range(1, 40):
                (backlit.ones(n) * 2).sum().item()
    hidden = len(prof.kernels()) - 30
    assert hidden > 0
    assert f"… and {hidden} more in prof.kernels()" in str(prof)
    assert f"… and {len(prof.programs) - 12} more in prof.programs" in str(prof)

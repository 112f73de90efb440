"""From NumPy source to native code: when programs switch, and what happens when they cannot."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import config
from backlit.compiler import tiers
from backlit.compiler.tiers import LARGE_BYTES, Tiered, compiled_first, worker
from backlit.core.position import trie
from backlit.core.tensor import Tensor
from backlit.errors import VerificationError

needs_native = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed"
)
X = np.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def own_recordings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No program of another test is found again, here or on disk."""
    monkeypatch.setattr(Tiered, "is_known", False)
    backlit.flush()
    trie.clear()
    backlit.flush()
    yield
    tiers.unexpected.clear()


def tiered() -> list[Tiered]:
    """All programs, in no particular order."""
    found: list[Tiered] = []
    stack = list(trie.roots.values())
    while stack:
        position = stack.pop()
        stack += position.children.values()
        found += [program.runner for program in (position.programs or {}).values()]
    return found


def compute() -> Tensor:
    y = (backlit.from_numpy(X) * 2.0).tanh().sum(1)
    backlit.flush()
    return y


def only() -> Tiered:
    (found,) = tiered()
    return found


def process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Another Python process that ran ``code``."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@needs_native
def test_programs_that_repeat_become_native() -> None:
    """The first runs are NumPy source; the second sends the program to the compiler."""
    with config.flags(tier="auto"):
        backlit.flush()
        first = compute()
        assert only().plan is None
        compute()
        worker.wait()
        assert only().plan is not None
        assert only().failure is None
        np.testing.assert_allclose(compute().numpy(), first.numpy(), rtol=1e-14)


@needs_native
def test_tier_hot_compiles_at_once() -> None:
    """Under `hot` the first run is native already."""
    with config.flags(tier="hot"):
        backlit.flush()
        compute()
        assert only().plan is not None


def test_tier_cold_never_compiles() -> None:
    """Under `cold` a program stays NumPy source however often it runs."""
    with config.flags(tier="cold"):
        backlit.flush()
        for _ in range(5):
            compute()
        worker.wait()
        assert only().plan is None
        assert only().failure is None


@needs_native
def test_compiled_first_keeps_what_is_known() -> None:
    """In its block a program that ran as NumPy source runs natively, and is the same program."""
    with config.flags(tier="auto"):
        backlit.flush()
        compute()
        known = only()
        assert known.plan is None
        with compiled_first():
            compute()
        assert only() is known
        assert known.plan is not None


@needs_native
def test_compiled_first_holds_for_its_thread_and_block() -> None:
    """Other threads begin with NumPy source meanwhile, and so does its own thread afterwards."""
    plans: list[Any] = []

    def other(shape: int) -> None:
        trie.clear()
        backlit.flush()
        (backlit.ones(shape) * 2.0).sum().item()
        plans.append(only().plan)

    with config.flags(tier="auto"):
        with compiled_first():
            thread = threading.Thread(target=other, args=(3,))
            thread.start()
            thread.join()
        other(4)
    assert plans == [None, None]


def test_compiled_first_leaves_cold_alone() -> None:
    """Under `cold` nothing is compiled in its block either."""
    with config.flags(tier="cold"), compiled_first():
        backlit.flush()
        compute()
        assert only().plan is None


@needs_native
def test_compiled_first_waits_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that the compiler is working on is not compiled a second time."""
    begun, go_on, compile = threading.Event(), threading.Event(), Tiered.compile
    was_there: list[bool] = []

    def slow(tiered: Tiered) -> None:
        was_there.append(tiered.plan is not None)
        begun.set()
        go_on.wait(10)
        compile(tiered)

    monkeypatch.setattr(Tiered, "compile", slow)
    with config.flags(tier="auto"):
        backlit.flush()
        compute()
        compute()
        assert begun.wait(10)
        threading.Timer(0.05, go_on.set).start()
        with compiled_first():
            compute()
        assert was_there == [False, True]


@needs_native
def test_tier_comes_from_the_environment() -> None:
    """BACKLIT_TIER sets the tier of a process."""
    code = (
        "import backlit\n"
        "from backlit.core.position import trie\n"
        "(backlit.ones(3) * 2.0).sum().item()\n"
        "stack, found = list(trie.roots.values()), []\n"
        "while stack:\n"
        "    p = stack.pop()\n"
        "    stack += p.children.values()\n"
        "    found += (p.programs or {}).values()\n"
        "print(any(p.runner.plan is not None for p in found))\n"
    )
    for tier, expected in (("hot", "True"), ("cold", "False")):
        done = process(code, BACKLIT_TIER=tier)
        assert done.stdout.strip() == expected, done.stderr


def test_unknown_tier() -> None:
    """BACKLIT_TIER refuses what is no tier, and says what there is."""
    done = process("import backlit", BACKLIT_TIER="warm")
    assert "BACKLIT_TIER='warm': expected auto, cold, hot" in done.stderr


@needs_native
def test_a_mistake_of_the_compiler_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while lowering, the program runs as NumPy source and says why."""
    from backlit.native.lower import Lowering

    def fail(self: Lowering) -> Any:
        raise KeyError("v7")

    monkeypatch.setattr(Lowering, "run", fail)
    with config.flags(tier="hot"):
        backlit.flush()
        assert compute().tolist() == pytest.approx(np.tanh(X * 2).sum(1).tolist())
        assert only().failure == "KeyError: 'v7'"
    assert list(tiers.unexpected) == ["KeyError: 'v7'"]


@needs_native
def test_a_mistake_does_not_stop_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a program that it cannot compile, the background compiler goes on with the next."""
    from backlit.native.lower import Lowering

    with config.flags(tier="auto"):
        backlit.flush()
        with monkeypatch.context() as patch:
            patch.setattr(Lowering, "run", lambda self: 1 / 0)
            compute()
            compute()
            worker.wait()
        assert only().failure == "ZeroDivisionError: division by zero"
        for _ in range(2):
            z = (backlit.from_numpy(X) + 1.0).exp()
            backlit.flush()
            del z
        worker.wait()
        assert sum(t.plan is not None for t in tiered()) == 1


def test_without_llvmlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where llvmlite is missing programs stay NumPy source, and say what is missing."""

    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite")

    monkeypatch.setattr(tiers.importlib, "import_module", missing)
    with config.flags(tier="hot"):
        backlit.flush()
        compute()
        assert only().failure == "llvmlite is not installed"


@needs_native
def test_compared_tiers_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `compare` a wrong native result raises, and the message contains the source."""
    from backlit.native.plan import Plan

    run = Plan.__call__
    with config.flags(tier="hot", compare=True):
        backlit.flush()
        compute()
        monkeypatch.setattr(Plan, "__call__", lambda *args: [a + 1 for a in run(*args)])
        with pytest.raises(VerificationError) as caught:
            compute()
        expected = f"output 0 float64(2,): the tiers differ.\n{only().cold.source}"
        assert str(caught.value) == expected
        monkeypatch.setattr(Plan, "__call__", lambda *args: [a[:1] for a in run(*args)])
        with pytest.raises(VerificationError) as caught:
            compute()
        assert str(caught.value) == (
            "output 0: the hot tier gives float64(1,), the cold tier float64(2,)."
        )


def test_programs_that_are_gone_are_not_compiled() -> None:
    """The queue of the compiler keeps no program alive."""
    compiled: list[str] = []
    going = threading.Event()

    class Program:
        def __init__(self, name: str) -> None:
            self.name = name

        def compile(self) -> None:
            going.wait(60)
            compiled.append(self.name)

    first, second, third = Program("first"), Program("second"), Program("third")
    for program in (first, second, third):
        worker.submit(program)  # type: ignore[arg-type]
    del second
    going.set()
    worker.wait()
    assert compiled == ["first", "third"]


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_children_compile_for_themselves() -> None:
    """A child that is forked while the compiler works computes, and compiles, on its own."""
    code = (
        "import os, backlit, numpy as np\n"
        "from backlit.compiler.tiers import worker\n"
        "def step(k):\n"
        "    return (backlit.ones(3) * 2.0 + float(k)).exp().log().tolist()[0]\n"
        "for k in range(3): step(k)\n"
        "child = os.fork()\n"
        "def more(k):\n"
        "    return (backlit.ones(3) * 3.0 - float(k)).tanh().tolist()[0]\n"
        "good = all(abs(step(k) - 2 - k) < 1e-5 for k in range(20))\n"
        "for k in range(3): more(k)\n"
        "worker.wait()\n"
        "good = good and all(abs(more(k) - np.tanh(3 - k)) < 1e-5 for k in range(5))\n"
        "if child == 0: os._exit(0 if good else 3)\n"
        "_, status = os.waitpid(child, 0)\n"
        "print(good, os.waitstatus_to_exitcode(status))\n"
    )
    done = process(code)
    assert done.stdout.strip() == "True 0", done.stderr


@needs_native
def test_exit_while_the_compiler_works() -> None:
    """A process that ends in the middle of a compilation ends cleanly, and at once."""
    code = (
        "import backlit\n"
        "for n in range(30):\n"
        "    for _ in range(2):\n"
        "        x = backlit.ones(3, n + 1)\n"
        "        for k in range(n % 7 + 1):\n"
        "            x = (x * 1.5 + k).tanh().erf()\n"
        "        x.softmax(1).sum().item()\n"
    )
    done = process(code)
    assert (done.returncode, done.stderr) == (0, "")


@needs_native
def test_threads_share_the_compiler() -> None:
    """Programs submitted from many threads are all compiled, by one thread."""

    def work(n: int) -> None:
        for _ in range(2):
            (backlit.ones(n) * 2.0).sum().item()

    with config.flags(tier="auto"):
        backlit.flush()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        worker.wait()
        assert {t.plan is not None for t in tiered()} == {True}
    compilers = [t for t in threading.enumerate() if t.name == "backlit-compiler"]
    assert len(compilers) == 1


@needs_native
def test_worker_is_busy_while_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """From when a program is handed in until it is compiled; progress bars ask."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(self: Tiered) -> None:
        begun.set()
        go_on.wait(10)

    worker.wait()
    assert not worker.is_busy
    monkeypatch.setattr(Tiered, "compile", slow)
    with config.flags(tier="auto"):
        backlit.flush()
        compute()
        compute()
        assert begun.wait(10)
        assert worker.is_busy
        go_on.set()
        worker.wait()
    assert not worker.is_busy


def test_watched_programs_go_through_the_observer() -> None:
    """Runs and compilations are the observer's to do, until it is taken away."""
    seen: list[str] = []

    class Observer:
        def run(self, tiered: Tiered, inputs: list[Any], scalars: list[Any]) -> Any:
            seen.append("run")
            return tiered.choose()(inputs, scalars)

        def compile(self, tiered: Tiered, compile: Callable[[Tiered], None]) -> None:
            seen.append("compile")
            compile(tiered)

    with config.flags(tier="hot"):
        backlit.flush()
        tiers.watch(Observer())
        try:
            compute()
        finally:
            tiers.watch(None)
        assert seen == ["run", "compile"]
        compute()
        assert seen == ["run", "compile"]


@needs_native
@pytest.mark.parametrize(("n", "is_native"), [(1 << 10, False), (LARGE_BYTES // 4, True)])
def test_large_programs_are_native_from_the_first_run(n: int, is_native: bool) -> None:
    """What computes 64 MiB or more is compiled before it runs; what computes less is not."""
    with config.flags(tier="auto"):
        y = backlit.zeros(n) * 1.5 - 0.5
        backlit.flush()
        assert [program.plan is not None for program in tiered()] == [is_native]
        assert y._data is not None
        assert y._data[-1] == -0.5


@needs_native
def test_known_programs_are_compiled_at_their_second_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose machine code is on disk does not wait for the compiler's thread."""
    with config.flags(tier="auto"):
        compute()
        assert only().plan is None
        monkeypatch.setattr(Tiered, "is_known", True)
        compute()
        assert only().plan is not None


@needs_native
def test_compiled_programs_are_remembered(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once compiled, a program is known to every process with this cache; another one is not."""
    from backlit.native.machine import known
    from backlit.native.machine.objectcache import ObjectCache

    monkeypatch.undo()  # of the fixture that says nothing is known
    monkeypatch.setattr(known, "_cache", lambda: ObjectCache(tmp_path))
    with config.flags(tier="auto"):
        compute()
        program = only()
        assert not program.is_known
        program.compile()
        assert program.is_known
        trie.clear()
        backlit.flush()
        (backlit.from_numpy(X) * 3.0).sum().item()
        assert not only().is_known

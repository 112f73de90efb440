"""Threads by PyTorch's names: how many, what is refused, and results that do not depend on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import backlit
from backlit import config
from backlit.errors import ArgumentError, DtypeError
from backlit.native.machine import control

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pool on Windows")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = backlit.get_num_threads()
    interop = backlit.get_num_interop_threads()
    yield
    backlit.set_num_threads(before)
    control._chosen["interop"] = interop


def test_number_of_threads() -> None:
    """What was set is what is told."""
    for n in (3, 1, 2):
        backlit.set_num_threads(n)
        assert backlit.get_num_threads() == n
    backlit.set_num_interop_threads(4)
    assert backlit.get_num_interop_threads() == 4


def training(n: int) -> list[bytes]:
    """Weights after three steps with products and updates large enough for several threads."""
    backlit.set_num_threads(n)
    backlit.manual_seed(0)
    model = backlit.nn.Sequential(
        backlit.nn.Linear(784, 256), backlit.nn.Tanh(), backlit.nn.Linear(256, 10)
    )
    optimizer = backlit.optim.Adam(model.parameters())
    x, y = backlit.randn(128, 784), backlit.randint(0, 10, (128,))
    for _ in range(3):
        optimizer.zero_grad()
        backlit.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [p.detach().numpy().tobytes() for p in model.parameters()]


def test_results_do_not_depend_on_it() -> None:
    """The same bits on one, two and five threads."""
    with config.flags(tier="hot"):
        backlit.flush()
        one = training(1)
        assert training(2) == one
        assert training(5) == one
    assert np.isfinite(np.frombuffer(one[0], np.float32)).all()


@pytest.mark.parametrize("name", ["set_num_threads", "set_num_interop_threads"])
def test_refusals(name: str) -> None:
    """Numbers of threads are whole, and at least 1; nothing is changed otherwise."""
    function = getattr(backlit, name)
    before = backlit.get_num_threads()
    for bad in (0, -2):
        with pytest.raises(ArgumentError) as error:
            function(bad)
        assert str(error.value) == f"{name}: expected at least 1 thread, got {bad}."
    for wrong in (1.5, "2", True, None):
        with pytest.raises(DtypeError) as refused:
            function(wrong)
        kind = type(wrong).__name__
        assert str(refused.value) == f"{name}: expected an int, got {kind}."
    assert backlit.get_num_threads() == before


@pytest.mark.parametrize(("given", "expected"), [("3", "3"), ("2,4", "2"), ("0", ""), ("x", "")])
def test_environment(given: str, expected: str) -> None:
    """OMP_NUM_THREADS is respected; what is no number of threads is ignored."""
    done = subprocess.run(
        [sys.executable, "-c", "import backlit; print(backlit.get_num_threads())"],
        env={**os.environ, "OMP_NUM_THREADS": given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (expected or str(len(os.sched_getaffinity(0))))


def test_without_native_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no pool the number is accepted and remembered."""
    monkeypatch.setitem(sys.modules, "backlit.native.machine.threads", None)
    monkeypatch.setattr(control, "_chosen", {})
    assert backlit.get_num_threads() == 1
    backlit.set_num_threads(2)
    assert backlit.get_num_threads() == 2

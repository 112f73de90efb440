"""Random programs mean the same recorded lazily, computed op by op, and in PyTorch.

The programs (see `tests.laws.programs`) mix arithmetic, views, in-place changes of tensors and
views, indexed reads and writes, dtype changes, control flow on values, looks at values in the
middle, dropped tensors, `no_grad`, `detach`, `backward` and `grad`. Values, gradients, and the
line of the first error must agree. A failure shrinks to a short program, printed with what differs.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backlit
from tests.laws import programs as writer
from tests.laws.programs import programs
from tests.laws.running import Outcome, differences, run

slow_to_draw = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
many = settings(slow_to_draw, max_examples=150)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)


def run_eagerly(source: str) -> Outcome:
    with backlit.eager():
        return run(source, backlit)


def check(source: str, name: str, found: Outcome, other_name: str, expected: Outcome) -> None:
    told = differences(source, name, found, other_name, expected)
    if told:
        pytest.fail("\n".join(["this program differs:", "", source, "", *told]), pytrace=False)


@many
@given(programs())
def test_lazy_equals_eager(source: str) -> None:
    """Recording changes nothing: op-by-op computation gives the same values, gradients, errors."""
    check(source, "lazy", run(source, backlit), "eager", run_eagerly(source))


@many
@given(programs())
def test_second_run_equals_first(source: str) -> None:
    """A recording that is recognised gives what it gave when it was new."""
    first = run(source, backlit)
    check(source, "second run", run(source, backlit), "first run", first)


@needs_torch
@many
@given(programs())
def test_lazy_equals_torch(source: str) -> None:
    """PyTorch runs the same text to the same values, gradients and first error."""
    import torch

    check(source, "backlit", run(source, backlit), "torch", run(source, torch))


# -- tests of the test ----------------------------------------------------------------------------


def forget() -> None:
    """Begin with an empty trie, in this thread's recording too."""
    backlit.core.position.trie.clear()
    backlit.flush()


def _breaks(monkeypatch: pytest.MonkeyPatch, source: str) -> list[str]:
    """Differences from PyTorch's semantics, as recorded beforehand from an unbroken run."""
    forget()
    return differences(source, "broken", run(source, backlit), "sound", SOUND[source])


GRADIENT = "a = m.tensor([1.0, 2.0], dtype=m.float64, requires_grad=True)\nb = a.tanh()"
INPLACE = "a = m.tensor([1.0, 2.0], dtype=m.float64)\nb = a[0]\na.mul_(3.0)\nc = b + 1"
SOUND: dict[str, Outcome] = {}


@pytest.fixture
def sound_outcomes() -> Any:
    for source in (GRADIENT, INPLACE):
        SOUND[source] = run(source, backlit)
    yield
    forget()


@pytest.mark.usefixtures("sound_outcomes")
def test_wrong_derivative_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivative with the wrong sign changes a program's gradients."""
    card = backlit.core.primitive.PRIMITIVES["tanh"]
    monkeypatch.setattr(card, "derivatives", (lambda m, out: out * out - 1,))
    assert any(".grad" in line for line in _breaks(monkeypatch, GRADIENT))


@pytest.mark.usefixtures("sound_outcomes")
def test_forgotten_views_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An in-place op that leaves views as they were changes a program's values."""
    from backlit.core import inplace

    monkeypatch.setattr(inplace, "mark_stale", lambda base: None)
    assert any(line.startswith("c:") for line in _breaks(monkeypatch, INPLACE))


@given(st.data())
@settings(slow_to_draw, max_examples=200)
def test_programs_reach_every_statement(data: st.DataObject) -> None:
    """Every kind of statement writes a line sooner or later, and the text is valid Python."""
    source = data.draw(programs())
    compile(source, "<program>", "exec")
    assert source.splitlines()[0].startswith("a = m.tensor(")
    assert len(writer.STATEMENTS) > 30

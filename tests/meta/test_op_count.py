"""The README states how many public operations there are, and how many have gradients.

``python -m tests.meta.test_op_count`` writes the numbers. `without_gradient.txt` lists the
operations that have none: truth values, whole numbers, new tensors, and special functions whose
derivative PyTorch does not know either. A new operation without a gradient is added there by hand.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit.core.primitive import PRIMITIVES
from backlit.core.registry import PUBLIC
from backlit.ops.samples import samples_of
from tests.laws.cards import ENGINE, differentiable
from tests.meta.sources import ROOT

README = ROOT / "README.md"
WITHOUT = Path(__file__).with_name("without_gradient.txt")
SENTENCE = re.compile(r"\*\*(\d+) public operations, (\d+) of them with a gradient\*\*")


def operations() -> list[str]:
    return [name for name in PUBLIC if not name.startswith("_")]


def without_gradient() -> set[str]:
    lines = WITHOUT.read_text(encoding="utf-8").splitlines()
    return {name for line in lines if not line.startswith("#") for name in line.split()}


def counts() -> tuple[int, int]:
    names = set(operations())
    return len(names), len(names - without_gradient())


def test_the_readme_states_the_registrys_numbers() -> None:
    """Operations in all, and those with a gradient."""
    found = SENTENCE.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert tuple(map(int, found.groups())) == counts()


def test_the_list_names_operations() -> None:
    """Nothing is listed as without gradient that does not exist."""
    assert sorted(without_gradient() - set(operations())) == []


def test_every_gradient_rule_has_samples_to_check_it_with() -> None:
    """Each differentiable card is compared with central differences by the laws."""
    cards = [c for c in PRIMITIVES.values() if differentiable(c)]
    assert len(cards) > 100
    unchecked = [c.name for c in cards if not samples_of(c)]
    # Its gradient is scaled on purpose, so that it is no derivative of what it computes.
    assert sorted(unchecked) == ["scale_gradient"]
    assert "scale_gradient" not in ENGINE


def x(*shape: int) -> Any:
    numbers = np.random.default_rng(0).uniform(0.2, 0.8, shape or (3, 3))
    return backlit.tensor(numbers, requires_grad=True)


I, II = backlit.tensor([0, 1, 2]), backlit.tensor([[0, 1, 2]] * 3)
# Arguments that some operation or other takes.
CALLS: list[Callable[[], tuple[Any, ...]]] = [
    lambda: (x(),),
    lambda: (x(), x()),
    lambda: (x(), x(), x()),
    lambda: ([x(), x()],),
    lambda: (x(), 1),
    lambda: (x(), 0, I),
    lambda: (x(), 0, II),
    lambda: (x(), 0, II, x()),
    lambda: (x(), 0, I, x()),
    lambda: (x(), II > 0),
    lambda: (x(), II > 0, x()),
    lambda: (II > 0, x(), x()),
    lambda: (x(), I),
    lambda: (x(3), x(3)),
    lambda: (x(3),),
    lambda: (x(2, 3, 4, 4),),
    lambda: (x(2, 3, 4),),
    lambda: (x(), 0, 1),
    lambda: (x(), (3, 3)),
    lambda: (x(2, 4, 4, 4), 2),
    lambda: (1, x()),
    lambda: (x(2, 3, 3), x(2, 3, 3)),
    lambda: (x(), x(3), x(3)),
    lambda: (x(3), x(), x(3)),
    lambda: (x(2, 3, 6), x(2, 3)),
    lambda: (x(), x(2, 3, 3), x(2, 3, 3)),
]


def has_history(found: Any) -> bool:
    if isinstance(found, (tuple, list)):
        return any(map(has_history, found))
    return isinstance(found, backlit.Tensor) and found.requires_grad


def outcome(call: Callable[..., Any]) -> bool | None:
    """Whether a result of some call has a history; None if no call went through."""
    found = None
    for arguments in CALLS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = call(*arguments())
        except Exception:  # noqa: BLE001 - most operations take few of these arguments
            continue
        found = bool(found) or has_history(made)
        if found:
            return True
    return found


@pytest.mark.parametrize("name", operations())
def test_the_list_is_true(name: str) -> None:
    """What is listed has no history when called; what is not listed has, if it could be called."""
    found = outcome(PUBLIC[name])
    if found is not None:
        assert found == (name not in without_gradient())


if __name__ == "__main__":
    total, differentiated = counts()
    text = f"**{total} public operations, {differentiated} of them with a gradient**"
    README.write_text(SENTENCE.sub(text, README.read_text(encoding="utf-8")), encoding="utf-8")

"""Running a program written by `tests.laws.programs` in one library, and what came of it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FINAL = """
total = None
for name, t in sorted(list(locals().items())):
    if isinstance(t, m.Tensor) and t.requires_grad:
        term = (t * t).sum() if len(name) % 2 else t.sum()
        total = term if total is None else total + term
if total is not None:
    total.backward()
"""

# PyTorch sees that a saved value changed or was freed, not whether the gradient needs it.
STRICTER = ("has been modified by an inplace operation", "backward through the graph a second time")


@dataclass
class Outcome:
    """What a program did: values it looked at, its tensors, their gradients, or where it failed."""

    seen: list[Any] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    failed_at: int = 0  # line number of the first error, 0 if there was none
    error: str = ""


def run(source: str, library: Any) -> Outcome:
    """Run ``source`` with `m` standing for ``library``."""
    outcome = Outcome()
    scope: dict[str, Any] = {"m": library, "seen": outcome.seen}
    text = source + FINAL
    try:
        exec(compile(text, "<program>", "exec"), scope)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == "<program>"
        ]
        outcome.failed_at = lines[0] or 0
        outcome.error = f"{type(error).__name__}: {error}"
    tensors = {
        k: t
        for k, t in scope.items()
        if isinstance(t, library.Tensor) and k not in ("total", "term", "t")
    }
    for name, t in sorted(tensors.items()):
        outcome.values[name] = (
            str(t.dtype).split(".")[-1],
            t.requires_grad,
            t.detach().numpy().copy(),
        )
        if t.is_leaf and t.grad is not None:
            outcome.gradients[name] = t.grad.detach().numpy().copy()
    return outcome


def differences(
    source: str, name: str, found: Outcome, other_name: str, expected: Outcome
) -> list[str]:
    """In words, what differs between two outcomes."""
    told: list[str] = []
    stricter = any(text in expected.error for text in STRICTER)
    if other_name == "torch" and found.failed_at != expected.failed_at and stricter:
        return told
    if found.failed_at != expected.failed_at:
        lines = [*source.splitlines(), *FINAL.splitlines()]
        at = found.failed_at or expected.failed_at
        told.append(
            f"at `{lines[at - 1].strip()}`: {name}: {found.error or 'no error'}; {other_name}: "
            f"{expected.error or 'no error'}"
        )
        return told
    if len(found.seen) != len(expected.seen):
        return [f"{name} looked {len(found.seen)} times, {other_name} {len(expected.seen)} times"]
    for i, (a, b) in enumerate(zip(found.seen, expected.seen, strict=True)):
        if not close(a, b):
            told.append(f"seen[{i}]: {name} {a}, {other_name} {b}")
    if not found.failed_at:  # a backward pass that fails halfway may have added some gradients
        told += _compare(name, found.gradients, other_name, expected.gradients, ".grad")
    values = {k: v[2] for k, v in found.values.items()}
    told += _compare(name, values, other_name, {k: v[2] for k, v in expected.values.items()}, "")
    for k in found.values.keys() & expected.values.keys():
        if found.values[k][:2] != expected.values[k][:2]:
            told.append(f"{k}: {name} {found.values[k][:2]}, {other_name} {expected.values[k][:2]}")
    return told


def _compare(
    name: str, found: dict[str, Any], other_name: str, expected: dict[str, Any], suffix: str
) -> list[str]:
    told = []
    for k in sorted(found.keys() | expected.keys()):
        a, b = found.get(k), expected.get(k)
        if a is None or b is None or not close(a, b):
            told.append(f"{k}{suffix}: {name} {_short(a)}, {other_name} {_short(b)}")
    return told


def _short(a: Any) -> str:
    return "nothing" if a is None else np.array2string(np.asarray(a), precision=6).replace("\n", "")


def close(a: Any, b: Any) -> bool:
    """Whether two observed values agree, in shape and to 1e-9 (relative), NaN equal to NaN."""
    if isinstance(a, (str, bool)) or a is None or b is None:
        return str(a).removeprefix("torch.") == str(b).removeprefix("torch.")
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return x.shape == y.shape and np.allclose(x, y, rtol=1e-9, atol=1e-9, equal_nan=True)

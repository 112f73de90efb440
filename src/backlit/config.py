"""Flags: one registry, from which the environment, the context manager and the docs table come."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from backlit.errors import ArgumentError


class Flag:
    """One setting: its default, the environment variable that sets it, and what it does."""

    __slots__ = ("choices", "default", "doc", "environment", "name")

    def __init__(
        self, name: str, default: Any, environment: str, doc: str, choices: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.default = default
        self.environment = environment
        self.doc = doc
        self.choices = choices


FLAGS = {
    f.name: f
    for f in (
        Flag("eager", False, "BACKLIT_EAGER", "compute every op at once instead of recording it"),
        Flag(
            "tier",
            "auto",
            "BACKLIT_TIER",
            "what runs programs: NumPy source (cold), native code (hot), or both in turn",
            ("auto", "cold", "hot"),
        ),
        Flag("compare", False, "BACKLIT_COMPARE", "run both tiers and raise where they differ"),
        Flag(
            "verify",
            False,
            "BACKLIT_VERIFY",
            "check every program's shapes, dtypes and order before it runs",
        ),
        Flag(
            "zero_upstream",
            False,
            "BACKLIT_ZERO_UPSTREAM",
            "a zero upstream gradient times an infinite local gradient is 0 instead of NaN",
        ),
    )
}

_values: dict[str, Any] = {}
listeners: list[Callable[[], None]] = []  # called after a flag has changed


def _from_environment(flag: Flag) -> Any:
    text = os.environ.get(flag.environment)
    if text is None:
        return flag.default
    if flag.choices:
        if text not in flag.choices:
            raise ArgumentError(
                f"{flag.environment}={text!r}: expected {', '.join(flag.choices)} ({flag.doc})."
            )
        return text
    if text not in ("0", "1"):
        raise ArgumentError(f"{flag.environment}={text!r}: expected 0 or 1 ({flag.doc}).")
    return text == "1"


for _flag in FLAGS.values():
    _values[_flag.name] = _from_environment(_flag)


def get(name: str) -> Any:
    """The present value of flag ``name``."""
    return _values[name]


def set_flag(name: str, value: Any) -> None:
    """Set flag ``name`` for the whole process.

    Raises:
        ArgumentError: if there is no such flag, or it does not take this value.
    """
    if name not in FLAGS:
        raise ArgumentError(f"unknown flag {name!r}; the flags are {', '.join(sorted(FLAGS))}.")
    choices = FLAGS[name].choices
    if choices and value not in choices:
        raise ArgumentError(f"flag {name!r}: expected one of {', '.join(choices)}, got {value!r}.")
    if _values[name] != value:
        _values[name] = value
        for listener in listeners:
            listener()


@contextlib.contextmanager
def flags(**values: Any) -> Iterator[None]:
    """Set flags for the duration of a ``with`` block.

    >>> import backlit
    >>> with backlit.config.flags(zero_upstream=True):
    ...     backlit.config.get("zero_upstream")
    True
    """
    old = {name: _values.get(name) for name in values}
    try:
        for name, value in values.items():
            set_flag(name, value)
        yield
    finally:
        for name, value in old.items():
            if name in FLAGS:
                set_flag(name, value)


def table() -> str:
    """The flags as a Markdown table."""
    rows = [f"| `{f.name}` | `{f.environment}` | `{f.default}` | {f.doc} |" for f in FLAGS.values()]
    return "\n".join(
        ["| flag | environment | default | what it does |", "|---|---|---|---|", *rows]
    )

"""Timelines in the format that Chrome's and Perfetto's viewers read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backlit.insight.kernels import Kernel
from backlit.train.checkpoint import write_atomically


@dataclass(frozen=True)
class Event:
    """Something that took time: what, in which thread, from when to when (in nanoseconds)."""

    name: str
    category: str
    thread: int
    start: int
    stop: int
    kernel: Kernel | None = None


def write_chrome_trace(path: Path, events: Sequence[Event], start: int) -> None:
    """Write events as a Chrome trace, whole or not at all; ``start`` is its zero.

    The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    """
    threads = {t: i for i, t in enumerate(dict.fromkeys(e.thread for e in events))}
    rows: list[dict[str, Any]] = [
        _named("process_name", 0, "backlit"),
        *(_named("thread_name", i, f"thread {i}") for i in threads.values()),
    ]
    rows += [_row(e, threads[e.thread], start) for e in events]
    text = json.dumps({"traceEvents": rows, "displayTimeUnit": "ns"}, ensure_ascii=False)
    write_atomically(path, lambda part: _write(part, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": os.getpid(), "tid": thread, "args": {"name": name}}


def _row(event: Event, thread: int, start: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "ph": "X",
        "name": event.name,
        "cat": event.category,
        "pid": os.getpid(),
        "tid": thread,
        "ts": (event.start - start) / 1000,  # microseconds
        "dur": (event.stop - event.start) / 1000,
    }
    if event.kernel is not None:
        k = event.kernel
        row["args"] = {
            "lines": [str(w) for w in k.where],
            "phase": k.phase,
            "bytes read": k.bytes_read,
            "bytes written": k.bytes_written,
            "FLOPs": k.flops,
        }
    return row

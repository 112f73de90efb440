"""Run folders: config.json once, and a line of metrics.jsonl for every epoch."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from backlit.train.callbacks import Callback
from backlit.train.checkpoint import write_atomically

if TYPE_CHECKING:
    from backlit.train.run import Run


class RunFolder(Callback):
    """Keeps the record of a run on disk, readable by anything.

    Args:
        folder: where config.json (what was trained, and how) and metrics.jsonl go. The latter has
            one JSON object per epoch, written and flushed when the epoch ends; NaN and infinities
            are null, as JSON has none.
        config: what you want to be noted besides.

    After a resume, the lines of epochs that are trained again are replaced.

    >>> import tempfile
    >>> RunFolder(tempfile.gettempdir(), config={"note": "a first try"}).config
    {'note': 'a first try'}
    """

    def __init__(self, folder: str | Path, config: Mapping[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        self.config = dict(config or {})
        self._file: IO[str] | None = None

    @property
    def metrics_path(self) -> Path:
        """The file of the epochs' rows."""
        return self.folder / "metrics.jsonl"

    def on_train_begin(self, run: Run) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(as_json(describe(run) | self.config), indent=2) + "\n"
        write_atomically(self.folder / "config.json", lambda part: write_text(part, text))
        kept = [row for row in read_rows(self.metrics_path) if row["epoch"] <= run.epoch]
        lines = "".join(json.dumps(row) + "\n" for row in kept if run.epoch)
        write_atomically(self.metrics_path, lambda part: write_text(part, lines))
        self._file = self.metrics_path.open("a", encoding="utf-8")

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(as_json(row)) + "\n")
        self._file.flush()

    def on_train_end(self, run: Run) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def describe(run: Run) -> dict[str, Any]:
    """What is trained, and how, as plain values."""
    group = run.optimizer.param_groups[0]
    return {
        "model": repr(run.model),
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "loss": repr(run.loss_of),
        "optimizer": type(run.optimizer).__name__,
        "optimizer_options": {k: v for k, v in group.items() if k not in ("params", "param_names")},
        "scheduler": None if run.scheduler is None else type(run.scheduler).__name__,
        "epochs": run.epochs,
        "metrics": [metric.name for metric in run.metrics],
        **run.settings,
        "versions": {
            "backlit": import_module("backlit").__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that a crash cut short is left out.

    >>> read_rows("no-such-file.jsonl")
    []
    """
    rows = []
    path = Path(path)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def as_json(value: Any) -> Any:
    """The value in terms of JSON: arrays as lists, NaN as null, anything else by its text."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def write_text(path: Path, text: str) -> None:
    """Write a text file with line ends as they are."""
    path.write_text(text, encoding="utf-8", newline="\n")

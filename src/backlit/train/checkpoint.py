"""Checkpoints: written so that a crash at any moment leaves every finished one intact.

A checkpoint is one safetensors file. Its tensors are the run's arrays; its metadata hold a JSON
tree of everything else and checksums of both. It is written beside its place, forced to the disk,
and then renamed: at no moment is there half a file under the final name.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backlit.errors import ArgumentError
from backlit.train.errors import CheckpointError
from backlit.train.history import is_rising
from backlit.train.state import Arrays, join, split

FORMAT = "backlit-checkpoint-1"
NAME = re.compile(r"step-(\d{9,})\.safetensors")
BEST = "best.safetensors"


def save_state(path: str | Path, state: dict[str, Any]) -> Path:
    """Write a state (nested dicts, lists, numbers, texts, tensors) atomically to one file.

    Raises:
        CheckpointError: it holds something else, or the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_state(f"{folder}/a.safetensors", {"step": 3, "w": backlit.ones(2)})
    ...     load_state(path)
    {'step': 3, 'w': tensor([1., 1.])}
    """
    from safetensors.numpy import save_file

    arrays: Arrays = {}
    tree = json.dumps(split(state, arrays))
    metadata = {
        "format": FORMAT,
        "tree": tree,
        "tree_crc32": str(zlib.crc32(tree.encode())),
        "data_crc32": str(crc32_of(arrays)),
    }
    path = Path(path)
    write_atomically(path, lambda part: save_file(arrays, part, metadata))
    return path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` make a file beside `path`, force it to the disk, and give it its name.

    Raises:
        CheckpointError: the folder cannot be made, or the file cannot be written.
    """
    from safetensors import SafetensorError

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        sync(part)
        os.replace(part, path)
        sync(path.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path}: cannot be written ({reason}); earlier files are as they were."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders; it writes names through by itself
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def crc32_of(arrays: Arrays) -> int:
    """One checksum over all arrays, in the order of their names."""
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].reshape(-1).view("u1").data, zlib.crc32(name.encode(), crc))
    return crc


def load_state(path: str | Path) -> dict[str, Any]:
    """Read a file that `save_state` wrote.

    Raises:
        CheckpointError: there is no such file, it is no checkpoint, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; check the path.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            is_own = metadata.get("format") == FORMAT
            names = list(file.keys()) if is_own else []
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint, it is damaged or of another kind "
            f"({str(error).rstrip('.')})."
        ) from None
    if not is_own:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a checkpoint of this program; weights alone are "
            "loaded with model.load_state_dict."
        )
    tree = metadata.get("tree", "")
    sums = (str(zlib.crc32(tree.encode())), str(crc32_of(arrays)))
    if sums != (metadata.get("tree_crc32"), metadata.get("data_crc32")):
        raise CheckpointError(f"{path}: damaged, its checksum does not match its content.")
    state: dict[str, Any] = join(json.loads(tree), arrays)
    return state


def checkpoints_in(folder: str | Path) -> list[Path]:
    """The numbered checkpoints of a folder, oldest first.

    >>> checkpoints_in("no-such-folder")
    []
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    numbered = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return [path for _, path in sorted((int(m[1]), path) for m, path in numbered if m)]


def load_latest(folder: str | Path, fall_back: bool = False) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint of a folder and its state; None if there is none.

    Args:
        fall_back: if the newest is damaged, warn and take the one before, and so on.

    Raises:
        CheckpointError: the newest is damaged (with `fall_back`: all are).
    """
    found = checkpoints_in(folder)
    for path in reversed(found):
        try:
            return path, load_state(path)
        except CheckpointError as error:
            if not fall_back or path == found[0]:
                hint = (
                    ""
                    if fall_back or len(found) == 1
                    else (" Checkpoint(..., fall_back=True) uses the one before.")
                )
                raise CheckpointError(f"{error}{hint}") from None
            warnings.warn(f"{error} Using the checkpoint before.", UserWarning, stacklevel=2)
    return None


@dataclass
class Checkpoint:
    """Where and when `fit` saves.

    Args:
        folder: where the files go: step-000000120.safetensors, …, best.safetensors.
        every_epochs: save at the end of every so many epochs; 0 for never.
        every_steps, every_seconds: save in the middle of epochs too.
        keep: how many of the newest to keep; 0 for all.
        monitor: what best.safetensors is the best of: by default "val_loss", or "loss" if there
            is no validation. None keeps no best.
        mode: "min", "max" or "auto" (by the name).
        fall_back: when resuming, use the one before if the newest is damaged.

    Raises:
        ArgumentError: a count is negative.
    """

    folder: str | Path
    every_epochs: int = 1
    every_steps: int = 0
    every_seconds: float = 0.0
    keep: int = 3
    monitor: str | None = "auto"
    mode: str = "auto"
    fall_back: bool = False

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        for name in ("every_epochs", "every_steps", "every_seconds", "keep"):
            if getattr(self, name) < 0:
                raise ArgumentError(
                    f"Checkpoint: {name} must not be negative, got {getattr(self, name)}."
                )
        is_rising("loss", self.mode)
        self.best: float | None = None
        self._saved_at = time.monotonic()

    def prepare(self) -> None:
        """Remove what a killed run left half-written, and start the clock."""
        for part in Path(self.folder).glob(".*.part"):
            part.unlink(missing_ok=True)
        self._saved_at = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether to save after this step, in the middle of an epoch."""
        if self.every_steps and step % self.every_steps == 0:
            return True
        return bool(self.every_seconds and time.monotonic() - self._saved_at >= self.every_seconds)

    def improves(self, row: dict[str, Any], default: str) -> bool:
        """Whether an epoch is the best so far."""
        name = default if self.monitor == "auto" else self.monitor
        if name is None:
            return False
        if name not in row:
            raise ArgumentError(
                f"Checkpoint: there is no {name!r} to monitor; the epochs report {', '.join(row)}."
            )
        value = -row[name] if is_rising(name, self.mode) else row[name]
        if math.isnan(value) or (self.best is not None and value >= self.best):
            return False
        self.best = value
        return True

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write the numbered checkpoint of this step, then remove the oldest."""
        path = save_state(Path(self.folder) / f"step-{step:09d}.safetensors", state)
        self._saved_at = time.monotonic()
        if self.keep:
            for old in checkpoints_in(self.folder)[: -self.keep]:
                old.unlink(missing_ok=True)
        return path

    def save_best(self, state: dict[str, Any]) -> Path:
        """Write best.safetensors."""
        return save_state(Path(self.folder) / BEST, state)


def as_checkpoint(checkpoint: Any) -> Checkpoint | None:
    """A `Checkpoint`, made of a folder's name if that is what is given."""
    if checkpoint is None or isinstance(checkpoint, Checkpoint):
        return checkpoint
    return Checkpoint(checkpoint)

"""Model files: one safetensors file with everything that a prediction for a table needs.

The tensors are the weights; the metadata holds a JSON description (architecture, columns and how
they are encoded, target, classes, how it was trained) and a checksum of both. There is no code in
it, and no pickle.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backlit.interop.errors import FileFormatError
from backlit.interop.safetensors import read_arrays, to_bytes, write_bytes
from backlit.train.checkpoint import crc32_of, write_atomically

FORMAT = "backlit-table-model-1"


@dataclass
class TableModel:
    """A trained network for a table.

    Attributes:
        task: "classification" or "regression".
        target: the column to predict.
        classes: the classes' names in the order of the outputs; empty for regression.
        columns: per input column, how it becomes features: plain values.
        target_scale: [mean, standard deviation] of the target of a regression.
        architecture: sizes, activations and dropout of the layers.
        weights: arrays by parameter name.
        training: rows, options, scores: what `backlit info` tells.
    """

    task: str
    target: str
    classes: list[str]
    columns: list[dict[str, Any]]
    target_scale: list[float]
    architecture: dict[str, Any]
    weights: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def write_model(path: str | Path, model: TableModel, force: bool = False) -> None:
    """Write a model file; it appears under its name only when it is complete.

    Args:
        force: replace a file that is there.

    Raises:
        FileFormatError: there is a file already.
        CheckpointError: the file cannot be written.

    >>> import tempfile
    >>> model = TableModel("regression", "y", [], [], [0.0, 1.0], {"sizes": [1, 1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(f"{folder}/m.safetensors", model)
    ...     read_model(f"{folder}/m.safetensors") == model
    True
    """
    path = Path(path)
    refuse_existing(path, force)
    described = {name: value for name, value in asdict(model).items() if name != "weights"}
    description = json.dumps(described)
    arrays = {name: np.asarray(array, order="C") for name, array in model.weights.items()}
    metadata = {
        "format": FORMAT,
        "model": description,
        "crc32": checksum(description, arrays),
    }
    content = to_bytes(arrays, metadata)
    write_atomically(path, lambda part: write_bytes(part, content))


def refuse_existing(path: Path, force: bool) -> None:
    """Raise if there is a file that would be lost, or a folder in its place."""
    if path.is_dir():
        raise FileFormatError(f"{path}: this is a folder; give the name of a file.")
    if path.exists() and not force:
        raise FileFormatError(
            f"{path} exists already; choose another name, or replace it (--force)."
        )


def checksum(description: str, arrays: Mapping[str, Any]) -> str:
    """A checksum of description and weights."""
    return f"{zlib.crc32(description.encode()):08x}{crc32_of(dict(arrays)):08x}"


def read_model(path: str | Path) -> TableModel:
    """Read a model file.

    Raises:
        FileFormatError: there is no such file, it is damaged, or it is something else.
    """
    arrays, metadata = read_arrays(path)
    if metadata.get("format") != FORMAT:
        raise FileFormatError(
            f"{path}: a safetensors file, but not a model that `backlit train` wrote."
        )
    description = metadata.get("model", "")
    if metadata.get("crc32") != checksum(description, arrays):
        raise FileFormatError(f"{path}: damaged, its checksum does not match its content.")
    return TableModel(**json.loads(description), weights=arrays)

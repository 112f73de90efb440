"""A trained network as the command line uses it: from tables to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit import nn
from backlit.cli.architecture import build
from backlit.cli.columns import features
from backlit.cli.targets import Array
from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.data.frame import Frame, Kind
from backlit.interop import FileFormatError, TableModel, read_model
from backlit.train import evaluating
from backlit.train.stopping import set_weights

BATCH = 4096


def outputs(network: nn.Module, x: Array) -> Array:
    """The network's outputs for all rows, as float64.

    The last batch is filled up with zeros, so that every batch runs the same program.
    """
    parts = []
    with evaluating(network):
        for start in range(0, len(x), BATCH):
            rows = x[start : start + BATCH]
            n = len(rows)
            if n < BATCH <= len(x):
                rows = np.concatenate([rows, np.zeros((BATCH - n, x.shape[1]), x.dtype)])
            parts.append(np.array(realize(network(from_array(rows)))[:n], dtype=np.float64))
    return np.concatenate(parts)


def softmax(scores: Array) -> Array:
    """Probabilities of the classes, rows of which add up to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


@dataclass
class Predictor:
    """A model file in use."""

    model: TableModel
    network: nn.Module

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns that it reads, and what is in them."""
        return {encoding["name"]: encoding["kind"] for encoding in self.model.columns}

    def missing_columns(self, names: Sequence[str]) -> list[str]:
        """The columns that a table lacks."""
        return [name for name in self.kinds if name not in names]

    def __call__(self, frame: Frame) -> Array:
        """Probabilities (rows, classes), or predicted numbers (rows,)."""
        found = outputs(self.network, features(frame, self.model.columns))
        if self.model.task == "classification":
            return softmax(found)
        mean, scale = self.model.target_scale
        numbers: Array = found[:, 0] * scale + mean
        return numbers


def load_predictor(path: str) -> Predictor:
    """Read a model file and build its network.

    Raises:
        FileFormatError: there is no such file, it is damaged, or something else.
    """
    model = read_model(path)
    network = build(model.architecture)
    try:
        set_weights(network, model.weights)
    except (RuntimeError, KeyError, ValueError) as error:
        first = str(error).split("\n")[0]
        raise FileFormatError(
            f"{path}: its weights do not fit its architecture ({first})."
        ) from None
    return Predictor(model, network)


def scores_of(task: str, predicted: Array, true: Array) -> dict[str, Any]:
    """How good predictions are: accuracy; or R², and errors in the target's units."""
    if task == "classification":
        return {"accuracy": float((predicted.argmax(axis=1) == true).mean())}
    error = predicted - true
    spread = float(((true - true.mean()) ** 2).sum())
    return {
        "R²": 1.0 - float((error**2).sum()) / spread if spread else float("nan"),
        "RMSE": float(np.sqrt((error**2).mean())),
        "MAE": float(np.abs(error).mean()),
    }

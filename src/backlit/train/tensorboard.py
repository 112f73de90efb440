"""TensorBoard events, through the extra `tensorboard`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from backlit.train.callbacks import Callback
from backlit.train.extras import require

if TYPE_CHECKING:
    from backlit.train.run import Run


class TensorBoard(Callback):
    """Writes every number of every epoch as TensorBoard events; look at them with
    `tensorboard --logdir FOLDER`.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        purpose = "train.TensorBoard"
        files = "tensorboard.summary.writer.event_file_writer"
        self._writers = require(files, "tensorboard", purpose)
        self._event = require("tensorboard.compat.proto.event_pb2", "tensorboard", purpose)
        self._summary = require("tensorboard.compat.proto.summary_pb2", "tensorboard", purpose)
        self.folder = Path(folder)
        self._writer: Any = None

    def on_train_begin(self, run: Run) -> None:
        self._writer = self._writers.EventFileWriter(str(self.folder))

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        values = [
            self._summary.Summary.Value(tag=name, simple_value=float(value))
            for name, value in row.items()
            if isinstance(value, int | float) and name not in ("epoch", "step")
        ]
        summary = self._summary.Summary(value=values)
        self._writer.add_event(self._event.Event(step=run.epoch, summary=summary))
        self._writer.flush()

    def on_train_end(self, run: Run) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

"""The learning and evaluation protocol of a run, written down from what really happened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from backlit.train.callbacks import Callback
from backlit.train.splits import Study, times

if TYPE_CHECKING:
    from backlit.train.run import Run


class Protocol(Callback):
    """Notes how a model was trained and judged; `str()` gives the protocol, step by step.

    Args:
        study: the `Study` that models are compared and tested with, if there is one.

    >>> from backlit import nn, optim, train
    >>> splits = train.split(backlit.data.iris())
    >>> study = train.Study(splits, metrics="accuracy")
    >>> _ = backlit.manual_seed(0)
    >>> model, protocol = nn.Linear(4, 3), train.Protocol(study)
    >>> _ = train.fit(model, splits.train, nn.CrossEntropyLoss(),
    ...               optim.Adam(model.parameters(), lr=0.1), epochs=3,
    ...               val_data=splits.validation, callbacks=[protocol], progress=False)
    >>> print(protocol)
    1. Split     150 samples: 90 to learn from, 30 to choose by, 30 to be judged by
    2. Model     Linear, 15 parameters, from random weights
    3. Loss      CrossEntropyLoss
    4. Minimise  Adam, lr 0.1, batches of 32, at most 3 epochs
    5. Learn     3 epochs, 9 steps: loss 2.2... → 1.0..., on validation data 0.9... → 0.9...
    6. Choose    no models compared yet: use study.validate
    7. Judge     test set not used yet: use study.test, once
    """

    def __init__(self, study: Study | None = None) -> None:
        self.study = study
        self.lines: dict[str, str] = {}

    def on_train_begin(self, run: Run) -> None:
        n = sum(p.numel() for p in run.model.parameters())
        frozen = sum(p.numel() for p in run.model.parameters() if not p.requires_grad)
        start = "from a checkpoint" if run.epoch or run.batch else "from random weights"
        self.lines["Model"] = (
            f"{type(run.model).__name__}, {n} parameters"
            + (f" ({frozen} frozen)" if frozen else "")
            + f", {start}"
        )
        penalty = "" if run.penalty is None else " + a penalty on the weights"
        name = getattr(run.loss_of, "__name__", type(run.loss_of).__name__)
        self.lines["Loss"] = name + penalty
        self.lines["Minimise"] = self._minimise(run)

    def _minimise(self, run: Run) -> str:
        group = run.optimizer.param_groups[0]
        parts = [f"{type(run.optimizer).__name__}, lr {group['lr']:g}"]
        parts += [
            f"{name.replace('_', ' ')} {group[name]:g}"
            for name in ("momentum", "weight_decay")
            if group.get(name)
        ]
        if run.settings.get("batch_size"):
            parts.append(f"batches of {run.settings['batch_size']}")
        if run.clip_grad is not None:
            parts.append(f"gradients clipped at {run.clip_grad:g}")
        if run.scheduler is not None:
            parts.append(f"rates by {type(run.scheduler).__name__}")
        parts.append(f"at most {run.epochs} epochs")
        if run.stopper is not None:
            parts.append(f"early stopping after {run.stopper.patience} without improvement")
        return ", ".join(parts)

    def on_train_end(self, run: Run) -> None:
        history = run.history
        if not len(history):
            self.lines["Learn"] = "no epoch was finished"
            return
        first, last = history.rows[0], history.last
        text = f"{len(history)} epochs, {last['step']} steps: loss {change(first, last, 'loss')}"
        if "val_loss" in last:
            text += f", on validation data {change(first, last, 'val_loss')}"
        if history.stopped:
            text += f"; stopped: {history.stopped}"
        if run.stopper is not None and run.stopper.restore_best and history.best_epoch:
            text += f"; the weights of epoch {history.best_epoch}, the best, were kept"
        self.lines["Learn"] = text

    def __str__(self) -> str:
        lines = {**self._split(), **self.lines, **self._judged()}
        width = max(map(len, lines), default=0)
        return "\n".join(
            f"{i}. {title:{width}}  {text}" for i, (title, text) in enumerate(lines.items(), 1)
        )

    __repr__ = __str__

    def _split(self) -> dict[str, str]:
        if self.study is None:
            return {}
        sizes = [len(part) for part in self.study.splits.indices]
        return {
            "Split": f"{sum(sizes)} samples: {sizes[0]} to learn from, {sizes[1]} to choose by, "
            f"{sizes[2]} to be judged by"
        }

    def _judged(self) -> dict[str, str]:
        if self.study is None:
            return {}
        study = self.study
        tried, uses = len(study.validations), study.splits.test_uses
        choice = "no models compared yet: use study.validate"
        if tried:
            choice = f"{tried} model{'s' * (tried > 1)} scored on the validation set: " + "; ".join(
                scores(row) for row in study.validations
            )
        verdict = "test set not used yet: use study.test, once"
        if uses:
            found = scores(study.tests[-1]["scores"]) if study.tests else "scores not noted"
            verdict = f"test set used {times(uses)}: {found}"
            if uses > 1:
                verdict += "; used repeatedly, so this score is likely too good"
        return {"Choose": choice, "Judge": verdict}


def change(first: dict[str, Any], last: dict[str, Any], name: str) -> str:
    """How a quantity changed over a run: "2.02 → 0.9"."""
    return f"{first[name]:.3g} → {last[name]:.3g}"


def scores(row: dict[str, Any]) -> str:
    """Scores in short; those that are no numbers left out.

    >>> scores({"loss": 0.25, "confusion": [[1, 0], [0, 1]]})
    'loss 0.25'
    """
    return ", ".join(
        f"{name} {value:.3g}"
        for name, value in row.items()
        if isinstance(value, float) and not math.isnan(value)
    )

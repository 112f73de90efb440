"""Run: everything that makes up a training run, and the step itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from backlit.core.capture import capture
from backlit.core.tensor import Tensor
from backlit.nn import Module
from backlit.nn.shortcut import is_built_in
from backlit.nn.utils import clip_grad_norm_
from backlit.optim import LBFGS, Optimizer
from backlit.train.callbacks import Callback
from backlit.train.checkpoint import Checkpoint
from backlit.train.errors import CheckpointError
from backlit.train.evaluation import LossSum, parts_of
from backlit.train.history import History
from backlit.train.metrics import Metric
from backlit.train.state import optimizer_state, random_state, set_random_state
from backlit.train.stopping import EarlyStopping, Moment


class Run:
    """A training run: what callbacks see and checkpoints hold.

    Attributes:
        model, optimizer, scheduler, loss_of, penalty, loader: what was given to `fit`.
        history: the rows of the epochs so far.
        epochs: how many there shall be; `epoch`: how many are finished.
        step: optimizer steps made; `batch`: those of the epoch in progress.
        loss: the loss of the last batch, a tensor.
        losses: the mean loss of the epoch in progress.
        stopped: why the run shall end; empty while it shall not.
    """

    def __init__(
        self, model: Module, loader: Any, loss_of: Any, optimizer: Optimizer, epochs: int
    ) -> None:
        self.model = model
        self.loader = loader
        self.loss_of = loss_of
        self.optimizer = optimizer
        self.epochs = epochs
        self.scheduler: Any = None
        self.schedules_steps = False
        self.penalty: Callable[[Module], Tensor] | None = None
        self.clip_grad: float | None = None
        self.metrics: list[Metric] = []
        self.callbacks: list[Callback] = []
        self.stopper: EarlyStopping | None = None
        self.checkpoint: Checkpoint | None = None
        self.settings: dict[str, Any] = {}  # what `fit` was called with, for reports
        self.history = History()
        self.losses = LossSum(loss_of)
        self.penalties = LossSum(None)
        self.loss: Tensor | None = None
        self.stopped = ""
        self.epoch = self.batch = self.step = 0
        self.first_epoch = 0  # finished epochs when this process took over
        self._samples_here = 0
        self._seconds_before = 0.0
        self._started = time.perf_counter()
        self._epoch_random: dict[str, Any] | None = None
        self._captured: Any = None  # one step, whose Python need not run every time

    # -- one step ----------------------------------------------------------------------------

    def train_batch(self, batch: Any) -> None:
        """One optimizer step. Nothing is read, so that all of it is one recorded program."""
        inputs, target = parts_of(batch)
        if isinstance(self.optimizer, LBFGS):  # computes the loss as often as it likes
            counted = self.losses.n + len(target)
            self.optimizer.step(lambda: self._closure(inputs, target, counted))
        else:
            if self._captured is None:
                step = self._whole_step
                self._captured = capture(step) if self._is_built_in() else step
            loss, data_loss, penalty = self._captured(*inputs, target)
            self._count(loss, data_loss, penalty, len(target))
        self._note(len(target))

    def _is_built_in(self) -> bool:
        """Whether a step consists of Backlit's own code, which has no effects besides tensors."""
        metrics = all(type(metric).__module__ == Metric.__module__ for metric in self.metrics)
        parts = is_built_in(self.model) and is_built_in(self.loss_of)
        return metrics and parts and self.penalty is None

    def _whole_step(self, *batch: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        """Gradients and the optimizer's step; no name here holds the output: what nobody holds is
        never written to memory."""
        losses = self._backward(list(batch[:-1]), batch[-1])
        self.optimizer.step()
        return losses

    def _count(self, loss: Tensor, data_loss: Tensor, penalty: Tensor | None, n: int) -> None:
        self.loss = loss.detach() if loss.requires_grad else loss
        self.losses.add(data_loss, n)
        if penalty is not None:
            self.penalties.add(penalty, n)

    def _backward(
        self, inputs: list[Any], target: Any, most: float = math.inf
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Gradients; returns the loss, the loss on the data, and the penalty.

        The batch is taken into the metrics unless `most` samples have been counted.
        """
        self.optimizer.zero_grad()
        output = self.model(*inputs)
        loss = data_loss = self.loss_of(output, target)
        penalty = None if self.penalty is None else self.penalty(self.model)
        if penalty is not None:
            loss = data_loss + penalty
        loss.backward()
        if self.clip_grad is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_grad)
        if self.losses.n < most:
            for metric in self.metrics:
                metric.update(output, target)
        return loss, data_loss, penalty

    def _closure(self, inputs: list[Any], target: Any, most: float) -> Tensor:
        """What LBFGS calls as often as it likes; the batch counts once."""
        losses = self._backward(inputs, target, most)
        if self.losses.n < most:
            self._count(*losses, len(target))
        return losses[0]

    def _note(self, samples: int) -> None:
        self.batch += 1
        self.step += 1
        self._samples_here += samples
        if self.scheduler is not None and self.schedules_steps:
            self.scheduler.step()

    # -- where it stands ---------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """End training after this step; the first reason given counts."""
        self.stopped = self.stopped or why

    @property
    def batches_per_epoch(self) -> int | None:
        """Batches per epoch, if the loader knows."""
        try:
            return len(self.loader)
        except TypeError:
            return None

    def seconds_here(self) -> float:
        """Training time in this process."""
        return time.perf_counter() - self._started

    def seconds(self) -> float:
        """Training time, that before a resume included."""
        return self._seconds_before + self.seconds_here()

    def samples_per_s(self) -> float:
        """Training speed in this process, validation and all else included."""
        return self._samples_here / max(self.seconds_here(), 1e-9)

    def moment(self, row: Mapping[str, Any]) -> Moment:
        """The run as stopping conditions see it."""
        return Moment(self.step, self.epoch, self.seconds(), row, self.model)

    def row(self) -> dict[str, Any]:
        """What the epoch in progress reports about training."""
        loss = self.losses.mean()
        row: dict[str, Any] = {"epoch": self.epoch, "step": self.step, "loss": loss}
        if self.penalty is not None:
            penalty = self.penalties.mean()
            row |= {"loss": loss + penalty, "data_loss": loss, "penalty": penalty}
        return row | {metric.name: metric.compute() for metric in self.metrics}

    @property
    def has_diverged(self) -> bool:
        """Whether the epoch's loss is NaN or infinite."""
        means = [total.mean() for total in (self.losses, self.penalties) if total.n]
        return not all(map(math.isfinite, means))

    def begin_epoch(self) -> None:
        """Reset what is counted per epoch."""
        self.batch = 0
        self.losses.reset()
        self.penalties.reset()
        for metric in self.metrics:
            metric.reset()
        if not hasattr(self.loader, "state_dict"):
            self._epoch_random = random_state()

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that continues the run with the same bits, in the middle of an epoch too."""
        loader = self.loader.state_dict() if hasattr(self.loader, "state_dict") else None
        best = None if self.checkpoint is None else self.checkpoint.best
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": optimizer_state(self.optimizer),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "loader": loader,
            "random": random_state(),
            "epoch_random": self._epoch_random,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "seconds": self.seconds(),
            "losses": self.losses.state_dict(),
            "penalties": self.penalties.state_dict(),
            "metrics": [metric.state_dict() for metric in self.metrics],
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "stopper": None if self.stopper is None else self.stopper.state_dict(),
            "history": self.history.state_dict(),
            "best": best,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, in a run set up the same way."""
        check_same_set_up(self, state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if state["loader"] is not None:
            self.loader.load_state_dict(state["loader"])
        self._epoch_random = state["epoch_random"]
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.first_epoch = self.epoch
        self._seconds_before = state["seconds"]
        self.losses.load_state_dict(state["losses"])
        self.penalties.load_state_dict(state["penalties"])
        for part, own in zip(self.metrics, state["metrics"], strict=True):
            part.load_state_dict(own)
        for callback, own in zip(self.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(own)
        if self.stopper is not None:
            self.stopper.load_state_dict(state["stopper"])
        self.history.load_state_dict(state["history"])
        if self.checkpoint is not None:
            self.checkpoint.best = state["best"]
        set_random_state(state["random"])

    def rest_of_epoch(self) -> Any:
        """The batches still to come in the epoch in progress.

        A DataLoader continues by itself. Anything else is read again from its beginning, with the
        random state of that moment, and what has been used is passed over.
        """
        if not self.batch or hasattr(self.loader, "state_dict"):
            return iter(self.loader)
        now = random_state()
        if self._epoch_random is not None:
            set_random_state(self._epoch_random)
        batches = iter(self.loader)
        for _ in range(self.batch):
            next(batches, None)
        set_random_state(now)
        return batches


def check_same_set_up(run: Run, state: Mapping[str, Any]) -> None:
    """Raise one error that lists all differences between a checkpoint and the run it is for."""
    pairs = {
        "a scheduler": (run.scheduler is not None, state["scheduler"] is not None),
        "early stopping": (run.stopper is not None, state["stopper"] is not None),
        "a DataLoader": (hasattr(run.loader, "state_dict"), state["loader"] is not None),
        "metrics": (len(run.metrics), len(state["metrics"])),
        "callbacks": (len(run.callbacks), len(state["callbacks"])),
    }
    different = [
        f"{name} (now {now if type(now) is int else 'yes' if now else 'no'}, "
        f"then {then if type(then) is int else 'yes' if then else 'no'})"
        for name, (now, then) in pairs.items()
        if now != then
    ]
    if different:
        raise CheckpointError(
            f"the checkpoint is of a run with another set-up: {', '.join(different)}; call fit "
            "with the same arguments as before."
        )

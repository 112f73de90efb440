"""`fit`: the training loop, made of the same public pieces as a loop of your own."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backlit.compiler.tiers import compiled_first
from backlit.core.tensor import Tensor
from backlit.data.seeds import seed_process
from backlit.errors import ArgumentError
from backlit.nn import Module
from backlit.optim import Optimizer
from backlit.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau
from backlit.train.callbacks import Callback, StopWhen
from backlit.train.checkpoint import Checkpoint, as_checkpoint, load_latest, load_state
from backlit.train.errors import DivergedWarning
from backlit.train.evaluation import EVALUATION_BATCH, LossSum, as_loader, run_over
from backlit.train.history import History
from backlit.train.interrupt import Interrupt
from backlit.train.metrics import Metric, as_metrics
from backlit.train.progress import READ_EVERY_S, Progress, as_progress
from backlit.train.run import Run
from backlit.train.run_folder import RunFolder
from backlit.train.stopping import Condition, EarlyStopping


def fit(
    model: Module,
    train_data: Any,
    loss: Any,
    optimizer: Optimizer,
    *,
    epochs: int,
    val_data: Any = None,
    metrics: Any = None,
    callbacks: Sequence[Callback | Condition] = (),
    scheduler: Any = None,
    schedule_by: str = "auto",
    penalty: Callable[[Module], Tensor] | None = None,
    clip_grad: float | None = None,
    early_stopping: EarlyStopping | int | bool | None = None,
    checkpoint: Checkpoint | str | Path | None = None,
    resume: bool | str | Path = False,
    run_folder: RunFolder | str | Path | None = None,
    batch_size: int = 32,
    seed: int | None = None,
    reproducible: bool | None = None,
    progress: Any = True,
    device: Any = None,
) -> History:
    """Train a model and report every epoch.

    Args:
        train_data, val_data: (x, y), a Dataset, a DataLoader, or batches (input, …, target).
        loss: a function of (output, target), such as `nn.CrossEntropyLoss()`.
        epochs: passes over the training data, those before a resume included.
        metrics: `Metric`s or their names ("accuracy", "f1", "r2", …), for training and validation.
        callbacks: `Callback`s, and stopping conditions such as `max_steps(1000)`.
        scheduler: a learning-rate schedule; it steps once per epoch, or with `schedule_by="step"`
            after every optimizer step ("auto": the latter for OneCycleLR and CyclicLR).
        penalty: a regularizer, a function of the model; it is added to the loss and reported.
        clip_grad: the largest length of all gradients together.
        early_stopping: an `EarlyStopping`, its patience, or True; by validation loss if there is.
        checkpoint: a folder, or a `Checkpoint` that says when and how many.
        resume: True continues from the newest checkpoint of the folder, if there is one; a path
            from that file. With the same arguments, the result has the same bits as an
            uninterrupted run.
        run_folder: a folder for config.json and metrics.jsonl.
        batch_size: for data that are not yet in batches; training data are shuffled then.
        seed: of the random numbers of Backlit, Python and NumPy from here on.
        reproducible: compile before running instead of beside it, so that no timing decides which
            of two equivalent programs (they differ in the last bits) makes a step. By default if a
            seed or a checkpoint is given.
        progress: True, False, or a `Progress` of your own.
        device: accepted and of no effect: there is one device.

    Ctrl-C ends training after the step in progress: the state is saved, the best weights are put
    back, and it says how to resume. A second one stops at once.

    Returns:
        the history, one row per epoch, and why training ended.

    Raises:
        ArgumentError: arguments that make no sense, or no data.
        CheckpointError: a checkpoint to resume from is damaged or of another set-up.

    >>> from backlit import nn, train
    >>> iris = backlit.data.iris()
    >>> _ = backlit.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 3))
    >>> adam = backlit.optim.Adam(model.parameters(), lr=0.1)
    >>> history = train.fit(model, iris, nn.CrossEntropyLoss(), adam, epochs=20,
    ...                     metrics=["accuracy"], progress=False)
    >>> history["accuracy"][-1] > 0.8
    True
    """
    if epochs < 0:
        raise ArgumentError(f"fit: epochs must not be negative, got {epochs}.")
    if seed is not None:
        seed_process(seed)
    run = Run(model, as_loader(train_data, batch_size, True), loss, optimizer, epochs)
    run.metrics = as_metrics(metrics)
    run.scheduler = scheduler
    run.schedules_steps = steps_schedule(scheduler, schedule_by)
    run.penalty, run.clip_grad = penalty, clip_grad
    run.stopper = as_early_stopping(early_stopping)
    run.checkpoint = as_checkpoint(checkpoint)
    run.callbacks = as_callbacks(callbacks, run_folder)
    run.settings = {"batch_size": getattr(run.loader, "batch_size", None), "seed": seed}
    validation = None
    if val_data is not None:
        loader = as_loader(val_data, max(batch_size, EVALUATION_BATCH), False)
        validation = Validation(loader, LossSum(loss), as_metrics(metrics))
    if reproducible is None:
        reproducible = seed is not None or run.checkpoint is not None
    with compiled_first() if reproducible else contextlib.nullcontext():
        prepare(run, resume)
        Loop(run, validation, as_progress(progress)).train()
    return run.history


@dataclass
class Validation:
    """What is looked at after every epoch."""

    loader: Any
    losses: LossSum
    metrics: list[Metric]

    def row(self, run: Run) -> dict[str, Any]:
        """Loss and metrics on the validation data."""
        self.losses.reset()
        for metric in self.metrics:
            metric.reset()
        run_over(run.model, self.loader, run.loss_of, self.losses, self.metrics)
        scores = {f"val_{metric.name}": metric.compute() for metric in self.metrics}
        return {"val_loss": self.losses.mean(), **scores}


def steps_schedule(scheduler: Any, schedule_by: str) -> bool:
    """Whether the schedule advances with every optimizer step."""
    if schedule_by not in ("auto", "epoch", "step"):
        raise ArgumentError(
            f"fit: schedule_by must be 'auto', 'epoch' or 'step', got {schedule_by!r}."
        )
    by_step = isinstance(scheduler, OneCycleLR | CyclicLR)
    return schedule_by == "step" or (schedule_by == "auto" and by_step)


def as_early_stopping(early_stopping: Any) -> EarlyStopping | None:
    """An `EarlyStopping`, fresh, from what may stand for one."""
    if early_stopping is None or early_stopping is False:
        return None
    if isinstance(early_stopping, EarlyStopping):
        early_stopping.reset()
        return early_stopping
    return EarlyStopping() if early_stopping is True else EarlyStopping(early_stopping)


def as_callbacks(callbacks: Sequence[Any], run_folder: Any) -> list[Callback]:
    """Callbacks as they are, conditions as `StopWhen`; the run folder last, to see all rows."""
    found: list[Callback] = []
    for callback in callbacks:
        if isinstance(callback, Condition):
            found.append(StopWhen(callback))
        elif isinstance(callback, Callback):
            found.append(callback)
        else:
            raise ArgumentError(
                f"fit: {callback!r} is not a callback; derive it from train.Callback, or wrap a "
                "function of (run, row) in train.OnEpochEnd."
            )
    if run_folder is not None:
        found.append(run_folder if isinstance(run_folder, RunFolder) else RunFolder(run_folder))
    return found


def prepare(run: Run, resume: bool | str | Path) -> None:
    """Continue from a checkpoint if that is asked for, and clear what a crash left."""
    if run.checkpoint is not None:
        run.checkpoint.prepare()
    if resume is False:
        return
    if resume is not True:
        run.load_state_dict(load_state(resume))
        return
    if run.checkpoint is None:
        raise ArgumentError(
            "fit: resume=True needs checkpoint=folder to say where from; or pass resume=path."
        )
    found = load_latest(run.checkpoint.folder, run.checkpoint.fall_back)
    if found is not None:
        run.load_state_dict(found[1])


class Loop:
    """Runs epochs until they are done, a callback stops them, or Ctrl-C does."""

    def __init__(self, run: Run, validation: Validation | None, progress: Progress) -> None:
        self.run = run
        self.validation = validation
        self.progress = progress
        self.interrupt = Interrupt()
        self.watched = "loss" if validation is None else "val_loss"
        self.step_hooks = [
            callback.on_step_end
            for callback in run.callbacks
            if type(callback).on_step_end is not Callback.on_step_end
        ]
        self._read_at = time.perf_counter()
        self._epoch_started = (0.0, 0)
        if run.stopper is not None and run.stopper.monitor is None:
            run.stopper.monitor = self.watched

    def train(self) -> None:
        """The whole run."""
        run = self.run
        run.model.train()
        self.progress.begin(run)
        try:
            with self.interrupt:
                self.call("on_train_begin")
                if run.stopper is not None and run.stopper.is_exhausted:
                    run.stop(self.exhausted())
                while run.epoch < run.epochs and not run.stopped and not self.interrupt.requested:
                    self.train_epoch()
                self.finish()
        finally:
            self.call("on_train_end")
            self.progress.end(run)
        if run.history.interrupted:
            self.progress.note(self.how_to_resume())

    def call(self, hook: str, *args: Any) -> None:
        """Call a hook of all callbacks."""
        for callback in self.run.callbacks:
            getattr(callback, hook)(self.run, *args)

    def train_epoch(self) -> None:
        """One epoch, or the rest of one; unless Ctrl-C interrupts it, it is reported and saved."""
        run = self.run
        self._epoch_started = (time.perf_counter(), run.losses.n if run.batch else 0)
        batches = run.rest_of_epoch() if run.batch else self.first_batches()
        for batch in batches:
            run.train_batch(batch)
            self.after_step()
            if run.stopped or self.interrupt.requested:
                break
        if not run.batch:
            raise ArgumentError("fit: the training data gave no batches; is the data set empty?")
        if self.interrupt.requested and not run.stopped:
            return
        self.finish_epoch()

    def first_batches(self) -> Any:
        """Begin a new epoch."""
        self.run.begin_epoch()
        self.call("on_epoch_begin")
        return iter(self.run.loader)

    def after_step(self) -> None:
        """What happens between steps; everything that costs time happens at a bounded rate."""
        run = self.run
        for hook in self.step_hooks:
            hook(run)
        now = time.perf_counter()
        if now - self._read_at >= READ_EVERY_S:
            self._read_at = now
            self.progress.step(run)
            if run.has_diverged:
                self.diverge()
        if run.checkpoint is not None and run.checkpoint.is_due(run.step) and not run.stopped:
            self.save()

    def diverge(self) -> None:
        """Stop: from NaN there is no way back."""
        why = f"the loss became {self.run.losses.mean()} in epoch {self.run.epoch + 1}"
        self.run.stop(why)
        warnings.warn(
            f"fit stopped: {why}; lower the learning rate, standardize the data, or clip the "
            "gradients (clip_grad=1.0).",
            DivergedWarning,
            stacklevel=2,
        )

    def finish_epoch(self) -> None:
        """Validate, report, adapt the learning rate, and save."""
        run = self.run
        run.epoch += 1
        if run.has_diverged and not run.stopped:
            run.epoch -= 1
            self.diverge()
            run.epoch += 1
        row = run.row()
        if self.validation is not None:
            row |= self.validation.row(run)
        started, before = self._epoch_started
        seconds = time.perf_counter() - started
        row |= {
            "lr": float(run.optimizer.param_groups[0]["lr"]),
            "seconds": seconds,
            "samples_per_s": (run.losses.n - before) / max(seconds, 1e-9),
        }
        if run.scheduler is not None and not run.schedules_steps:
            watched = (row[self.watched],) if self.is_plateau else ()
            run.scheduler.step(*watched)
        is_good = not run.has_diverged
        if run.stopper is not None and self.update_stopper(row):
            run.stop(self.exhausted())
        self.call("on_epoch_end", row)
        run.history.append(row)
        run.batch = 0
        self.progress.epoch(run, row)
        if is_good:
            self.save_epoch(row)

    @property
    def is_plateau(self) -> bool:
        """Whether the schedule wants to know how it goes."""
        return isinstance(self.run.scheduler, ReduceLROnPlateau)

    def update_stopper(self, row: dict[str, Any]) -> bool:
        """Tell early stopping about the epoch."""
        stopper = self.run.stopper
        assert stopper is not None
        assert stopper.monitor is not None
        if stopper.monitor not in row:
            raise ArgumentError(
                f"EarlyStopping: there is no {stopper.monitor!r} to monitor; the epochs report "
                f"{', '.join(row)}."
            )
        return stopper.update(row[stopper.monitor], self.run.model, self.run.epoch)

    def exhausted(self) -> str:
        stopper = self.run.stopper
        assert stopper is not None
        return (
            f"no better {stopper.monitor} than {stopper.best:.4g} (epoch {stopper.best_epoch}) "
            f"for {stopper.waited} epochs"
        )

    def save_epoch(self, row: dict[str, Any]) -> None:
        """Save after an epoch; the best one first, so that the numbered file never knows of a best
        that does not exist."""
        run, checkpoint = self.run, self.run.checkpoint
        if checkpoint is None:
            return
        is_best = checkpoint.improves(row, self.watched)
        if is_best:
            run.history.best_epoch = run.epoch
            checkpoint.save_best(run.state_dict())
        is_last = run.epoch >= run.epochs or bool(run.stopped)
        if checkpoint.every_epochs and (run.epoch % checkpoint.every_epochs == 0 or is_last):
            self.save()

    def save(self) -> None:
        """Write the numbered checkpoint."""
        run = self.run
        assert run.checkpoint is not None
        self.call("on_checkpoint", run.checkpoint.save(run.step, run.state_dict()))

    def finish(self) -> None:
        """At the end: note why, save what Ctrl-C would lose, put the best weights back."""
        run = self.run
        run.history.stopped = run.stopped
        if self.interrupt.requested and not run.stopped and run.epoch < run.epochs:
            run.history.interrupted = True
            run.history.stopped = f"Ctrl-C after step {run.step}"
            if run.checkpoint is not None:
                self.save()
        if run.stopper is not None and run.stopper.restore_best and run.stopper.weights:
            run.stopper.restore(run.model)
            run.history.best_epoch = run.stopper.best_epoch

    def how_to_resume(self) -> str:
        """What to tell whoever pressed Ctrl-C."""
        run = self.run
        text = f"Interrupted after step {run.step}, in epoch {run.epoch + 1} of {run.epochs}."
        if run.checkpoint is None:
            text += " Nothing was saved: give fit a checkpoint=folder to be able to resume."
        else:
            folder = str(run.checkpoint.folder)
            text += f" To resume, call fit as before with checkpoint={folder!r}, resume=True."
            if run.checkpoint.best is not None:
                text += f" The best epoch so far is in {run.checkpoint.folder}/best.safetensors."
        if run.history.best_epoch is not None and run.stopper is not None:
            text += f" The model now has the weights of epoch {run.history.best_epoch}, the best."
        return text

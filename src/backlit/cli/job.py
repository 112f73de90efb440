"""One training job: from a table to a model file."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backlit import nn, optim, train
from backlit.cli import baselines, report, tables
from backlit.cli.architecture import build, chosen_architecture, parameter_count
from backlit.cli.columns import Encoding, features, fit_columns, width
from backlit.cli.errors import CommandError
from backlit.cli.network import outputs, scores_of, softmax
from backlit.cli.targets import Array, Target, absent, count, read_target
from backlit.compiler import source
from backlit.core.create import from_array
from backlit.data.frame import Frame
from backlit.interop import TableModel, write_model
from backlit.interop.model_file import refuse_existing
from backlit.ops.generator import manual_seed
from backlit.train.splits import split_order
from backlit.train.stopping import weights_of

FEWEST_ROWS = 10
FEW_ROWS = 1000
OPTIMIZERS: dict[str, tuple[Any, float]] = {  # what makes it, and its usual learning rate
    "adagrad": (optim.Adagrad, 1e-2),
    "adam": (optim.Adam, 5e-3),
    "adamw": (optim.AdamW, 5e-3),
    "nadam": (optim.NAdam, 5e-3),
    "radam": (optim.RAdam, 5e-3),
    "rmsprop": (optim.RMSprop, 2e-3),
    "sgd": (optim.SGD, 2e-2),
}
STEPS = 4000  # optimizer steps that the number of epochs aims at
LEAST_GAIN = 1e-3  # in validation loss, for an epoch to count as better
Say = Callable[[str], None]


@dataclass
class Options:
    """What the user chose; None where the table decides."""

    data: str
    target: str | None = None
    output: str | None = None
    task: str = "auto"
    missing: str = "fill"
    hidden: tuple[int, ...] | None = None
    activation: tuple[str, ...] = ()
    dropout: float = 0.0
    optimizer: str = "adam"
    lr: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    weight_decay: float = 0.0
    patience: int | None = None
    validation: float = 0.15
    test: float = 0.15
    seed: int = 0

    @property
    def path(self) -> Path:
        """Where the model goes."""
        return Path(self.output or f"{Path(self.data).name.partition('.')[0]}.safetensors")

    @property
    def resume_folder(self) -> Path:
        """Where an interrupted run is kept."""
        return self.path.with_name(f"{self.path.name}.resume")

    def chosen(self) -> dict[str, Any]:
        """The options that decide about the result, as plain values."""
        plain = {name: value for name, value in asdict(self).items() if name != "output"}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}


@dataclass
class Prepared:
    """A table ready to be learnt from."""

    target: Target
    encodings: list[Encoding]
    x: Array
    parts: list[Array]  # rows of training, validation and test

    @property
    def outputs(self) -> int:
        """How many numbers the network gives."""
        return len(self.target.classes) or 1

    def scale(self) -> list[float]:
        """Mean and standard deviation of the training rows' target; 0 and 1 for classes."""
        if self.target.task == "classification":
            return [0.0, 1.0]
        values = self.target.values[self.parts[0]]
        return [float(values.mean()), float(values.std()) or 1.0]

    def part(self, number: int) -> tuple[Array, Array]:
        """Features and scaled target of one part."""
        rows = self.parts[number]
        x, y = self.x[rows], self.target.values[rows]
        if self.target.task == "classification":
            return x, y
        mean, scale = self.scale()
        return x, ((y - mean) / scale).astype(np.float32)[:, None]


def prepare(options: Options, reading: Mapping[str, Any], say: Say) -> Prepared:
    """Read the table, decide what is predicted from what, and split it."""
    frame = tables.read(options.data, reading)
    name = target_name(frame, options)
    say(f"{options.data}: {count(len(frame), 'row')}, {count(len(frame.names), 'column')}")
    for note in frame.notes:
        say(note)
    say(report.gaps(frame.missing(), max(1, len(frame))))
    frame = without_gaps(frame, options, say)
    if len(frame) < FEWEST_ROWS:
        raise CommandError(
            f"{options.data}: {count(len(frame), 'row')} are too few to train, validate and test "
            f"with; there should be at least {FEWEST_ROWS}, better hundreds."
        )
    tables.check_finite(options.data, frame)
    target = read_target(frame.columns.pop(name), options.task)
    is_classes = target.task == "classification"
    told = f": {report.class_balance(target.values, target.classes)}" if is_classes else ""
    say(f"target {name!r} ({target.reason}): {target.task}{told}")
    if not frame.columns:
        raise CommandError(f"{options.data}: there is no column but the target to learn from.")
    parts = split(target, options, say)
    notes: list[str] = []
    encodings = fit_columns(frame, parts[0], notes)
    for note in notes:
        say(note)
    if not encodings:
        raise CommandError(
            f"{options.data}: no column says anything about the target: each is constant, or holds "
            "names."
        )
    n_features = sum(map(width, encodings))
    say(f"{count(len(encodings), 'column')} as {count(n_features, 'feature')}, standardised")
    return Prepared(target, encodings, features(frame, encodings), parts)


def target_name(frame: Frame, options: Options) -> str:
    """The column to predict."""
    name = options.target
    if name is None and tables.is_built_in(options.data):
        name = tables.BUILT_IN[options.data][1]
    listed = ", ".join(frame.names[:20]) + (", …" if len(frame.names) > 20 else "")
    if name is None:
        raise CommandError(f"say which column to predict: --target COLUMN, one of {listed}.")
    if name not in frame.columns:
        raise CommandError(f"{options.data}: there is no column {name!r}; there are {listed}.")
    return name


def without_gaps(frame: Frame, options: Options, say: Say) -> Frame:
    """What --missing asks for: leave out the rows with gaps, refuse them, or keep them."""
    missing = frame.missing()
    if not missing or options.missing == "fill":
        return frame
    if options.missing == "error":
        raise CommandError(
            f"{options.data}: {report.gaps(missing, len(frame))}; use --missing fill or --missing "
            "drop."
        )
    bad = np.zeros(len(frame), dtype=bool)
    for column in frame:
        bad |= absent(column)
    say(f"left out: {count(int(bad.sum()), 'row')} with missing values")
    return tables.rows_of(frame, ~bad)


def split(target: Target, options: Options, say: Say) -> list[Array]:
    """Rows for training, validation and test; every class in proportion."""
    n = len(target.values)
    is_classes = target.task == "classification"
    order = split_order(n, target.values if is_classes else None, options.seed)
    held = [max(1, round(n * part)) for part in (options.validation, options.test)]
    if n - sum(held) < 2:
        raise CommandError(
            f"--validation {options.validation:g} and --test {options.test:g} leave nothing of "
            f"{count(n, 'row')} to train with."
        )
    parts = np.split(order, [n - sum(held), n - held[1]])
    say(
        f"split with seed {options.seed}{', stratified' if is_classes else ''}: "
        f"{len(parts[0]):,} rows for training, {held[0]:,} for validation, {held[1]:,} for the test"
    )
    if is_classes:
        absent_classes = set(range(len(target.classes))) - set(target.values[parts[0]].tolist())
        for number in sorted(absent_classes):
            say(f"class {target.classes[number]!r} has too few rows: none is left for training")
    return parts


@dataclass
class Plan:
    """How the network is trained."""

    architecture: nn.Architecture
    lr: float
    batch_size: int
    epochs: int
    patience: int


def plan(options: Options, prepared: Prepared) -> Plan:
    """The usual choices for such a table, with the user's in their place."""
    n = len(prepared.parts[0])
    classes = len(prepared.target.classes)
    suggested = nn.suggest_architecture(prepared.x[:n], prepared.target.values[:n], classes=classes)
    architecture = chosen_architecture(
        suggested, options.hidden, options.activation, options.dropout
    )
    batch = options.batch_size or min(512, max(8, 1 << int(math.log2(max(1, n / 30)))))
    batches = math.ceil(n / batch)
    epochs = options.epochs
    if epochs is None:
        epochs = min(500, max(10, math.ceil(STEPS / batches)))
    patience = options.patience
    if patience is None:
        patience = max(5, epochs // 10)
    lr = options.lr
    if lr is None:  # on few rows there are few steps: let them be longer
        lr = OPTIMIZERS[options.optimizer][1] * (2 if n < FEW_ROWS else 1)
    return Plan(architecture, lr, min(batch, n), epochs, patience)


class SavedOptions(train.Callback):
    """Keeps the options in the checkpoint, so that a resume with others is noticed."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def state_dict(self) -> dict[str, Any]:
        return {"options": self.options}


def check_resume(options: Options) -> None:
    """Raise if there is nothing to resume, or it was started with other options."""
    found = train.load_latest(options.resume_folder)
    if found is None:
        raise CommandError(
            f"{options.resume_folder}: there is no interrupted run to resume; leave out --resume."
        )
    then = found[1]["callbacks"][0]["options"]
    now = options.chosen()
    different = [name.replace("_", "-") for name in now if now[name] != then.get(name)]
    if different:
        raise CommandError(
            f"{options.resume_folder}: the interrupted run had another --{different[0]} "
            f"({then.get(different[0].replace('-', '_'))}); resume with the same options."
        )


@dataclass
class Outcome:
    """What training gave."""

    model: TableModel
    history: train.History
    network: nn.Module


def train_network(
    options: Options, prepared: Prepared, how: Plan, progress: Any, resume: bool
) -> Outcome:
    """Train, with early stopping on the validation rows."""
    manual_seed(options.seed)
    network = build(how.architecture.plain())
    optimizer = OPTIMIZERS[options.optimizer][0](
        network.parameters(),
        lr=how.lr,
        weight_decay=options.weight_decay,
        **({"momentum": 0.9, "nesterov": True} if options.optimizer == "sgd" else {}),
    )
    is_classes = prepared.target.task == "classification"
    history = train.fit(
        network,
        prepared.part(0),
        nn.CrossEntropyLoss() if is_classes else nn.MSELoss(),
        optimizer,
        epochs=how.epochs,
        val_data=prepared.part(1),
        metrics=["accuracy" if is_classes else "r2"],
        callbacks=[SavedOptions(options.chosen())],
        early_stopping=train.EarlyStopping(how.patience, min_delta=LEAST_GAIN),
        checkpoint=train.Checkpoint(options.resume_folder, every_epochs=0, keep=1, monitor=None),
        resume=resume,
        batch_size=how.batch_size,
        seed=options.seed,
        progress=progress,
    )
    weights = weights_of(network)
    if not all(np.isfinite(array).all() for array in weights.values()) or (
        "the loss became" in history.stopped and history.best_epoch is None
    ):
        raise CommandError(
            f"training diverged: {history.stopped or 'weights are infinite'}; lower the learning "
            f"rate (--lr, now {how.lr:g}). Nothing was written."
        )
    model = TableModel(
        prepared.target.task,
        prepared.target.name,
        prepared.target.classes,
        prepared.encodings,
        prepared.scale(),
        how.architecture.plain(),
        weights,
        facts(options, prepared, how, history),
    )
    return Outcome(model, history, network)


def facts(
    options: Options, prepared: Prepared, how: Plan, history: train.History
) -> dict[str, Any]:
    """What the model file tells about its making."""
    sizes = [len(part) for part in prepared.parts]
    return {
        "data": Path(options.data).name,
        "rows": "{:,} for training, {:,} for validation, {:,} for the test".format(*sizes),
        "options": (
            f"{options.optimizer}, lr {how.lr:g}, batch {how.batch_size}, weight decay "
            f"{options.weight_decay:g}, seed {options.seed}"
        ),
        "stopped": history.stopped or f"after all {how.epochs} epochs",
        "best_epoch": history.best_epoch,
    }


def test_scores(options: Options, prepared: Prepared, network: nn.Module) -> tuple[Any, Array]:
    """Scores of the network and of both baselines on the test rows, and the predictions."""
    target = prepared.target
    (x, y), rows = prepared.part(0), prepared.parts[2]
    true, x_test = target.values[rows], prepared.x[rows]
    is_classes = target.task == "classification"
    mean, scale = prepared.scale()

    def finished(raw: Array) -> Array:
        return softmax(raw) if is_classes else raw[:, 0] * scale + mean

    linear = baselines.linear_model(x, y, prepared.outputs, options.seed)
    constant = baselines.constant_prediction(
        target.task, target.values[prepared.parts[0]], prepared.outputs, len(rows)
    )
    found = finished(outputs(network, x_test))
    predictions = {
        "network": found,
        "linear model": finished(outputs(linear, x_test)),
        "majority class" if is_classes else "mean": constant,
    }
    scores = {name: scores_of(target.task, p, true) for name, p in predictions.items()}
    return scores, found


def step_source(prepared: Prepared, how: Plan, network: nn.Module) -> str:
    """One training step as flat source: forward lines, then backward lines."""
    x, y = prepared.part(0)
    is_classes = prepared.target.task == "classification"
    loss_of: Any = nn.CrossEntropyLoss() if is_classes else nn.MSELoss()
    network.train()
    network.zero_grad()
    n = how.batch_size
    loss = loss_of(network(from_array(x[:n])), from_array(y[:n]))
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    text: str = source(loss, *gradients)
    # The lines come from this program and from click, which is of no interest: modules and ops are.
    return re.sub(r"# \S+\.py:\d+ ", "# ", text)


def run_training(
    options: Options,
    reading: Mapping[str, Any],
    say: Say,
    progress: Any,
    *,
    force: bool = False,
    resume: bool = False,
    show_source: bool = False,
) -> bool:
    """The whole job; False if Ctrl-C ended it early."""
    tables.check_options(options.data, reading)
    if not resume:
        refuse_existing(options.path, force)
        shutil.rmtree(options.resume_folder, ignore_errors=True)
    else:
        check_resume(options)
    if not options.path.absolute().parent.is_dir():
        raise CommandError(f"{options.path.parent}: there is no such folder to write the model to.")
    prepared = prepare(options, reading, say)
    how = plan(options, prepared)
    say(f"network {how.architecture} ({how.architecture.reason})")
    say(
        f"{count(parameter_count(build(how.architecture.plain())), 'parameter')}, "
        f"{options.optimizer}, lr {how.lr:g}, batch {how.batch_size}, at most {how.epochs} epochs\n"
    )
    outcome = train_network(options, prepared, how, progress, resume)
    history = outcome.history
    if history.interrupted:
        write_model(options.path, outcome.model, force=True)
        return False
    last = history.last.get("epoch", how.epochs)
    say(f"stopped after epoch {last}: {history.stopped}" if history.stopped else "all epochs done")
    scores, found = test_scores(options, prepared, outcome.network)
    outcome.model.training["test"] = scores
    write_model(options.path, outcome.model, force=force or resume)
    shutil.rmtree(options.resume_folder, ignore_errors=True)
    true = prepared.target.values[prepared.parts[2]]
    say(f"\n{report.score_table(scores)}\n")
    say(report.details(prepared.target.task, found, true, prepared.target.classes))
    if show_source:
        say("\none training step, as the flat source that runs (forward, then backward):\n")
        say(step_source(prepared, how, outcome.network))
    say(f"\nmodel: {options.path}")
    return True

"""Predictions and scores for tables of any length, piece by piece."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from backlit.cli import report, tables
from backlit.cli.errors import CommandError
from backlit.cli.network import Predictor, load_predictor, scores_of
from backlit.cli.targets import Array, known_target
from backlit.data.csv_reader import is_finite
from backlit.data.frame import Frame, Kind
from backlit.interop.model_file import refuse_existing
from backlit.train.checkpoint import sync


def predict_table(
    model: str, source: str, output: str | None, reading: Mapping[str, Any], force: bool
) -> int:
    """Write one line per row: the prediction and, of a class, all probabilities. Counts rows."""
    predictor = load_predictor(model)
    if output is not None:
        refuse_existing(Path(output), force)
    check_columns(model, predictor, source, reading)
    rows = 0
    with writing(output) as file:
        classes = predictor.model.classes
        header = [f"predicted {predictor.model.target}", *(f"P({name})" for name in classes)]
        file.write(f"{quoted(header)}\n")
        for frame in checked_pieces(predictor.kinds, source, reading):
            file.write(lines_of(predictor(frame), classes))
            rows += len(frame)
    return rows


def check_columns(
    model: str, predictor: Predictor, source: str, reading: Mapping[str, Any]
) -> list[str]:
    """The table's column names; an error that names all that the model misses."""
    tables.check_options(source, reading)
    names = tables.names_of(source, reading)
    missing = predictor.missing_columns(names)
    if missing:
        listed = ", ".join(map(repr, missing[:10])) + (", …" if len(missing) > 10 else "")
        raise CommandError(
            f"{source} does not fit {model}: it has no column {listed}; "
            f"the model reads {', '.join(predictor.kinds)}."
        )
    return names


def checked_pieces(
    kinds: Mapping[str, Kind], source: str, reading: Mapping[str, Any]
) -> Iterator[Frame]:
    """The table piece by piece, without infinite numbers."""
    before = 0
    for frame in tables.pieces(source, kinds, reading):
        tables.check_finite(source, (frame[name] for name in kinds), before)
        before += len(frame)
        yield frame
    if not before:
        raise CommandError(f"{source}: there are no rows in it.")


def lines_of(predicted: Array, classes: list[str]) -> str:
    """Predictions as lines of CSV."""
    if predicted.ndim == 1:
        return "".join([f"{value:.9g}\n" for value in predicted.tolist()])
    names = [quoted([name]) for name in classes]
    form = "%s" + ",%.6g" * len(classes) + "\n"
    best = predicted.argmax(axis=1).tolist()
    rows = predicted.tolist()
    return "".join([form % (names[i], *row) for i, row in zip(best, rows, strict=True)])


def quoted(fields: list[str]) -> str:
    """Fields as a line of CSV, without its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


@contextlib.contextmanager
def writing(output: str | None) -> Iterator[IO[str]]:
    """Standard output, or a file that gets its name only when it is complete."""
    if output is None:
        yield sys.stdout
        return
    path = Path(output)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        sync(part)
        os.replace(part, path)
        sync(path.absolute().parent)
    except OSError as error:
        if error.filename not in (str(part), str(path)):
            raise
        raise CommandError(f"{path}: cannot be written ({error.strerror}).") from None
    finally:
        part.unlink(missing_ok=True)


def evaluate_table(model: str, source: str, reading: Mapping[str, Any]) -> str:
    """Scores of a model on a table that has the target column."""
    predictor = load_predictor(model)
    names = check_columns(model, predictor, source, reading)
    described = predictor.model
    name, task = described.target, described.task
    if name not in names:
        raise CommandError(
            f"{source}: there is no column {name!r} to compare predictions with; `backlit predict` "
            "needs none."
        )
    is_number = task == "regression" or all(map(is_finite, described.classes))
    kind: Kind = "number" if is_number else "text"
    predictions: list[Array] = []
    targets: list[Array] = []
    for frame in checked_pieces(with_target(predictor, name, kind, source), source, reading):
        true = known_target(frame[name], task, described.classes)
        known = ~np.isnan(true) if task == "regression" else true >= 0
        predictions.append(predictor(frame)[known])
        targets.append(true[known])
    predicted, true = np.concatenate(predictions), np.concatenate(targets)
    if not len(true):
        raise CommandError(f"{source}: the column {name!r} is empty; there is nothing to score.")
    scores = {"network": scores_of(task, predicted, true)}
    return (
        f"{len(true):,} rows of {source}\n\n{report.score_table(scores)}\n\n"
        f"{report.details(task, predicted, true, described.classes)}"
    )


def with_target(predictor: Predictor, name: str, kind: Kind, source: str) -> dict[str, Kind]:
    """The columns to read when the target is needed too."""
    if tables.is_built_in(source) or Path(source).suffix in tables.PARQUET:
        return predictor.kinds  # read whole, with the kinds that it has
    return {**predictor.kinds, name: kind}

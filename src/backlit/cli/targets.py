"""What is to be predicted: classes or numbers, found out from the target column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.cli.errors import CommandError
from backlit.data.frame import Column

MOST_NUMBER_CLASSES = 20  # more different whole numbers than this are a quantity
LEAST_ROWS_PER_CLASS = 5  # on average; with fewer, whole numbers are a quantity, texts are names
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Target:
    """The column to predict.

    Attributes:
        task: "classification" or "regression".
        values: class numbers (int64), or numbers (float64).
        classes: the classes' names, in order.
        reason: why it is this task, in a few words.
    """

    name: str
    task: str
    values: Array
    classes: list[str]
    reason: str


def read_target(column: Column, task: str = "auto") -> Target:
    """Find out what is to be predicted.

    Raises:
        CommandError: values are missing or infinite, there is one class only, or the column does
            not fit the task that is asked for.
    """
    name = column.name
    if column.missing:
        first = int(np.flatnonzero(absent(column))[0]) + 1
        raise CommandError(
            f"the target column {name!r} has no value in {count(column.missing, 'row')} (the "
            f"first is row {first}); fill them in, or leave such rows out with --missing drop."
        )
    if column.kind == "text":
        return text_target(column, task)
    distinct = np.unique(column.values)
    whole = bool(np.all(distinct == np.round(distinct)))
    rows = len(column.values)
    few = len(distinct) <= min(MOST_NUMBER_CLASSES, rows // LEAST_ROWS_PER_CLASS)
    if task == "classification" or (task == "auto" and whole and few):
        check_classes(name, len(distinct), number_name(distinct[0]))
        codes = np.searchsorted(distinct, column.values).astype(np.int64)
        reason = f"{len(distinct)} different whole numbers" if whole else "as asked for"
        return Target(name, "classification", codes, [number_name(v) for v in distinct], reason)
    if len(distinct) == 1:
        raise CommandError(
            f"the target column {name!r} is {number_name(distinct[0])} in every row; there is "
            "nothing to learn."
        )
    reason = f"{len(distinct):,} different numbers"
    return Target(name, "regression", column.values.astype(np.float64), [], reason)


def text_target(column: Column, task: str) -> Target:
    """A target that is text: classes."""
    used = np.unique(column.values)
    classes = sorted(column.categories[code] for code in used)
    if task == "regression":
        raise CommandError(
            f"the target column {column.name!r} holds text ({', '.join(classes[:3])}, …), but a "
            "regression predicts numbers; use --task classification, or another --target."
        )
    check_classes(column.name, len(classes), classes[0])
    rows = len(column.values)
    if task == "auto" and len(classes) > max(2, rows // 2):
        raise CommandError(
            f"the target column {column.name!r} holds {len(classes)} different texts in {rows} "
            "rows; these are names rather than classes: choose another --target."
        )
    place = {name: number for number, name in enumerate(classes)}
    # Categories that no row has keep number 0; no row asks for it.
    numbers = np.array([place.get(text, 0) for text in column.categories], dtype=np.int64)
    return Target(column.name, "classification", numbers[column.values], classes, "text")


def check_classes(name: str, n: int, only: str) -> None:
    """Raise if there is nothing to tell apart."""
    if n < 2:
        raise CommandError(
            f"the target column {name!r} has one class only ({only}); classification needs two."
        )


def known_target(column: Column, task: str, classes: Sequence[str]) -> Array:
    """The target's values for a model that exists; NaN or -1 where one is missing.

    Raises:
        CommandError: there are classes that the model does not know, or text for a regression.
    """
    if task == "regression":
        if column.kind == "text":
            raise CommandError(
                f"column {column.name!r} holds text ({', '.join(column.categories[:3])}, …), but "
                "the model predicts numbers."
            )
        return column.values
    place = {name: number for number, name in enumerate(classes)}
    if column.kind == "text":
        texts, codes = column.categories, column.values
    else:
        distinct, codes = np.unique(column.values, return_inverse=True)
        texts = [number_name(value) for value in distinct]
        codes = np.where(np.isnan(column.values), -1, codes)
    unknown = [text for text in {texts[c] for c in np.unique(codes) if c >= 0} if text not in place]
    if unknown:
        raise CommandError(
            f"column {column.name!r} holds {sorted(unknown)[0]!r}, which is none of the model's "
            f"classes ({', '.join(classes[:10])}{', …' if len(classes) > 10 else ''})."
        )
    numbers = np.array([place.get(text, -1) for text in texts] + [-1], dtype=np.int64)
    return np.where(codes >= 0, numbers[codes], -1)


def absent(column: Column) -> Array:
    """Where values are missing."""
    return np.isnan(column.values) if column.kind == "number" else column.values < 0


def number_name(value: float) -> str:
    """A number as the name of a class.

    >>> number_name(3.0), number_name(0.5)
    ('3', '0.5')
    """
    return str(int(value)) if float(value).is_integer() else f"{value:.12g}"


def count(n: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "row"), count(2500, "row")
    ('1 row', '2,500 rows')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"

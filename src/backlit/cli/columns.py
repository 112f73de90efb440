"""From columns to features: standardised numbers, one feature per category, flags for gaps.

A column's encoding is a dict of plain values, because it goes into the model file:
`{"name", "kind": "number", "mean", "scale", "flag"}` or
`{"name", "kind": "text", "categories", "flag"}`; `flag` says whether one more feature tells where
a value is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit.cli.targets import Array, absent, count
from backlit.data import Standardize
from backlit.data.frame import Column, Frame

MOST_CATEGORIES = 100
MOST_CELLS = 1 << 27  # of all one-hot features together: half a gigabyte of float32
Encoding = dict[str, Any]


def fit_columns(frame: Frame, rows: Array, notes: list[str]) -> list[Encoding]:
    """How each column becomes features, learnt from `rows` alone; what is left out is noted."""
    n_texts = sum(column.kind == "text" for column in frame)
    budget = MOST_CELLS // max(1, len(frame) * max(1, n_texts))
    most = max(2, min(MOST_CATEGORIES, budget))
    found: list[Encoding] = []
    constant: list[str] = []
    for column in frame:
        values = column.values[rows]
        gaps = absent(Column(column.name, column.kind, values))
        present = values[~gaps]
        if not len(present) or (np.all(present == present[0]) and not gaps.any()):
            constant.append(column.name)
        elif column.kind == "number":
            found.append(number_encoding(column.name, present, bool(gaps.any())))
        elif is_name(present):
            notes.append(
                f"left out: {column.name!r}, which holds {count(len(np.unique(present)), 'text')} "
                f"in {count(len(rows), 'row')}: names, not categories"
            )
        else:
            found.append(text_encoding(column, present, bool(gaps.any()), most, notes))
    if constant:
        names = ", ".join(constant[:5]) + (", …" if len(constant) > 5 else "")
        notes.append(f"left out: {count(len(constant), 'constant column')} ({names})")
    return found


def number_encoding(name: str, present: Array, flag: bool) -> Encoding:
    """Mean and standard deviation of the values that are there."""
    scale = Standardize().fit(present[:, None])
    return {
        "name": name,
        "kind": "number",
        "mean": float(scale.mean[0]),
        "scale": float(scale.scale[0]),
        "flag": flag,
    }


def is_name(codes: Array) -> bool:
    """Whether nearly every row has a text of its own, so that texts say nothing about others."""
    return len(np.unique(codes)) > max(20, len(codes) // 2)


def text_encoding(
    column: Column, codes: Array, flag: bool, most: int, notes: list[str]
) -> Encoding:
    """The most frequent categories; the others count as none of them."""
    numbers, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    if len(numbers) > most:
        notes.append(
            f"column {column.name!r}: the {most} most frequent of {len(numbers):,} categories are "
            "told apart"
        )
    categories = [column.categories[numbers[place]] for place in order]
    return {"name": column.name, "kind": "text", "categories": categories, "flag": flag}


def width(encoding: Encoding) -> int:
    """How many features a column becomes.

    >>> width({"name": "colour", "kind": "text", "categories": ["red", "blue"], "flag": True})
    3
    """
    own = 1 if encoding["kind"] == "number" else len(encoding["categories"])
    return own + int(encoding["flag"])


def features(frame: Frame, encodings: Sequence[Encoding]) -> Array:
    """The features of all rows, (rows, features), float32.

    A missing number becomes the mean, a missing or unknown text none of the categories.
    """
    matrix = np.zeros((len(frame), sum(map(width, encodings))), dtype=np.float32)
    start = 0
    for encoding in encodings:
        column = frame[encoding["name"]]
        gaps = absent(column)
        if encoding["kind"] == "number":
            scaled = (column.values - encoding["mean"]) / encoding["scale"]
            scaled[gaps] = 0.0
            matrix[:, start] = scaled
        else:
            place = {text: number for number, text in enumerate(encoding["categories"])}
            places = np.array([place.get(text, -1) for text in column.categories] + [-1])
            hot = places[column.values]
            known = np.flatnonzero(hot >= 0)
            matrix[known, start + hot[known]] = 1.0
        start += width(encoding)
        if encoding["flag"]:
            matrix[:, start - 1] = gaps
    return matrix

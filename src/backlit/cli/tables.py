"""Where tables come from: files, and the small ones that are built in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backlit import data
from backlit.cli.errors import CommandError
from backlit.core.era import realize
from backlit.data.csv_format import sniff_csv
from backlit.data.frame import Column, Frame, Kind

# Name → what makes it, and the name of the column to predict.
BUILT_IN = {
    "iris": (data.iris, "species"),
    "digits": (data.digits, "digit"),
    "mcycle": (data.mcycle, "acceleration"),
}
PARQUET = (".parquet", ".pq")
ROWS_AT_ONCE = 1 << 16  # of a table that is in memory already


def read(source: str, options: Mapping[str, Any]) -> Frame:
    """The whole table: a file, or one of the built-in ones by its name."""
    if is_built_in(source):
        return built_in(source)
    check_options(source, options)
    return data.read_table(source, **options)


def is_built_in(source: str) -> bool:
    """Whether this names a built-in table."""
    return source in BUILT_IN


def built_in(name: str) -> Frame:
    """A built-in table as a frame: its features, then its target."""
    load, target = BUILT_IN[name]
    table = load()
    x, y = realize(table.x).astype(np.float64), realize(table.y)
    columns = {
        feature: Column(feature, "number", np.ascontiguousarray(x[:, i]))
        for i, feature in enumerate(table.feature_names)
    }
    if y.ndim == 1:
        columns[target] = Column(target, "text", y.astype(np.int32), list(table.target_names))
    else:
        columns[target] = Column(target, "number", y[:, 0].astype(np.float64))
    return Frame(columns)


def check_options(source: str, options: Mapping[str, Any]) -> None:
    """Raise if options of CSV files are given for something else."""
    if options and (is_built_in(source) or Path(source).suffix in PARQUET):
        names = ", ".join(f"--{name}" for name in options)
        raise CommandError(f"{source}: {names} is for CSV files only; leave it out.")


def names_of(source: str, options: Mapping[str, Any]) -> list[str]:
    """The names of a table's columns, without reading all of it."""
    if is_built_in(source) or Path(source).suffix in PARQUET:
        return read(source, options).names
    return list(sniff_csv(Path(source), **{**NO_OPTIONS, **options}).names)


NO_OPTIONS: dict[str, Any] = {
    "delimiter": None,
    "header": None,
    "decimal": None,
    "encoding": "utf-8",
}


def pieces(source: str, kinds: Mapping[str, Kind], options: Mapping[str, Any]) -> Iterator[Frame]:
    """The table in pieces, of which one at a time is in memory if it is a CSV file."""
    check_options(source, options)
    if not is_built_in(source) and Path(source).suffix not in PARQUET:
        yield from data.stream_csv(source, kinds, **options)
        return
    frame = read(source, options)
    for name, kind in kinds.items():
        if frame[name].kind != kind:
            raise CommandError(
                f"{source}: column {name!r} holds {SAID[frame[name].kind]}, but the model was "
                f"trained on {SAID[kind]} there."
            )
    for start in range(0, len(frame), ROWS_AT_ONCE):
        yield rows_of(frame, slice(start, start + ROWS_AT_ONCE))


SAID = {"number": "numbers", "text": "text"}


def rows_of(frame: Frame, rows: Any) -> Frame:
    """Some rows of a table, by a slice or by their indices."""
    columns = {
        column.name: Column(column.name, column.kind, column.values[rows], column.categories)
        for column in frame
    }
    return Frame(columns)


def check_finite(source: str, columns: Iterable[Column], before: int = 0) -> None:
    """Raise if a number is infinite; `before` is how many rows there were before these."""
    for column in columns:
        if column.kind == "number" and np.isinf(column.values).any():
            row = int(np.flatnonzero(np.isinf(column.values))[0])
            raise CommandError(
                f"{source}: column {column.name!r} is {column.values[row]} in row "
                f"{before + row + 1}; correct it, or leave it empty if it is missing."
            )

"""Frame: what a table file holds, as typed columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from backlit.data.errors import DataError

Kind = Literal["number", "text"]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Column:
    """One column of a table.

    Attributes:
        kind: "number" or "text".
        values: numbers as float64, with NaN where one is missing; or for text the index into
            `categories` as int32, with -1 where it is missing.
        categories: the different texts, in order of appearance.
    """

    name: str
    kind: Kind
    values: Array
    categories: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many values are missing."""
        absent = np.isnan(self.values) if self.kind == "number" else self.values < 0
        return int(np.count_nonzero(absent))

    def texts(self) -> list[str | None]:
        """The values of a text column as texts, None where one is missing."""
        if self.kind == "number":
            raise DataError(f"column {self.name!r} holds numbers, not text; use its values.")
        return [self.categories[code] if code >= 0 else None for code in self.values]


@dataclass
class Frame:
    """A table as typed columns of equal length.

    Attributes:
        columns: the columns by name, in the file's order.
        notes: what the reader found worth telling, one line each.

    >>> frame = Frame({"age": Column("age", "number", np.array([31.0, np.nan]))})
    >>> len(frame), frame.missing()
    (2, {'age': 1})
    """

    columns: dict[str, Column]
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The columns' names, in the file's order."""
        return list(self.columns)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of every column: what `stream_csv` needs to read alike."""
        return {name: column.kind for name, column in self.columns.items()}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).values) if self.columns else 0

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns.values())

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise DataError(f"there is no column {name!r}; there are {', '.join(self.names)}.")
        return self.columns[name]

    def missing(self) -> dict[str, int]:
        """How many values are missing, of the columns where any are."""
        return {name: column.missing for name, column in self.columns.items() if column.missing}

    def numbers(self, names: Sequence[str] | None = None) -> Array:
        """Number columns side by side, (rows, columns), float64; by default all of them."""
        if names is None:
            names = [column.name for column in self if column.kind == "number"]
        picked = [self[name] for name in names]
        for column in picked:
            if column.kind != "number":
                raise DataError(
                    f"column {column.name!r} holds text ({', '.join(column.categories[:3])}, …), "
                    "not numbers; leave it out or encode it."
                )
        matrix = np.empty((len(self), len(picked)))
        for position, column in enumerate(picked):
            matrix[:, position] = column.values
        return matrix

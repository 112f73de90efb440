"""Reading CSV files: typed columns, missing values, large files block by block.

A block of lines is read by NumPy's C parser. Where that fails, because a value is missing or wrong,
the block's fields are read as text and looked at one by one; Python's exact and slow csv module
only says where an error is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from backlit.data.csv_format import (
    QUOTE,
    SAMPLE_RECORDS,
    CsvFormat,
    blocks,
    is_number,
    open_text,
    records,
    sniff_csv,
)
from backlit.data.errors import DataError
from backlit.data.frame import Column, Frame, Kind

MISSING = frozenset(("", "?", "#N/A", "N/A", "NA", "NULL", "NaN", "None", "nan", "null"))
Array = np.ndarray[Any, np.dtype[Any]]


def read_csv(
    path: str | Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    decimal: str | None = None,
    encoding: str = "utf-8",
    kinds: Mapping[str, Kind] | None = None,
    missing: Collection[str] = MISSING,
) -> Frame:
    """Read a CSV file, gzipped or not, into typed columns.

    A column whose fields are all numbers or missing holds numbers (float64); any other holds text.

    Args:
        delimiter: between the fields; found out if None.
        header: whether the first record names the columns; found out if None.
        decimal: "." or ","; found out if None.
        encoding: of the characters.
        kinds: "number" or "text" for columns of which you know it.
        missing: fields that stand for a missing value.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: the file is empty, not text, ragged, or holds text where you asked for numbers;
            the message names the line and the column.

    >>> import tempfile, pathlib
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "people.csv")
    >>> _ = path.write_text("name;size\\nAda;1,65\\nBob;NA\\n")
    >>> people = backlit.data.read_csv(path)
    >>> people["name"].texts(), people["size"].values.tolist(), people.missing()
    (['Ada', 'Bob'], [1.65, nan], {'size': 1})
    >>> folder.cleanup()
    """
    path = Path(path)
    form = sniff_csv(path, delimiter=delimiter, header=header, decimal=decimal, encoding=encoding)
    reader = Reader(path, form, kinds or {}, missing)
    while True:
        try:
            return joined(list(reader.frames()), reader)
        except NotANumberError as found:
            # Only now is it known that these columns hold text: read again, as text.
            reader.hold_text(found)


def stream_csv(
    path: str | Path,
    kinds: Mapping[str, Kind],
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    decimal: str | None = None,
    encoding: str = "utf-8",
    missing: Collection[str] = MISSING,
) -> Iterator[Frame]:
    """Read a CSV file in pieces of a few megabytes, so that any size fits into memory.

    Args:
        kinds: the kind of every column, as of an earlier `Frame.kinds`; columns that are not
            named are text. Codes of texts stay the same from piece to piece.

    Raises:
        DataNotFoundError, DataError: as `read_csv`; also for text in a column of numbers, and for
            columns in `kinds` that the file does not have.
    """
    path = Path(path)
    form = sniff_csv(path, delimiter=delimiter, header=header, decimal=decimal, encoding=encoding)
    rest: dict[str, Kind] = {name: "text" for name in form.names if name not in kinds}
    yield from Reader(path, form, {**kinds, **rest}, missing).frames()


class NotANumberError(Exception):
    """Columns taken for numbers hold text: column index → (line, text)."""

    def __init__(self, found: dict[int, tuple[int, str]]) -> None:
        super().__init__(found)
        self.found = found


class Codes(dict[str, int]):
    """Text → its number among the categories, in order of appearance; -1 for a missing one."""

    def __init__(self, missing: Collection[str]) -> None:
        super().__init__()
        self._missing = missing
        self.categories: list[str] = []

    def __missing__(self, raw: str) -> int:
        text = raw.strip()
        if text in self._missing:
            code = -1
        elif text != raw:
            code = self[text]
        else:
            code = len(self.categories)
            self.categories.append(text)
        self[raw] = code
        return code


class Reader:
    """Reads one file block by block; remembers what it learns about the columns."""

    def __init__(
        self,
        path: Path,
        form: CsvFormat,
        kinds: Mapping[str, Kind],
        missing: Collection[str],
    ) -> None:
        unknown = [name for name in kinds if name not in form.names]
        if unknown:
            raise DataError(
                f"{path}: there is no column {', '.join(map(repr, unknown))}; "
                f"the file has {', '.join(form.names)}."
            )
        self.path = path
        self.form = form
        self.missing = frozenset(missing)
        self.given = dict(kinds)
        self.kinds: list[Kind] = []  # known once the first block is seen
        self.notes: list[str] = []
        self._start_over()

    def _start_over(self) -> None:
        self.codes = [Codes(self.missing) for _ in self.form.names]
        # Columns of numbers that NumPy's parser fails at: values are missing, or have commas, or
        # a number such as -999 stands for a missing one.
        all_fail = self.form.decimal == "," or any(is_finite(word) for word in self.missing)
        self.awkward = set(range(len(self.form.names))) if all_fail else set()

    def hold_text(self, found: NotANumberError) -> None:
        """From now on read these columns as text."""
        for column, (line, text) in found.found.items():
            self.kinds[column] = "text"
            self.notes.append(
                f"column {self.form.names[column]!r} is text, not numbers, "
                f"because of {text!r} in line {line}"
            )
        self._start_over()

    def frames(self) -> Iterator[Frame]:
        """The table in pieces."""
        with open_text(self.path, self.form.encoding) as file:
            for number, (text, line) in enumerate(blocks(file, self.path)):
                if number == 0 and self.form.has_header:
                    text, line = self._without_header(text, line)
                if not text.strip():
                    continue
                if not self.kinds:
                    self.kinds = self._likely_kinds(text, line)
                columns = self._columns(text, line)
                yield Frame({column.name: column for column in columns})

    def _without_header(self, text: str, line: int) -> tuple[str, int]:
        lines = records(text, self.form.delimiter, self.path, line)
        next(lines)
        after = next(lines, None)
        if after is None:
            return "", line
        skipped = after[0] - line
        return text.split("\n", skipped)[skipped], after[0]

    def _likely_kinds(self, text: str, line: int) -> list[Kind]:
        """Kinds by the first records; a later text turns a column of numbers into text."""
        kinds: dict[str, Kind] = dict.fromkeys(self.form.names, "number")
        for _, record in islice(self._records(text, line), SAMPLE_RECORDS):
            for name, cell in zip(self.form.names, record, strict=False):
                if not self._fits_number(cell):
                    kinds[name] = "text"
        return list({**kinds, **self.given}.values())

    def _records(self, text: str, line: int) -> Iterator[tuple[int, list[str]]]:
        return records(text, self.form.delimiter, self.path, line)

    def _fits_number(self, cell: str) -> bool:
        cell = cell.strip()
        return cell in self.missing or is_number(cell, self.form.decimal)

    def _columns(self, text: str, line: int) -> list[Column]:
        """The columns of a block."""
        texts = {i for i, kind in enumerate(self.kinds) if kind == "text"}
        try:
            arrays = self._parse(text, texts | self.awkward)
        except ValueError:
            try:
                arrays = self._parse(text, set(range(len(self.kinds))))
            except ValueError as error:
                raise self._unreadable(text, line, error) from None
        columns, wrong = [], []
        for i, (name, kind, array) in enumerate(
            zip(self.form.names, self.kinds, arrays, strict=True)
        ):
            if kind == "text":
                codes = np.fromiter(map(self.codes[i].__getitem__, array), np.int32, len(array))
                columns.append(Column(name, kind, codes, self.codes[i].categories))
                continue
            if array.dtype == object:
                numbers = self._numbers(array.tolist())
                if numbers is None:
                    wrong.append(i)
                    continue
                array = numbers
                if np.isnan(array).any():
                    self.awkward.add(i)
            columns.append(Column(name, kind, array))
        if wrong:
            raise self._not_numbers(text, line, wrong)
        return columns

    def _parse(self, text: str, as_text: set[int]) -> list[Array]:
        """Read a block with NumPy's parser; the columns in `as_text` as Python strings."""
        fields: list[tuple[str, Any]] = [
            (str(i), object if i in as_text else np.float64) for i in range(len(self.kinds))
        ]
        table = np.loadtxt(
            io.StringIO(text),
            dtype=fields,
            delimiter=None if self.form.delimiter == " " else self.form.delimiter,
            quotechar=QUOTE,
            comments=None,
            ndmin=1,
        )
        # A copy of each column, so that the whole block can be forgotten.
        return [table[name].copy() for name, _ in fields]

    def _numbers(self, texts: list[str]) -> Array | None:
        """Texts as numbers, NaN where they are missing; None if one is not a number."""
        if self.form.decimal == ",":
            texts = [text.replace(",", ".") for text in texts]
        absent = self.missing
        try:
            values = [math.nan if text in absent else float(text) for text in texts]
        except ValueError:
            texts = [text.strip() for text in texts]
            try:
                values = [math.nan if text in absent else float(text) for text in texts]
            except ValueError:
                return None
        return None if any("_" in text for text in texts) else np.array(values)

    def _not_numbers(self, text: str, line: int, columns: list[int]) -> Exception:
        """What to raise for columns of numbers that hold text: where it is, first of all."""
        found: dict[int, tuple[int, str]] = {}
        for number, record in self._records(text, line):
            for column in columns:
                if column not in found and not self._fits_number(record[column]):
                    found[column] = (number, record[column])
        for column, (number, cell) in found.items():
            name = self.form.names[column]
            if name in self.given:
                return DataError(
                    f"{self.path}, line {number}, column {name!r}: {cell!r} is not a number; "
                    "correct it, or leave the field empty if it is missing."
                )
        return NotANumberError(found)

    def _unreadable(self, text: str, line: int, error: ValueError) -> DataError:
        """The error for a block that has no table form: usually a line of another length."""
        width = len(self.form.names)
        for number, record in self._records(text, line):
            if len(record) != width:
                return DataError(
                    f"{self.path}, line {number}: {len(record)} fields instead of {width}; "
                    f"look for a missing or an unquoted {self.form.delimiter!r}."
                )
        return DataError(f"{self.path}, line {line} or below: {error}.")


def is_finite(text: str) -> bool:
    """Whether a text is a number other than NaN and infinity."""
    return is_number(text, ".") and math.isfinite(float(text))


def joined(frames: list[Frame], reader: Reader) -> Frame:
    """The pieces of a table as one; the pieces are used up, to save memory."""
    columns = {}
    for i, name in enumerate(reader.form.names):
        parts = [frame.columns.pop(name).values for frame in frames]
        kind: Kind = reader.kinds[i] if reader.kinds else "text"
        values = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        columns[name] = Column(name, kind, values, reader.codes[i].categories)
    return Frame(columns, reader.notes)

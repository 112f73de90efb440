"""How a CSV file is written: its delimiter, header and decimal sign, and its blocks of lines."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from backlit.data.errors import DataError, DataNotFoundError

QUOTE = '"'
DELIMITERS = ",;\t| "  # a blank stands for any run of blanks
BLOCK_CHARS = 1 << 22
# A quoted text longer than this is a quote that nobody closed.
LONGEST_RECORD = 1 << 24
SAMPLE_RECORDS = 200
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV file is written.

    Attributes:
        delimiter: between the fields; " " stands for any run of blanks.
        has_header: whether the first record names the columns.
        decimal: "." or ",".
        encoding: of the characters.
        names: the columns' names; "column 1", … where the file gives none.
    """

    delimiter: str
    has_header: bool
    decimal: str
    encoding: str
    names: tuple[str, ...]


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[IO[str]]:
    """Open a text file, gzipped or not, with every line end as a newline.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it is not text of this encoding, or a broken archive.
    """
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; give the path of a file.")
    try:
        binary: Any = path.open("rb")
    except FileNotFoundError:
        raise DataNotFoundError(f"{path}: no such file; check the path.") from None
    with binary:
        start = binary.read(2)
        binary.seek(0)
        if start == b"\x1f\x8b":
            binary = gzip.GzipFile(fileobj=binary)
        elif start in (b"\xff\xfe", b"\xfe\xff") and encoding == "utf-8":
            encoding = "utf-16"
        if encoding == "utf-8":
            encoding = "utf-8-sig"  # drops the mark that spreadsheets put first
        with io.TextIOWrapper(binary, encoding=encoding) as text:
            try:
                yield text
            except UnicodeDecodeError as error:
                raise wrong_encoding(path, encoding, error) from None
            except (EOFError, gzip.BadGzipFile) as error:
                raise DataError(
                    f"{path}: the compressed data are broken ({error}); "
                    "copy or download the file again."
                ) from None


def wrong_encoding(path: Path, encoding: str, error: UnicodeDecodeError) -> DataError:
    """The error that names the first line which is not text."""
    where = ""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as found:
                where, error = f", line {number}", found
                break
    byte = error.object[error.start]
    return DataError(
        f"{path}{where}: byte 0x{byte:02x} is not {encoding.removesuffix('-sig')} text; "
        "pass encoding='latin-1' or the file's own encoding."
    )


def blocks(file: IO[str], path: Path, size: int = BLOCK_CHARS) -> Iterator[tuple[str, int]]:
    """The file in blocks of whole records, each with the number of its first line."""
    line, rest = 1, ""
    while piece := file.read(size):
        text = rest + piece
        cut = end_of_records(text)
        if cut == 0 and len(text) > LONGEST_RECORD:
            raise DataError(
                f"{path}, line {line}: a quoted text begins here or below and does not end within "
                f"{LONGEST_RECORD >> 20} million characters; look for a stray {QUOTE}."
            )
        if cut:
            yield text[:cut], line
            line += text.count("\n", 0, cut)
        rest = text[cut:]
    if rest.strip():
        if rest.count(QUOTE) % 2:
            raise DataError(
                f"{path}, line {line}: a quoted text begins here or below and never ends; "
                f"close the {QUOTE}, or remove it."
            )
        yield rest, line


def end_of_records(text: str) -> int:
    """Where the last whole record ends: after a line end with all quotes before it closed."""
    cut = text.rfind("\n") + 1
    if QUOTE not in text:
        return cut
    open_quotes = text.count(QUOTE, 0, cut) % 2
    while cut and open_quotes:
        shorter = text.rfind("\n", 0, cut - 1) + 1
        open_quotes = (open_quotes + text.count(QUOTE, shorter, cut)) % 2
        cut = shorter
    return cut


def records(text: str, delimiter: str, path: Path, line: int) -> Iterator[tuple[int, list[str]]]:
    """The records of a block, each with its line; slow and exact."""
    reader = csv.reader(
        io.StringIO(text), delimiter=delimiter, skipinitialspace=delimiter == " ", strict=True
    )
    start = line
    try:
        for record in reader:
            if delimiter == " " and record and record[-1] == "":
                record = record[:-1]  # blanks at the end of the line
            if record:
                yield start, record
            start = line + reader.line_num
    except csv.Error as error:
        raise DataError(f"{path}, line {start}: {error}; check the quotes of this line.") from None


def is_number(text: str, decimal: str) -> bool:
    """Whether a field is a number."""
    try:
        float(text.replace(",", ".") if decimal == "," else text)
    except ValueError:
        return False
    return "_" not in text  # Python's own 1_000 is not a number in a table


def sniff_csv(
    path: str | Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    decimal: str | None = None,
    encoding: str = "utf-8",
) -> CsvFormat:
    """Find out how a CSV file is written from its first records.

    Args:
        delimiter, header, decimal: what is known already.

    Raises:
        DataError: the file is empty, not text, or names a column twice.
        DataNotFoundError: there is no such file.
    """
    path = Path(path)
    with open_text(path, encoding) as file:
        first = next(blocks(file, path, 1 << 16), None)
    if first is None or not first[0].strip():
        raise DataError(f"{path}: the file is empty; it needs a header and rows.")
    text, line = first
    if "\0" in text:
        raise DataError(f"{path}: this is a binary file, not a table of text.")
    delimiter = delimiter or likely_delimiter(text, path)
    found = records(text, delimiter, path, line)
    sample = [record for _, record in islice(found, SAMPLE_RECORDS)]
    decimal = decimal or likely_decimal(sample, delimiter)
    if header is None:
        header = is_header(sample, decimal)
    names = sample[0] if header else [""] * len(sample[0])
    return CsvFormat(delimiter, header, decimal, encoding, checked_names(names, path))


def likely_delimiter(text: str, path: Path) -> str:
    """The delimiter that splits the first records into the most fields, always the same number."""
    best, most = ",", 1
    for delimiter in DELIMITERS:
        try:
            found = records(text, delimiter, path, 1)
            sample = [len(record) for _, record in islice(found, SAMPLE_RECORDS)]
        except DataError:
            continue
        # A ragged record is the file's fault, not the delimiter's, if most have one width.
        width = max(set(sample), key=sample.count)
        if sample.count(width) >= 0.8 * len(sample) and width > most:
            best, most = delimiter, width
    return best


def likely_decimal(sample: list[list[str]], delimiter: str) -> str:
    """ "," if fields look like 3,14 and none like 3.14."""
    if delimiter == ",":
        return "."
    fields = [cell.strip() for record in sample for cell in record]
    commas = sum(DECIMAL_COMMA.fullmatch(cell) is not None for cell in fields)
    points = sum("." in cell and is_number(cell, ".") for cell in fields)
    return "," if commas and not points else "."


def is_header(sample: list[list[str]], decimal: str) -> bool:
    """Whether the first record holds names: no numbers, above columns that do hold some.

    Where no column holds numbers the first record is taken for names if they all differ.
    """
    first, rest = sample[0], sample[1:]
    if any(is_number(cell, decimal) for cell in first):
        return False
    if any(is_number(cell, decimal) for record in rest for cell in record):
        return True
    return len(set(first)) == len(first)


def checked_names(names: list[str], path: Path) -> tuple[str, ...]:
    """Names without blanks around, numbered where empty; twice the same is an error."""
    found = [name.strip() or f"column {i}" for i, name in enumerate(names, 1)]
    for name in found:
        if found.count(name) > 1:
            raise DataError(
                f"{path}, line 1: two columns are called {name!r}; give every column its own name."
            )
    return tuple(found)

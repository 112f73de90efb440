"""CSV files: dialects, types, missing values, large files, and every way a file can be wrong."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlit import data
from backlit.data.csv_format import blocks, end_of_records, sniff_csv
from backlit.data.csv_reader import Codes


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a file and gives its path."""

    def write_file(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


Write = Callable[..., Path]


def plain(frame: data.Frame) -> dict[str, list[Any]]:
    """A frame as lists, None for what is missing."""
    return {
        column.name: column.texts()
        if column.kind == "text"
        else [None if np.isnan(value) else value for value in column.values]
        for column in frame
    }


@pytest.mark.parametrize(
    "content",
    [
        "name,x,y\nAda,1.5,2\nBob,-3e2,4\n",
        "name;x;y\nAda;1.5;2\nBob;-3e2;4\n",
        "name\tx\ty\nAda\t1.5\t2\nBob\t-3e2\t4\n",
        "name|x|y\nAda|1.5|2\nBob|-3e2|4\n",
        "name   x     y\nAda  1.5   2\nBob  -3e2  4  \n",
        "name;x;y\nAda;1,5;2\nBob;-3e2;4\n",
        "name,x,y\r\nAda,1.5,2\r\nBob,-3e2,4\r\n",
        "name,x,y\rAda,1.5,2\rBob,-3e2,4",
        "\ufeffname,x,y\nAda,1.5,2\nBob,-3e2,4",
        '"name","x","y"\n"Ada","1.5","2"\n"Bob","-3e2","4"\n',
        "name, x, y\nAda , 1.5, 2\nBob , -3e2, 4\n",
        "name,x,y\n\nAda,1.5,2\n\n\nBob,-3e2,4\n\n",
    ],
)
def test_dialects(write: Write, content: str) -> None:
    """Delimiters, decimal commas, line ends, quotes, blanks and marks all give the same table."""
    assert plain(data.read_csv(write(content))) == {
        "name": ["Ada", "Bob"],
        "x": [1.5, -300],
        "y": [2, 4],
    }


def test_gzip_and_encodings(write: Write) -> None:
    """Compressed files, UTF-16 with its mark, and encodings that are named."""
    text = "größe,n\nklein,1\n"
    expected = {"größe": ["klein"], "n": [1]}
    assert plain(data.read_csv(write(gzip.compress(text.encode()), "t.csv.gz"))) == expected
    assert plain(data.read_csv(write(text.encode("utf-16")))) == expected
    latin = write(text.encode("latin-1"))
    assert plain(data.read_csv(latin, encoding="latin-1")) == expected


def test_quoted_fields(write: Write) -> None:
    """Quotes protect delimiters, line ends and quotes."""
    frame = data.read_csv(write('t,x\n"a, b",1\n"say ""hi""",2\n"two\nlines",3\n'))
    assert frame["t"].texts() == ["a, b", 'say "hi"', "two\nlines"]
    assert frame["x"].values.tolist() == [1, 2, 3]


def test_no_header(write: Write) -> None:
    """A first line with numbers is data; the columns are numbered. It can be said, too."""
    frame = data.read_csv(write("1,a\n2,b\n"))
    assert frame.names == ["column 1", "column 2"]
    assert len(frame) == 2
    assert data.read_csv(write("a,b\nc,d\n"), header=False)["column 1"].texts() == ["a", "c"]
    assert data.read_csv(write("1,2\n3,4\n"), header=True).names == ["1", "2"]
    assert data.read_csv(write("a,b\na,b\n")).names == ["a", "b"]


def test_one_column(write: Write) -> None:
    """A table of one column needs no delimiter."""
    assert plain(data.read_csv(write("x\n1\n2\n"))) == {"x": [1, 2]}


def test_missing_values(write: Write) -> None:
    """Empty fields and the usual words are missing, in columns of numbers and of text."""
    frame = data.read_csv(write("x,t,e\n1,a,\nNA,?,\n ,null,\n4,b,\n"))
    assert plain(frame) == {
        "x": [1, None, None, 4],
        "t": ["a", None, None, "b"],
        "e": [None] * 4,
    }
    assert frame.missing() == {"x": 2, "t": 2, "e": 4}
    assert frame["e"].kind == "number"
    own = data.read_csv(write("x,t\n-999,NA\n1,b\n"), missing=["-999"])
    assert plain(own) == {"x": [None, 1], "t": ["NA", "b"]}


def test_column_that_turns_out_to_be_text(write: Write) -> None:
    """One late text makes a column text from its beginning, with a note that names the line."""
    rows = "".join(f"{i},{i}\n" for i in range(500))
    frame = data.read_csv(write(f"x,id\n{rows}500,5oo\n"))
    assert frame.kinds == {"x": "number", "id": "text"}
    assert frame["id"].texts() == [*map(str, range(500)), "5oo"]
    assert frame.notes == ["column 'id' is text, not numbers, because of '5oo' in line 502"]


def test_kinds_can_be_given(write: Write) -> None:
    """A column of numbers can be read as text: postcodes keep their zeros."""
    path = write("zip,x\n01067,1\n80331,2\n")
    assert data.read_csv(path, kinds={"zip": "text"})["zip"].texts() == ["01067", "80331"]


def test_underscores_are_not_numbers(write: Write) -> None:
    """What only Python takes for a number is text."""
    rows = "1\n" * 300
    assert data.read_csv(write("x\n1_000\n")).kinds == {"x": "text"}
    assert data.read_csv(write(f"x\n{rows}1_000\n")).kinds == {"x": "text"}


def test_categories_are_numbered_in_order_of_appearance(write: Write) -> None:
    """Codes index the categories; blanks around do not make another category."""
    column = data.read_csv(write("t,x\nb,1\na,1\n b ,1\nb,1\n"))["t"]
    assert column.categories == ["b", "a"]
    assert column.values.tolist() == [0, 1, 0, 0]
    assert column.values.dtype == np.int32
    codes = Codes([""])
    assert [codes[t] for t in (" a", "a", "", " ")] == [0, 0, -1, -1]


def test_numbers_side_by_side(write: Write) -> None:
    """Columns of numbers give a matrix, all or the named ones."""
    frame = data.read_csv(write("x,t,y\n1,a,2\n3,b,4\n"))
    assert frame.numbers().tolist() == [[1, 2], [3, 4]]
    assert frame.numbers(["y"]).tolist() == [[2], [4]]


def test_header_only(write: Write) -> None:
    """A file with a header and no rows gives a table without rows."""
    frame = data.read_csv(write("a,b\n"))
    assert frame.names == ["a", "b"]
    assert len(frame) == 0


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 40 characters, so that small files have many."""
    monkeypatch.setattr(blocks, "__defaults__", (40,))


@pytest.mark.usefixtures("small_blocks")
def test_many_blocks_are_one_table(write: Write) -> None:
    """Values, missing ones, categories and quoted line ends do not depend on the blocks."""
    rows = [
        (i, "" if i % 7 == 0 else i / 2, f"c{i % 3}\n" if i % 5 == 0 else "x") for i in range(99)
    ]
    path = write("")
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("i", "h", "t"), *rows])
    frame = data.read_csv(path)
    assert frame["i"].values.tolist() == list(range(99))
    assert frame.missing() == {"h": 15}
    assert frame["t"].texts() == [t.strip() for _, _, t in rows]
    pieces = list(data.stream_csv(path, frame.kinds))
    assert len(pieces) > 10
    assert [t for piece in pieces for t in piece["t"].texts()] == frame["t"].texts()
    assert np.array_equal(
        np.concatenate([piece["h"].values for piece in pieces]), frame["h"].values, equal_nan=True
    )


cells = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8) | st.just('a "b",\nc')


@given(st.lists(st.tuples(st.floats(width=32), cells), min_size=1, max_size=30), st.integers(5, 99))
def test_what_is_written_is_read(rows: list[tuple[float, str]], size: int) -> None:
    """Any numbers and texts that Python's csv module writes are read back, in any blocks."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "t.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
            writer.writerows([("number", "text"), *rows])
        patch.setattr(blocks, "__defaults__", (size,))
        frame = data.read_csv(
            path, delimiter=",", header=True, kinds={"number": "number", "text": "text"}
        )
    numbers = np.array([number for number, _ in rows])
    assert np.array_equal(frame["number"].values, numbers, equal_nan=True)
    texts = [None if text.strip() in data.csv_reader.MISSING else text.strip() for _, text in rows]
    assert frame["text"].texts() == texts


def test_blocks_end_with_records() -> None:
    """A line end inside quotes does not end a record."""
    assert end_of_records("a,b\nc") == 4
    assert end_of_records('a\n"b\nc') == 2
    assert end_of_records('"a\nb') == 0
    assert end_of_records('"a\nb"\n"c\n') == 6
    assert end_of_records("abc") == 0


def test_sniffing_tells_the_format(write: Write) -> None:
    """The format found can be looked at."""
    form = sniff_csv(write("a;b\n1,5;x\n"))
    assert (form.delimiter, form.has_header, form.decimal, form.names) == (
        ";",
        True,
        ",",
        ("a", "b"),
    )


ROWS = "".join(f"{i},{i}\n" for i in range(300))
ERRORS: list[tuple[str | bytes, dict[str, Any], str]] = [
    ("", {}, ": the file is empty; it needs a header and rows."),
    (" \n\n", {}, ": the file is empty; it needs a header and rows."),
    (b"a,b\n1,\x00\n", {}, ": this is a binary file, not a table of text."),
    (
        "a,b\n1,2\n3,4,5\n6,7\n8,9\n10,11\n12,13\n",
        {},
        ", line 3: 3 fields instead of 2; look for a missing or an unquoted ','.",
    ),
    (
        f"a,b\n{ROWS}x\n",
        {},
        ", line 302: 1 fields instead of 2; look for a missing or an unquoted ','.",
    ),
    (
        f'a,b\n1,"two\nlines"\n{ROWS}3,4,5\n',
        {},
        ", line 304: 3 fields instead of 2; look for a missing or an unquoted ','.",
    ),
    (
        'a,b\n1,2\n3,"open\n4,5\n',
        {},
        ', line 3: a quoted text begins here or below and never ends; close the ", or remove it.',
    ),
    (
        'a,b\n1,"x"y"z"\n',
        {},
        ", line 2: ',' expected after '\"'; check the quotes of this line.",
    ),
    (
        b"a,b\n1,2\n3,\xe9\n",
        {},
        (
            ", line 3: byte 0xe9 is not utf-8 text; pass encoding='latin-1' or the file's "
            "own encoding."
        ),
    ),
    (
        "a,b,a\n1,2,3\n",
        {},
        ", line 1: two columns are called 'a'; give every column its own name.",
    ),
    (
        f"a,b\n{ROWS}5,five\n",
        {"kinds": {"b": "number"}},
        (
            ", line 302, column 'b': 'five' is not a number; correct it, or leave the field "
            "empty if it is missing."
        ),
    ),
    (
        "a,b\n1,2\n",
        {"kinds": {"c": "number"}},
        ": there is no column 'c'; the file has a, b.",
    ),
    (
        gzip.compress(ROWS.encode())[:-20],
        {},
        (
            ": the compressed data are broken (Compressed file ended before the end-of-stream "
            "marker was reached); copy or download the file again."
        ),
    ),
]


@pytest.mark.parametrize("content, options, message", ERRORS)
def test_broken_files_are_explained(
    write: Write, content: str | bytes, options: dict[str, Any], message: str
) -> None:
    """One line: the file, the line, the column, what is wrong and what to do."""
    path = write(content)
    with pytest.raises(data.DataError) as caught:
        data.read_csv(path, **options)
    assert str(caught.value) == f"{path}{message}"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """A file that is not there can be caught as FileNotFoundError, too."""
    with pytest.raises(FileNotFoundError) as caught:
        data.read_csv(tmp_path / "no.csv")
    assert str(caught.value) == f"{tmp_path / 'no.csv'}: no such file; check the path."
    with pytest.raises(data.DataError) as folder:
        data.read_csv(tmp_path)
    assert str(folder.value) == f"{tmp_path}: this is a folder; give the path of a file."


def test_endless_quote(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that swallows the file is told before memory is full."""
    monkeypatch.setattr("backlit.data.csv_format.LONGEST_RECORD", 1 << 20)
    monkeypatch.setattr(blocks, "__defaults__", (1 << 16,))
    path = write('a,b\n1,"2\n' + "3,4\n" * 400_000)
    with pytest.raises(data.DataError) as caught:
        list(data.stream_csv(path, {}, delimiter=","))
    assert str(caught.value) == (
        f"{path}, line 2: a quoted text begins here or below and does not end within 1 million "
        'characters; look for a stray ".'
    )


def test_streaming_needs_the_columns_it_knows(write: Write) -> None:
    """A stream refuses a file without a known column, and text among numbers."""
    path = write("a,b\n1,x\n")
    with pytest.raises(data.DataError, match="there is no column 'c'; the file has a, b"):
        list(data.stream_csv(path, {"c": "number"}))
    with pytest.raises(data.DataError, match="line 2, column 'b': 'x' is not a number"):
        list(data.stream_csv(path, {"b": "number"}))
    assert [piece.kinds for piece in data.stream_csv(path, {"a": "number"})] == [
        {"a": "number", "b": "text"}
    ]


def test_frames_explain_misuse(write: Write) -> None:
    """Asking for a column that is not there, or for numbers in text."""
    frame = data.read_csv(write("x,t\n1,a\n2,b\n"))
    with pytest.raises(data.DataError) as caught:
        frame["z"]
    assert str(caught.value) == "there is no column 'z'; there are x, t."
    with pytest.raises(data.DataError) as caught:
        frame["x"].texts()
    assert str(caught.value) == "column 'x' holds numbers, not text; use its values."
    with pytest.raises(data.DataError) as caught:
        frame.numbers(["t"])
    assert str(caught.value) == (
        "column 't' holds text (a, b, …), not numbers; leave it out or encode it."
    )

"""Parquet, NPZ, IDX and image files, and every way they can be wrong."""

from __future__ import annotations

import gzip
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from backlit import data
from backlit.core.era import realize
from backlit.errors import MissingExtra

Array = np.ndarray[Any, np.dtype[Any]]


def message(act: Callable[[], Any], kind: type[Exception] = data.DataError) -> str:
    """The text of the error that `act` raises."""
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


# -- IDX


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("name", ["a.idx", "a.gz"])
def test_idx_arrays_come_back(tmp_path: Path, kind: str, name: str) -> None:
    """Every type of the format, in any shape, packed or not."""
    for shape in [(5,), (2, 3), (2, 3, 4), (0, 3)]:
        array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
        data.write_idx(tmp_path / name, array)
        back = data.read_idx(tmp_path / name)
        assert back.dtype == array.dtype
        assert np.array_equal(back, array)


def test_idx_bytes_are_the_format(tmp_path: Path) -> None:
    """The header is written as MNIST's description says, highest byte first."""
    data.write_idx(tmp_path / "a", np.array([[1, 258]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001 0102")


@pytest.mark.parametrize(
    "content, text",
    [
        (
            b"P5 1 1",
            (
                ": this is not an IDX file: it begins with 50 35 20 31 instead of 00 00, a type "
                "and a number of dimensions."
            ),
        ),
        (
            b"",
            (
                ": this is not an IDX file: it begins with nothing instead of 00 00, a type "
                "and a number of dimensions."
            ),
        ),
        (b"\0\0\x08\x02\0\0", ": the file ends in its header; copy or download it again."),
        (
            b"\0\0\x08\x01\0\0\0\x05abc",
            ": 11 bytes, but its header (5,) of uint8 asks for 13; copy or download it again.",
        ),
        (
            gzip.compress(bytes(1000), mtime=0)[:-5],
            (
                ": the compressed data are broken (Compressed file ended before the end-of-stream "
                "marker was reached); copy or download the file again."
            ),
        ),
    ],
)
def test_broken_idx_files_are_explained(tmp_path: Path, content: bytes, text: str) -> None:
    """Another format, a cut header, missing values, a cut archive."""
    path = tmp_path / "a"
    path.write_bytes(content)
    assert message(lambda: data.read_idx(path)) == f"{path}{text}"


def test_idx_has_no_other_types(tmp_path: Path) -> None:
    """Types that the format lacks are refused, and so are files that are not there."""
    path = tmp_path / "a"
    assert message(lambda: data.write_idx(path, np.zeros(2, np.int64))) == (
        f"{path}: the IDX format has no int64; it holds uint8, int8, int16, int32, float32 and "
        "float64."
    )
    assert message(lambda: data.read_idx(path), FileNotFoundError) == (
        f"{path}: no such file; check the path."
    )


# -- NPZ


def test_npz_archives_and_npy_files(tmp_path: Path) -> None:
    """Arrays come as tensors under their names."""
    np.savez(tmp_path / "a.npz", x=np.eye(2), y=np.array([1, 2]))
    read = data.read_npz(tmp_path / "a.npz")
    assert realize(read["x"]).tolist() == [[1, 0], [0, 1]]
    assert realize(read["y"]).tolist() == [1, 2]
    np.save(tmp_path / "b.npy", np.arange(3))
    assert realize(data.read_npz(tmp_path / "b.npy")["b"]).tolist() == [0, 1, 2]


def test_broken_npz_files_are_explained(tmp_path: Path) -> None:
    """No archive, pickled objects (never loaded), texts, no file."""
    path = tmp_path / "a.npz"
    assert message(lambda: data.read_npz(path), FileNotFoundError) == (
        f"{path}: no such file; check the path."
    )
    path.write_bytes(b"hello")
    hint = "save it with np.savez(path, x=..., y=...)."
    refused = f"{path}: this cannot be read (it holds pickled objects); {hint}"
    assert message(lambda: data.read_npz(path)) == refused
    path.write_bytes(b"PK\x03\x04hello")
    assert message(lambda: data.read_npz(path)) == (
        f"{path}: this cannot be read (no NumPy archive); {hint}"
    )
    np.savez(path, x=np.array([{}]))
    assert message(lambda: data.read_npz(path)) == refused
    np.savez(path, t=np.array(["a"]))
    assert message(lambda: data.read_npz(path)) == (
        f"{path}: array 't' holds <U1, not numbers that a tensor can hold; convert it, for "
        "example with array.astype(np.float32)."
    )


# -- Parquet


def test_parquet_columns(tmp_path: Path) -> None:
    """Numbers, booleans and decimals are numbers, all else is text; missing stays missing."""
    arrow = pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    table = arrow.table(
        {
            "i": [1, None, 3],
            "f": [0.5, 1.5, None],
            "b": [True, False, None],
            "t": ["u", None, "v"],
            "d": arrow.array([1, 2, None], arrow.decimal128(5, 2)),
            "day": arrow.array([0, 1, None], arrow.date32()),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    frame = data.read_table(tmp_path / "t.parquet")
    assert [c.kind for c in frame] == ["number", "number", "number", "text", "number", "text"]
    assert frame.missing() == {"i": 1, "f": 1, "b": 1, "t": 1, "d": 1, "day": 1}
    assert frame["t"].texts() == ["u", None, "v"]
    assert frame["day"].texts() == ["1970-01-01", "1970-01-02", None]
    assert np.array_equal(frame["b"].values, [1, 0, np.nan], equal_nan=True)
    assert frame["d"].values[:2].tolist() == [1, 2]


def test_broken_parquet_files_are_explained(tmp_path: Path) -> None:
    """No file, another format."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    assert message(lambda: data.read_parquet(path), FileNotFoundError) == (
        f"{path}: no such file; check the path."
    )
    path.write_bytes(b"hello")
    text = message(lambda: data.read_parquet(path))
    assert text.startswith(f"{path}: this is not a readable Parquet file (")
    assert "\n" not in text


@pytest.mark.parametrize(
    "module, act, text",
    [
        (
            "pyarrow",
            data.read_parquet,
            (
                "Reading Parquet files needs pyarrow, which is not installed; install it with: "
                'pip install "backlit[parquet]"'
            ),
        ),
        (
            "PIL.Image",
            data.read_image,
            (
                "Reading .png images needs Pillow, which is not installed; install it with: "
                'pip install "backlit[image]"'
            ),
        ),
    ],
)
def test_missing_extras_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, act: Any, text: str
) -> None:
    """Without the optional package the error says how to install it."""
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG")
    assert message(lambda: act(path), MissingExtra) == text


def test_tables_are_told_by_their_names(tmp_path: Path) -> None:
    """What is not Parquet is CSV; options go through."""
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n1\t2\n", encoding="utf-8")
    assert data.read_table(path, kinds={"a": "text"}).kinds == {"a": "text", "b": "number"}


# -- images


def test_plain_images(tmp_path: Path) -> None:
    """PGM and PPM, with comments and with fewer than 256 levels."""
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n# made by hand\n2 1 255\n" + bytes([1, 2, 3, 4, 5, 6]))
    assert data.read_image(path).tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]
    path.write_bytes(b"P5 2 2 15\n" + bytes([0, 15, 3, 10]))
    assert data.read_image(path).tolist() == [[[0, 255], [51, 170]]]


@pytest.mark.parametrize(
    "content, text",
    [
        (b"P5 2 2", ": this is not a PGM or PPM image of 8 bits; convert it to one."),
        (b"P5 2 x 255\n", ": this is not a PGM or PPM image of 8 bits; convert it to one."),
        (b"P5 #", ": this is not a PGM or PPM image of 8 bits; convert it to one."),
        (
            b"P5 2 2 65535\n" + bytes(8),
            ": this is not a PGM or PPM image of 8 bits; convert it to one.",
        ),
        (
            b"P6 2 2 255\n" + bytes(11),
            ": 11 bytes of pixels, but 2×2 with 3 channels need 12; copy the file again.",
        ),
    ],
)
def test_broken_plain_images_are_explained(tmp_path: Path, content: bytes, text: str) -> None:
    """Cut headers, deep images, missing pixels."""
    path = tmp_path / "a.pgm"
    path.write_bytes(content)
    assert message(lambda: data.read_image(path)) == f"{path}{text}"


class StandInImage:
    """What Pillow's images do, as far as they are used."""

    def __init__(self, mode: str, pixels: Array) -> None:
        self.mode = mode
        self.pixels = pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def convert(self, mode: str) -> Array:
        assert mode == ("L" if self.pixels.ndim == 2 else "RGB")
        return self.pixels


def test_other_images_go_through_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey and colour images get their channels first; what Pillow refuses is explained."""
    images: list[Any] = [
        StandInImage("L", np.array([[1, 2]], np.uint8)),
        StandInImage("RGBA", np.array([[[1, 2, 3]]], np.uint8)),
        OSError("cannot identify image file"),
    ]

    def open_image(_: Any) -> Any:
        image = images.pop(0)
        if isinstance(image, Exception):
            raise image
        return image

    monkeypatch.setitem(sys.modules, "PIL", ModuleType("PIL"))
    monkeypatch.setitem(sys.modules, "PIL.Image", SimpleNamespace(open=open_image))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG")
    assert data.read_image(path).tolist() == [[[1, 2]]]
    assert data.read_image(path).tolist() == [[[1]], [[2]], [[3]]]
    assert message(lambda: data.read_image(path)) == (
        f"{path}: this is not a readable image (cannot identify image file)."
    )


def test_real_png(tmp_path: Path) -> None:
    """A PNG that Pillow wrote is read back."""
    image_module = pytest.importorskip("PIL.Image")
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image_module.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(data.read_image(tmp_path / "a.png"), pixels.transpose(2, 0, 1))


def test_image_folders(tmp_path: Path) -> None:
    """A folder per class; classes and files in the order of their names; transforms apply."""
    for name, value in [("dog/b.pgm", 255), ("dog/a.PGM", 51), ("cat/deep/x.ppm", 0)]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P5 1 1 255\n" + bytes([value]))
    (tmp_path / "cat" / "notes.txt").write_text("no image", encoding="utf-8")
    folder = data.ImageFolder(tmp_path)
    assert folder.classes == ["cat", "dog"]
    assert folder.class_to_idx == {"cat": 0, "dog": 1}
    assert folder.targets == [0, 1, 1]
    assert len(folder) == 3
    image, target = folder[1]
    assert (realize(image).tolist(), target) == ([[[pytest.approx(0.2)]]], 1)
    changed = data.ImageFolder(tmp_path, lambda _: "image", lambda target: -target)
    assert changed[2] == ("image", -1)
    batch, targets = next(iter(data.DataLoader(folder, batch_size=3)))
    assert realize(batch).shape == (3, 1, 1, 1)
    assert realize(targets).tolist() == [0, 1, 1]


def test_wrong_image_folders_are_explained(tmp_path: Path) -> None:
    """No folder, no classes, a class without images."""
    missing = tmp_path / "no"
    assert message(lambda: data.ImageFolder(missing)) == (
        f"{missing}: no such folder; check the path."
    )
    assert message(lambda: data.ImageFolder(tmp_path)) == (
        f"{tmp_path}: there are no folders in it; make one per class."
    )
    (tmp_path / "cat").mkdir()
    assert message(lambda: data.ImageFolder(tmp_path, extensions=(".png",))) == (
        f"{tmp_path / 'cat'}: there are no images in it (.png); add some or remove the folder."
    )


MNIST_FOLDER = Path(os.environ.get("BACKLIT_TEST_MNIST", "../shared/data/mnist"))


@pytest.mark.skipif(not MNIST_FOLDER.is_dir(), reason="MNIST's files are not there")
def test_real_mnist() -> None:
    """The real files: sizes, labels, and a known sum of pixels."""
    test = data.MNIST(MNIST_FOLDER, train=False)
    assert len(test) == 10_000
    assert realize(test.targets)[:5].tolist() == [7, 2, 1, 0, 4]
    image, target = test[0]
    assert realize(image).shape == (1, 28, 28)
    assert target == 7
    assert round(float(realize(image).sum() * 255)) == 18454
    images, labels = data.MNIST(MNIST_FOLDER).tensors().tensors
    assert realize(images).shape == (60_000, 1, 28, 28)
    assert np.bincount(realize(labels)).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip

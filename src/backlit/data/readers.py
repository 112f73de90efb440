"""Readers of other files: Parquet, NPZ, IDX (MNIST's format), and folders of images."""

from __future__ import annotations

import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.tensor import Tensor
from backlit.data.csv_reader import read_csv
from backlit.data.dataset import Dataset
from backlit.data.errors import DataError, DataNotFoundError
from backlit.data.frame import Column, Frame
from backlit.errors import DtypeError, MissingExtra

Array = np.ndarray[Any, np.dtype[Any]]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PLAIN_IMAGES = (".pgm", ".ppm")
PILLOW_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def extra(module: str, package: str, name: str, purpose: str) -> Any:
    """An optional dependency; if it is not installed, an error that says how to install it."""
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(
            f"{purpose} needs {package}, which is not installed; "
            f'install it with: pip install "backlit[{name}]"'
        ) from None


def contents(path: Path) -> bytes:
    """A whole file, unpacked if it is gzipped.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: the compressed data are broken.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataNotFoundError(f"{path}: no such file; check the path.") from None
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: the compressed data are broken ({error}); copy or download the file again."
        ) from None


def read_table(path: str | Path, **options: Any) -> Frame:
    """Read a table by the ending of its name: .parquet, or else CSV with its options.

    Raises:
        DataNotFoundError, DataError, MissingExtra: as `read_csv` and `read_parquet`.
    """
    if Path(path).suffix in (".parquet", ".pq"):
        return read_parquet(path, **options)
    return read_csv(path, **options)


def read_parquet(path: str | Path) -> Frame:
    """Read a Parquet file into typed columns, with pyarrow.

    Numbers and booleans become numbers; everything else becomes text.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataNotFoundError: there is no such file.
        DataError: it is not a Parquet file.
    """
    arrow = extra("pyarrow", "pyarrow", "parquet", "Reading Parquet files")
    parquet = import_module("pyarrow.parquet")
    path = Path(path)
    if not path.exists():
        raise DataNotFoundError(f"{path}: no such file; check the path.")
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path}: this is not a readable Parquet file ({reason}).") from None
    columns = {}
    for name, data in zip(table.column_names, table.columns, strict=True):
        kind = arrow.types
        if kind.is_integer(data.type) or kind.is_floating(data.type) or kind.is_boolean(data.type):
            values = data.cast(arrow.float64()) if not kind.is_boolean(data.type) else data
            numbers = np.array(values.to_numpy(zero_copy_only=False), dtype=np.float64)
            columns[name] = Column(name, "number", numbers)
        elif kind.is_decimal(data.type):
            numbers = data.cast(arrow.float64()).to_numpy().astype(np.float64)
            columns[name] = Column(name, "number", numbers)
        else:
            coded = data.cast(arrow.string()).combine_chunks().dictionary_encode()
            codes = coded.indices.fill_null(-1).to_numpy().astype(np.int32)
            columns[name] = Column(name, "text", codes, coded.dictionary.to_pylist())
    return Frame(columns)


def read_npz(path: str | Path) -> dict[str, Tensor]:
    """Read the arrays of a NumPy archive (.npz), or the array of a .npy file, as tensors.

    Pickled objects are refused: loading them would run code from the file.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it is not such a file, or an array is not numbers.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {path.stem: _number_tensor(path, path.stem, loaded)}
            return {name: _number_tensor(path, name, loaded[name]) for name in loaded.files}
    except FileNotFoundError:
        raise DataNotFoundError(f"{path}: no such file; check the path.") from None
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        reason = "it holds pickled objects" if "pickle" in str(error) else "no NumPy archive"
        raise DataError(
            f"{path}: this cannot be read ({reason}); save it with np.savez(path, x=..., y=...)."
        ) from None


def _number_tensor(path: Path, name: str, array: Array) -> Tensor:
    try:
        return from_array(array)
    except DtypeError:
        raise DataError(
            f"{path}: array {name!r} holds {array.dtype}, not numbers that a tensor can hold; "
            "convert it, for example with array.astype(np.float32)."
        ) from None


def read_idx(path: str | Path) -> Array:
    """Read a file in the IDX format of MNIST, gzipped or not, as an array.

    Format: two zero bytes, a byte for the type, a byte for the number of dimensions, each
    dimension as four bytes with the highest first, then the values.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: another format, an unknown type, or more or fewer values than announced.
    """
    path = Path(path)
    raw = contents(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in IDX_TYPES:
        raise DataError(
            f"{path}: this is not an IDX file: it begins with {raw[:4].hex(' ') or 'nothing'} "
            "instead of 00 00, a type and a number of dimensions."
        )
    rank = raw[3]
    start = 4 + 4 * rank
    if len(raw) < start:
        raise DataError(f"{path}: the file ends in its header; copy or download it again.")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", rank, 4))
    kind = np.dtype(IDX_TYPES[raw[2]])
    expected = start + math.prod(shape) * kind.itemsize
    if len(raw) != expected:
        raise DataError(
            f"{path}: {len(raw)} bytes, but its header {shape} of {kind.name} asks for {expected}; "
            "copy or download it again."
        )
    return np.frombuffer(raw, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))


def write_idx(path: str | Path, array: Array) -> None:
    """Write an array in the IDX format, gzipped if the name ends in .gz.

    Raises:
        DataError: the format has no such type.
    """
    kind = array.dtype.newbyteorder(">")
    code = next((code for code, name in IDX_TYPES.items() if np.dtype(name) == kind), None)
    if code is None:
        raise DataError(
            f"{path}: the IDX format has no {array.dtype}; it holds uint8, int8, int16, int32, "
            "float32 and float64."
        )
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    raw = header + array.astype(kind).tobytes()
    Path(path).write_bytes(gzip.compress(raw) if Path(path).suffix == ".gz" else raw)


def read_image(path: str | Path) -> Array:
    """Read an image as (channels, height, width) of uint8; PGM and PPM directly, others by Pillow.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it is not a readable image.
        MissingExtra: Pillow is needed and not installed.
    """
    path = Path(path)
    raw = contents(path)
    if raw[:2] in (b"P5", b"P6"):
        return _netpbm(path, raw)
    image_module = extra("PIL.Image", "Pillow", "image", f"Reading {path.suffix or 'this'} images")
    try:
        with image_module.open(io.BytesIO(raw)) as image:
            mode = "L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB"
            pixels = np.array(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: this is not a readable image ({error}).") from None
    planes: Array = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)


def _netpbm(path: Path, raw: bytes) -> Array:
    """Decode a binary PGM (P5) or PPM (P6) image of 8 bits."""
    # Comments run from # to the end of the line; one blank follows the three numbers.
    position = 2
    numbers: list[int] = []
    while len(numbers) < 3 and position < len(raw):
        if raw[position : position + 1] == b"#":
            position = raw.find(b"\n", position) % (len(raw) + 1)
        elif raw[position : position + 1].isspace():
            position += 1
        else:
            end = position
            while raw[end : end + 1].isdigit():
                end += 1
            if end == position:
                break
            numbers.append(int(raw[position:end]))
            position = end
    channels = 3 if raw[:2] == b"P6" else 1
    if len(numbers) < 3 or not 0 < numbers[2] < 256:
        raise DataError(f"{path}: this is not a PGM or PPM image of 8 bits; convert it to one.")
    width, height, most = numbers
    pixels = raw[position + 1 :]
    if len(pixels) != width * height * channels:
        raise DataError(
            f"{path}: {len(pixels)} bytes of pixels, but {width}×{height} with {channels} channels "
            f"need {width * height * channels}; copy the file again."
        )
    image = np.frombuffer(pixels, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)
    if most != 255:
        image = (image.astype(np.uint16) * 255 // most).astype(np.uint8)
    return np.ascontiguousarray(image)


class ImageFolder(Dataset[Any]):
    """Images in one folder per class: root/cat/1.png, root/dog/2.png, …

    Samples are (image, class number); images are tensors (channels, height, width) of float32 in
    [0, 1], classes are numbered in the order of their names.

    Args:
        root: the folder.
        transform, target_transform: functions of the image, and of the class number.
        extensions: which files count, in lower case.

    Raises:
        DataNotFoundError: there is no such folder, or it has no folders or no images.

    `classes`, `class_to_idx` and `samples` are as in torchvision.
    """

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        extensions: Sequence[str] = (*PLAIN_IMAGES, *PILLOW_IMAGES),
    ) -> None:
        folder = Path(root)
        if not folder.is_dir():
            raise DataNotFoundError(f"{folder}: no such folder; check the path.")
        self.root = folder
        self.transform = transform
        self.target_transform = target_transform
        self.classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        if not self.classes:
            raise DataNotFoundError(f"{folder}: there are no folders in it; make one per class.")
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        endings = tuple(extensions)
        self.samples: list[tuple[Path, int]] = []
        for name, number in self.class_to_idx.items():
            found = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in endings)
            if not found:
                raise DataNotFoundError(
                    f"{folder / name}: there are no images in it ({', '.join(endings)}); add some "
                    "or remove the folder."
                )
            self.samples += [(path, number) for path in found]
        self.targets = [number for _, number in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        path, target = self.samples[index]
        image: Any = from_array(read_image(path).astype(np.float32) / 255)
        if self.transform is not None:
            image = self.transform(image)
        return image, self.target_transform(target) if self.target_transform else target

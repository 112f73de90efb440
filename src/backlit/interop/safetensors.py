"""The safetensors format: named tensors and text, in files that cannot run code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.dtypes import bfloat16
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.interop.errors import FileFormatError
from backlit.train.checkpoint import write_atomically

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]

DTYPES: dict[str, Any] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": bfloat16.numpy,
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "U16": np.dtype(np.uint16),
    "U32": np.dtype(np.uint32),
    "U64": np.dtype(np.uint64),
    "BOOL": np.dtype(np.bool_),
}
LENGTH_BYTES = 8  # of the header's length, which begins the file


def save_file(
    tensors: Mapping[str, Tensor],
    filename: str | Path,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors, such as a state dict, to a safetensors file.

    The file appears under its name only when it is complete.

    Args:
        tensors: the tensors by name.
        metadata: texts to store beside them.

    Raises:
        ArgumentError: something in `tensors` is not a tensor.
        CheckpointError: the file cannot be written.

    >>> import tempfile
    >>> from backlit import nn
    >>> from backlit.interop import load_file, save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file(nn.Linear(2, 1).state_dict(), f"{folder}/linear.safetensors")
    ...     sorted(load_file(f"{folder}/linear.safetensors"))
    ['bias', 'weight']
    """
    wrong = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ArgumentError(
            f"save_file: {wrong[0]!r} is a {type(tensors[wrong[0]]).__name__}, not a tensor; "
            "backlit.save also takes numbers, texts and containers."
        )
    content = to_bytes({name: realize(t) for name, t in tensors.items()}, metadata)
    write_atomically(Path(filename), lambda part: write_bytes(part, content))


def load_file(filename: str | Path, device: Any = "cpu") -> dict[str, Tensor]:
    """The named tensors of a safetensors file.

    Raises:
        FileFormatError: there is no such file, or it is damaged or of another kind.
    """
    arrays, _ = read_arrays(filename)
    return {name: from_array(array) for name, array in arrays.items()}


def to_bytes(arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file."""
    from safetensors.numpy import save

    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return save(plain, dict(metadata) if metadata else None)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; a failing disk gives an OSError, which `write_atomically` explains."""
    with open(path, "wb") as file:
        file.write(content)


def read_arrays(source: Any) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the texts of a safetensors file, given by its path or opened for reading.

    Raises:
        FileFormatError: there is no such file, or it is damaged or of another kind.
    """
    name = "the file" if hasattr(source, "read") else os.fspath(source)
    try:
        content = source.read() if hasattr(source, "read") else Path(source).read_bytes()
    except FileNotFoundError:
        raise FileFormatError(f"{name}: no such file; check the path.") from None
    except OSError as error:
        raise FileFormatError(f"{name}: cannot be read ({error.strerror}).") from None
    return parse(content, name)


def parse(content: bytes, name: str) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the texts in the content of a safetensors file; `name` is for errors."""
    from safetensors import SafetensorError, deserialize

    try:
        views = deserialize(content)  # type: ignore[no-untyped-call]  # it has no annotations
        end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
        header = json.loads(content[LENGTH_BYTES:end])
        arrays = {key: as_array(view) for key, view in views}
    except (SafetensorError, ValueError, KeyError) as error:
        if is_pickle(content):
            raise FileFormatError(
                f"{name}: this is a pickle, as torch.save writes it; reading one can run any code "
                "that is in it, so Backlit does not. Where it was made, store the weights with "
                "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
            ) from None
        raise FileFormatError(
            f"{name}: not a readable safetensors file; it is damaged, cut short or of another kind "
            f"({str(error).rstrip('.')})."
        ) from None
    return arrays, header.get("__metadata__") or {}


def is_pickle(content: bytes) -> bool:
    """Whether this is a zip archive, as `torch.save` writes it, or a bare pickle.

    A safetensors file whose header has 128 or 640 bytes begins like a pickle, but then with zeros.
    """
    is_bare = content[:1] == b"\x80" and content[3:LENGTH_BYTES].strip(b"\0") != b""
    return is_bare or content.startswith(b"PK\x03\x04")


def as_array(view: dict[str, Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """The array that a part of the file stands for, in memory of its own."""
    dtype: np.dtype[Any] = DTYPES[view["dtype"]]
    flat = np.frombuffer(view["data"], dtype=dtype)
    return flat.reshape(view["shape"]).copy()

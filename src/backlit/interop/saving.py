"""`backlit.save` and `backlit.load`: state dicts and plain values, never pickles.

The file is a safetensors file. A plain state dict is stored under its own names, so that any other
program reads it; around other values a JSON tree in the metadata says what goes where.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.interop.errors import FileFormatError
from backlit.interop.safetensors import Arrays, read_arrays, to_bytes, write_bytes
from backlit.nn import Module
from backlit.train.checkpoint import write_atomically
from backlit.train.errors import CheckpointError
from backlit.train.state import join, split

TREE = "backlit.tree"  # the metadata entry with the JSON tree


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: Any = None) -> None:
    """Write tensors, numbers, texts, and dicts, lists and tuples of them to a file.

    Args:
        obj: usually `model.state_dict()`, or a dict of several state dicts and numbers.
        f: a path, or a file opened for writing bytes. Under a path, the file appears only when it
            is complete.
        pickle_module, pickle_protocol: accepted and of no effect: nothing is pickled.

    Raises:
        ArgumentError: `obj` is a whole module, or holds something else than the above.
        CheckpointError: the file cannot be written.

    >>> import io
    >>> file = io.BytesIO()
    >>> backlit.save({"step": 3, "weights": {"w": backlit.ones(2)}}, file)
    >>> _ = file.seek(0)
    >>> backlit.load(file)
    {'step': 3, 'weights': {'w': tensor([1., 1.])}}
    """
    content = packed(obj)
    if hasattr(f, "write"):
        f.write(content)
    else:
        write_atomically(Path(os.fspath(f)), lambda part: write_bytes(part, content))


def packed(obj: Any) -> bytes:
    """The file's content."""
    if isinstance(obj, Module):
        raise ArgumentError(
            f"save: a {type(obj).__name__} is code as well as weights, and files must not hold "
            "code; save model.state_dict(), and load it into a model made by the same code."
        )
    if isinstance(obj, Mapping) and obj and all(map(is_named_tensor, obj.items())):
        return to_bytes({name: realize(tensor) for name, tensor in obj.items()})
    arrays: Arrays = {}
    try:
        tree = split(obj, arrays, "")
    except CheckpointError as error:
        what = str(error).removeprefix("checkpoint: ").partition(";")[0].lstrip(".")
        raise ArgumentError(
            f"save: {'the value' if what.startswith(' ') else ''}{what}; nothing else can be "
            "stored without a pickle."
        ) from None
    return to_bytes(arrays, {TREE: json.dumps(tree)})


def is_named_tensor(item: tuple[Any, Any]) -> bool:
    """Whether this is an entry of a plain state dict."""
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool = True,
    mmap: bool | None = None,
) -> Any:
    """Read what `save` wrote, or the tensors of any safetensors file.

    Args:
        f: a path, or a file opened for reading bytes.
        map_location, pickle_module, weights_only, mmap: accepted and of no effect: there is one
            device, and files hold no code.

    Raises:
        FileFormatError: there is no such file, it is damaged or of another kind, or a pickle.
    """
    arrays, metadata = read_arrays(f)
    if TREE not in metadata:
        return {name: from_array(array) for name, array in arrays.items()}
    try:
        return join(json.loads(metadata[TREE]), arrays)
    except (ValueError, KeyError, TypeError) as error:
        name = "the file" if hasattr(f, "read") else os.fspath(f)
        raise FileFormatError(
            f"{name}: its description does not fit its tensors ({error!r}); it is damaged."
        ) from None

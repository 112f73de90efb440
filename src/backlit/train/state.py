"""The state of a run as tensors and JSON: no pickle, and every bit comes back.

`split` takes nested dicts, lists, tuples, numbers, strings and tensors apart into a JSON tree and
named arrays, `join` puts them together again. What JSON has no form for is written as an object
with the key "$", which says what it is.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.dtypes import bfloat16
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.ops.generator import default_generator
from backlit.optim import Optimizer
from backlit.train.errors import CheckpointError

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]
TAG = "$"


def split(value: Any, arrays: Arrays, path: str = "state") -> Any:
    """The JSON tree of `value`; its tensors go into `arrays` under their path.

    Raises:
        CheckpointError: something in it is neither numbers, text, tensors nor containers of them.

    >>> arrays = {}
    >>> split({"lr": 0.1, "betas": (0.9, 0.99), 3: backlit.ones(2)}, arrays)["$"], list(arrays)
    ('dict', ['state.3'])
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, Tensor | np.ndarray):
        arrays[path] = stored(realize(value) if isinstance(value, Tensor) else value)
        kind = "tensor" if isinstance(value, Tensor) else "array"
        dtype = str(value.dtype).removeprefix("torch.").removeprefix("backlit.")
        return {TAG: kind, "key": path, "dtype": dtype}
    if isinstance(value, Mapping):
        kind = "counter" if isinstance(value, Counter) else "dict"
        if kind == "dict" and TAG not in value and all(isinstance(key, str) for key in value):
            return {key: split(item, arrays, f"{path}.{key}") for key, item in value.items()}
        items = [
            [split(key, arrays, path), split(item, arrays, f"{path}.{key}")]
            for key, item in value.items()
        ]
        return {TAG: kind, "items": items}
    if isinstance(value, list | tuple):
        items = [split(item, arrays, f"{path}.{i}") for i, item in enumerate(value)]
        return items if isinstance(value, list) else {TAG: "tuple", "items": items}
    raise CheckpointError(
        f"checkpoint: {path} is a {type(value).__name__}, which is neither a number, text, a "
        "tensor nor a container of them; keep it out of state_dict()."
    )


def stored(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """The array as a file holds it: contiguous, and bfloat16 as its 16 bits."""
    if array.dtype == bfloat16.numpy:
        array = array.view(np.uint16)
    return np.asarray(array, order="C")


def join(tree: Any, arrays: Arrays) -> Any:
    """What `split` took apart.

    >>> arrays = {}
    >>> join(split({"betas": (0.9, 0.99)}, arrays), arrays)
    {'betas': (0.9, 0.99)}
    """
    if isinstance(tree, list):
        return [join(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind = tree.get(TAG)
    if kind is None:
        return {key: join(item, arrays) for key, item in tree.items()}
    if kind in ("tensor", "array"):
        array = np.array(arrays[tree["key"]])
        if tree["dtype"] == "bfloat16":
            array = array.view(bfloat16.numpy)
        return from_array(array) if kind == "tensor" else array
    items = [join(item, arrays) for item in tree["items"]]
    if kind == "tuple":
        return tuple(items)
    return Counter(dict(items)) if kind == "counter" else dict(items)


def random_state() -> dict[str, Any]:
    """The state of the generators of Backlit, Python and NumPy."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "backlit": np.array(realize(default_generator.get_state())),
        "python": [version, np.array(words, np.uint64), gauss],
        "numpy": [name, np.array(keys), int(position), int(has_gauss), float(cached)],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Go on from what `random_state` gave."""
    default_generator.set_state(from_array(state["backlit"]))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer's `state_dict`, with its Python numbers in full precision.

    `state_dict` gives them as float32 tensors, as PyTorch does, which would lose digits.
    """
    state = optimizer.state_dict()
    params = [p for group in optimizer.param_groups for p in group["params"]]
    exact = {
        index: {**own, **{k: optimizer.state[params[index]][k] for k in numbers_of(optimizer, own)}}
        for index, own in state["state"].items()
    }
    return {**state, "state": exact}


def numbers_of(optimizer: Optimizer, own: Mapping[str, Any]) -> list[str]:
    """Which entries of a parameter's state are Python numbers."""
    return [name for name in optimizer.number_names if name in own]

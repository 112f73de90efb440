"""From a list of samples to a batch, and whole batches of tensor rows in one operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backlit.core.create import from_array
from backlit.core.era import realize
from backlit.core.tensor import Tensor, realized
from backlit.data.dataset import Subset, TensorDataset
from backlit.errors import ShapeError
from backlit.ops.shape_join import stack

Index = np.ndarray[Any, np.dtype[np.int64]]


def default_collate(batch: list[Any]) -> Any:
    """Stack samples into a batch: every tensor, array or number gets a new first dimension.

    Dicts, tuples and lists are gone into; tuples become lists; strings stay lists of strings.
    Floats become float64 and whole numbers int64, as in PyTorch.

    Raises:
        ShapeError: samples of different sizes.
        TypeError: a kind of sample that has no batch form.

    >>> backlit.data.default_collate([{"x": 1.5, "name": "a"}, {"x": 2.5, "name": "b"}])
    {'x': tensor([1.5000, 2.5000], dtype=backlit.float64), 'name': ['a', 'b']}
    """
    return _collate(batch, "")


def _collate(batch: Sequence[Any], where: str) -> Any:
    """`default_collate` of what the samples hold at `where`, such as "['image'][0]"."""
    first = batch[0]
    if isinstance(first, Tensor):
        if any(sample.requires_grad for sample in batch):
            return stack(list(batch))  # recorded, so that gradients flow back to the samples
        return _stack([realize(sample) for sample in batch], where)
    if isinstance(first, np.ndarray | np.generic) and first.dtype.kind in "biuf":
        return _stack([np.asarray(sample) for sample in batch], where)
    if isinstance(first, bool | int | float):
        return from_array(np.array(batch, dtype=_dtype_of_numbers(batch)))
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Mapping):
        parts = {
            key: _collate([_part(sample, key, where) for sample in batch], f"{where}[{key!r}]")
            for key in first
        }
        return _rebuilt(first, parts)
    if isinstance(first, Sequence):
        lengths = [len(sample) for sample in batch]
        if len(set(lengths)) > 1:
            odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
            raise ShapeError(
                f"default_collate: samples 0 and {odd} of the batch hold {lengths[0]} and "
                f"{lengths[odd]} items{_at(where)}; give all the same structure, or pass your "
                "own collate_fn."
            )
        columns = zip(*batch, strict=True)
        items = [_collate(column, f"{where}[{i}]") for i, column in enumerate(columns)]
        if isinstance(first, tuple) and hasattr(first, "_fields"):
            return type(first)(*items)
        return items if isinstance(first, tuple) else _rebuilt(first, items)
    raise TypeError(
        f"default_collate: cannot batch {type(first).__name__}{_at(where)}; it takes tensors, "
        "arrays, numbers, strings, dicts, tuples and lists: pass your own collate_fn."
    )


def _at(where: str) -> str:
    return f" at sample{where}" if where else ""


def _part(sample: Any, key: Any, where: str) -> Any:
    if key not in sample:
        raise KeyError(
            f"default_collate: a sample of the batch has no key {key!r}{_at(where)}, but the "
            "first one has; give all the same keys, or pass your own collate_fn."
        )
    return sample[key]


def _dtype_of_numbers(batch: Sequence[Any]) -> type:
    if any(isinstance(number, float) for number in batch):
        return np.float64
    return np.bool_ if all(isinstance(number, bool) for number in batch) else np.int64


def _stack(arrays: list[np.ndarray[Any, Any]], where: str) -> Tensor:
    for position, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ShapeError(
                f"default_collate: samples 0 and {position} of the batch have shapes "
                f"{arrays[0].shape} and {array.shape}{_at(where)}, which do not stack; "
                "make them equal, or pass your own collate_fn."
            )
    return from_array(np.stack(arrays))


def _rebuilt(like: Any, content: Any) -> Any:
    """`content` in a container of the type of `like`, if that can be made."""
    try:
        return type(like)(content)
    except TypeError:
        return content


def default_convert(data: Any) -> Any:
    """Arrays as tensors, inside dicts, tuples and lists too; anything else as it is.

    >>> backlit.data.default_convert({"x": np.array([1, 2]), "name": "a"})
    {'x': tensor([1, 2]), 'name': 'a'}
    """
    if isinstance(data, np.ndarray | np.generic) and data.dtype.kind in "biuf":
        return from_array(np.asarray(data))
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _rebuilt(data, [default_convert(item) for item in data])
    return data


def is_gatherable(dataset: Any) -> bool:
    """Whether batches can be gathered from whole tensors without asking for single samples."""
    if type(dataset) is Subset:
        return is_gatherable(dataset.dataset)
    if type(dataset) is TensorDataset:
        return all(is_gatherable(tensor) for tensor in dataset.tensors)
    return type(dataset) is Tensor and not dataset.requires_grad


def gatherer(dataset: Any) -> Callable[[Index], Any]:
    """A function from indices to the batch that `default_collate` would make of their samples.

    It makes a batch in one operation per tensor.

    >>> rows = backlit.data.Subset(backlit.arange(10), range(5, 10))
    >>> gatherer(rows)(np.array([2, 0]))
    tensor([7, 5])
    """
    if type(dataset) is Subset:
        inner = gatherer(dataset.dataset)
        own = np.asarray(dataset.indices, dtype=np.int64)  # once: it may be a list of millions
        return lambda indices: inner(own[indices])
    if type(dataset) is TensorDataset:
        columns = [gatherer(tensor) for tensor in dataset.tensors]
        return lambda indices: [column(indices) for column in columns]
    return lambda indices: realized(realize(dataset).take(indices, 0), dataset.dtype)

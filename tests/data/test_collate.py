"""Batches made of samples."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from backlit import data
from backlit.core.create import from_array, tensor
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.data.collate import gatherer, is_gatherable
from backlit.errors import ShapeError


class Pair(NamedTuple):
    """A sample with names."""

    x: float
    y: int


def plain(batch: Any) -> Any:
    """A batch with tensors as (dtype, lists)."""
    if isinstance(batch, Tensor):
        return batch.dtype.name, realize(batch).tolist()
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    if isinstance(batch, list):
        return [plain(value) for value in batch]
    return batch


@pytest.mark.parametrize(
    "samples, expected",
    [
        ([1.5, 2.5], ("float64", [1.5, 2.5])),
        ([1, 2.5], ("float64", [1.0, 2.5])),
        ([1, 2], ("int64", [1, 2])),
        ([True, False], ("bool", [True, False])),
        (["a", "b"], ["a", "b"]),
        ([b"a"], [b"a"]),
        ([np.float32(1.5)] * 2, ("float32", [1.5, 1.5])),
        ([np.array([1, 2], np.int32)] * 2, ("int32", [[1, 2], [1, 2]])),
        ([(1, "a"), (2, "b")], [("int64", [1, 2]), ["a", "b"]]),
        ([[1, 2.0], [3, 4.0]], [("int64", [1, 3]), ("float64", [2.0, 4.0])]),
        ([{"x": 1, "y": (2, 3)}], {"x": ("int64", [1]), "y": [("int64", [2]), ("int64", [3])]}),
    ],
)
def test_batches_have_pytorch_types(samples: list[Any], expected: Any) -> None:
    """Numbers and arrays become tensors of PyTorch's dtypes; structure stays."""
    assert plain(data.default_collate(samples)) == expected


def test_tensors_are_stacked() -> None:
    """Tensors get a new first dimension and keep their dtype."""
    batch = data.default_collate([from_array(np.array([1.0, 2.0], np.float32))] * 3)
    assert plain(batch) == ("float32", [[1.0, 2.0]] * 3)


def test_gradients_flow_through_a_batch() -> None:
    """Samples that require gradients are stacked by a recorded op, never gathered."""
    x = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    [batch] = data.DataLoader(data.TensorDataset(x), batch_size=2)
    (batch[0] * batch[0]).sum().backward()
    assert x.grad is not None
    assert realize(x.grad).tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert not is_gatherable(data.TensorDataset(x))


def test_containers_keep_their_type() -> None:
    """Named tuples and special dicts come back as such."""
    pair = data.default_collate([Pair(1.5, 2), Pair(2.5, 3)])
    assert isinstance(pair, Pair)
    assert plain(pair.y) == ("int64", [2, 3])
    ordered = data.default_collate([OrderedDict(b=1, a=2)])
    assert isinstance(ordered, OrderedDict)
    assert list(ordered) == ["b", "a"]


def test_convert_turns_arrays_into_tensors() -> None:
    """Arrays become tensors wherever they are; the rest is untouched."""
    converted = data.default_convert({"x": np.array([1, 2]), "t": (np.float32(3), "a"), "l": [4]})
    assert plain(converted) == {"x": ("int64", [1, 2]), "t": [("float32", 3.0), "a"], "l": [4]}
    pair = data.default_convert(Pair(1.0, 2))
    assert pair == Pair(1.0, 2)


def test_gathering_is_collating() -> None:
    """What is gathered at once is what single samples would have been collated to."""
    x = from_array(np.arange(12.0, dtype=np.float32).reshape(6, 2))
    y = from_array(np.arange(6))
    indices = np.array([4, 0, 4])
    both = data.TensorDataset(x, y)
    for dataset in (x, both, data.Subset(both, [5, 4, 3, 2, 1])):
        assert is_gatherable(dataset)
        slow = data.default_collate([dataset[int(i)] for i in indices])  # type: ignore[index]
        assert plain(gatherer(dataset)(indices)) == plain(slow)

    class Noisy(data.TensorDataset):
        pass

    assert not is_gatherable(Noisy(x))


def test_subsets_are_looked_up_once() -> None:
    """The indices of a subset become an array once for all batches, however many they are."""

    class Counted(list[int]):
        reads = 0

        def __iter__(self) -> Any:
            Counted.reads += 1
            return super().__iter__()

        def __len__(self) -> int:
            Counted.reads += 1
            return super().__len__()

    gather = gatherer(data.Subset(from_array(np.arange(9)), Counted([8, 6, 4])))
    before = Counted.reads
    assert plain(gather(np.array([2, 0]))) == ("int64", [4, 8])
    assert plain(gather(np.array([1]))) == ("int64", [6])
    assert Counted.reads == before


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: data.default_collate([(np.zeros(2),), (np.zeros(3),)]),
        ShapeError,
        (
            "default_collate: samples 0 and 1 of the batch have shapes (2,) and (3,) at sample[0], "
            "which do not stack; make them equal, or pass your own collate_fn."
        ),
    ),
    (
        lambda: data.default_collate([[1, 2], [1, 2], [1]]),
        ShapeError,
        (
            "default_collate: samples 0 and 2 of the batch hold 2 and 1 items; give all the same "
            "structure, or pass your own collate_fn."
        ),
    ),
    (
        lambda: data.default_collate([{"x": {"a": 1}}, {"x": {"b": 1}}]),
        KeyError,
        (
            "default_collate: a sample of the batch has no key 'a' at sample['x'], but the first "
            "one has; give all the same keys, or pass your own collate_fn."
        ),
    ),
    (
        lambda: data.default_collate([{"x": None}]),
        TypeError,
        (
            "default_collate: cannot batch NoneType at sample['x']; it takes tensors, arrays, "
            "numbers, strings, dicts, tuples and lists: pass your own collate_fn."
        ),
    ),
]


@pytest.mark.parametrize("act, kind, message", ERRORS)
def test_misuse_is_explained(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Every error says where in the sample it is, what is wrong and what to do."""
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.args[0] == message

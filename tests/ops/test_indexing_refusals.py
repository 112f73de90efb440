"""What indexing ops refuse, with the full text of each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.gather import one_hot
from backlit.ops.index_cards import index_card

v = backlit.zeros(3)
s = backlit.tensor(1.0)
i = backlit.tensor([0, 1])

# What is called with a fresh 2 × 3 tensor, the class of the error, and its text.
REFUSED: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (
        lambda x: x[2],
        IndexOutOfRange,
        ("index 2 is out of bounds for dimension 0 with size 2"),
    ),
    (
        lambda x: x[0, 0, 0],
        IndexOutOfRange,
        ("too many indices for tensor of dimension 2"),
    ),
    (
        lambda _: s[0],
        IndexOutOfRange,
        (
            "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to a "
            "number"
        ),
    ),
    (
        lambda x: x[..., ...],
        IndexOutOfRange,
        ("an index can only have a single ellipsis (`...`)"),
    ),
    (
        lambda x: x["a"],
        TypeError,
        ("an index cannot be a str; use integers, slices, None, Ellipsis or tensors."),
    ),
    (
        lambda x: x[{}],
        IndexOutOfRange,
        (
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            "valid indices (got dict)"
        ),
    ),
    (
        lambda x: x[v],
        IndexOutOfRange,
        (
            "tensors used as indices must be long, int, byte or bool tensors, got float32; "
            "convert it with .long()."
        ),
    ),
    (
        lambda x: x[backlit.tensor([2])],
        IndexOutOfRange,
        ("index 2 is out of bounds for dimension 0 with size 2"),
    ),
    (
        lambda x: x[backlit.tensor([True, False, True])],
        IndexOutOfRange,
        (
            "The shape of the mask [3] at index 0 does not match the shape of the indexed tensor "
            "[2, 3] at index 0"
        ),
    ),
    (
        lambda x: x[backlit.tensor([0, 1]), backlit.tensor([0, 1, 2])],
        IndexOutOfRange,
        ("shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]"),
    ),
    (
        lambda x: x.index_put((i,), v.double()),
        DtypeError,
        (
            "Index put requires the source and destination dtypes match, got float32 for the "
            "destination and float64 for the source."
        ),
    ),
    (
        lambda x: x.index_put((i,), backlit.zeros(5)),
        ShapeError,
        (
            "shape mismatch: value tensor of shape [5] cannot be broadcast to indexing result of "
            "shape [2, 3]"
        ),
    ),
    (
        lambda x: x.index_put(i, v),
        TypeError,
        ("index_put(): argument 'indices' must be tuple of Tensors."),
    ),
    (
        lambda x: x.index_put((), v),
        ArgumentError,
        ("index_put(): at least one index must be provided."),
    ),
    (
        lambda x: x.__setitem__(0, "a"),
        TypeError,
        ("setitem: can't assign a str to a float32 tensor; expected a number or a tensor."),
    ),
    (
        v.copy_,
        ShapeError,
        (
            "copy_: the source of shape [2, 3] cannot be broadcast to the tensor of shape [3]; "
            "its sizes must match or be 1."
        ),
    ),
    (
        lambda _: v.copy_(1),
        TypeError,
        ("copy_(): argument 'other' must be Tensor, not int."),
    ),
    (
        lambda x: x.gather(0, 1),
        TypeError,
        ("gather(): argument 'index' must be Tensor, not int; make one with backlit.tensor(...)."),
    ),
    (
        lambda x: x.gather(0, v),
        DtypeError,
        ("gather(): Expected dtype int64 for index, got float32; convert it with .long()."),
    ),
    (
        lambda x: x.gather(0, i),
        ShapeError,
        (
            "gather(): Index tensor must have the same number of dimensions as input tensor, got "
            "1 and 2."
        ),
    ),
    (
        lambda x: x.gather(1, backlit.zeros(3, 1).long()),
        ShapeError,
        (
            "gather(): Size does not match at dimension 0 expected index [3, 1] to be no larger "
            "than self [2, 3] apart from dimension 1."
        ),
    ),
    (
        lambda x: x.gather(1, backlit.tensor([[5]])),
        IndexOutOfRange,
        ("gather(): index 5 is out of bounds for dimension 1 with size 3."),
    ),
    (
        lambda x: x.gather(1, backlit.tensor([[0]]), out=backlit.zeros(1, dtype=backlit.float64)),
        DtypeError,
        ("gather(): Expected out tensor to have dtype float32, but got float64 instead."),
    ),
    (
        lambda x: x.index_select(0, x.long()),
        IndexOutOfRange,
        ("index_select(): Index is supposed to be a vector, got 2 dimensions."),
    ),
    (
        lambda _: backlit.zeros(0).take(i),
        IndexOutOfRange,
        ("take(): tried to take from an empty tensor."),
    ),
    (
        lambda x: x.take_along_dim(i, 0),
        ShapeError,
        (
            "torch.take_along_dim(): input and indices should have the same number of dimensions,"
            " but got 2 dimensions for input, and 1 dimensions for indices."
        ),
    ),
    (
        lambda x: x.masked_select(1),
        TypeError,
        ("masked_select(): argument 'mask' must be Tensor, not int."),
    ),
    (
        lambda x: x.masked_select(v),
        DtypeError,
        ("masked_select: expected BoolTensor for mask, got float32; compare it, as in mask != 0."),
    ),
    (
        lambda _: v.nonzero_static(size=-1),
        ArgumentError,
        ("nonzero_static: 'size' must be an non-negative integer, got -1."),
    ),
    (
        lambda _: one_hot(v),
        DtypeError,
        (
            "one_hot is only applicable to index tensor of type LongTensor, got float32; convert "
            "it with .long()."
        ),
    ),
    (
        lambda _: one_hot(backlit.zeros(0).long()),
        ArgumentError,
        ("one_hot: Can not infer total number of classes from empty tensor."),
    ),
    (
        lambda _: one_hot(backlit.tensor([-1])),
        ArgumentError,
        ("one_hot: Class values must be non-negative."),
    ),
    (
        lambda _: one_hot(i, 0),
        ArgumentError,
        ("one_hot: num_classes should be positive, got 0."),
    ),
    (
        lambda _: one_hot(i, 1),
        ArgumentError,
        ("one_hot: Class values must be smaller than num_classes, got 1 for num_classes=1."),
    ),
    (
        lambda x: index_card(x, x, dim=0),
        DtypeError,
        ("index: Expected dtype int32 or int64 for index, got float32; convert it with .long()."),
    ),
    (
        lambda x: x.scatter(0, backlit.tensor([[0]]), x.double()),
        DtypeError,
        ("scatter(): Expected self.dtype to be equal to src.dtype, got float32 and float64."),
    ),
    (
        lambda x: x.scatter(0, backlit.tensor([[0]]), v),
        ShapeError,
        (
            "scatter(): Index tensor must have the same number of dimensions as src tensor, got 2"
            " and 1."
        ),
    ),
    (
        lambda x: x.scatter(0, backlit.zeros(2, 3).long(), backlit.zeros(1, 3)),
        ShapeError,
        ("scatter(): Expected index [2, 3] to be no larger than src [1, 3]."),
    ),
    (
        lambda x: x.scatter(0, backlit.tensor([[0]]), 1.0, reduce="mean"),
        ArgumentError,
        ("scatter: reduce argument must be either add or multiply, got 'mean'."),
    ),
    (
        lambda x: x.scatter(0, backlit.tensor([[0]]), "a"),
        TypeError,
        ("scatter(): argument 'src' must be Tensor or a number, not str."),
    ),
    (
        lambda x: x.scatter_reduce(0, backlit.tensor([[0]]), x, "median"),
        ArgumentError,
        ("reduce argument must be either sum, prod, mean, amax or amin, got 'median'."),
    ),
    (
        lambda x: x.index_add(0, x.long(), x),
        IndexOutOfRange,
        ("index_add(): Index is supposed to be a vector, but got dim: 2."),
    ),
    (
        lambda x: x.index_add(0, i, x.double()),
        DtypeError,
        (
            "index_add(): self and source expected to have the same dtype, but got (self) float32"
            " and (source) float64."
        ),
    ),
    (
        lambda x: x.index_add(0, i, v),
        ShapeError,
        (
            "index_add(): Source/destination tensor must have same slice shapes. Expected source "
            "of shape [2, 3] for 2 indices at dim 0, got [3]."
        ),
    ),
    (
        lambda x: x.index_fill(0, x.long(), 1.0),
        IndexOutOfRange,
        ("index_fill(): Index has to be a vector/scalar."),
    ),
    (
        lambda x: x.index_fill(0, i, v),
        ShapeError,
        (
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with 1 "
            "dimension(s)."
        ),
    ),
    (
        lambda x: x.index_reduce(0, i, x, "sum"),
        ArgumentError,
        ("index_reduce(): Expected reduce to be one of prod, mean, amax or amin, got 'sum'."),
    ),
    (
        lambda x: x.put(i, v.double()),
        DtypeError,
        (
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            "float32 and source.dtype = float64."
        ),
    ),
    (
        lambda x: x.put(i, v),
        ShapeError,
        (
            "put_(): Expected source and index to have the same number of elements, but got "
            "source.numel() = 3, index.numel() = 2."
        ),
    ),
    (
        lambda _: backlit.zeros(0).put(i, backlit.zeros(2)),
        IndexOutOfRange,
        ("put_(): tried to put elements into an empty tensor."),
    ),
    (
        lambda x: x.masked_fill(x, 1.0),
        DtypeError,
        ("masked_fill_ only supports boolean masks, but got mask with dtype float32."),
    ),
    (
        lambda x: x.masked_fill(x > 0, v),
        ShapeError,
        (
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with 1 "
            "dimension(s)."
        ),
    ),
    (
        lambda _: v.long().masked_fill(v > 0, backlit.tensor(0.5)),
        DtypeError,
        (
            "masked_fill: value of dtype float32 cannot be converted to int64 without overflow; "
            "give an integer."
        ),
    ),
    (
        lambda _: v.masked_scatter(v > 0, v.double()),
        DtypeError,
        (
            "masked_scatter: expected self and source to have same dtypes but got float32 and "
            "float64."
        ),
    ),
    (
        lambda _: v.masked_scatter(v == 0, backlit.zeros(1)),
        ShapeError,
        ("masked_scatter: Number of elements of source < number of ones in mask: 1 < 3."),
    ),
    (
        v.fill,
        ShapeError,
        ("fill_ only supports 0-dimension value tensor but got tensor with 2 dimensions."),
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_message_in_full(call: Callable[[Any], Any], kind: type[Exception], text: str) -> None:
    """The error says what, why and the next step, in these words."""
    with pytest.raises(kind) as error:
        call(backlit.zeros(2, 3))
    assert str(error.value) == text

"""Sparse gradients in coordinate form: which elements (or rows) there are, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit.core.create import as_tensor, from_array, full_constant
from backlit.core.dtypes import dtype as Dtype
from backlit.core.era import realize
from backlit.core.op import plain
from backlit.core.registry import PUBLIC
from backlit.core.size import Size
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, GradientError, IndexOutOfRange


class SparseTensor:
    """A gradient that is zero but at the listed places: what ``.grad`` may hold beside a tensor.

    Attributes:
        shape: the shape of the whole.
        dtype: the type of the values.

    Only what gradients need is here; `to_dense` gives a tensor with everything else.
    """

    is_sparse = True
    requires_grad = False
    _era = None  # it never takes part in a recording; its parts do

    def __init__(
        self, indices: Tensor, values: Tensor, shape: tuple[int, ...], coalesced: bool = False
    ) -> None:
        self._places = indices
        self._numbers = values
        self.shape = Size(shape)
        self.dtype: Dtype = values.dtype
        self._coalesced = coalesced

    def is_coalesced(self) -> bool:
        """Whether places are sorted and each is there once."""
        return self._coalesced

    def coalesce(self) -> SparseTensor:
        """The same with sorted places, the values of equal ones added.

        >>> import backlit
        >>> s = backlit.sparse_coo_tensor([[2, 0, 2]], [1.0, 2.0, 3.0], (3,)).coalesce()
        >>> s.indices(), s.values()
        (tensor([[0, 2]]), tensor([2., 4.]))
        """
        if self._coalesced:
            return self
        places = realize(self._places)
        flat = np.ravel_multi_index(tuple(places), self.shape[: len(places)])
        kept, which = np.unique(flat, return_inverse=True)
        numbers = self._numbers
        sums = full_constant((len(kept), *numbers.shape[1:]), 0, numbers.dtype)
        sums = PUBLIC["index_add"](sums, 0, from_array(which.astype(np.int64)), numbers)
        columns = np.stack(np.unravel_index(kept, self.shape[: len(places)])).astype(np.int64)
        return SparseTensor(from_array(columns), sums, self.shape, coalesced=True)

    def indices(self) -> Tensor:
        """The places: one column of indices each.

        Raises:
            GradientError: before `coalesce`.
        """
        self._check("indices")
        return self._places

    def values(self) -> Tensor:
        """The values at the places.

        Raises:
            GradientError: before `coalesce`.
        """
        self._check("values")
        return self._numbers

    def _check(self, what: str) -> None:
        if not self._coalesced:
            raise GradientError(
                f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first."
            )

    def to_dense(self) -> Tensor:
        """The whole, zeros included.

        >>> import backlit
        >>> backlit.sparse_coo_tensor([[1, 1]], [1.0, 2.0], (3,)).to_dense()
        tensor([0., 3., 0.])
        """
        whole = full_constant(tuple(self.shape), 0, self.dtype)
        at = tuple(self._places)
        dense: Tensor = PUBLIC["index_put"](whole, at, self._numbers, accumulate=True)
        return dense

    def size(self) -> Size:
        """The shape of the whole."""
        return self.shape

    def __repr__(self) -> str:
        return (
            f"tensor(indices={self._places!r},\n       values={self._numbers!r},\n"
            f"       size={tuple(self.shape)}, layout=sparse_coo)"
        )


@plain(method=False)
def sparse_coo_tensor(
    indices: Any, values: Any, size: Sequence[int] | None = None, *, dtype: Dtype | None = None
) -> SparseTensor:
    """A sparse gradient: ``values[k]`` at the place in column k of ``indices``.

    Args:
        indices: shape (dimensions, places); dimensions that are left out are whole in ``values``.
        values: shape (places, *rest).
        size: the shape of the whole; by default the smallest that holds the places.
        dtype: the type of the values.

    Raises:
        ArgumentError: if the shapes do not fit together.
        IndexOutOfRange: if a place lies outside ``size``.
    """
    places, numbers = as_tensor(indices), as_tensor(values, dtype=dtype)
    array = realize(places).astype(np.int64)
    if array.ndim != 2 or not numbers._var.ndim or array.shape[1] != numbers.shape[0]:
        raise ArgumentError(
            f"sparse_coo_tensor(): indices must have shape (dimensions, places) and values shape "
            f"(places, ...), got {tuple(places.shape)} and {tuple(numbers.shape)}."
        )
    rest = tuple(numbers.shape[1:])
    found = tuple(int(row.max()) + 1 if row.size else 0 for row in array) + rest
    shape = found if size is None else tuple(size)
    if len(shape) != len(found) or shape[len(array) :] != rest:
        raise ArgumentError(
            f"sparse_coo_tensor(): {len(array)} rows of indices and values of shape "
            f"{tuple(numbers.shape)} make a tensor of {len(found)} dimensions that ends in {rest}, "
            f"not {shape}."
        )
    if (array < 0).any() or any(f > n for f, n in zip(found, shape, strict=True)):
        raise IndexOutOfRange(
            f"sparse_coo_tensor(): found an index outside of size {shape}: the largest are "
            f"{tuple(f - 1 for f in found[: len(array)])}, the smallest allowed 0."
        )
    return SparseTensor(from_array(array), numbers, shape)

"""Sums that undo broadcasting."""

from __future__ import annotations

from typing import Any

from backlit.core.op import plain
from backlit.core.tensor import Tensor
from backlit.errors import ShapeError
from backlit.ops.shape import ints


@plain()
def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """``input`` summed to ``size``, which broadcasts to its shape: the transpose of `expand`.

    >>> import backlit
    >>> backlit.tensor([[1.0, 2.0], [3.0, 4.0]]).sum_to_size(2, 1)
    tensor([[3.],
            [7.]])
    """
    if not size:
        raise TypeError("sum_to_size() missing 1 required positional argument: 'size'.")
    shape = ints(size)
    lead = input.ndim - len(shape)
    fits = zip(shape, input.shape[max(lead, 0) :], strict=True) if lead >= 0 else [(0, 1)]
    if not all(n in (1, m) for n, m in fits):
        raise ShapeError(
            f"sum_to_size: size {list(shape)} is not expandable to size {list(input.shape)}; each "
            "size must be 1 or that of the input, counted from the last dimension."
        )
    dims = [*range(lead), *(i + lead for i, n in enumerate(shape) if n != input.shape[i + lead])]
    made: Tensor = input.sum(dims) if dims else input
    return made.view(shape)

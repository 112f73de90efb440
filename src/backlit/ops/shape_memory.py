"""Where elements lie: contiguity, strides, offsets; and the copies that are views elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backlit.core.device import contiguous_format
from backlit.core.era import local
from backlit.core.op import plain
from backlit.core.registry import METHODS, PUBLIC
from backlit.core.size import wrap_dim
from backlit.core.tensor import Tensor
from backlit.core.trace import Tracer
from backlit.errors import ShapeError
from backlit.ops.shape import reshaped_copy, transpose
from backlit.ops.shape_strides import is_channels_last, is_row_major, layout_of


@plain()
def contiguous(input: Tensor, *, memory_format: Any = contiguous_format) -> Tensor:
    """``input`` itself if its elements lie in row-major order, else a copy that does."""
    if isinstance(local.era, Tracer) or is_contiguous(input):
        return input
    return reshaped_copy(input, tuple(input.shape))


@plain()
def is_contiguous(input: Tensor, *, memory_format: Any = contiguous_format) -> bool:
    """Whether the elements lie in memory in row-major order without gaps.

    >>> import backlit
    >>> backlit.zeros(2, 3).t().is_contiguous()
    False
    """
    strides = layout_of(input)[0]
    if memory_format is contiguous_format:
        return is_row_major(input.shape, strides)
    return input.ndim > 3 and is_channels_last(input.shape, strides)


@plain()
def stride(input: Tensor, dim: int | None = None) -> Any:
    """How many elements of memory lie between neighbours along each dimension.

    >>> import backlit
    >>> backlit.zeros(2, 3).t().stride()
    (1, 3)
    """
    strides = layout_of(input)[0]
    return strides if dim is None else strides[wrap_dim(dim, input.ndim, "stride")]


@plain()
def storage_offset(input: Tensor) -> int:
    """The place of the first element in the memory of the base."""
    return layout_of(input)[1]


# -- copies -------------------------------------------------------------------------------------


def _copying(name: str) -> Callable[..., Any]:
    """The view op ``name`` into new memory."""

    def copied(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        found = PUBLIC[name](input, *args, **kwargs)
        if isinstance(found, tuple):
            return tuple([part.clone() for part in found])
        from backlit.core.create import into

        return into(out, found.clone(), name + "_copy")

    copied.__name__ = name + "_copy"
    copied.__doc__ = f"`{name}` into new memory."
    return plain(method=False)(copied)


_COPIED = (
    "as_strided", "detach", "diagonal", "expand", "permute", "select", "split", "split_with_sizes",
    "squeeze", "t", "transpose", "unbind", "unfold", "unsqueeze", "view",
)  # fmt: skip
for _name in _COPIED:
    _copying(_name)


@plain(method=False)
def alias_copy(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`clone` by another name."""
    from backlit.core.create import into

    return into(out, input.clone(), "alias_copy")


@plain(method=False)
def slice_copy(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """``start:end:step`` of one dimension, as a copy."""
    key = [slice(None)] * input.ndim
    key[wrap_dim(dim, input.ndim, "slice_copy")] = slice(start, end, step)
    made: Tensor = input[tuple(key)].clone()
    return made


# -- transposes as properties -------------------------------------------------------------------


def _reversed(self: Tensor) -> Tensor:
    made: Tensor = PUBLIC["permute"](self, tuple(reversed(range(self._var.ndim))))
    return made


def _matrix_transposed(self: Tensor) -> Tensor:
    if self.ndim < 2:
        raise ShapeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{self.ndim}-D tensor."
        )
    return transpose(self, -2, -1)


def _hermitian(self: Tensor) -> Tensor:
    if self.ndim not in (0, 2):
        raise ShapeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor."
        )
    return _reversed(self)


METHODS.update(
    {
        "T": property(_reversed),
        "mT": property(_matrix_transposed),
        "mH": property(_matrix_transposed),
        "H": property(_hermitian),
    }
)

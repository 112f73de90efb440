"""Padding modules: what lies around the edges of sequences, images and volumes.

``padding`` is one number for all sides, or (left, right, top, bottom, front, back) as far as there
are dimensions. Negative numbers crop.
"""

from __future__ import annotations

from typing import Any

from backlit.core.tensor import Tensor
from backlit.nn import functional as F
from backlit.nn.module import Module


class _Pad(Module):
    """Pads the last ``n`` dimensions."""

    n = 1
    mode = "constant"
    value = 0.0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding: tuple[int, ...] = (
            (padding,) * (2 * self.n) if isinstance(padding, int) else tuple(padding)
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_Pad):
    """One value beyond the ends of sequences (C, L).

    >>> from backlit import nn
    >>> nn.ConstantPad1d(1, 7.0)(backlit.tensor([[1.0, 2.0]]))
    tensor([[7., 1., 2., 7.]])
    """

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """One value beyond the edges of images."""

    n = 2


class ConstantPad3d(ConstantPad1d):
    """One value beyond the faces of volumes."""

    n = 3


class ZeroPad1d(_Pad):
    """Zeros beyond the ends of sequences."""


class ZeroPad2d(_Pad):
    """Zeros beyond the edges of images."""

    n = 2


class ZeroPad3d(_Pad):
    """Zeros beyond the faces of volumes."""

    n = 3


class ReflectionPad1d(_Pad):
    """The signal mirrored at its first and last element.

    >>> from backlit import nn
    >>> nn.ReflectionPad1d(2)(backlit.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 2., 1., 2., 3., 2., 1.]])
    """

    mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """The image mirrored at its edge pixels."""

    n = 2


class ReflectionPad3d(ReflectionPad1d):
    """The volume mirrored at its outermost voxels."""

    n = 3


class ReplicationPad1d(_Pad):
    """The first and last element repeated."""

    mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    """The edge pixels repeated."""

    n = 2


class ReplicationPad3d(ReplicationPad1d):
    """The outermost voxels repeated."""

    n = 3


class CircularPad1d(_Pad):
    """The signal continued periodically."""

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.n + 1, self.n + 2):
            raise ValueError(
                f"expected {self.n + 1}D or {self.n + 2}D input (got {input.ndim}D input)"
            )
        return super().forward(input)


class CircularPad2d(CircularPad1d):
    """The image continued periodically."""

    n = 2


class CircularPad3d(CircularPad1d):
    """The volume continued periodically."""

    n = 3


__all__ = [
    f"{kind}Pad{n}d"
    for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
    for n in (1, 2, 3)
]

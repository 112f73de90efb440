"""The program representation: values, and the nodes that compute them.

A recording is a list of nodes in static single assignment: each `Node` applies one primitive to
values and defines new ones. Values are numbered along the recording, so the same path of ops always
gives the same numbers.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from backlit.core.dtypes import bool_, dtype, float64, int64
from backlit.core.size import Size

if TYPE_CHECKING:
    from backlit.core.primitive import Primitive

Number = bool | int | float


class Meta:
    """Shape, dtype and requires_grad of an input: the key by which recordings know it."""

    __slots__ = ("dtype", "outside", "requires_grad", "shape")

    def __init__(self, shape: Size, dtype: dtype, requires_grad: bool) -> None:
        self.outside: Value | None = None
        self.shape = shape
        self.dtype = dtype
        self.requires_grad = requires_grad


class Value:
    """One value of a program: what is known about it before it is computed."""

    __slots__ = ("dtype", "id", "meta", "requires_grad", "shape", "weak")

    id: int
    shape: Size
    dtype: dtype
    requires_grad: bool
    weak: bool  # a Python number: it takes part in promotion by kind only
    meta: Meta

    def __init__(self, id: int, meta: Meta, weak: bool = False) -> None:
        self.id = id
        self.meta = meta
        self.shape = meta.shape
        self.dtype = meta.dtype
        self.requires_grad = meta.requires_grad
        self.weak = weak

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> int:
        return prod(self.shape)

    def __repr__(self) -> str:
        grad = " ∂" if self.requires_grad else ""
        return f"v{self.id}: {self.dtype.name}{list(self.shape)}{grad}"


class Input(Value):
    """A tensor from outside the recording; ``index`` counts the recording's inputs."""

    __slots__ = ("index",)

    def __init__(self, id: int, meta: Meta, index: int) -> None:
        super().__init__(id, meta)
        self.index = index


class Scalar(Value):
    """A Python number that may differ from run to run; ``index`` counts the recording's numbers."""

    __slots__ = ("index",)

    def __init__(self, id: int, dtype: dtype, index: int, weak: bool) -> None:
        super().__init__(id, meta_of((), dtype, False), weak)
        self.index = index


class Constant(Value):
    """An array known when the program was recorded."""

    __slots__ = ("array",)

    def __init__(
        self, id: int, array: np.ndarray[Any, Any], dtype: dtype, weak: bool = False
    ) -> None:
        super().__init__(id, meta_of(array.shape, dtype, False), weak)
        self.array = array


class Result(Value):
    """Output number ``index`` of ``node``."""

    __slots__ = ("index", "node")

    def __init__(self, id: int, meta: Meta, node: Node, index: int) -> None:
        super().__init__(id, meta)
        self.node = node
        self.index = index


class Where:
    """Where an op came from: the user's line, the enclosing modules and composites, the phase."""

    __slots__ = ("file", "line", "phase", "scope", "text")

    def __init__(self, file: str, line: int, scope: tuple[str, ...], phase: str) -> None:
        self.file = file
        self.line = line
        self.scope = scope
        self.phase = phase

    def __str__(self) -> str:
        place = f"{self.file.rsplit('/', 1)[-1]}:{self.line}" if self.line else ""
        return " ".join(part for part in (place, "/".join(self.scope)) if part)


class Node:
    """One primitive applied to ``args``, with static ``attrs``; it defines ``outs``."""

    __slots__ = ("args", "attrs", "outs", "primitive", "where")

    def __init__(
        self, primitive: Primitive, args: tuple[Value, ...], attrs: dict[str, Any], where: Where
    ) -> None:
        self.primitive = primitive
        self.args = args
        self.attrs = attrs
        self.where = where
        self.outs: tuple[Result, ...] = ()

    def __repr__(self) -> str:
        outs = ", ".join(map(repr, self.outs))
        args = ", ".join(
            [f"v{a.id}" for a in self.args] + [f"{k}={v}" for k, v in self.attrs.items()]
        )
        return f"{outs} = {self.primitive.name}({args})"


_metas: dict[tuple[tuple[int, ...], dtype, bool], Meta] = {}
_METAS_KEPT = 100_000


def meta_of(shape: tuple[int, ...], dtype: dtype, requires_grad: bool) -> Meta:
    """The one `Meta` object for these three (identity serves as a dictionary key)."""
    key = (shape, dtype, requires_grad)
    found = _metas.get(key)
    if found is None:
        if len(_metas) >= _METAS_KEPT:  # shapes that never repeat must not pile up
            _metas.clear()
        found = _metas[key] = Meta(Size(shape), dtype, requires_grad)
    return found


def outside(meta: Meta) -> Value:
    """The value that stands for any realized tensor of this kind, outside of recordings."""
    found = meta.outside
    if found is None:
        found = meta.outside = Value(-1, meta)
    return found


def weak_dtype(number_type: type) -> dtype:
    """The dtype under which a Python number of this type is noted until it meets a tensor."""
    return bool_ if number_type is bool else int64 if number_type is int else float64

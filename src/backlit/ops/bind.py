"""Giving `Tensor` its methods, each when it is first looked up."""

from __future__ import annotations

from typing import Any

from backlit.core import homes
from backlit.core.methods import TensorMethods


class Later:
    """Stands for a method or property of `Tensor` until someone looks at it.

    Then the module that defines it is imported, and what it defines takes this object's place.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def _bind(self) -> Any:
        from backlit.ops.methods import method

        found = method(self.name)
        setattr(TensorMethods, self.name, found)
        return found

    def __get__(self, t: Any, kind: type | None = None) -> Any:
        return self._bind().__get__(t, kind)

    def __set__(self, t: Any, value: Any) -> None:
        self._bind()
        object.__setattr__(t, self.name, value)

    def __delete__(self, t: Any) -> None:
        self._bind()
        object.__delattr__(t, self.name)


for _name in homes.OF_TENSOR.split():
    setattr(TensorMethods, _name, Later(_name))

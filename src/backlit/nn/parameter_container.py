"""Modules that hold parameters: in a list, in a dictionary."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from backlit.core.tensor import Tensor
from backlit.nn.module import Module
from backlit.nn.parameter import Parameter


def _as_parameter(x: Any) -> Any:
    """A tensor becomes a parameter; anything else stays what it is."""
    return Parameter(x) if isinstance(x, Tensor) and not isinstance(x, Parameter) else x


def _line(key: Any, x: Any) -> str:
    """How one entry is shown."""
    if not isinstance(x, Tensor):
        return f"  ({key}): Object of type: {type(x).__name__}"
    size = "x".join(map(str, x.shape))
    kind = "Parameter" if isinstance(x, Parameter) else "Tensor"
    return f"  ({key}): {kind} containing: [{x.dtype!r} of size {size}]"


class ParameterList(Module):
    """A list of parameters that belong to the module that holds it; tensors become parameters.

    >>> from backlit import nn
    >>> weights = nn.ParameterList([backlit.zeros(2), backlit.ones(3)])
    >>> len(weights), [name for name, _ in weights.named_parameters()]
    (2, ['0', '1'])
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name_at(self, index: Any) -> str:
        i = operator.index(index)
        if not -self._size <= i < self._size:
            raise IndexError(f"index {i} is out of range")
        return str(i % self._size)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([getattr(self, str(i)) for i in range(self._size)])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name_at(index))

    def __setitem__(self, index: int, x: Any) -> None:
        setattr(self, self._name_at(index), _as_parameter(x))

    def append(self, value: Any) -> ParameterList:
        """Add a parameter (or tensor, or anything else) at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add all ``values`` at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                "ParameterList.extend should be called with an iterable, but got "
                f"{type(values).__name__}"
            )
        for x in list(values):
            self.append(x)
        return self

    def __iadd__(self, values: Iterable[Any]) -> Self:
        self.extend(values)
        return self

    def pop(self, index: int = -1) -> Any:
        """Remove an entry, and return it."""
        entries = list(self)
        entry = entries.pop(int(self._name_at(index)))
        for i in range(self._size):
            delattr(self, str(i))
        self._size = 0
        self.extend(entries)
        return entry

    def extra_repr(self) -> str:
        return "\n".join(_line(i, x) for i, x in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """A dictionary of parameters of the module that holds it; tensors become parameters.

    >>> from backlit import nn
    >>> nn.ParameterDict({"scale": backlit.ones(2)})["scale"].requires_grad
    True
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    @staticmethod
    def _attribute(key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(
                "Index given to ParameterDict cannot be used as a key as it is not a string "
                f"(type is '{type(key).__name__}')."
            )
        return key

    def __getitem__(self, key: str) -> Any:
        self._keys[key]  # a KeyError, as of any dictionary
        return self.__dict__[key]

    def __setitem__(self, key: str, x: Any) -> None:
        name = self._attribute(key)
        if name not in self._keys and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        self._keys[name] = None
        setattr(self, name, _as_parameter(x))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._keys))

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __or__(self, other: Any) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and parameter."""
        return [(key, self[key]) for key in self._keys]

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return [self[key] for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, or ``default``."""
        return self.__dict__[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, which is added if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Remove a parameter, and return it."""
        x = self[key]
        del self[key]
        return x

    def popitem(self) -> tuple[str, Any]:
        """Remove the parameter that was added last, and return its name and itself."""
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove all parameters."""
        for key in self:
            del self[key]

    def copy(self) -> ParameterDict:
        """Another dictionary of the same parameters."""
        return ParameterDict(self)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dictionary in which all names have the same value."""
        return ParameterDict((key, default) for key in keys)

    def update(self, parameters: Any) -> None:
        """Add the parameters of a dictionary, or of pairs of name and parameter."""
        if not isinstance(parameters, Iterable):
            raise TypeError(
                "ParametersDict.update should be called with an iterable of key/value pairs, but "
                f"got {type(parameters).__name__}"
            )
        if isinstance(parameters, (Mapping, ParameterDict)):
            parameters = parameters.items()
        for key, x in parameters:
            self[key] = x

    def extra_repr(self) -> str:
        return "\n".join(_line(key, x) for key, x in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterDict should not be called.")


__all__ = ["ParameterDict", "ParameterList"]

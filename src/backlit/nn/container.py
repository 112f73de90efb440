"""Modules that hold modules: in sequence, in a list, in a dictionary."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self, TypeVar, cast

from backlit.nn.module import Module
from backlit.nn.shortcut import repeatable
from backlit.nn.tree import MODULE

S = TypeVar("S", bound="_Indexed")


class _Indexed(Module):
    """Modules numbered from 0: what `Sequential` and `ModuleList` have in common."""

    def _items(self) -> list[tuple[str, Module]]:
        d = self.__dict__
        return [(name, d[name]) for name, kind in self._kinds.items() if kind == MODULE]

    def _replace(self, modules: Iterable[Module]) -> None:
        """Hold these modules, numbered anew, instead of the present ones."""
        new = list(modules)
        for name, _ in self._items():
            delattr(self, name)
        for i, module in enumerate(new):
            self.add_module(str(i), module)

    def _name_at(self, index: Any) -> str:
        n = len(self)
        i = operator.index(index)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return next(islice((name for name, _ in self._items()), i % n, None))

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Any]:
        return iter([module for _, module in self._items()])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._part(self._items()[index])
        return getattr(self, self._name_at(index))

    @abstractmethod
    def _part(self, items: list[tuple[str, Module]]) -> Any:
        """A container of the same kind that holds some of the modules."""

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: Any) -> None:
        kept = list(self)
        del kept[index]
        self._replace(kept)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in list(_listed(type(self).__name__, modules)):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at ``index``."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise IndexError(f"Index out of range: {index}")
        modules.insert(index, module)
        self._replace(modules)
        return self

    def pop(self, key: Any) -> Any:
        """Remove the module at this index, and return it."""
        module = self[key]
        del self[key]
        return module

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __add__(self, other: Iterable[Module]) -> Any:
        return self._part([("", m) for m in (*self, *_listed(type(self).__name__, other))])


def _listed(name: str, modules: Any) -> Iterable[Module]:
    if not isinstance(modules, Iterable):
        raise TypeError(
            f"{name}.extend should be called with an iterable, but got {type(modules).__name__}"
        )
    return modules


@repeatable
class Sequential(_Indexed):
    """Modules that are called one after the other, each on the result of the last.

    Args:
        modules: the modules, or one dictionary of names to modules.

    >>> from backlit import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> model
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> model(backlit.zeros(5, 2)).shape
    Size([5, 3])
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(modules):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        d = self.__dict__
        for name, kind in self._kinds.items():
            if kind == MODULE:
                input = d[name](input)
        return input

    def _part(self, items: list[tuple[str, Module]]) -> Sequential:
        if items and items[0][0]:
            return type(self)(dict(items))
        return Sequential(*(module for _, module in items))

    def __delitem__(self, index: Any) -> None:
        names = [name for name, _ in self._items()]
        numbered = names == [str(i) for i in range(len(names))]
        chosen = names[index] if isinstance(index, slice) else [self._name_at(index)]
        for name in chosen:
            delattr(self, name)
        if numbered:
            self._replace(list(self))

    def __mul__(self, times: int) -> Sequential:
        if not isinstance(times, int):
            raise TypeError(
                f"unsupported operand type(s) for *: {type(self)} and {type(times)}; give an int"
            )
        if times <= 0:
            raise ValueError(f"Non-positive multiplication factor {times} for {type(self)}")
        return Sequential(*(list(self) * times))

    __rmul__ = __mul__


@repeatable
class ModuleList(_Indexed):
    """A list of modules whose parameters belong to the module that holds the list.

    >>> from backlit import nn
    >>> layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _part(self, items: list[tuple[str, Module]]) -> ModuleList:
        return type(self)([module for _, module in items])

    def __repr__(self) -> str:
        """Equal neighbours are shown once, with their number."""
        shown = [repr(module) for module in self]
        if not shown:
            return self._get_name() + "()"
        runs: list[list[int]] = []
        for i, text in enumerate(shown):
            if runs and shown[runs[-1][0]] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i])
        lines = [
            f"({a}): {shown[a]}" if a == b else f"({a}-{b}): {b - a + 1} x {shown[a]}"
            for a, b in runs
        ]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{self._get_name()}(\n  {body}\n)"


class ModuleDict(Module):
    """A dictionary of modules whose parameters belong to the module that holds it.

    >>> from backlit import nn
    >>> heads = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 4)})
    >>> list(heads), heads["b"].out_features
    (['a', 'b'], 4)
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return cast(Module, self._modules[key])

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove a module, and return it."""
        module = self[key]
        del self[key]
        return module

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of name and module."""
        return self._modules.items()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Add the modules of a dictionary, or of pairs of name and module."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                "ModuleDict.update should be called with an iterable of key/value pairs, but got "
                f"{type(modules).__name__}"
            )
        pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        for i, pair in enumerate(pairs):
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ValueError(
                    f"ModuleDict update sequence element #{i} is {pair!r}; 2 is required: "
                    "a name and a module"
                )
            self[pair[0]] = pair[1]


__all__ = ["ModuleDict", "ModuleList", "Sequential"]

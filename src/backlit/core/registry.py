"""What the op library defines, by name; a module is imported when a name of it is first asked for.

`homes` says which module defines what, so that `import backlit` reads none of the ops' files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import Any, TypeVar

from backlit.core import homes

T = TypeVar("T")


class Registry(MutableMapping[str, T]):
    """Things by name: those defined so far, and those whose module has not been imported yet.

    Attributes:
        defined: what has been defined so far.

    >>> from backlit.core.registry import PUBLIC
    >>> "tanh" in PUBLIC, PUBLIC["tanh"].__name__
    (True, 'tanh')
    """

    def __init__(self, where: str) -> None:
        self.defined: dict[str, T] = {}
        self._homes: dict[str, str] = {}
        for line in where.splitlines():
            module, _, names = line.partition(": ")
            self._homes |= dict.fromkeys(names.split(), f"backlit.{module}")

    def __getitem__(self, name: str) -> T:
        home = self._homes.get(name)
        if home is not None:
            import_module(home)  # even if the name is defined: another thread may be half-way
        return self.defined[name]

    def __setitem__(self, name: str, value: T) -> None:
        self.defined[name] = value

    def __delitem__(self, name: str) -> None:
        del self.defined[name]

    def __contains__(self, name: object) -> bool:
        return name in self.defined or name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter({**self._homes, **self.defined})

    def __len__(self) -> int:
        return len(self._homes.keys() | self.defined.keys())


PUBLIC: Registry[Callable[..., Any]] = Registry(homes.PUBLIC)
"""Every public op."""

METHODS: Registry[Any] = Registry(homes.METHODS)
"""What `Tensor` has besides its ops: methods and properties."""


class Family:
    """The public ops whose names begin with ``prefix``, as a module shows them.

    Attributes:
        names: the names in the module, sorted.
    """

    def __init__(self, module: str, prefix: str = "") -> None:
        self.module = module
        self.prefix = prefix
        rests = (name.removeprefix(prefix) for name in PUBLIC if name.startswith(prefix))
        self.names = sorted(name for name in rests if "." not in name and name[0] != "_")

    def look_up(self, name: str) -> Any:
        """The op, which from now on is an attribute of the module (its ``__getattr__``)."""
        if name not in self.names:
            raise AttributeError(f"module {self.module!r} has no attribute {name!r}")
        found = PUBLIC[f"{self.prefix}{name}"]
        setattr(sys.modules[self.module], name, found)
        return found


def imported_late(module: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for ``module`` whose names have their homes in modules not yet imported.

    Args:
        module: the module's name.
        homes: name → the module that defines it, or that it is.
    """

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home = import_module(homes[name])
        found = home if homes[name] == f"{module}.{name}" else getattr(home, name)
        setattr(sys.modules[module], name, found)
        return found

    return look_up

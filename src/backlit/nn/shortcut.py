"""Shortcuts: calls of modules whose events are known are repeated as one step through the trie.

What a built-in layer records is determined by where the recording is, by what is passed in, and by
the layer's attributes. `Shortcuts` notes, per module, where a call led to; the next call from the
same place with the same values only checks that nothing has changed and goes there, without running
`forward` again. Attributes are watched by a stamp that counts assignments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backlit.core.era import Era, local
from backlit.core.inner import inner
from backlit.core.observer import changes
from backlit.core.position import Position
from backlit.core.tensor import Tensor
from backlit.core.value import Number, Value
from backlit.nn.tree import MODULE

if TYPE_CHECKING:
    from backlit.nn.module import Module

REPEATABLE: set[type] = set()
"""Classes whose `forward` only combines its tensor arguments, parameters, buffers and attributes by
ops: no randomness, nothing written, nothing printed, nothing that depends on values."""

_MOST_KNOWN = 512  # calls kept per module: a recurrent cell is called once per time step
_MOST_FAILURES = 8  # calls that could not be noted, after which a module is called as any other


def repeatable(cls: type) -> type:
    """Class decorator: calls of the class itself, not of subclasses, may be repeated."""
    REPEATABLE.add(cls)
    return cls


class Call:
    """What one call did: where it led to, and what entered the recording meanwhile."""

    __slots__ = ("entered", "here", "numbers", "out", "present", "values")

    def __init__(
        self,
        here: Position,
        out: Value,
        present: list[tuple[Tensor, Value]],
        entered: list[tuple[Tensor, Value]],
        numbers: list[Number],
    ) -> None:
        self.here = here
        self.out = out
        self.present = [t for t, _ in present]  # of the module, in the recording before
        self.values = [value for _, value in present]
        self.entered = entered  # those that entered it, in order
        self.numbers = numbers

    def repeat(self, era: Era) -> Tensor | None:
        """Do it again; None if a tensor is not as it was."""
        if inner.values_in(era, self.present) != self.values:
            return None
        if self.entered:
            for t, value in self.entered:
                x = t._x
                if t._era is era or t._data is None or t._var.meta is not value.meta:
                    return None
                if x is not None and (x.exported or x.edge is not None):
                    return None
            for t, value in self.entered:
                era.inputs.append(t._data)  # type: ignore[arg-type]
                era.handles.append(t)
                t._era = era
                t._var = value
        if self.numbers:
            era.scalars += self.numbers
        era.here = self.here
        return inner.pend(era, era.pending, self.out)


class Shortcuts:
    """The calls of one module that can be repeated."""

    __slots__ = ("count", "failures", "known", "stamps")

    def __init__(self) -> None:
        self.known: dict[Any, Call] = {}
        self.stamps: list[tuple[dict[str, Any], int]] = []
        self.failures = 0
        self.count = -1  # of changes to any module, when these modules were found unchanged

    def __reduce__(self) -> Any:
        return Shortcuts, ()  # a copy of a module learns for itself

    def call(self, module: Module, args: tuple[Any, ...]) -> Any:
        """``module.forward(*args)``, or the same without running it."""
        era = local.era
        if type(era) is not Era:
            return module.forward(*args)
        values: list[Value] = []
        for t in args:
            if not isinstance(t, Tensor):
                return module.forward(*args)
            if t._era is not era:
                era.enter(t)
            values.append(t._var)
        place = (era.here, *values)
        found = self.known.get(place)
        if found is not None and (self.count == changes.count or self._is_unchanged()):
            out = found.repeat(era)
            if out is not None:
                return out
        return self._learn(module, args, era, place)

    def _is_unchanged(self) -> bool:
        """Whether no attribute of the modules has been assigned to since their calls were noted."""
        count = changes.count  # first: another thread may assign meanwhile
        for attributes, stamp in self.stamps:
            if attributes["_stamp"] != stamp:
                return False
        self.count = count
        return True

    def _learn(self, module: Module, args: tuple[Any, ...], era: Era, place: Any) -> Any:
        n_inputs, n_numbers = len(era.inputs), len(era.scalars)
        out = module.forward(*args)
        modules = _subtree(module)
        entered = era.handles[n_inputs:]
        own = [*module.parameters(), *module.buffers()]
        is_known = all(any(t is o for o in own) for t in entered)
        if modules is None or not is_known or not _is_new(out, era, args):
            self.failures += 1
            if self.failures >= _MOST_FAILURES:
                module.__dict__["_shortcuts"] = None
            return out
        self.failures = 0
        stamps = [(m.__dict__, m.__dict__["_stamp"]) for m in modules]
        if stamps != self.stamps or len(self.known) >= _MOST_KNOWN:
            self.known.clear()
            self.stamps = stamps
        present = [(t, t._var) for t in own if t._era is era and not any(t is e for e in entered)]
        self.known[place] = Call(
            era.here, out._var, present, [(t, t._var) for t in entered], era.scalars[n_numbers:]
        )
        return out


def _is_new(out: Any, era: Era, args: tuple[Any, ...]) -> bool:
    """Whether ``out`` is one new tensor of the recording, and not a view."""
    return (
        isinstance(out, Tensor)
        and local.era is era
        and out._era is era
        and out._data is None
        and out._x is None
        and not any(out is a for a in args)
    )


def _subtree(module: Module) -> list[Module] | None:
    """``module`` and all below it, if all may be repeated."""
    attributes = module.__dict__
    if type(module) not in REPEATABLE or module._hooks is not None or "forward" in attributes:
        return None
    found = [module]
    for name, kind in module._kinds.items():
        if kind == MODULE and attributes[name] is not None:
            below = _subtree(attributes[name])
            if below is None:
                return None
            found += below
    return found


def is_built_in(module: Any) -> bool:
    """Whether a module and all below it are Backlit's own, as they are: no Python of the user's.

    >>> from backlit import nn
    >>> is_built_in(nn.Sequential(nn.Linear(2, 1), nn.Dropout()))
    True
    """
    attributes = getattr(module, "__dict__", {})
    if not type(module).__module__.startswith("backlit.nn.") or "_kinds" not in attributes:
        return False
    if attributes["_hooks"] is not None or "forward" in attributes:
        return False
    children = [attributes[name] for name, kind in attributes["_kinds"].items() if kind == MODULE]
    return all(child is None or is_built_in(child) for child in children)


__all__ = ["REPEATABLE", "Shortcuts", "is_built_in", "repeatable"]

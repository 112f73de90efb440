"""Names for the values of a graph: those the caller's variables have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from backlit.core.tensor import Tensor
from backlit.insight.history import Key, key_of
from backlit.nn import Module

Names = dict[tuple[Key, int], str]
_MOST = 1000  # entries of one list or dictionary that are looked through


def names_in(frame: FrameType | None, given: Mapping[str, Tensor] | None = None) -> Names:
    """The name of each tensor that the frame's variables reach; names ``given`` go first.

    A tensor's own ``name`` or ``label`` attribute, if one was set, comes before its variable's
    name. Lists, tuples and dictionaries give ``w[0]`` and ``w['k']``. Parameters of modules have
    the module's name for them, ``net.0.weight``.
    """
    found: Names = {}
    for name, t in (given or {}).items():
        found.setdefault(key_of(t), name)
    if frame is None:
        return found
    used = {k: frame.f_globals[k] for k in frame.f_code.co_names if k in frame.f_globals}
    for name, t in _tensors({**used, **frame.f_locals}):
        found.setdefault(key_of(t), t.__dict__.get("name") or t.__dict__.get("label") or name)
    return found


def _tensors(variables: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of modules, then those among variables, then those inside of containers."""
    public = {k: v for k, v in variables.items() if not k.startswith("_")}
    for name, x in public.items():
        if isinstance(x, Module):
            prefix = "" if name == "self" else f"{name}."
            yield from ((f"{prefix}{k}", t) for k, t in x.named_parameters())
    for name, x in public.items():
        if isinstance(x, Tensor):
            yield name, x
    for name, x in public.items():
        if isinstance(x, (list, tuple)) and len(x) <= _MOST:
            yield from ((f"{name}[{i}]", t) for i, t in enumerate(x) if isinstance(t, Tensor))
        elif isinstance(x, dict) and len(x) <= _MOST:
            yield from ((f"{name}[{k!r}]", t) for k, t in x.items() if isinstance(t, Tensor))

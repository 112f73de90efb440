"""Nested tuples, lists and dicts of tensors, taken apart into a flat list and put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Leaf:
    """Where a structure holds something that is not a tuple, list or dict."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "*"


LEAF = Leaf()


def flatten(x: Any) -> tuple[list[Any], Any]:
    """The leaves of ``x`` from left to right, and its structure.

    >>> leaves, structure = flatten({"a": 1, "b": (2, [3])})
    >>> leaves
    [1, 2, 3]
    >>> unflatten(structure, [10, 20, 30])
    {'a': 10, 'b': (20, [30])}
    """
    leaves: list[Any] = []
    return leaves, _take_apart(x, leaves)


def _take_apart(x: Any, leaves: list[Any]) -> Any:
    if isinstance(x, dict):
        return {k: _take_apart(v, leaves) for k, v in x.items()}
    if isinstance(x, (tuple, list)):
        return _same_kind(x, [_take_apart(v, leaves) for v in x])
    leaves.append(x)
    return LEAF


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """The nested structure with ``leaves`` in it: the inverse of `flatten`."""
    remaining = iter(leaves)
    return _put_together(structure, lambda: next(remaining))


def _put_together(structure: Any, take: Callable[[], Any]) -> Any:
    if isinstance(structure, dict):
        return {k: _put_together(v, take) for k, v in structure.items()}
    if isinstance(structure, (tuple, list)):
        return _same_kind(structure, [_put_together(v, take) for v in structure])
    return take()


def _same_kind(like: Any, parts: list[Any]) -> Any:
    """``parts`` as a tuple, list or named tuple, whichever ``like`` is."""
    return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)


def spread(prefix: Any, x: Any, name: str) -> list[Any]:
    """One entry of ``prefix`` per leaf of ``x``; an entry stands for everything below it.

    Raises:
        ValueError: if ``prefix`` is nested in another way than ``x``.
    """
    if isinstance(prefix, (tuple, list)) and isinstance(x, (tuple, list)) and len(prefix) == len(x):
        return [entry for p, v in zip(prefix, x, strict=True) for entry in spread(p, v, name)]
    if isinstance(prefix, dict) and isinstance(x, dict) and prefix.keys() == x.keys():
        return [entry for k, v in x.items() for entry in spread(prefix[k], v, name)]
    if isinstance(prefix, (tuple, list, dict)):
        from backlit.errors import ArgumentError

        raise ArgumentError(
            f"{name} {prefix!r} does not have the structure of what it describes: "
            f"{flatten(x)[1]!r}; give one integer or None per tensor, or one for all of them."
        )
    return [prefix] * len(flatten(x)[0])

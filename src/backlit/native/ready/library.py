"""Ready-made entries, each a module of its own, loaded when a plan first needs it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from backlit.native.machine import jit
from backlit.native.products import batches
from backlit.native.ready import columns, copies, indexed, integers, lookups, philox
from backlit.native.runtime import runtime


@functools.cache
def _makers() -> dict[str, Callable[[str], str]]:
    """Name of an entry → what gives the text of its module."""
    makers: dict[str, Callable[[str], str]] = {}
    for module in (batches, copies, indexed, integers, lookups, philox):
        makers |= dict.fromkeys(module.names(), module.module_text)
    for_columns = functools.partial(columns.module_text, host=jit.host())
    return makers | dict.fromkeys(columns.names(), for_columns)


@functools.cache
def _library(name: str) -> jit.Library:
    make = _makers()[name]
    return jit.engine().load(lambda: make(name), [name], identity=f"entry {name}")


def address(name: str) -> int:
    """The address of an entry, or of a body for chunks.

    >>> address("copy4") == address("copy4")
    True
    """
    return _library(name).address(name) if name in _makers() else runtime().entry(name)

"""Programs that were compiled before on this machine: their machine code is on disk.

A mark per program lies beside the kernels. It only says that compiling will be quick; a mark
without its kernels costs a wait, never a wrong result.
"""

from __future__ import annotations

import functools
import hashlib

from backlit.core.program import Program
from backlit.native.machine.objectcache import ObjectCache, default_directory

_MARK = b"compiled"


@functools.cache
def _cache() -> ObjectCache:
    return ObjectCache(default_directory())


def _key(program: Program) -> str:
    return "program-" + hashlib.sha256(repr(program).encode()).hexdigest()


def is_known(program: Program) -> bool:
    """Whether such a program has been compiled before."""
    return _cache().load(_key(program)) == _MARK


def remember(program: Program) -> None:
    """Note that ``program`` has been compiled."""
    key = _key(program)
    if _cache().load(key) != _MARK:
        _cache().store(key, _MARK)

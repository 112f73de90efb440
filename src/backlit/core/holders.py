"""Who else holds a handle or an array, told by Python's reference counts."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from backlit.core.tensor import Tensor


def _calibrate() -> int:
    """The reference count seen by `flush` for a handle that nobody else holds."""
    pending: list[Any] = [object()]
    count = sys.getrefcount
    found = 0
    while pending:
        t = pending.pop()
        found = count(t)
    return found


UNHELD = _calibrate()


def _holders(t: Any) -> int:
    data = t._data
    return sys.getrefcount(data)


class _Holder:
    def __init__(self) -> None:
        self._data = np.empty(1)


_UNSHARED = _holders(_Holder())


def shared(t: Tensor) -> bool:
    """Whether someone outside may hold the memory of ``t`` and write to it."""
    return t._data.base is not None or _holders(t) > _UNSHARED  # type: ignore[union-attr]

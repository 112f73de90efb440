"""Programs as they are recorded, for tests that work on them directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import backlit
from backlit.core.program import Program, extract


def recorded(function: Callable[..., Any], *arrays: Any) -> tuple[Program, list[Any], list[Any]]:
    """The program of ``function`` as it was recorded, its inputs, and its numbers."""
    backlit.flush()
    found = function(*[backlit.from_numpy(np.asarray(a)) for a in arrays])
    results = found if isinstance(found, tuple) else (found,)
    era = results[0]._era
    program = extract(era.here, tuple(t._var.id for t in results))
    return program, list(era.inputs), list(era.scalars)

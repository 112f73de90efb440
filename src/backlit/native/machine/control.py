"""How many threads compute: PyTorch's names.

One pool of native threads serves everything that runs natively, matrix products included. Results
do not depend on its size: where work is cut depends on the sizes of the operands alone. NumPy
source (the cold tier) uses one thread, except for matrix products, for which NumPy's own BLAS uses
as many as ``OPENBLAS_NUM_THREADS`` or ``OMP_NUM_THREADS`` says.
"""

from __future__ import annotations

import importlib
from typing import Any

from backlit.errors import ArgumentError, DtypeError

_chosen: dict[str, int] = {}


def set_num_threads(num: int) -> None:
    """Let ``num`` threads share the work of native kernels, the calling thread among them.

    The default is ``OMP_NUM_THREADS``, else the number of cores that the process may use. Small
    kernels run on one thread whatever the number. Results are the same, to the bit, for any number.

    >>> before = backlit.get_num_threads()
    >>> backlit.set_num_threads(1)
    >>> backlit.get_num_threads()
    1
    >>> backlit.set_num_threads(before)

    Raises:
        DtypeError: if ``num`` is not an int.
        ArgumentError: if it is less than 1.
    """
    _check("set_num_threads", num)
    pool = _pool()
    if pool is not None:
        pool.set_num_threads(num)
    _chosen["threads"] = num


def get_num_threads() -> int:
    """How many threads share the work of native kernels.

    >>> backlit.get_num_threads() >= 1
    True
    """
    pool = _pool()
    return _chosen.get("threads", 1) if pool is None else int(pool.num_threads)


def set_num_interop_threads(num: int) -> None:
    """Accepted for PyTorch's sake, without effect: a program's kernels run one after the other.

    >>> backlit.set_num_interop_threads(1)
    >>> backlit.get_num_interop_threads()
    1

    Raises:
        DtypeError: if ``num`` is not an int.
        ArgumentError: if it is less than 1.
    """
    _check("set_num_interop_threads", num)
    _chosen["interop"] = num


def get_num_interop_threads() -> int:
    """What `set_num_interop_threads` was given last, else 1."""
    return _chosen.get("interop", 1)


def _check(name: str, num: Any) -> None:
    if not isinstance(num, int) or isinstance(num, bool):
        raise DtypeError(f"{name}: expected an int, got {type(num).__name__}.")
    if num < 1:
        raise ArgumentError(f"{name}: expected at least 1 thread, got {num}.")


def _pool() -> Any:
    """The pool; None where native code cannot be had."""
    try:
        threads = importlib.import_module("backlit.native.machine.threads")
    except ImportError:
        return None
    return threads.pool()

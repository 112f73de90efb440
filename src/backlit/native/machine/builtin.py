"""Native functions that Python calls as it calls its own: no conversion of arguments on the way.

A function of LLVM IR with the signature of CPython's fast calls, `ptr f(ptr self, ptr args, i64)`,
becomes a builtin. ``args`` points to the addresses of its arguments; it returns an object, which
then belongs to the caller.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from backlit.native.machine.jit import Library

_FASTCALL = 0x80  # METH_FASTCALL


class _Definition(ctypes.Structure):
    """PyMethodDef"""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_kept: list[Any] = []  # what the functions need as long as they live


def builtin(library: Library, name: str) -> Callable[..., Any]:
    """The function ``name`` of ``library`` as a builtin; both are there for good."""
    definition = _Definition(name.encode(), library.address(name), _FASTCALL, None)
    _kept.append((library, definition))
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.POINTER(_Definition), ctypes.c_void_p, ctypes.c_void_p
    )(("PyCFunction_NewEx", ctypes.pythonapi))
    made: Callable[..., Any] = make(ctypes.byref(definition), None, None)
    return made


def interpreter(name: str) -> int:
    """The address of a function of CPython's interface, for native code to call."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0

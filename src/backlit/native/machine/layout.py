"""Where the objects that native code reads keep what it needs: lists, arrays, floats and ints.

The layouts are checked once on objects of this interpreter; where they differ, programs run as
NumPy source.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

import numpy as np

LIST_ITEMS = 24  # PyListObject.ob_item
ARRAY_DATA = 16  # PyArrayObject.data
ARRAY_BASE = 48  # PyArrayObject.base
ARRAY_FLAGS = 64  # PyArrayObject.flags
ARRAY_HANDLER = 88  # PyArrayObject.mem_handler
FLOAT_VALUE = 16  # PyFloatObject.ob_fval
REFERENCES = 0  # PyObject.ob_refcnt, whose lower half is all of it or all that matters
OBJECT_TYPE = 8  # PyObject.ob_type
INT_SIZE = 16  # PyLongObject: how many digits, and the sign
INT_DIGITS = 24  # PyLongObject: digits of 30 bits in 32, the lowest first
ALIGNED_AND_CONTIGUOUS = 0x0101
AND_WRITEABLE = 0x0501
OWNS_DATA = 0x0004

# From the word at INT_SIZE: Python 3.12 keeps the number of digits above three bits, of which the
# lowest two are 0, 1 (zero) or 2 (negative); before, it was the number itself, with the sign.
SIZE_OF_INT = (
    """\
  %digits = lshr i64 %size, 3
  %sign = and i64 %size, 3
  %is.negative = icmp eq i64 %sign, 2
"""
    if sys.version_info >= (3, 12)
    else """\
  %is.negative = icmp slt i64 %size, 0
  %minus.size = sub i64 0, %size
  %digits = select i1 %is.negative, i64 %minus.size, i64 %size
"""
)


def handler_of(array: Any) -> int:
    """The address of what frees the memory of an array."""
    return ctypes.c_int64.from_address(id(array) + ARRAY_HANDLER).value


@functools.cache
def is_supported() -> bool:
    """Whether this interpreter lays its objects out as the loop expects."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    array = np.empty((2, 3))
    holder = [array, 1.5]
    view = array[1:]

    def word(address: int) -> int:
        return ctypes.c_int64.from_address(address).value

    def flags(a: Any) -> int:
        return ctypes.c_int32.from_address(id(a) + ARRAY_FLAGS).value

    return (
        word(word(id(holder) + LIST_ITEMS)) == id(array)
        and word(id(array) + ARRAY_DATA) == array.ctypes.data
        and word(id(array) + ARRAY_BASE) == 0
        and word(id(view) + ARRAY_BASE) == id(array)
        and _references(view, [view, view]) - _references(view, [view]) == 1
        and flags(array) & ALIGNED_AND_CONTIGUOUS == ALIGNED_AND_CONTIGUOUS
        and flags(array) & AND_WRITEABLE == AND_WRITEABLE
        and flags(array.T) & 1 == 0
        and flags(_read_only()) & AND_WRITEABLE == ALIGNED_AND_CONTIGUOUS
        and word(id(holder[1]) + OBJECT_TYPE) == id(float)
        and ctypes.c_double.from_address(id(holder[1]) + FLOAT_VALUE).value == 1.5
        and all(_whole_number(n) == n for n in (0, 1, -1, 7 << 30 | 5, -(2**63), 2**63 - 1))
    )


def _whole_number(n: int) -> int:
    """``n`` as the loop reads it."""
    size = ctypes.c_int64.from_address(id(n) + INT_SIZE).value
    if sys.version_info >= (3, 12):
        count, is_negative = size >> 3, size & 3 == 2
    else:
        count, is_negative = abs(size), size < 0
    if count > 4:
        return 0
    digits = (ctypes.c_uint32 * count).from_address(id(n) + INT_DIGITS)
    found = sum(d << 30 * k for k, d in enumerate(digits))
    return -found if is_negative else found


def _references(counted: Any, _: Any) -> int:
    """The reference count of an object, while the second argument lives, too."""
    return ctypes.c_uint32.from_address(id(counted) + REFERENCES).value


def _read_only() -> Any:
    array = np.empty(3)
    array.flags.writeable = False
    return array


@functools.cache
def slot_offset(kind: Any, name: str) -> int:
    """How many bytes from the start of an object of this class its slot ``name`` is."""
    made, mark = object.__new__(kind), object()
    object.__setattr__(made, name, mark)
    words = (ctypes.c_int64 * (kind.__basicsize__ // 8)).from_address(id(made))
    return 8 * list(words).index(id(mark))

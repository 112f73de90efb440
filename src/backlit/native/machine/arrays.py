"""New arrays for results, whose memory may begin at a cache line.

NumPy's own begin 16 bytes after one, so that every other access of a full register crosses a line.
So the memory comes from the C library, aligned; the array owns it, and frees it as NumPy does what
it has allocated itself, by `free`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import sys
from collections.abc import Callable, Container, Sequence
from math import prod
from typing import Any

import numpy as np

from backlit.native.machine import jit, layout
from backlit.native.machine.builtin import builtin, interpreter
from backlit.native.machine.once import once
from backlit.native.machine.words import loads

LINE = 64
_HUGE = 4 << 20  # bytes from which NumPy asks for huge pages, which gain more
_NEW_FROM_DESCR, _DEFAULT_HANDLER = 94, 306  # places in NumPy's table of functions

# make(words, list) puts new arrays into the list, one for each record of words.
# words: {n, records}; a record is {index in the list, what allocates memory or null for NumPy,
# bytes, who frees it, dtype, dimensions, sizes}.
_MAKE = f"""
@array_type = external global i8

declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyErr_NoMemory()

define ptr @make(ptr %self, ptr %args, i64 %count) {{
start:
{loads("*array *list", "args")}
  %words.at = getelementptr i8, ptr %array, i64 {layout.ARRAY_DATA}
  %words = load ptr, ptr %words.at
  %n = load i64, ptr %words
  %first = getelementptr i64, ptr %words, i64 1
  %items.at = getelementptr i8, ptr %list, i64 {layout.LIST_ITEMS}
  %items = load ptr, ptr %items.at
  br label %next

next:
  %i = phi i64 [0, %start], [%i.next, %store]
  %record = phi ptr [%first, %start], [%record.next, %store]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %n
  br i1 %more, label %one, label %done

one:
{loads("index *allocate bytes *handler *dtype nd", "record")}
  %sizes = getelementptr i64, ptr %record, i64 6
  %record.next = getelementptr i64, ptr %sizes, i64 %nd
  %dimensions = trunc i64 %nd to i32
  call void @Py_IncRef(ptr %dtype)
  %is.own = icmp eq ptr %allocate, null
  br i1 %is.own, label %own, label %allocated

own:
  %whole = call ptr @PyArray_NewFromDescr(
    ptr @array_type, ptr %dtype, i32 %dimensions, ptr %sizes, ptr null, ptr null, i32 0, ptr null)
  %is.whole = icmp ne ptr %whole, null
  br i1 %is.whole, label %store, label %failed

allocated:
  %data = call ptr %allocate(i64 {LINE}, i64 %bytes)
  %is.memory = icmp ne ptr %data, null
  br i1 %is.memory, label %fill, label %full

full:
  call void @Py_DecRef(ptr %dtype)
  %none = call ptr @PyErr_NoMemory()
  br label %failed

fill:
  %around = call ptr @PyArray_NewFromDescr(
    ptr @array_type, ptr %dtype, i32 %dimensions, ptr %sizes, ptr null, ptr %data,
    i32 {layout.AND_WRITEABLE}, ptr null)
  %is.around = icmp ne ptr %around, null
  br i1 %is.around, label %give, label %failed

give:
  %flags.at = getelementptr i8, ptr %around, i64 {layout.ARRAY_FLAGS}
  %flags = load i32, ptr %flags.at
  %owning = or i32 %flags, {layout.OWNS_DATA}
  store i32 %owning, ptr %flags.at
  %owner.at = getelementptr i8, ptr %around, i64 {layout.ARRAY_HANDLER}
  call void @Py_IncRef(ptr %handler)
  store ptr %handler, ptr %owner.at
  br label %store

store:
  %made = phi ptr [%whole, %own], [%around, %give]
  %item.at = getelementptr ptr, ptr %items, i64 %index
  %before = load ptr, ptr %item.at
  store ptr %made, ptr %item.at
  call void @Py_DecRef(ptr %before)
  br label %next

failed:
  ret ptr null

done:
  call void @Py_IncRef(ptr %list)
  ret ptr %list
}}
"""


@once
def _make() -> Callable[[Any, list[Any]], Any]:
    symbols = ["Py_IncRef", "Py_DecRef", "PyErr_NoMemory"]
    imports = {name: interpreter(name) for name in symbols}
    imports["array_type"] = id(np.ndarray)
    imports["PyArray_NewFromDescr"] = _numpy(_NEW_FROM_DESCR)
    return builtin(jit.engine().load(_MAKE, ["make"], imports=imports), "make")


def _numpy(place: int) -> int:
    """What NumPy's table for C has there."""
    capsule = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    table = get(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, None)
    return int(ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[place] or 0)


@once
def _allocation() -> tuple[int, int]:
    """What allocates aligned memory, and what frees that of NumPy's arrays; zeros where NumPy's own
    memory is taken."""
    if sys.platform == "win32":  # there `free` takes no aligned memory
        return 0, 0
    handler = ctypes.c_int64.from_address(_numpy(_DEFAULT_HANDLER)).value
    if layout.handler_of(np.empty(1)) != handler:
        return 0, 0
    allocate = ctypes.CDLL(None).aligned_alloc
    return ctypes.cast(allocate, ctypes.c_void_p).value or 0, handler


def is_alignable(bytes_needed: int) -> bool:
    """Whether `maker` can have arrays of so many bytes begin at a cache line."""
    return LINE < bytes_needed < _HUGE and _allocation()[0] != 0


def maker(
    specs: Sequence[tuple[int, tuple[int, ...], Any]], aligned: Container[int] = ()
) -> Callable[[list[Any]], Any]:
    """A function that puts a new array of each shape and dtype at its place in a list.

    Those at the places ``aligned`` begin at a cache line, if they can.

    >>> import numpy as np
    >>> arrays = [None]
    >>> maker([(0, (2, 3), np.dtype("float32"))])(arrays)[0].shape
    (2, 3)
    """
    words = [len(specs)]
    for index, shape, dtype in specs:
        n = prod(shape) * int(dtype.itemsize)
        allocate, handler = _allocation() if index in aligned and is_alignable(n) else (0, 0)
        words += [index, allocate, -(-n // LINE) * LINE, handler, id(dtype), len(shape), *shape]
    return functools.partial(_make(), np.array(words, np.int64))

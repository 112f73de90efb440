"""Freed memory of large arrays kept for the next ones.

A step that makes gradients of 16 MB anew each time would get them from the operating system and
give them back, page by page: three of them cost 4 to 18 ms a step in page faults. The C library can
keep what is freed instead; this asks it to, where that is glibc, once a program makes large arrays.
"""

from __future__ import annotations

import ctypes
import platform

from backlit.native.machine.once import once

LARGE = 1 << 20  # bytes of an array from which page faults are worth avoiding
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 256 << 20  # bytes at the end of the heap that are not given back
_LARGEST_KEPT = 32 << 20  # the largest array that glibc lets come from the heap


@once
def keep_freed_memory() -> bool:
    """Ask the C library to keep up to 256 MB of freed memory; whether it will."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    kept = mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT) and mallopt(_TRIM_THRESHOLD, _KEPT)
    return bool(kept)

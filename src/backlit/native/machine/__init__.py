"""The machine: its CPU and its memory, threads, the interpreter's objects, compiled code.

jit.py           the host CPU; LLVM IR text → object code → addresses, through the cache
objectcache.py   compiled objects on disk: checked, bounded, safe under kill -9 and concurrency
known.py         which programs were compiled before, for who decides when to compile
threads.py       one pool of native threads: parallel_for (parallel.py, control.py)
layout.py        where Python's objects keep what native code reads
builtin.py       native functions that Python calls without converting anything
words.py         LLVM text that loads the words of a table
arrays.py        new arrays whose memory begins at a cache line
allocation.py    freed memory of large arrays kept for the next ones
clock.py         the clock that native code reads
once.py          what a process has one of, whichever thread asks first
"""

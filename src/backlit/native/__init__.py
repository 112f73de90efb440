"""Machine code: the only folder that knows about LLVM, vectors, BLAS and native threads.

From a program to a table of entries:

    prepare.py       nodes that kernels know, on readable operands (decompose.py, views.py)
    lower.py         from nodes to steps, which share kernels where they can (steps.py, moves.py)
    finishes.py      kernels that join the product they read
    memory.py        where values live: the arena, and arrays that inputs leave behind
    entries.py       steps as entries of the loop: which function, with which words (table.py)
    plan.py          the whole, ready to run; runtime.py has the loop that runs it in one call
    reuse.py         arrays for results: those that nobody holds any more
    inner.py         what every op and every flush does to tensors, in one call each
    timing.py        the same loop with the clock read between entries
    anatomy.py       what a plan consists of, for observers: parts, bytes, code

Its rooms:

    kernels/         fused kernels, generated for the expression that they compute
    products/        matrix products: put together from generated parts, or OpenBLAS
    ready/           entries made once and for all: columns, copies, indices, random numbers
    machine/         the CPU, memory, threads, Python's objects, compiled code on disk

Importing `backlit.native` loads none of it; each module loads llvmlite when it is imported itself.
"""

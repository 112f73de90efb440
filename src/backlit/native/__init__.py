"""Machine code: the only folder that knows about LLVM, vectors, BLAS and native threads.

From a program to a table of entries:

    prepare.py       nodes that kernels know, on readable operands (decompose.py, views.py)
    lower.py         from nodes to steps, which share kernels where they can (steps.py, moves.py)
    finishes.py      kernels that join the product they read
    memory.py        where values live: the arena, and arrays that inputs leave behind
    entries.py       steps as entries of the loop: which function, with which words (table.py)
    plan.py          the whole, ready to run; runtime.py has the loop that runs it in one call
    timing.py        the same loop with the clock read between entries (clock.py)
    anatomy.py       what a plan consists of, for observers: parts, bytes, code

Fused kernels, generated for the expression:

    expression.py    what a kernel computes (scalar.py: from an op card's scalar function)
    elementwise.py   build and run kernels
    kernelbody.py    their functions; rowloops.py, narrowloops.py: the loops over rows
    vector.py        Lanes and Vec: arithmetic on vectors of W floats, emitted as LLVM IR
    vecmath.py       exp, log … by name (vecexp.py, vectrig.py, vecpow.py, coefficients.py)

Matrix products:

    products.py      which kernel, how it is cut for threads; batches.py: many at once
    gemm.py          generated for the sizes (gemm_plan.py, gemm_blocks.py, gemm_tiles.py), and for
                     what is made of the sums (gemm_finish.py)
    blas.py          OpenBLAS by name and by address, on one thread

Ready-made entries, each loaded when first needed (library.py):

    columns.py       reductions down the columns of a matrix
    copies.py        copies between strided arrays
    indexed.py       rows and elements addressed by whole numbers
    integers.py      comparing, counting, converting whole numbers
    philox.py        random numbers

The machine:

    jit.py           the host CPU; LLVM IR text → object code → addresses, through the cache
    objectcache.py   compiled objects on disk: checked, bounded, safe under kill -9 and concurrency
    known.py         which programs were compiled before, for who decides when to compile
    threads.py       one pool of native threads: parallel_for (parallel.py, control.py)
    builtin.py       native functions that Python calls without converting anything
    reuse.py         arrays that nobody holds, for results
    layout.py        where Python's objects keep what native code reads
    words.py         LLVM text that loads the words of a table
    allocation.py    freed memory of large arrays kept for the next ones
    once.py          what a process has one of, whichever thread asks first

Importing `backlit.native` loads none of it; each module loads llvmlite when it is imported itself.

Accuracy of the vector functions: at most 2 ulp in float32 and 1e-15 relative in float64, over the
full range, with IEEE results at zeros, infinities, NaN and denormals. Every lane is computed by
the same instructions whatever its position, so results never depend on lengths or threads.
"""

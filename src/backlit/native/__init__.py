"""Machine code: the only folder that knows about LLVM, vectors, BLAS and native threads.

    objectcache.py   compiled objects on disk: checked, bounded, safe under kill -9 and concurrency
    jit.py           the host CPU; LLVM IR text → object code → addresses, through the cache
    vector.py        Lanes and Vec: arithmetic on vectors of W floats, emitted as LLVM IR
    coefficients.py  minimax polynomials and split constants
    vecexp.py        exp, log and their family, tanh, sigmoid, erf
    vectrig.py       sin, cos, tan and the inverse functions
    vecpow.py        pow, fmod, remainder
    vecmath.py       the table of all functions by name
    expression.py    what a fused kernel computes: expressions and their graph
    rowloops.py      from such a graph to loops over rows and elements
    elementwise.py   fused kernels: build, run, in chunks, full reductions
    blas.py          OpenBLAS by name and by address, on one thread
    gemm.py          generated matrix products of fixed sizes; which to use where
    gemm_plan.py     how one is cut into tiles, panels and blocks
    gemm_blocks.py   the walk over them
    gemm_tiles.py    the innermost loops, and the packing of panels
    threads.py       one pool of native threads: parallel_for for generated code
    scalar.py        from an op card's scalar function to an expression
    lower.py         from a program's nodes to kernels
    plan.py          the programs that run natively, and their memory
    runtime.py       the loop that runs a whole program in one call
    timing.py        the same with the clock read between kernels
    anatomy.py       what a plan consists of, for observers: parts, bytes, code
    clock.py         the clock that native code and Python both read
    control.py       set_num_threads and its relatives

Importing `backlit.native` loads none of it; each module loads llvmlite when it is imported itself.

Accuracy of the vector functions: at most 2 ulp in float32 and 1e-15 relative in float64, over the
full range, with IEEE results at zeros, infinities, NaN and denormals. Every lane is computed by
the same instructions whatever its position, so results never depend on lengths or threads.
"""

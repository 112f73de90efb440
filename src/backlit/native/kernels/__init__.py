"""Fused kernels, generated for the expression that they compute.

    expression.py    what a kernel computes (scalar.py: from an op card's scalar function)
    elementwise.py   build and run kernels; kernelbody.py: what their loops over rows share
    rowloops.py      the loops where rows are long; narrowloops.py: where they are short, and
                     turning.py: how such rows become columns
    vector.py        Lanes and Vec: arithmetic on vectors of W floats, emitted as LLVM IR
    vecmath.py       exp, log … by name (vecexp.py, vectrig.py, vecpow.py, coefficients.py)

Accuracy of the vector functions: at most 2 ulp in float32 and 1e-15 relative in float64, over the
full range, with IEEE results at zeros, infinities, NaN and denormals. Every lane is computed by
the same instructions whatever its position, so results never depend on lengths or threads.
"""

"""Ready-made entries of the native loop, each loaded when first needed (library.py).

columns.py       reductions down the columns of a matrix
copies.py        copies between strided arrays
indexed.py       rows and elements addressed by whole numbers
integers.py      comparing, counting, converting whole numbers
philox.py        random numbers
"""

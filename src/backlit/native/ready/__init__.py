"""Ready-made entries of the native loop, each loaded when first needed (library.py).

columns.py       reductions down the columns of a matrix
copies.py        copies between strided arrays
indexed.py       rows and elements addressed by whole numbers
integers.py      comparing, counting, converting whole numbers
lookups.py       one element per row, as losses over classes need
philox.py        random numbers
"""

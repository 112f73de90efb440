"""Matrix products.

dispatch.py      which kernel, how it is cut for threads; batches.py: many at once
gemm.py          generated kernels: gemm_plan.py decides how a product is cut, gemm_words.py writes
                 that down for gemm_blocks.py, the walk over blocks, which all products share;
                 gemm_panel.py is the walk of those that are one panel
gemm_tiles.py    sums in registers; gemm_packing.py copies what they read, gemm_finish.py is what
                 is made of them, gemm_code.py what all are written with
blas.py          OpenBLAS by name and by address, on one thread
"""

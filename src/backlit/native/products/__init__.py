"""Matrix products.

dispatch.py      which kernel, how it is cut for threads; batches.py: many at once
gemm.py          generated for the sizes: gemm_plan.py decides how it is cut, gemm_blocks.py
                 walks over blocks, gemm_tiles.py computes in registers, gemm_finish.py is what
                 is made of the sums
blas.py          OpenBLAS by name and by address, on one thread
"""

"""Side-by-side measurements with peers, in one run; see `benchmarks/README.md`."""

"""Scripts that produce every figure the documentation states: `python -m benchmarks.NAME`."""

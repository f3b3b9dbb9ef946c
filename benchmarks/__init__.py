"""Benchmarks for asv, mirrored on the package; ``python -m benchmarks`` prints their ratios."""

"""Benchmarks of randla.sketching."""

"""Solvers of least squares to full precision, one a file."""

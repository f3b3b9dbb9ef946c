"""Rows in blocks whose columns are contiguous: what the solvers of l_p regression read."""

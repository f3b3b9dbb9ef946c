"""Entries of kernel matrices, and their factor from few columns."""

"""Projections of clouds, and what is computed from them once sorted: costs, slopes, potentials."""

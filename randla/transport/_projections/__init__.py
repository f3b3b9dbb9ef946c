"""Projections of clouds, and what is found from them once sorted: costs, slopes, potentials."""

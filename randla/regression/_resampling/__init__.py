"""Errors from further fits: the bootstrap, and rank inversion."""

"""Densities, draws and scores of the ready models."""

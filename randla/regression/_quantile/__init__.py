"""Quantile regression: preprocessing, an interior point and the vertex nearest to it."""

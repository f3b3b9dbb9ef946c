"""Kernel matrices from their definitions, and point clouds that are hard to approximate."""

import numpy as np
from scipy.spatial.distance import cdist

FUNCTIONS = {
    "gaussian": lambda r: np.exp(-0.5 * r**2),
    "laplace": lambda r: np.exp(-r),
    "matern12": lambda r: np.exp(-r),
    "matern32": lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
    "matern52": lambda r: (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
}


def kernel_matrix(X, kernel, length_scale):
    scaled = X / length_scale
    metric = "cityblock" if kernel == "laplace" else "euclidean"
    distances = np.minimum(cdist(scaled, scaled, metric), 1e3)  # zero from there on
    return FUNCTIONS[kernel](distances)


def clustered_points(rng, n, n_outliers=20, dim=2):
    """A cluster with a few points far from it and from one another."""
    X = 0.1 * rng.standard_normal((n, dim))
    X[:n_outliers] = 100.0 * rng.standard_normal((n_outliers, dim))
    return X

"""Coverage of the intervals of `logdet`, for `python -m benchmarks.calibration`.

Gaussian processes at the noise variances and numbers of products where the Gauss rule alone, what
others compute, goes from right to hopeless; the rows "Gauss only" have its interval.
"""

import numpy as np
from scipy import sparse

from benchmarks.calibration import Study, shares, t_shares
from randla import logdet


def coverage(A, exact, options):
    """Function of a number of draws for a `Study`."""

    def cover(draws):
        return [shares(logdet(A, rng=seed, **options), exact) for seed in range(draws)]

    return cover


def coverage_of_gauss(A, exact, options):
    """The same for the mean of the upper bounds and its standard error."""

    def cover(draws):
        held = []
        for seed in range(draws):
            r = logdet(A, rng=seed, **options)
            error = r._end_errors[1]
            held.append(t_shares(r.quadrature_upper, error, r.degrees_of_freedom, exact))
        return held

    return cover


def gaussian_process(n, dim, length_scale, noise):
    """Covariance of noisy values at uniform points."""
    X = np.random.default_rng(dim).random((n, dim))
    squares = ((X[:, None] - X) ** 2).sum(axis=2)
    return np.exp(-0.5 * squares / length_scale**2) + noise * np.eye(n)


def lattice(n, shift):
    """Laplacian of a square lattice with a shift: the precision of a Gaussian Markov field."""
    off = -np.ones(n - 1)
    path = sparse.diags_array([off, np.full(n, 2.0), off], offsets=[-1, 0, 1])
    values = 2.0 - 2.0 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    A = sparse.kron(path, sparse.eye_array(n)) + sparse.kron(sparse.eye_array(n), path)
    exact = np.log(values[:, None] + values + shift).sum()
    return (A + shift * sparse.eye_array(n * n)).tocsr(), exact


def studies():
    draws = 1000
    for dim, length_scale in ((2, 0.3), (10, 1.0)):
        for noise in (1.0, 1e-2, 1e-4):
            A = gaussian_process(300, dim, length_scale, noise)
            exact = np.linalg.slogdet(A)[1]
            data = f"Gaussian process, d = {dim}, noise {noise:g}"
            for n_products in (80, 200):
                options = {"lower": noise, "n_products": n_products, "preconditioner": None}
                setting = f"{data}, {n_products} products"
                yield Study("logdet", setting, draws, coverage(A, exact, options))
                if n_products == 80:
                    gauss = coverage_of_gauss(A, exact, options)
                    yield Study("logdet, Gauss only", setting, draws, gauss)
            for n_products in (16, 80):
                options = {"lower": noise, "n_products": n_products}
                setting = f"{data}, {n_products} products"
                yield Study("logdet, preconditioned", setting, draws, coverage(A, exact, options))
    A, exact = lattice(40, 1.0)
    options = {"lower": 1.0, "n_products": 200}
    setting = "lattice 40 x 40, shift 1, 200 products"
    yield Study("logdet", setting, draws, coverage(A, exact, options))

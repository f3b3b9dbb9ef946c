"""Coverage of the intervals of `trace` and `diagonal`, for `python -m benchmarks.calibration`."""

import math

import numpy as np
from scipy.linalg import qr
from scipy.sparse.linalg import LinearOperator

from benchmarks.calibration import Study, shares
from randla import diagonal, trace

N = 300
_j = np.arange(1, N + 1)
#: Eigenvalues. The law of the vectors of `trace` is that of any rotation: diagonal matrices do.
SPECTRA = {
    "0.8^j": 0.8**_j,
    "j^-2": _j**-2.0,
    "1/j": 1.0 / _j,
    "flat, 1 to 3": np.linspace(1.0, 3.0, N),
    "20 ones over 1e-3": np.where(_j <= 20, 1.0, 1e-3),
    "one 3 over ones": np.where(_j == 1, 3.0, 1.0),
    "one 30 over ones": np.where(_j == 1, 30.0, 1.0),
    "plus and minus 1/j": (-1.0) ** _j / _j,
}


def operator(A):
    """Products with a matrix, or with the diagonal one of a vector."""

    def times(X):
        return A @ X if A.ndim == 2 else (A * X.T).T

    def transposed(X):
        return A.T @ X if A.ndim == 2 else times(X)

    return LinearOperator((len(A), len(A)), times, transposed, times, float, transposed)


def of_traces(eigenvalues, n_products=None, **options):
    """Function of a number of draws for a `Study`."""
    A, exact = operator(eigenvalues), math.fsum(eigenvalues)

    def cover(draws):
        return [shares(trace(A, n_products, rng=k, **options), exact) for k in range(draws)]

    return cover


def of_diagonals(eigenvalues, n_products, **options):
    """The same for the entries of a matrix with random eigenvectors."""
    U = qr(np.random.default_rng(0).standard_normal((len(eigenvalues),) * 2))[0]
    matrix = (U * eigenvalues) @ U.T
    A, exact = operator(matrix), matrix.diagonal()

    def cover(draws):
        return [shares(diagonal(A, n_products, rng=k, **options), exact) for k in range(draws)]

    return cover


def studies():
    for data, eigenvalues in SPECTRA.items():
        psd = bool(eigenvalues.min() > 0.0)
        for n_products in (10, 40, 100):
            cover = of_traces(eigenvalues, n_products)
            yield Study("trace, xtrace", f"{data}, {n_products} products", 2000, cover)
        for n_products in (10, 60, 100) if psd else ():
            cover = of_traces(eigenvalues, n_products, psd=True)
            yield Study("trace, xnystrace", f"{data}, {n_products} products", 2000, cover)
        for method in ("hutch++", "hutchinson"):
            cover = of_traces(eigenvalues, 100, method=method)
            yield Study(f"trace, {method}", f"{data}, 100 products", 2000, cover)
        for method in ("xtrace", "xnystrace")[: 1 + psd]:
            cover = of_traces(eigenvalues, rtol=0.01, psd=psd, method=method)
            yield Study(f"trace, {method}, rtol = 0.01", data, 2000, cover)
        for n_products in (20, 100):
            cover = of_diagonals(eigenvalues, n_products)
            yield Study("diagonal, auto", f"{data}, {n_products} products", 500, cover)

"""The diagonal of a square matrix: exact if it can be read, else estimated from products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from randla._random import draw_key
from randla._typing import Array
from randla._validation import as_choice, as_count, as_flag
from randla.spectral._matrix.square import (
    SquareMatrix,
    as_readable,
    diagonal_by_products,
    is_operator,
    read_diagonal,
)
from randla.spectral._traces.estimate import Estimate, EstimateByProducts, require_enough
from randla.spectral._traces.leave_out import Downdate
from randla.spectral._traces.test_vectors import products_by_blocks, sign_vectors

DEFAULT_PRODUCTS = 100
_FEWEST = 8
_PILOTS = 4  # products by which "auto" chooses
_NUMBERS = 1 << 20  # in a block of rows
_NOT_ADJOINT = 1e-3  # relative to the largest entry of X'AX


@dataclass(frozen=True, eq=False, repr=False)
class DiagonalResult(EstimateByProducts):
    """A diagonal and its standard errors: the result of `diagonal`.

    Attributes
    ----------
    value : (n,) ndarray
        The estimate of the diagonal, or the diagonal itself.
    standard_error : (n,) ndarray
        Standard error of the algorithm, given the matrix; 0 if the diagonal is exact.
    degrees_of_freedom : float
        Degrees of freedom of Student's t in the intervals; inf if the diagonal is exact.
    n_products : int
        Number of products of the matrix, or its transpose, with a vector.
    method : str
        "exact", "xdiag" or "hutchinson".
    """


def diagonal(
    A: Any,
    n_products: int | None = None,
    *,
    symmetric: bool = False,
    method: Literal["auto", "xdiag", "hutchinson"] = "auto",
    rng: Any = None,
) -> DiagonalResult:
    r"""Compute or estimate the diagonal of a square matrix, with standard errors.

    If the entries can be read, the diagonal is exact. For an operator, of which only products are
    known, it is estimated from products with vectors of random signs [1]_ [2]_: leverage scores as
    the diagonal of a projector, variances as that of an inverse, squared row norms of B as that of
    :math:`BB^T`.

    Parameters
    ----------
    A : (n, n) array_like, sparse matrix, LinearOperator or Dask array
        Real. "xdiag" needs products with its transpose (``rmatmat``, ``rmatvec``), unless it is
        `symmetric`.
    n_products : int, optional
        Maximum number of vectors by which `A` or its transpose is multiplied, 100 by default. From
        n on the diagonal is computed exactly from n products.
    symmetric : bool, default False
        Declares `A` symmetric. This is checked as far as the products show it.
    method : {"auto", "xdiag", "hutchinson"}, default "auto"
        A method given by name is used even if the entries can be read.

        - "auto": exact if the entries can be read; else "xdiag" if its basis contains half of the
          squared norm of `A`, checked with four more products, and "hutchinson" otherwise.
        - "xdiag": a basis of the range and a correction for the rest [2]_; the best choice if the
          singular values decay.
        - "hutchinson": the mean of :math:`x \circ Ax` [1]_; for flat spectra.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same vectors.

    Returns
    -------
    DiagonalResult
        `value` (n,), `standard_error` (n,), `degrees_of_freedom`, `n_products`, `method`,
        ``confidence_interval(level=0.95)``.

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, square and finite, or has no product with its transpose, or one that is
        not adjoint to its product; if `n_products` is below 8 (12 for "auto").

    See Also
    --------
    trace : the sum of the diagonal, with smaller errors than those of its terms.

    Notes
    -----
    Both estimators are unbiased if given by name. "auto" chooses by products of its own, but these
    test a basis that the vectors of the estimate made: in close cases, such as one large eigenvalue
    with a third to half of the squared norm, that leaves a bias of about 0.06 standard errors. The
    standard error of "xdiag" is the jackknife that leaves two vectors out in all ways, entry by
    entry; it is conservative in expectation for the variance. Coverage over the entries is
    measured, not proved: 95-100% at nominal 95% (93-98% if few entries are large).

    Time: the products, and :math:`O(n m^2)` for m = `n_products` / 2; memory: :math:`O(nm)`.

    References
    ----------
    .. [1] Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a matrix", Appl. Numer.
       Math. 57 (2007), 1214-1229.
    .. [2] Epperly, Tropp and Webber, "XTrace: making the most of every sample in stochastic trace
       estimation", SIAM J. Matrix Anal. Appl. 45 (2024), 1-23 (XDiag).

    Examples
    --------
    Leverage scores of a kernel ridge regression, from products with its smoother:

    >>> import numpy as np
    >>> from scipy.sparse.linalg import LinearOperator
    >>> import randla
    >>> t = np.linspace(0, 1, 500)
    >>> K = np.exp(-0.5 * ((t[:, None] - t) / 0.05) ** 2)
    >>> S = np.linalg.solve(K + 0.1 * np.eye(500), K)
    >>> smoother = LinearOperator((500, 500), matvec=lambda y: S @ y, matmat=lambda Y: S @ Y)
    >>> result = randla.diagonal(smoother, 80, symmetric=True, rng=0)
    >>> bool(abs(result.value - S.diagonal()).max() < 1e-3), result.method
    (True, 'xdiag')
    """
    symmetric = as_flag(symmetric, "symmetric")
    name = as_choice(method, "method", ("auto", "xdiag", "hutchinson"))
    count = DEFAULT_PRODUCTS if n_products is None else as_count(n_products, "n_products")
    key = draw_key(rng)
    A = as_readable(A)
    if not is_operator(A) and (name == "auto" or count >= A.shape[0]):
        return _exact(read_diagonal(A), 0)
    matrix = SquareMatrix(A)
    fewest = _FEWEST + (_PILOTS if name == "auto" else 0)
    require_enough(
        count, min(fewest, matrix.n), name, (name if name != "auto" else "xdiag", _FEWEST)
    )
    if count >= matrix.n:
        return _exact(diagonal_by_products(A), matrix.n)
    if name == "hutchinson":
        estimate = _hutchinson(matrix, key, count)
    else:
        estimate, name = _xdiag(matrix, key, count, symmetric, choose=name == "auto")
    values, error, df = estimate
    return DiagonalResult(values * matrix.scale, error * matrix.scale, df, matrix.n_products, name)


def _exact(values: Array, n_products: int) -> DiagonalResult:
    return DiagonalResult(values, np.zeros(len(values)), math.inf, n_products, "exact")


def _hutchinson(
    matrix: SquareMatrix, key: np.uint64, count: int, samples: Array | None = None
) -> Estimate:
    """Mean and spread of ``x * Ax``; `samples` has these of the first vectors, as columns."""
    n_drawn = 0 if samples is None else samples.shape[1]

    def draw(k: int) -> Array:
        nonlocal n_drawn
        n_drawn += k
        return sign_vectors(key, n_drawn - k, n_drawn, matrix.n)

    products = products_by_blocks(matrix, draw, count - n_drawn)
    blocks = chain([] if samples is None else [samples], (X * Y for X, Y in products))
    first = next(blocks)
    pilot = first.mean(axis=1)  # near the mean: no digits cancel in the variance
    total, squares = np.zeros(matrix.n), np.zeros(matrix.n)
    for block in chain([first], blocks):
        D = block - pilot[:, None]
        total += D.sum(axis=1)
        squares += np.einsum("ij,ij->i", D, D)
    mean = total / count
    variance = np.maximum(squares - count * mean**2, 0.0) / (count - 1)
    values = pilot + mean
    error = np.sqrt(variance / count)
    return Estimate(values, np.maximum(error, matrix.eps * np.abs(values)), count - 1.0)


def _xdiag(
    matrix: SquareMatrix, key: np.uint64, count: int, symmetric: bool, *, choose: bool
) -> tuple[Estimate, str]:
    n = matrix.n
    count -= _PILOTS if choose else 0
    m = count // 2
    X = sign_vectors(key, 0, m, n)
    Y = matrix.times(X)
    if not Y.any():
        return Estimate(np.zeros(n), np.zeros(n), m - 1.0), "xdiag"
    samples = X * Y if choose else None
    Q, R = qr(Y, mode="economic", overwrite_a=True, check_finite=False)
    downdate = Downdate(R, 100 * matrix.eps * np.abs(R.diagonal()).max())
    if samples is not None and _misses_half(
        matrix, Q, sign_vectors(key, count, count + _PILOTS, n)
    ):
        return _hutchinson(matrix, key, count, samples), "hutchinson"
    try:
        Z = matrix.times(Q) if symmetric else matrix.transposed_times(Q)
    except TypeError as error:
        raise TypeError(f"{error}: pass symmetric=True if A is symmetric") from error
    gap, largest = np.abs(Z.T @ X - R).max(), np.abs(R).max()
    if gap > _NOT_ADJOINT * largest:
        raise ValueError(
            ("A must be symmetric with symmetric=True" if symmetric else
             "A must have a product with its own transpose")
            + f", got x'(A'y) and (Ax)'y that differ by up to {gap / largest:.2g} times the largest"
            + " of them" + (": pass symmetric=False" if symmetric else "")
        )  # fmt: skip
    return _leave_out(X, Q, Z, downdate, matrix.eps), "xdiag"


def _misses_half(matrix: SquareMatrix, Q: Array, X: Array) -> bool:
    """Whether more than half of the squared norm of A lies off the basis Q.

    Then the mean of twice as many samples has the smaller error. The vectors X are used for nothing
    else: a choice by the vectors of the estimate would bias it, by up to 0.3 standard errors. What
    is left, 0.06, comes from Q.
    """
    Y = matrix.times(X)
    missed = Y - Q @ (Q.T @ Y)
    return float((missed**2).sum()) > 0.5 * float((Y**2).sum())


def _leave_out(X: Array, Q: Array, Z: Array, downdate: Downdate, eps: float) -> Estimate:
    """XDiag, and the jackknife of its entries: what `_leave_out` does for traces, row by row.

    With ``a_i = Q s_i, z_i = Z s_i`` the replicate without i is
    ``d_i = diag(QZ') - a_i * z_i + tau_i x_i * a_i``.
    """
    n, m = Q.shape
    values, error = np.empty(n), np.empty(n)
    rows = max(_NUMBERS // m, 1)
    S, tau = downdate.S, downdate.tau
    jackknife = _Jackknife.of(downdate)
    for first in range(0, n, rows):
        block = slice(first, first + rows)
        x, q, z = X[block], Q[block], Z[block]
        inside = np.einsum("ij,ij->i", q, z)
        a, b = q @ S, z @ S
        values[block] = inside + np.einsum("ij,ij->i", a, x * tau - b) / m
        floor = 10 * eps * np.einsum("ij,ij->i", np.abs(q), np.abs(z))
        error[block] = np.maximum(jackknife.spread(x, q, z), floor)
    return Estimate(values, error, len(jackknife.kept) - 1.0)


class _Jackknife(NamedTuple):
    """The pairs i, j that are left out, in the coordinates of Q."""

    downdate: Downdate
    kept: NDArray[np.int64]  # numbers of the vectors, (m or fewer,)
    directions: Array  # S, (coordinates of Q, kept)
    discarded: Array  # directions of Q that the kept vectors do not span

    @classmethod
    def of(cls, downdate: Downdate) -> _Jackknife:
        m = len(downdate.R)
        kept, basis, discarded = np.arange(m), np.eye(m), np.empty((m, 0))
        while (j := downdate.parallel_vector) is not None:
            discarded = np.column_stack([discarded, basis @ downdate.S[:, j]])
            inner, downdate = downdate.without(j)
            kept, basis = np.delete(kept, j), basis @ inner
        return cls(downdate, kept, basis @ downdate.S, discarded)

    def spread(self, x: Array, q: Array, z: Array) -> Array:
        """Standard errors of some rows, from ``theta_j``, the estimate without j and, in turn, i.

        Without i and j the residual of y_i is ``tau_i (a_i - K_ij a_j) / kappa_ij``.
        """
        K, parallel, tau = self.downdate.K, self.downdate.parallel, self.downdate.tau
        w = 1.0 / self.downdate.kappa
        np.fill_diagonal(w, 0.0)
        second = np.where(parallel, 0.0, w)  # a pair that has but one direction loses one
        v = K * second
        x, a, b = x[:, self.kept], q @ self.directions, z @ self.directions
        both = a * b
        inside = np.einsum("ij,ij->i", q, z)
        inside = inside - np.einsum("ij,ij->i", q @ self.discarded, z @ self.discarded)
        sums = -both @ w - both * second.sum(axis=0) + b * (a @ v) + a * (b @ v)
        sums += (x * a * tau) @ w - a * ((x * tau) @ v)
        theta = inside[:, None] + sums / (len(tau) - 1)
        theta -= theta.mean(axis=1)[:, None]
        return np.sqrt((len(tau) - 1) / len(tau) * np.einsum("ij,ij->i", theta, theta))

"""Thin singular value decompositions of tall matrices, by Cholesky QR twice.

Source: Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, "Roundoff error analysis of the CholeskyQR2
algorithm", Electron. Trans. Numer. Anal. 44 (2015), 306-326.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cholesky, lapack, qr

from randla._parallel import run_parts
from randla._typing import Array
from randla.spectral._matrix.dense import DenseMatrix

#: Gram matrices of columns of length one that are farther from I than this take a second pass.
_NEAR_IDENTITY = 0.5
#: Least diagonal of their Cholesky factor.
_BREAKDOWN = 1e-6
#: Rows that are multiplied in place at a time.
_ROWS = 4096


def thin_svd(Y: Array) -> tuple[Array, Array, Array]:
    """``Y = U diag(s) W'`` of a tall Y, which is overwritten, by its triangular factor R."""
    Q, T, R = _cholesky_qr(Y)
    P, s, Wt = np.linalg.svd(R)
    return _times_in_place(Q, T @ P), s, Wt.T


def _times_in_place(Y: Array, T: Array) -> Array:
    """``Y T`` in the place of Y: new pages of memory cost more than the product."""

    def part(k: int) -> None:
        rows = Y[k * _ROWS : (k + 1) * _ROWS]
        rows[:] = rows @ T

    seconds = 2e-10 * Y.size * len(T)
    run_parts(part, -(-len(Y) // _ROWS), seconds=seconds, blas=True)
    return Y


def _gram(Y: Array) -> Array:
    return DenseMatrix(Y, scale=1.0, is_measured=True).gram()


def _cholesky_qr(Y: Array) -> tuple[Array, Array, Array]:
    """``Y = Q T R`` with orthonormal Q T: Cholesky of the Gram matrix of the scaled columns.

    The loss of orthogonality is the condition of that Gram matrix in rounding errors: a second pass
    where it is not near I, and Householder's QR where Cholesky breaks down. Columns of different
    lengths do no harm.
    """
    Q, R = Y, np.eye(Y.shape[1])
    for _ in range(2):
        G = _gram(Q)
        norms = np.sqrt(np.diag(G))
        if not (norms > 0.0).all():
            break
        G = G / norms / norms[:, None]
        try:
            factor = cholesky(G)
        except LinAlgError:
            break
        if np.diag(factor).min() < _BREAKDOWN:
            break
        step = factor * norms
        T, R = lapack.dtrtri(step)[0], step @ R
        if np.abs(G - np.eye(len(G))).sum(axis=0).max() < _NEAR_IDENTITY:
            return Q, T, R
        Q = Q @ T  # a copy: QR may need Y
    Q, R = qr(Y, mode="economic", check_finite=False)
    return Q, np.eye(len(R)), R

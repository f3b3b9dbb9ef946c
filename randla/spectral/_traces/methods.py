"""Traces from products with random vectors: Hutchinson, Hutch++, XTrace and XNysTrace.

Each holds the products of its vectors, so that a larger number of them continues what is there.
Numbers are over the scale of the matrix.

Sources: Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian
smoothing splines", Comm. Statist. Simulation Comput. 19 (1990), 433-450; Meyer, Musco, Musco and
Woodruff, "Hutch++: optimal stochastic trace estimation", SOSA (2021), 142-155; Epperly, Tropp and
Webber, "XTrace: making the most of every sample in stochastic trace estimation", SIAM J. Matrix
Anal. Appl. 45 (2024), 1-23 (XTrace, XNysTrace).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from scipy.linalg import LinAlgError, cholesky, qr
from scipy.linalg.blas import dtrsm

from randla._typing import Array
from randla.spectral._matrix.square import SquareMatrix, require_psd
from randla.spectral._traces.estimate import Estimate
from randla.spectral._traces.leave_out import Downdate, LeaveOut, XNysTrace, XTrace
from randla.spectral._traces.test_vectors import products_by_blocks, sphere_vectors

#: Largest shift of a Nystroem approximation, relative to the entries of A X.
_LARGEST_SHIFT = 1e-2


class TraceMethod(ABC):
    """Products of a matrix with test vectors, and the trace that they tell.

    Class attributes: the fewest products of an estimate, and those from which on its intervals hold
    what they say on every spectrum that was tried.
    """

    fewest: ClassVar[int]
    reliable_from: ClassVar[int] = 0

    def __init__(self, matrix: SquareMatrix, key: np.uint64, psd: bool) -> None:
        self.matrix, self.key, self.psd = matrix, key, psd
        self.n_vectors = 0  # drawn so far
        self.at_rounding = False  # whether the error is that of rounding: more say no more

    def draw(self, count: int) -> Array:
        first, self.n_vectors = self.n_vectors, self.n_vectors + count
        return sphere_vectors(self.key, first, self.n_vectors, self.matrix.n)

    @abstractmethod
    def estimate(self, n_products: int) -> Estimate:
        """The estimate from that many products, more than before."""

    def of(self, value: float, error: float, floor: float, df: float) -> Estimate:
        """The estimate, whose error is not below that of rounding."""
        self.at_rounding = error <= floor
        return Estimate(float(value), float(max(error, floor)), df)

    def of_samples(self, samples: Array, floor: float, shift: float = 0.0) -> Estimate:
        """The mean of independent samples, plus `shift`."""
        error = samples.std(ddof=1) / np.sqrt(samples.size)
        return self.of(shift + samples.mean(), error, floor, samples.size - 1.0)


class Hutchinson(TraceMethod):
    """The mean of ``x'Ax``."""

    fewest = 2

    def __init__(self, matrix: SquareMatrix, key: np.uint64, psd: bool) -> None:
        super().__init__(matrix, key, psd)
        self.forms = np.empty(0)

    def estimate(self, n_products: int) -> Estimate:
        for X, Y in products_by_blocks(self.matrix, self.draw, n_products - self.forms.size):
            if self.psd:
                require_psd(X, Y, self.matrix.eps)
            self.forms = np.append(self.forms, np.einsum("ij,ij->j", X, Y))
        return self.of_samples(self.forms, 10 * self.matrix.eps * np.abs(self.forms).mean())


def _join(first: Array, second: Array) -> Array:
    """Columns side by side, each contiguous."""
    return np.concatenate([first.T, second.T]).T if first.size else second


class _Basis:
    """``A X = QR`` and ``Z = A Q`` for vectors X that may become more: columns of (n, m)."""

    def __init__(self, matrix: SquareMatrix) -> None:
        self.matrix = matrix
        self.X = self.Q = self.Z = np.empty((matrix.n, 0), order="F")
        self.R, self.forms = np.empty((0, 0)), np.empty(0)

    def extend(self, X: Array, psd: bool) -> None:
        if X.shape[1] == 0:
            return
        Y = self.matrix.times(X)
        if psd:
            require_psd(X, Y, self.matrix.eps)
        self.forms = np.append(self.forms, np.einsum("ij,ij->j", X, Y))
        if self.R.size == 0:
            Q, R = qr(Y, mode="economic", overwrite_a=True, check_finite=False)
        else:  # block Gram-Schmidt, twice
            C = self.Q.T @ Y
            Q, R = qr(Y - self.Q @ C, mode="economic", overwrite_a=True, check_finite=False)
            again = self.Q.T @ Q
            Q, inner = qr(Q - self.Q @ again, mode="economic", check_finite=False)
            C, R = C + again @ R, inner @ R
            R = np.block([[self.R, C], [np.zeros(C.T.shape), R]])
        Z = self.matrix.times(Q)
        self.R = R
        self.X, self.Q, self.Z = _join(self.X, X), _join(self.Q, Q), _join(self.Z, Z)


class HutchPlusPlus(TraceMethod):
    """The trace on a basis of the range, exactly, and the mean of probes off it.

    Given the basis the probes are independent: an interval at its nominal level. Probes are scaled
    to squared length n - k off a basis of k vectors, so that multiples of I are exact. With P = G -
    QQ'G there is AP = AG - (AQ)Q'G, so that probes stay when the basis grows.
    """

    fewest = 6

    def __init__(self, matrix: SquareMatrix, key: np.uint64, psd: bool) -> None:
        super().__init__(matrix, key, psd)
        self.basis = _Basis(matrix)
        self.G = self.AG = np.empty((matrix.n, 0), order="F")

    def estimate(self, n_products: int) -> Estimate:
        k, basis = n_products // 3, self.basis
        basis.extend(self.draw(k - basis.forms.size), self.psd)
        if missing := n_products - 2 * k - self.G.shape[1]:
            G = self.draw(missing)
            self.G, self.AG = _join(self.G, G), _join(self.AG, self.matrix.times(G))
        Q, Z = basis.Q, basis.Z
        C = Q.T @ self.G
        P, AP = self.G - Q @ C, self.AG - Z @ C
        squares = np.einsum("ij,ij->j", P, P)
        forms = (self.matrix.n - k) / squares * np.einsum("ij,ij->j", P, AP)
        inside = np.einsum("ij,ij->j", Q, Z)
        floor = 10 * self.matrix.eps * np.abs(inside).sum()
        return self.of_samples(forms, floor, shift=inside.sum())


class LeaveOutMethod(TraceMethod):
    """Probes that are left out of their own basis, with a jackknife error."""

    @abstractmethod
    def extend(self, n_products: int) -> Array:
        """Multiply more vectors; return all products ``A X``."""

    @abstractmethod
    def leave_out(self) -> LeaveOut:
        """The estimator on the vectors so far, at least one of whose products is not zero."""

    def estimate(self, n_products: int) -> Estimate:
        if not self.extend(n_products).any():  # a matrix of zeros, with probability 1
            return self.of(0.0, 0.0, 0.0, self.n_vectors - 1.0)
        estimator = self.leave_out()
        values = estimator.replicates()
        value, floor = values.left_out.mean(), self.matrix.eps * estimator.rounding
        return self.of(value, values.standard_error, floor, values.jackknife.size - 1.0)


class XTraceMethod(LeaveOutMethod):
    """XTrace, with m vectors and their basis: 2m products."""

    fewest, reliable_from = 8, 40

    def __init__(self, matrix: SquareMatrix, key: np.uint64, psd: bool) -> None:
        super().__init__(matrix, key, psd)
        self.basis = _Basis(matrix)

    def extend(self, n_products: int) -> Array:
        self.basis.extend(self.draw(n_products // 2 - self.n_vectors), self.psd)
        return self.basis.R

    def leave_out(self) -> XTrace:
        X, Q, Z, R = self.basis.X, self.basis.Q, self.basis.Z, self.basis.R
        downdate = Downdate(R, 100 * self.matrix.eps * np.abs(R.diagonal()).max())
        return XTrace(downdate, self.matrix.n, Q.T @ Z, Q.T @ X, Z.T @ X, self.basis.forms)


class XNysTraceMethod(LeaveOutMethod):
    """XNysTrace of a positive semidefinite matrix: m vectors, m products."""

    fewest, reliable_from = 4, 60

    def __init__(self, matrix: SquareMatrix, key: np.uint64, psd: bool) -> None:
        super().__init__(matrix, key, psd)
        self.X = self.Y = np.empty((matrix.n, 0), order="F")

    def extend(self, n_products: int) -> Array:
        X = self.draw(n_products - self.n_vectors)
        self.X, self.Y = _join(self.X, X), _join(self.Y, self.matrix.times(X))
        return self.Y

    def leave_out(self) -> XNysTrace:
        X, Y, n = self.X, self.Y, self.matrix.n
        G, squares = require_psd(X, Y, self.matrix.eps), X.T @ X
        C, shift = self._factor(0.5 * (G + G.T), squares)
        B = dtrsm(1.0, C, Y + shift * X, side=1, overwrite_b=True)  # Y C^-1
        k = np.asarray(np.linalg.inv(squares), dtype=np.float64)
        return XNysTrace(Downdate(C, np.sqrt(10 * shift * n)), n, B.T @ B, k, shift)

    def _factor(self, G: Array, squares: Array) -> tuple[Array, float]:
        """Cholesky factor of ``X'(A + shift I)X``, with a shift that absorbs rounding errors.

        The estimate is unbiased for any shift; a larger one is needed where the products are less
        exact than their dtype, say from an iterative solver.
        """
        unit = float(np.linalg.norm(self.Y)) / np.sqrt(len(self.Y))
        relative = self.matrix.eps
        while relative <= _LARGEST_SHIFT:
            shift = relative * unit
            try:
                return cholesky(G + shift * squares), shift
            except LinAlgError:
                relative *= 30.0
        raise ValueError(
            "A must be positive semidefinite with psd=True, got a projection X'AX that is not: "
            "pass psd=False"
        )


METHODS: dict[str, type[TraceMethod]] = {
    "hutchinson": Hutchinson,
    "hutch++": HutchPlusPlus,
    "xtrace": XTraceMethod,
    "xnystrace": XNysTraceMethod,
}

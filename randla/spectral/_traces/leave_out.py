"""XTrace and XNysTrace: test vectors are left out of their own basis; and their jackknives.

m vectors x_i span a basis of the range of A by Y = A X. Without x_i that basis lacks one direction
s_i: so each x_i can be the probe of what the basis of the others misses, without one more product,
and the estimate is the mean of these m exchangeable t_i (XTrace and XNysTrace).

The spread of the t_i is not the error of their mean, since they share all vectors but one. The
error here is the jackknife of the whole estimator: theta_j is its value without x_j, the mean over
i of the t_{i,-j} in which i *and* j are left out of the basis. All of them follow from m x m
matrices in O(m^3). By the inequality of Efron and Stein the sum of squares of the theta_j about
their mean is, in expectation, at least the variance of the estimator with m - 1 vectors; its
coverage is measured, not proved.

Sources: Epperly, Tropp and Webber, "XTrace: making the most of every sample in stochastic trace
estimation", SIAM J. Matrix Anal. Appl. 45 (2024), 1-23; Efron and Stein, "The jackknife estimate of
variance", Ann. Statist. 9 (1981), 586-596.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from randla._scaling import EPS
from randla._typing import Array

#: 1 - (s_i's_j)^2 below which fewer than six digits of it are left.
_PARALLEL = 1e-10


class Replicates(NamedTuple):
    """Estimates with a test vector left out of the basis, and with one left out altogether."""

    left_out: Array  # t_i, whose mean is the estimate
    jackknife: Array  # theta_j

    @property
    def standard_error(self) -> float:
        m = self.jackknife.size
        return float(np.sqrt((m - 1) / m * ((self.jackknife - self.jackknife.mean()) ** 2).sum()))


@dataclass(frozen=True, eq=False)
class Downdate:
    """What an orthonormal basis of m vectors loses without one of them, and without two.

    ``Y = QR``; row i of R^-1 is orthogonal to all columns of R but the i-th. Scaled to length 1 it
    is the direction s_i (in the coordinates of Q) that the basis loses without y_i.
    """

    R: Array  # (m, m)
    floor: float  # rounding error of R

    @cached_property
    def _rows(self) -> Array:
        """R^-T. Where Y has not full rank a diagonal entry of R is a rounding error, or zero;
        raised to one of the first kind it does no harm.
        """
        R, sizes = self.R.copy(), np.abs(self.R.diagonal())
        smallest = EPS * sizes.max()
        np.fill_diagonal(R, np.where(sizes < smallest, smallest, R.diagonal()))
        return np.asarray(solve_triangular(R, np.eye(len(R)), trans="T"))

    @cached_property
    def tau(self) -> Array:
        """Distance of y_i from the span of the others."""
        return np.asarray(1.0 / np.linalg.norm(self._rows, axis=0))

    @cached_property
    def S(self) -> Array:
        """The directions s_i as columns."""
        return self._rows * self.tau

    @cached_property
    def K(self) -> Array:
        """``s_i's_j``, but zero for i = j."""
        K = self.S.T @ self.S
        np.fill_diagonal(K, 0.0)
        return K

    @cached_property
    def kappa(self) -> Array:
        """``1 - K_ij^2``, but 1 where s_i and s_j are parallel up to rounding."""
        return np.where(self.parallel, 1.0, 1.0 - self.K**2)

    @cached_property
    def parallel(self) -> NDArray[np.bool_]:
        """Pairs without which the basis loses one direction that can be resolved, not two."""
        return 1.0 - self.K**2 < _PARALLEL

    @property
    def parallel_vector(self) -> int | None:
        """A vector of such a pair; None if there is none, or if Y has not full rank, where the
        second direction is nothing.
        """
        if not self.parallel.any() or len(self.R) <= 2 or self.tau.min() <= self.floor:
            return None
        return int(np.argmax(np.abs(self.K).max(axis=0)))

    def without(self, j: int) -> tuple[Array, Downdate]:
        """The orthonormal basis of Y without y_j, in the coordinates of Q, and what it loses."""
        basis, R = qr(np.delete(self.R, j, axis=1), mode="economic")
        return basis, Downdate(R, self.floor)


@dataclass(frozen=True, eq=False)
class LeaveOut(ABC):
    """An estimator that leaves its probes out of the basis. Arrays of pairs: row i, column j."""

    downdate: Downdate
    n: int

    @property
    @abstractmethod
    def rounding(self) -> float:
        """Rounding error of the estimate, in units of the last place of a product."""

    @abstractmethod
    def left_out(self) -> Array:
        """Estimates t_i, (m,), with i left out of the basis."""

    @abstractmethod
    def pair_left_out(self) -> Array:
        """Estimates t_{i,-j}, (m, m), with i and j left out of the basis."""

    @abstractmethod
    def without(self, j: int) -> LeaveOut:
        """The same estimator without vector j."""

    def replicates(self) -> Replicates:
        left_out = self.left_out()
        j = self.downdate.parallel_vector
        if j is not None:  # A has all but rank m - 1; the spread of m - 1 vectors is the larger
            return Replicates(left_out, self.without(j).replicates().jackknife)
        pairs = np.where(self.downdate.parallel, left_out[:, None], self.pair_left_out())
        np.fill_diagonal(pairs, 0.0)
        return Replicates(left_out, pairs.sum(axis=0) / (left_out.size - 1))


@dataclass(frozen=True, eq=False)
class XTrace(LeaveOut):
    """XTrace of any square A from ``Y = AX = QR``.

    The probe ``(I - Q_(i)Q_(i)') x_i`` is scaled to squared length n - m + 1, which it has in the
    mean over the sphere of radius sqrt(n).
    """

    H: Array  # (m, m): Q'AQ
    W: Array  # (m, m): Q'X
    T: Array  # (m, m): Q'A'X
    forms: Array  # (m,): x_i'Ax_i

    @property
    def rounding(self) -> float:
        return 10.0 * float(np.abs(self.H.diagonal()).sum())

    def without(self, j: int) -> XTrace:
        basis, downdate = self.downdate.without(j)
        W, T = (basis.T @ np.delete(M, j, axis=1) for M in (self.W, self.T))
        H, forms = basis.T @ self.H @ basis, np.delete(self.forms, j)
        return replace(self, downdate=downdate, H=H, W=W, T=T, forms=forms)

    @cached_property
    def _parts(self) -> tuple[Array, Array, Array, Array, Array]:
        S, R, H, W, T = self.downdate.S, self.downdate.R, self.H, self.W, self.T
        L, D = S.T @ H @ S, S.T @ W
        P = S.T @ (R - H @ W + T - H.T @ W)  # s_i'(A + A')(I - QQ') x_j
        # x_i'(I - QQ') A (I - QQ') x_i, and the squared length of (I - QQ') x_i
        rho = self.forms - np.einsum("ij,ij->j", W, R + T - H @ W)
        length = self.n - np.einsum("ij,ij->j", W, W)
        return L, D, P, rho, length

    def left_out(self) -> Array:
        L, D, P, rho, length = self._parts
        l, d, p = L.diagonal(), D.diagonal(), P.diagonal()
        probe = (self.n - len(L) + 1) / (length + d * d)
        return np.asarray(np.trace(self.H) - l + probe * (rho + d * p + d * d * l))

    def pair_left_out(self) -> Array:
        L, D, P, rho, length = self._parts
        K, kappa, n_left = self.downdate.K, self.downdate.kappa, self.n - len(L) + 2
        l_i, d_i, p_i = (M.diagonal()[:, None] for M in (L, D, P))
        l_j, both = L.diagonal(), L + L.T
        a, c = (d_i - K * D.T) / kappa, (D.T - K * d_i) / kappa  # coordinates of w_i on s_i, s_j
        outside = np.trace(self.H) - (l_i + l_j - K * both) / kappa
        probe = n_left / (length[:, None] + a * d_i + c * D.T)
        form = rho[:, None] + a * p_i + c * P.T + a * a * l_i + c * c * l_j + a * c * both
        return np.asarray(outside + probe * form)


@dataclass(frozen=True, eq=False)
class XNysTrace(LeaveOut):
    """XNysTrace of a positive semidefinite A from ``Y = (A + shift) X`` and ``X'Y = C'C``.

    C stands for R here: the Nystroem approximation is BB' with ``B = Y C^-1``, and without x_i it
    loses ``(B s_i)(B s_i)'``.
    """

    N: Array  # (m, m): B'B
    k: Array  # (m, m): (X'X)^-1
    shift: float

    @property
    def rounding(self) -> float:
        return 100.0 * float(np.trace(self.N))

    def without(self, j: int) -> XNysTrace:
        basis, downdate = self.downdate.without(j)
        rest = np.arange(len(self.k)) != j
        k = self.k - np.outer(self.k[:, j], self.k[j]) / self.k[j, j]
        N = basis.T @ self.N @ basis
        return replace(self, downdate=downdate, N=N, k=k[rest][:, rest])

    @cached_property
    def _parts(self) -> tuple[Array, float, Array]:
        S = self.downdate.S
        # tau_i^2: the form of x_i in the residual of the others; 1 / k_ii: its distance from them
        return S.T @ self.N @ S, np.trace(self.N) - self.shift * self.n, self.downdate.tau**2

    def left_out(self) -> Array:
        L, trace, form = self._parts
        probe = (self.n - len(L) + 1) * self.k.diagonal()
        return np.asarray(trace - L.diagonal() + probe * form)

    def pair_left_out(self) -> Array:
        L, trace, form = self._parts
        K, kappa, k = self.downdate.K, self.downdate.kappa, self.k.diagonal()
        l = L.diagonal()
        probe = (self.n - len(L) + 2) * (k[:, None] - self.k**2 / k)
        outside = trace - (l[:, None] + l - 2.0 * K * L) / kappa
        return np.asarray(outside + probe * form[:, None] / kappa)

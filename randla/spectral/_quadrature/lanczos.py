"""Lanczos from several vectors at once, and brackets of z' log(M) z by Gauss and Radau quadrature.

For M = Q diag(theta) Q' >= a I and a vector z, z' log(M) z is the integral of log against a
measure with mass (q_i' z)^2 at theta_i. After l steps of Lanczos the tridiagonal T_l holds the
Gauss rule of that measure: its nodes are the eigenvalues, its weights |z|^2 times the squares of
the first entries of the eigenvectors. The even derivatives of log are negative and the odd ones
positive, so by the remainders of both rules Gauss is an upper bound, and Gauss-Radau with a node
at a, the rule of T_{l+1} with its last diagonal changed to

    a + delta_l,    (T_l - a I) delta = beta_l^2 e_l,

a lower one. Both take the l products that are made anyway, and need a <= lambda_min only.

Source: Golub and Meurant, "Matrices, moments and quadrature with applications", Princeton
University Press (2010), theorems 6.4 and 6.5, section 6.2.
"""

import math

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.spectral._quadrature.preconditioner import BoundedMatrix

# A Radau rule is left out where its last diagonal is so large that the eigenvalues of the matrix
# would be rounded to that many digits: the rules of fewer steps are bounds, too.
_LARGEST_DIAGONAL = 1e6


class Lanczos:
    """Lanczos with full reorthogonalization, from each of `b` vectors by itself.

    Attributes
    ----------
    diagonal, off_diagonal : list of (b,) ndarray
        Those of T_l, an array a step; the last of `off_diagonal` couples T_l to what is to come.
    n_steps : int
        Steps so far.
    alive : (b,) ndarray
        False where the Krylov space is invariant, that is, where T_l has all there is. From there
        on its diagonal is 1 and its coupling 0, which have no weight.
    """

    def __init__(self, M: BoundedMatrix, Z: Array, limit: int) -> None:
        self._M, self._limit = M, limit
        self._basis = np.empty((len(Z), min(limit, 8), Z.shape[1]))  # grows as it is needed
        self._next = Z / _norms(Z)[:, None]
        self.diagonal: list[Array] = []
        self.off_diagonal: list[Array] = []
        self.alive = np.ones(len(Z), bool)

    @property
    def n_steps(self) -> int:
        return len(self.diagonal)

    def step(self) -> None:
        """One product with all vectors."""
        step = self.n_steps
        if step == self._basis.shape[1]:
            grown = np.empty((len(self._next), min(2 * step, self._limit), self._next.shape[1]))
            grown[:, :step] = self._basis
            self._basis = grown
        self._basis[:, step] = self._next
        rest = self._M.times(self._next)
        basis = self._basis[:, : step + 1]
        alpha = _dots(self._next, rest)
        rest -= alpha[:, None] * self._next
        if step:
            rest -= self.off_diagonal[-1][:, None] * basis[:, -2]
        # What the recurrence leaves is small, so that once is enough.
        rest -= (np.matmul(basis, rest[:, :, None]).transpose(0, 2, 1) @ basis)[:, 0]
        beta = _norms(rest)
        self.diagonal.append(np.where(self.alive, alpha, 1.0))
        self.alive = self.alive & (beta > self._M.rounding)
        self.off_diagonal.append(np.where(self.alive, beta, 0.0))
        divisor = np.where(self.alive, beta, np.inf)  # a dead vector goes on as zero
        self._next = rest / divisor[:, None]

    def gauss(self) -> tuple[Array, Array]:
        """Nodes and weights (b, l); the weights sum to 1."""
        return _rule(np.array(self.diagonal).T, np.array(self.off_diagonal[:-1]).T)

    def radau(self, node: float) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Nodes and weights (b, l + 1) with one node at `node`; which rules are accurate; and which
        T_l are above `node`: where all pivots of the factorization of T_l - a I are positive.
        """
        pivot = self.diagonal[0] - node
        is_above = pivot > 0.0
        with np.errstate(all="ignore"):  # beyond a pivot of zero nothing is used
            for alpha, beta in zip(self.diagonal[1:], self.off_diagonal[:-1], strict=True):
                pivot = alpha - node - beta**2 / pivot
                is_above &= pivot > 0.0
            delta = np.where(self.alive, self.off_diagonal[-1] ** 2 / pivot, 0.0)
        largest = np.max(self.diagonal, axis=0)
        accurate = is_above & (delta <= _LARGEST_DIAGONAL * largest)
        last = node + np.where(accurate, delta, 0.0)
        nodes, weights = _rule(np.array([*self.diagonal, last]).T, np.array(self.off_diagonal).T)
        return np.maximum(nodes, node), weights, accurate, is_above


def _dots(X: Array, Y: Array) -> Array:
    """Inner products of rows, summed by halves: entries of signs are equal, and so would be the
    rounding errors of a running sum.
    """
    products: Array = (X * Y).sum(axis=1)
    return products


def _norms(X: Array) -> Array:
    return np.sqrt(_dots(X, X))


def _rule(diagonal: Array, off_diagonal: Array) -> tuple[Array, Array]:
    """Nodes and weights of tridiagonal matrices (b, l)."""
    n = diagonal.shape[1]
    T = np.zeros((len(diagonal), n, n))
    k = np.arange(n)
    T[:, k, k] = diagonal
    T[:, k[1:], k[:-1]] = off_diagonal  # the lower triangle is the one that is read
    nodes, vectors = np.linalg.eigh(T)
    return nodes, vectors[:, 0, :] ** 2


class LogBracket:
    """Bounds of z' log(M) z / |z|^2, for b vectors z, that narrow with each update.

    Attributes
    ----------
    lower, upper : (b,) ndarray
    limit : int
        The largest number of steps.
    """

    def __init__(self, M: BoundedMatrix, Z: Array, limit: int) -> None:
        self._M, self.limit = M, limit
        self._lanczos = Lanczos(M, Z, limit)
        self.lower = np.full(len(Z), -np.inf)
        self.upper = np.full(len(Z), np.inf)

    @property
    def n_steps(self) -> int:
        return self._lanczos.n_steps

    def step(self) -> None:
        """A product with all vectors."""
        self._lanczos.step()

    def update(self) -> None:
        """Narrow the bounds by the rules of the steps so far."""
        nodes, weights = self._lanczos.gauss()
        self._M.require_above_least(float(nodes.min()))
        node = max(self._M.least - self._M.rounding, 0.5 * self._M.least)
        gauss = (weights * np.log(np.maximum(nodes, node))).sum(axis=1)
        self.upper = np.minimum(self.upper, gauss)
        nodes, weights, accurate, is_above = self._lanczos.radau(node)
        radau = np.where(accurate, (weights * np.log(nodes)).sum(axis=1), math.log(node))
        # An eigenvalue of T_l below the node, by rounding: neither this rule nor those of fewer
        # steps are bounds, but log(node) is one, as long as `least` is.
        lower = np.where(is_above, np.maximum(self.lower, radau), math.log(node))
        self.lower = np.minimum(lower, self.upper)  # apart by rounding

"""Lanczos from several vectors at once, and brackets of z' log(M) z by Gauss and Radau quadrature.

For M = Q diag(theta) Q' >= a I and a vector z, z' log(M) z is the integral of log against a measure
with mass (q_i' z)^2 at theta_i. After l steps of Lanczos the tridiagonal T_l holds the Gauss rule of
that measure: nodes its eigenvalues, weights |z|^2 times the squares of the first entries of its
eigenvectors. The even derivatives of log are negative and the odd ones positive, so by the
remainders of both rules Gauss is an upper bound, and Gauss-Radau with a node at a, the rule of
T_{l+1} with its last diagonal changed to

    a + delta_l,    (T_l - a I) delta = beta_l^2 e_l,

a lower one. Both take the l products that are made anyway, and need a <= lambda_min only.

Source: Golub and Meurant, Matrices, Moments and Quadrature (2010), theorems 6.4, 6.5, section 6.2.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A Radau rule is left out where its last diagonal is so large that the eigenvalues of the matrix
# would be rounded to that many digits: the rules of fewer steps are bounds, too.
_LARGEST_DIAGONAL = 1e6
# Rounding errors of a product, in units of eps times the norm of the matrix.
_ROUNDING = 10.0


class Lanczos:
    """Lanczos with full reorthogonalisation, from each of `b` vectors by itself.

    Attributes
    ----------
    diagonal, off_diagonal : list of (b,) ndarray
        Those of T_l, an array a step; the last of `off_diagonal` couples T_l to what is to come.
    n_steps : int
    norm : float
        The largest |M q| of a unit vector q, or what was given: rounding is `eps` times that.
    alive : (b,) ndarray
        False where the Krylov space is invariant, that is, where T_l has all there is. From there
        on its diagonal is 1 and its coupling 0, which have no weight.
    """

    def __init__(
        self, times: Callable[[Floats], Floats], Z: Floats, n_steps: int, eps: float, norm: float
    ) -> None:
        self._times = times
        self._limit = n_steps
        self._eps = eps
        self.norm = norm
        self._basis = np.empty((len(Z), min(n_steps, 8), Z.shape[1]))  # grows as it is needed
        self._next = Z / np.linalg.norm(Z, axis=1, keepdims=True)
        self.diagonal: list[Floats] = []
        self.off_diagonal: list[Floats] = []
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
        rest = self._times(self._next)
        basis = self._basis[:, : step + 1]
        alpha = np.einsum("bn,bn->b", self._next, rest)
        self.norm = max(self.norm, float(np.linalg.norm(rest, axis=1).max()))
        for _ in range(2):  # twice is enough (Parlett, The Symmetric Eigenvalue Problem, 6.9)
            rest -= (np.matmul(basis, rest[:, :, None]).transpose(0, 2, 1) @ basis)[:, 0]
        beta = np.linalg.norm(rest, axis=1)
        self.diagonal.append(np.where(self.alive, alpha, 1.0))
        self.alive = self.alive & (beta > _ROUNDING * self._eps * self.norm)
        self.off_diagonal.append(np.where(self.alive, beta, 0.0))
        divisor = np.where(self.alive, beta, np.inf)  # a dead vector goes on as zero
        self._next = rest / divisor[:, None]

    def gauss(self) -> tuple[Floats, Floats]:
        """Nodes and weights (b, l); the weights sum to 1."""
        return _rule(np.array(self.diagonal).T, np.array(self.off_diagonal[:-1]).T)

    def radau(self, node: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Nodes and weights (b, l + 1) with one node at `node`, and which of the rules are good."""
        pivot = self.diagonal[0] - node  # of the Cholesky factorisation of T_l - a I
        with np.errstate(all="ignore"):  # a pivot of zero: that rule is not good
            for alpha, beta in zip(self.diagonal[1:], self.off_diagonal[:-1], strict=True):
                pivot = alpha - node - beta**2 / pivot
            delta = np.where(self.alive, self.off_diagonal[-1] ** 2 / pivot, 0.0)
        largest = np.max(self.diagonal, axis=0)
        good = (delta >= 0.0) & (delta <= _LARGEST_DIAGONAL * largest)
        last = node + np.where(good, delta, 0.0)
        nodes, weights = _rule(np.array([*self.diagonal, last]).T, np.array(self.off_diagonal).T)
        return np.maximum(nodes, node), weights, good


def _rule(diagonal: Floats, off_diagonal: Floats) -> tuple[Floats, Floats]:
    """The rules of tridiagonal matrices (b, l): eigenvalues, squares of first entries of vectors."""
    n = diagonal.shape[1]
    T = np.zeros((len(diagonal), n, n))
    k = np.arange(n)
    T[:, k, k] = diagonal
    T[:, k[1:], k[:-1]] = off_diagonal  # the lower triangle is the one that is read
    nodes, vectors = np.linalg.eigh(T)
    return nodes, vectors[:, 0, :] ** 2


class LogBracket:
    """Bounds of z' log(M) z / |z|^2, for M >= I and b vectors z, that narrow with each look.

    Attributes
    ----------
    lower, upper : (b,) ndarray
    smallest : float
        The least eigenvalue of the tridiagonal matrices, which is above that of M.
    """

    def __init__(
        self, times: Callable[[Floats], Floats], Z: Floats, n_steps: int, eps: float, norm: float
    ) -> None:
        self._lanczos = Lanczos(times, Z, n_steps, eps, norm)
        self._eps = eps
        self.lower = np.zeros(len(Z))  # log 1
        self.upper = np.full(len(Z), np.inf)
        self.smallest = np.inf

    @property
    def n_steps(self) -> int:
        return self._lanczos.n_steps

    @property
    def is_complete(self) -> bool:
        """Whether no further step can tell more."""
        return not self._lanczos.alive.any()

    @property
    def rounding(self) -> float:
        """What the products may have added to an eigenvalue of M or taken from it."""
        return _ROUNDING * self._eps * self._lanczos.norm

    def step(self) -> None:
        """A product with all vectors."""
        self._lanczos.step()

    def look(self) -> None:
        """Narrow the bounds by the rules of the steps so far."""
        node = max(1.0 - self.rounding, 0.5)
        nodes, weights = self._lanczos.gauss()
        self.smallest = min(self.smallest, float(nodes.min()))
        gauss = (weights * np.log(np.maximum(nodes, node))).sum(axis=1)
        self.upper = np.minimum(self.upper, gauss)
        nodes, weights, good = self._lanczos.radau(node)
        radau = np.where(good, (weights * np.log(nodes)).sum(axis=1), math.log(node))
        self.lower = np.minimum(np.maximum(self.lower, radau), self.upper)  # apart by rounding

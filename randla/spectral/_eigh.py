r"""Eigenvalues of largest magnitude of a symmetric matrix, each in a bracket.

Let V have orthonormal columns with ``V'AV = diag(theta)``, in descending order, and
``A V - V diag(theta) = Q C``. The p-th largest eigenvalue of A is at least theta_p (Cauchy's
interlacing). In a basis that begins with V and Q, and with ``nu >= lambda_max(P A P)`` for the
projector P of what V leaves out,

.. math::

    A \preceq \begin{pmatrix} \operatorname{diag}(\theta) & C' \\ C & \nu I \end{pmatrix}
    \oplus \nu I,

so that it is at most the p-th eigenvalue on the right (see `_krylov.brackets`). The same for -A
gives the brackets of the smallest ones. Where all of the spectrum is known there are no nu:
rounding errors only.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import chdtri

from randla._parallel import showing_progress
from randla._random import as_generator
from randla._results import Result
from randla._typing import Array
from randla._validation import are_in_memory, as_choice, as_count, as_flag
from randla.spectral._krylov.block_krylov import BlockKrylov
from randla.spectral._krylov.brackets import block_upper_bounds, coarse_rounding, rounding
from randla.spectral._krylov.residual_norm import checkpoints, residual_bounds
from randla.spectral._matrix.base import require_in_range
from randla.spectral._matrix.dense import DenseMatrix
from randla.spectral._matrix.square import (
    SquareMatrix,
    as_readable,
    is_operator,
    require_symmetric,
)  # fmt: skip

Which = Literal["magnitude", "largest", "smallest"]

#: Sides up to which LAPACK decomposes what can be read, and an operator by its columns.
_LAPACK_SIDE, _OPERATOR_SIDE = 1000, 200
#: Residuals that end the search, over the largest eigenvalue; reads and certificates at most.
_TOLERANCE, _PASSES, _ROUNDS = 1e-9, 300, 3
#: Reads of a certificate, its relative width that ends them, and its probability to fail.
_STEPS, _NARROW, _FAILURE = 40, 1e-2, 1e-6
_PROBES = 10  # of the error of an operator, and of the asymmetry of what is not in memory
_ASYMMETRY, _PROBED_ASYMMETRY = 1e-8, 1e-4  # relative: of entries, of the products of an operator


@dataclass(frozen=True, eq=False, repr=False)
class EighResult(Result):
    """Eigenvalues and eigenvectors of a symmetric matrix, with brackets: the result of `eigh`.

    Attributes
    ----------
    values : (k,) ndarray
        Eigenvalues, in the requested order.
    vectors : (n, k) ndarray
        Orthonormal columns; the entry of largest magnitude in each, the first of equals, is
        positive. Vectors of equal eigenvalues are determined up to a rotation.
    lower, upper : (k,) ndarray
        The p-th largest eigenvalue of A lies in the p-th bracket of a positive value, the p-th
        smallest in the p-th bracket of a negative one.
    residuals : (k,) ndarray
        Norms of ``A @ v - value * v``: an eigenvalue lies within this distance of each value, up to
        rounding. For an operator of less than double precision the rounding errors that the
        brackets allow for are added.
    error : float
        Frobenius norm of ``A - vectors @ diag(values) @ vectors.T``.
    error_kind : str
        "exact", or "estimate" for an operator, from ten random vectors.
    n_products : int
        Number of vectors that were multiplied by A; 0 if its entries were passed to LAPACK.
    converged : bool
        Whether all residuals are below 1e-9 of the largest eigenvalue, but for rounding. The
        brackets always hold.
    """

    values: Array
    vectors: Array
    lower: Array
    upper: Array
    residuals: Array
    error: float
    error_kind: str
    n_products: int
    converged: bool

    _shown: ClassVar[tuple[str, ...]] = (
        "values", "lower", "upper", "residuals", "error", "error_kind", "n_products", "converged",
    )  # fmt: skip


def eigh(
    A: Any, k: int, *, which: Which = "magnitude", rng: Any = None, progress: bool = False
) -> EighResult:
    r"""Find k eigenvalues of a symmetric matrix, with eigenvectors and certified brackets.

    Up to 1000 rows, or 4 k, LAPACK decomposes A (200 for an operator). Otherwise a block Krylov
    space with thick restarts is searched until the residuals are 1e-9 of the largest eigenvalue.
    The part outside this space is bounded from random directions (as in `spectral_norm`; the bounds
    fail with probability below 1e-6), and the residuals bound the errors of the eigenvalues:
    quadratically, if there is a gap [1]_.

    Parameters
    ----------
    A : (n, n) array_like, sparse matrix, LinearOperator or Dask array
        Real, finite and symmetric. For an operator only products with A are used.
    k : int
        Number of eigenvalues, from 1 to n.
    which : {"magnitude", "largest", "smallest"}
        "magnitude": the eigenvalues of largest magnitude, in descending order of magnitude; or the
        largest or smallest ones with their signs.
    rng : {None, int, SeedSequence, Generator}, optional
        Source of the random directions.
    progress : bool, default False
        Show a progress bar for long passes (needs tqdm).

    Returns
    -------
    EighResult
        `values`, `vectors`, `lower`, `upper`, `residuals`, `error`, `error_kind`, `n_products`,
        `converged`.

    Raises
    ------
    ValueError, TypeError
        If A is not real, finite, square and symmetric (up to 1e-8 of its norm, an operator up to
        1e-4 in products with random vectors), or k is not an integer from 1 to n.

    Notes
    -----
    A bracket is for a single eigenvalue: the p-th positive value belongs to the p-th largest
    eigenvalue of A and the p-th negative one to the p-th smallest (with ``which="largest"`` or
    ``"smallest"`` all to one end). If a search has missed an eigenvalue the brackets are wide.
    Inner ends are certain up to rounding, which is allowed for; outer ends hold with probability 1
    - 1e-6. LAPACK's are certain.

    Asymmetry of A, such as the tolerance of a solver within an operator, is treated as an error:
    brackets are wider by a bound of :math:`|A - A'|_2 / 2`. For an array the bound is certain; for
    operators and Dask arrays it comes from ten random vectors, and fails with probability 1e-6.

    References
    ----------
    .. [1] Li and Li, "A note on eigenvalues of perturbed Hermitian matrices", Linear Algebra Appl.
       395 (2005), 183-190.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import eigh
    >>> result = eigh(np.diag([1.0, -3.0, 2.0]), 2)
    >>> result.values.round(12)
    array([-3.,  2.])
    >>> bool((result.lower <= [-3.0, 2.0]).all() and (result.upper >= [-3.0, 2.0]).all())
    True
    >>> round(result.error, 12)
    1.0
    """
    which = as_choice(which, "which", ("magnitude", "largest", "smallest"))
    generator = as_generator(rng)
    with showing_progress("eigh", as_flag(progress, "progress")):
        matrix = _Symmetric(A)
        k = as_count(k, "k", maximum=matrix.n, note=", the rows of A")
        if _suits_lapack(matrix, k):
            return _by_lapack(matrix, k, which)
        return _by_krylov(matrix, k, which, generator)


class _Symmetric(SquareMatrix):
    """A symmetric matrix, and its products.

    Attributes
    ----------
    squared_norm : float or None
        Frobenius; None for an operator.
    asymmetry : float
        A bound of ``|A - A'|_2 / 2``.
    rounding : float
        Relative error allowed for products.
    coarse_rounding : float
        The same of an operator of less than double precision, otherwise 0: residuals add it.
    """

    def __init__(self, A: Any) -> None:
        A = as_readable(A)
        super().__init__(A)
        self.squared_norm: float | None = None
        self.rounding, self.coarse_rounding = rounding(self._matrix), coarse_rounding(self._matrix)
        self.rows: Any = None  # of numbers i..j, scaled, where they are in memory
        X = np.random.default_rng(0).standard_normal((self.n, _PROBES))
        Y = self.times(X)  # now the scale and the norm are known
        G = X.T @ Y
        if is_operator(A):
            require_symmetric(G, "A must be symmetric", _PROBED_ASYMMETRY)
            self.asymmetry = 0.5 * _norm_from_forms(G - G.T)
            return
        self.squared_norm = self._matrix.squared_norm
        if are_in_memory(A):
            self.rows = DenseMatrix(A, scale=self.scale, is_measured=True).load
            gap = bound = _distance_to_transposed(A) / self.scale
        else:
            KX = Y - self.transposed_times(X)
            gap, bound = float(np.linalg.norm(KX)) / np.sqrt(_PROBES), _norm_from_products(KX)
        self.asymmetry, size = 0.5 * bound, np.sqrt(self.squared_norm)
        if gap > _ASYMMETRY * size:
            raise ValueError(
                f"A must be symmetric, got |A - A'| = {gap / size:.2g} |A| in the Frobenius norm: "
                "pass 0.5 * (A + A.T) if that is rounding, or use svd"
            )


# Bounds of |K|_2 from Gaussian X, p columns, that fail with probability _FAILURE. K = A - A' is a
# sum of kappa (u w' - w u') with orthonormal u, w; X'u = a and X'w = b are independent and normal.


def _norm_from_products(KX: Array) -> float:
    """From ``|K X|_F^2 >= kappa^2 (|a|^2 + |b|^2)``, for the largest kappa."""
    return float(np.linalg.norm(KX) / np.sqrt(chdtri(2 * _PROBES, 1.0 - _FAILURE)))


def _norm_from_forms(F: Array) -> float:
    """From ``F = X'K X``: its norm is not likelier to be small than that of one of its terms.

    (Anderson's inequality: given b, the term is linear in a.)
    That is ``kappa |ab' - ba'|_F = kappa sqrt(2) |a| |c|``, c what b has orthogonal to a.

    Source: Anderson, "The integral of a symmetric unimodal function over a symmetric convex set and
    some probability inequalities", Proc. Amer. Math. Soc. 6 (1955), 170-176.
    """
    a, c = (chdtri(df, 1.0 - 0.5 * _FAILURE) for df in (_PROBES, _PROBES - 1))
    return float(np.linalg.norm(F) / np.sqrt(2.0 * a * c))


def _distance_to_transposed(A: Any) -> float:
    """``|A - A'|_F``, by blocks of rows."""
    if issparse(A):
        difference = A - A.T.tocsr()
        top = float(np.abs(difference.data).max(initial=0.0))
        return top * float(np.linalg.norm(difference.data / top)) if top > 0.0 else 0.0
    squares, top, step = 0.0, float(np.abs(A).max()), max((1 << 18) // len(A), 1)
    for i in range(0, len(A), step):
        rows = slice(i, i + step)
        difference = (A[rows] / top - A[:, rows].T / top) if top > 0.0 else np.zeros(1)
        squares += float(np.square(difference, dtype=np.float64).sum())
    return top * float(np.sqrt(squares))


def _suits_lapack(matrix: _Symmetric, k: int) -> bool:
    side = _OPERATOR_SIDE if matrix.squared_norm is None else max(_LAPACK_SIDE, 4 * k)
    return matrix.n <= side


def _by_lapack(matrix: _Symmetric, k: int, which: Which) -> EighResult:
    A = matrix.times(np.eye(matrix.n))
    if matrix.squared_norm is not None:
        matrix.n_products = 0  # entries were read
    A = 0.5 * (A + A.T)
    theta, V = np.linalg.eigh(A)
    size = float(np.abs(theta).max())
    error = _allowed(matrix, size)
    order = _order(theta, which)[:k]
    theta, V = theta[order], V[:, order]
    R = A @ V - V * theta
    residuals = np.sqrt((R * R).sum(axis=0)) + matrix.coarse_rounding * size
    E = A - (V * theta) @ V.T
    return _result(
        matrix, theta, V, theta - error, theta + error, residuals, float(np.linalg.norm(E)),
        "exact", True,
    )  # fmt: skip


def _allowed(matrix: _Symmetric, size: float) -> float:
    return matrix.rounding * size + matrix.asymmetry


def _order(theta: Array, which: Which) -> NDArray[np.intp]:
    keys = {"magnitude": -np.abs(theta), "largest": -theta, "smallest": theta}
    order: NDArray[np.intp] = np.argsort(keys[which], kind="stable")
    return order


class _SymmetricKrylov(BlockKrylov):
    """Ritz values of a symmetric A, the wanted ones first."""

    which: Which = "magnitude"

    def solve(self) -> None:
        super().solve()
        order = _order(self.mu, self.which)
        self.mu, self.S, self.coupling = self.mu[order], self.S[:, order], self.coupling[:, order]


def _by_krylov(matrix: _Symmetric, k: int, which: Which, rng: np.random.Generator) -> EighResult:
    n, block = matrix.n, min(max(k // 2, 8), 32)
    keep = min(k + max(k // 2, 2 * block), n)
    space = _SymmetricKrylov(matrix.times, n, block, min(4 * keep + 8 * block, n), rng)
    space.which = which
    for turn in range(1, _ROUNDS + 1):
        converged = _search(space, k)
        space.restart(min(keep, space.size))
        V, theta = space.X, space.mu[: space.size]
        nu, outside, found = _complement(matrix, V, space.largest, rng)
        missed = _order(np.append(theta[:k], outside), which)[:k].max() >= k
        if turn == _ROUNDS or not missed:
            break
        space.add(found)  # directions that the start had missed
    C = space.coupling[:, : space.size] if space.size < n else np.empty((0, n))
    nu = np.minimum(nu, _frobenius_rest(matrix, theta, C))
    lower, upper = _brackets(theta, C, nu, which)
    error = _allowed(matrix, space.largest) + space.deflated
    residuals = np.sqrt((C * C).sum(axis=0))[:k] + matrix.coarse_rounding * space.largest
    theta, V = theta[:k], V[:, :k]
    size, kind = _error(matrix, theta, V, rng)
    return _result(
        matrix, theta, V, lower[:k] - error, upper[:k] + error, residuals, size, kind, converged
    )


def _search(space: _SymmetricKrylov, k: int) -> bool:
    """Grow and restart the space until the first k residuals are small."""
    checked = 0
    for turn in range(_PASSES):
        if not space.is_full:
            space.step()
        crowded, spent = space.room < space.next_columns, turn == _PASSES - 1 or space.is_full
        if space.size < k or not (spent or crowded or space.size >= 1.3 * checked):
            continue  # looking costs size^3
        space.solve()
        checked = space.size
        residuals = np.sqrt((space.coupling[:, :k] ** 2).sum(axis=0))
        if space.is_full or (residuals <= _TOLERANCE * space.largest).all():
            return True
        if crowded and not spent:
            checked = min(max(2 * k, space.size // 2), space.size - space.next_columns)
            space.restart(checked)
    return False


def _complement(
    matrix: _Symmetric, V: Array, size: float, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Bounds of the largest eigenvalues of PAP and -PAP, its extreme Ritz values, and vectors."""
    if V.shape[1] == matrix.n:
        return np.full(2, -np.inf), np.empty(0), np.empty((matrix.n, 0))
    _, nu, space = residual_bounds(
        matrix.times, matrix.n, V, signs=(1.0, -1.0), failure_probability=_FAILURE / _ROUNDS,
        rng=rng, steps=checkpoints(4, _STEPS), size=size, asymmetry=matrix.asymmetry,
        is_narrow=lambda low, high: bool((high - low <= _NARROW * np.abs(high).max()).all()),
    )  # fmt: skip
    edge = [0, -1] if space.size > 1 else [0]
    return nu, space.mu[edge], space.X @ space.S[:, edge]


def _frobenius_rest(matrix: _Symmetric, theta: Array, C: Array) -> float:
    """``|PAP|_F``, in which the Frobenius norms of the other blocks are taken off that of A."""
    if matrix.squared_norm is None:
        return np.inf
    rest = matrix.squared_norm - float(theta @ theta) - 2.0 * float((C * C).sum())
    slack = matrix.rounding * matrix.squared_norm
    return float(np.sqrt(max(rest, 0.0) + slack))


def _brackets(theta: Array, C: Array, nu: Array, which: Which) -> tuple[Array, Array]:
    """Ends for each Ritz value, which counts from the top of the spectrum or from below."""
    order, s = np.argsort(-theta, kind="stable"), len(theta)
    upper, lower = np.empty(s), np.empty(s)
    upper[order] = block_upper_bounds(theta[order], C[:, order], nu[0], s)
    order = order[::-1]
    lower[order] = -block_upper_bounds(-theta[order], C[:, order], nu[1], s)
    from_top = theta >= 0.0 if which == "magnitude" else np.full(s, which == "largest")
    return np.where(from_top, theta, lower), np.where(from_top, upper, theta)


def _error(
    matrix: _Symmetric, theta: Array, V: Array, rng: np.random.Generator
) -> tuple[float, str]:
    """``|A - V diag(theta) V'|_F``; by random vectors where A cannot be read."""
    if matrix.squared_norm is None:
        F = rng.standard_normal((matrix.n, _PROBES))  # E |EF|_F^2 is 10 |E|_F^2
        E = matrix.times(F) - (V * theta) @ (V.T @ F)
        return float(np.linalg.norm(E)) / np.sqrt(_PROBES), "estimate"
    squares = matrix.squared_norm - float(theta @ theta)  # Pythagoras
    if squares < 1e8 * matrix.rounding * matrix.squared_norm and matrix.rows is not None:
        squares, step = 0.0, max((1 << 18) // matrix.n, 1)
        for i in range(0, matrix.n, step):  # by the differences themselves
            j = min(i + step, matrix.n)
            E = matrix.rows(i, j) - (V[i:j] * theta) @ V.T
            squares += float((E * E).sum())
    return float(np.sqrt(max(squares, 0.0))), "exact"


def _result(
    matrix: _Symmetric, theta: Array, V: Array, lower: Array, upper: Array, residuals: Array,
    error: float, kind: str, converged: bool,
) -> EighResult:  # fmt: skip
    first = np.abs(V).argmax(axis=0)
    V = V * np.where(V[first, np.arange(len(theta))] < 0.0, -1.0, 1.0)
    scale = matrix.scale
    require_in_range(float(max(np.abs(theta).max(), error)) * scale, "norm")
    return EighResult(
        theta * scale, V, lower * scale, upper * scale, residuals * scale, error * scale, kind,
        matrix.n_products, converged,
    )  # fmt: skip

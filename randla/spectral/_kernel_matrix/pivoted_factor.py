"""A partial Cholesky factor with randomly chosen pivots, by accelerated rejection.

RPCholesky draws each pivot with probability proportional to the residual diagonal: Chen, Epperly,
Tropp and Webber, "Randomly pivoted Cholesky: practical approximation of a kernel matrix with few
entry evaluations", Comm. Pure Appl. Math. 78 (2025), 995-1041, arXiv:2207.06503. The same law, many
pivots at a time: Epperly, Tropp and Webber, "Embrace rejection: kernel matrix approximation by
accelerated randomly pivoted Cholesky", SIAM J. Matrix Anal. Appl. 46 (2025), 2527-2557,
arXiv:2410.03969.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._memory import aligned_empty
from randla._parallel import part_bounds, run_parts
from randla._typing import Array
from randla.spectral._kernel_matrix.kernel_functions import SymmetricEntries, require_symmetric
from randla.spectral._kernels.pivoted_factor import reject, residual_diagonal

_TILE = 1024  # columns of the factor in the second-level cache at a time
_FIRST_BLOCK, _SMALLEST_BLOCK, _LARGEST_BLOCK = 32, 8, 256  # proposals
_BLOCK = 64  # rows that are solved for by an explicit inverse
_FIRST_ROWS = 256  # of a factor whose rank is not known
_FLOPS = 2e10  # a second, roughly
#: Residuals below this many rounding errors of the diagonal entry are not pivots.
_NOISE = 64.0
#: Below this share of the trace the residual diagonal is computed afresh.
_AFRESH = 1e-8


class PivotedFactor(NamedTuple):
    """``K ~ rows' rows``."""

    rows: NDArray[Any]  # (k, n), of the dtype of the matrix
    pivots: NDArray[np.int64]  # (k,)
    residual: Array  # (n,) diagonal of the residual
    trace: float  # of K


def pivoted_factor(
    matrix: SymmetricEntries, k: int | None, rtol: float, rng: np.random.Generator
) -> PivotedFactor:
    """Add columns until there are k of them, or the trace error is at most `rtol` times the trace.

    Ends early where what is left is rounding error. Raises ValueError if the matrix is seen not to
    be positive semidefinite.
    """
    work = _Factorization(matrix, k)
    n_proposals = _FIRST_BLOCK
    while work.count < work.limit and work.residual.sum() > rtol * work.trace:
        proposals = work.propose(n_proposals, rng)
        if proposals is None:
            break
        n_accepted, n_seen = work.add(proposals, rng.random(n_proposals), rtol)
        if 2 * n_accepted >= n_seen:
            n_proposals = min(2 * n_proposals, _LARGEST_BLOCK)
        elif 4 * n_accepted < n_seen:
            n_proposals = max(n_proposals // 2, _SMALLEST_BLOCK)
    return work.result()


class _Factorization:
    """The factor so far, and the diagonal of the residual."""

    def __init__(self, matrix: SymmetricEntries, k: int | None) -> None:
        self.matrix, self.n = matrix, matrix.diagonal.size
        if (matrix.diagonal < 0.0).any():
            raise ValueError(
                f"{matrix.name} must be positive semidefinite, got the diagonal entry "
                f"{matrix.diagonal.min():g}"
            )
        # Scaled by a power of four, so that its root is a power of two.
        self.exponent = int(np.frexp(matrix.diagonal.max())[1]) // 2
        self.diagonal = np.ldexp(matrix.diagonal, -2 * self.exponent)
        self.residual, self.trace = self.diagonal.copy(), float(self.diagonal.sum())
        eps = float(np.finfo(matrix.dtype).eps)
        self.noise, self.tolerance = _NOISE * eps * self.diagonal, eps**0.5
        self.limit = self.n if k is None else k
        self.rows = self._empty(self.limit if k is not None else min(_FIRST_ROWS, self.n))
        self.pivots = np.empty(0, np.int64)
        n_parts = -(-self.n // _TILE)
        self.bounds = part_bounds(self.n, n_parts, multiple=8)

    @property
    def count(self) -> int:
        return self.pivots.size

    def result(self) -> PivotedFactor:
        self._require_psd_beside()
        rows, residual = self.rows[: self.count], self.residual
        if self.exponent:
            np.ldexp(rows, self.exponent, out=rows)
            residual = np.ldexp(residual, 2 * self.exponent)
        return PivotedFactor(rows, self.pivots, residual, float(self.matrix.diagonal.sum()))

    def propose(self, size: int, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """Independent draws in proportion to the residual diagonal; None if that is rounding."""
        cumulative = np.cumsum(np.where(self.residual > self.noise, self.residual, 0.0))
        total = cumulative[-1]
        if total == 0.0:
            return None
        levels = np.minimum(rng.random(size) * total, np.nextafter(total, 0.0))
        return np.searchsorted(cumulative, levels, side="right")

    def add(self, proposals: NDArray[np.int64], uniforms: Array, rtol: float) -> tuple[int, int]:
        """Add the columns of the accepted proposals; return numbers of accepted and looked at."""
        C = self._entries(proposals, proposals)
        require_symmetric(C, self.diagonal[proposals], self.matrix)
        old = self.rows[: self.count, proposals].astype(np.float64)
        C -= old.T @ old
        accepted, columns = np.empty(len(C), np.int64), np.empty_like(C)
        n_accepted, n_seen = reject(C, uniforms, self.limit - self.count, accepted, columns)
        if n_accepted == 0:  # the first one is always accepted, but for rounding
            self.residual[proposals] = 0.0
            return 0, n_seen
        accepted = accepted[:n_accepted]
        L = np.tril(columns[:n_accepted, accepted].T)  # C[accepted, accepted] = L L'
        self._extend(proposals[accepted], L, rtol)
        return n_accepted, n_seen

    def _extend(self, pivots: NDArray[np.int64], L: Array, rtol: float) -> None:
        j, s = self.count, pivots.size
        self._reserve(j + s)
        before = self.rows[:j, pivots].T.copy()  # (s, j)
        triangle, spent = _Triangle(L), np.empty(self.n)

        def new_rows(part: int) -> Array:
            """Rows ``L^-1 (K[pivots] - before rows)`` on some columns; their squared norms."""
            first, last = self.bounds[part]
            values = self._entries(pivots, slice(first, last))  # (s, m)
            if j:
                values -= before @ self.rows[:j, first:last]
            triangle.solve(values)
            self.rows[j : j + s, first:last] = values
            new = self.rows[j : j + s, first:last].astype(np.float64, copy=False)
            spent[first:last] = np.einsum("ij,ij->j", new, new)
            return np.einsum("ij,ij->i", new, new)

        seconds = 2.0 * s * self.n * (j + 10.0) / _FLOPS
        squares = sum(run_parts(new_rows, len(self.bounds), seconds=seconds, blas=True))
        self.rows[j : j + s, self.pivots] = 0.0  # but for rounding
        self.rows[j : j + s, pivots] = L.T
        is_close = self.residual.sum() - np.cumsum(squares) <= rtol * self.trace
        kept = int(np.argmax(is_close)) + 1 if is_close.any() else s  # as few as it takes
        self.pivots = np.concatenate([self.pivots, pivots[:kept]])
        left = self.residual - spent
        if kept < s or left.sum() < _AFRESH * self.trace:
            left = self._residual_afresh()
        self._require_psd(left)
        self.residual = np.maximum(left, 0.0)
        self.residual[self.pivots] = 0.0

    def _residual_afresh(self) -> Array:
        """Diagonal of ``K - rows' rows`` without the cancellation of many subtractions."""
        out = np.empty(self.n)

        def of_part(part: int) -> None:
            first, last = self.bounds[part]
            rows = np.array(self.rows[: self.count, first:last], np.float64, order="C")
            residual_diagonal(self.diagonal[first:last], rows, out[first:last])

        run_parts(of_part, len(self.bounds), seconds=1e-8 * self.n * self.count)
        return out

    def _entries(self, pivots: NDArray[np.int64], columns: Any) -> Array:
        values = self.matrix.entries(pivots, columns)
        return np.ldexp(values, -2 * self.exponent) if self.exponent else values

    def _reserve(self, count: int) -> None:
        """Make room for so many rows."""
        if count > len(self.rows):
            rows = self._empty(min(max(2 * len(self.rows), count), self.n))
            rows[: self.count] = self.rows[: self.count]
            self.rows = rows

    def _empty(self, count: int) -> NDArray[Any]:
        return aligned_empty((count, self.n), self.matrix.dtype)

    def _require_psd(self, left: Array) -> None:
        negative = left < -self.tolerance * self.diagonal
        if negative.any():
            i = int(np.argmax(negative))
            raise ValueError(
                f"{self.matrix.name} must be positive semidefinite, got {left[i] / self.trace:.1g} "
                f"of the trace in row {i} of the residual after {self.count} pivots"
            )

    def _require_psd_beside(self) -> None:
        """Some entries of the residual E beside its diagonal: |E_ij|^2 <= E_ii E_jj.

        The diagonal alone does not show that ``[[1, 1, -1], [1, 1, 1], [-1, 1, 1]]``, or a matrix
        of distances, is indefinite.
        """
        others = np.setdiff1d(np.arange(self.n), self.pivots)
        some = others[:: -(-others.size // _LARGEST_BLOCK) or 1]
        rows = self.rows[: self.count, some].astype(np.float64)
        beside = np.abs(self._entries(some, some) - rows.T @ rows)
        np.fill_diagonal(beside, 0.0)
        allowed = np.sqrt(self.residual[some]) + np.sqrt(self.tolerance * self.diagonal[some])
        excess = beside > np.outer(allowed, allowed)
        if excess.any():
            i, j = np.unravel_index(np.argmax(np.where(excess, beside, 0.0)), beside.shape)
            raise ValueError(
                f"{self.matrix.name} must be positive semidefinite, got an entry larger than its "
                f"diagonal allows in row {some[i]} and column {some[j]} of the residual after "
                f"{self.count} pivots"
            )


class _Triangle:
    """A lower triangle that solves by blocks (SciPy's BLAS routine would hold the GIL)."""

    def __init__(self, L: Array) -> None:
        self.blocks = []
        for first in range(0, len(L), _BLOCK):
            rows = slice(first, first + _BLOCK)
            self.blocks.append((rows, L[rows, :first], np.linalg.inv(L[rows, rows])))

    def solve(self, values: Array) -> None:
        """``values <- L^-1 values``."""
        for rows, left, inverse in self.blocks:
            if rows.start:
                values[rows] -= left @ values[: rows.start]
            values[rows] = inverse @ values[rows]

"""Ways to right singular vectors of a tall matrix, and upper ends of its singular values."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh, qr
from scipy.special import chdtri

from randla._parallel import single_threaded_blas
from randla._typing import Array
from randla.spectral._krylov.block_krylov import BlockKrylov
from randla.spectral._krylov.brackets import block_upper_bounds, rounding
from randla.spectral._krylov.residual_norm import BLOCK, residual_norm
from randla.spectral._matrix.dense import DenseMatrix

#: Entries of a matrix that LAPACK takes as it is, and of one whose QR is affordable.
_LAPACK_ENTRIES, _QR_ENTRIES = 1 << 16, 1 << 27
#: Short side up to which A'A is decomposed: of a dense matrix, of a sparse one or an operator.
_GRAM_SIDE, _SPARSE_GRAM_SIDE = 2000, 256
#: Columns of a Krylov space before it is restarted, at least; blocks of it for a Dask array.
_KRYLOV_COLUMNS, _DASK_BLOCKS = 400, 8
#: Steps of the certificate after which it is looked at; its probability to fail, over all rounds.
_CHECKPOINTS, _FAILURE, _ROUNDS = (8, 16, 32), 1e-6, 3
#: Order of a matrix whose eigenvalues cost little compared with a pass.
_SMALL = 1000
#: New vectors that estimate the part of an operator outside a subspace.
N_PROBES = 10


@dataclass(frozen=True)
class Goal:
    """What is asked for: rank at most k, or a relative error; and at what price."""

    k: int
    rtol: float | None
    tol: float
    quadratic: bool
    max_passes: int
    rng: np.random.Generator


@dataclass
class Subspace:
    """What a route found, over the scale of the matrix.

    `upper` (k,) are upper ends of the squares up to rounding, `residuals` (b, k) has the norms
    of ``A'A v - mu v``, also for combinations of the v, `total` is ``|A|_F^2`` (inf: unknown),
    `tail` the sum of squares beyond k where it is known better than from `total`, `offset` the
    norm of subtracted means where they round.
    """

    V: Array
    upper: Array
    method: str
    total: float
    offset: float = 0.0
    residuals: Array | None = None
    tail: float | None = None
    converged: bool = True
    factors: tuple[Array, Array, Array] | None = None


def find_subspace(A: Any, goal: Goal, on_disk: bool) -> Subspace:
    """Right singular vectors of tall `A`, by the route that its shape asks for."""
    most = _LAPACK_ENTRIES if A.is_sparse else _QR_ENTRIES  # what is sparse stays so
    fits = A.is_read and not on_disk and math.prod(A.shape) <= most
    route = choose_route(A, goal, on_disk)
    found = None
    if route == "gram":
        found = _gram(A, goal, fits)
        route = "qr"  # where that lost digits
    if found is None:
        found = _krylov(A, goal, on_disk) if route == "krylov" else _direct(A, goal, route)
    return found


def choose_route(A: Any, goal: Goal, on_disk: bool) -> str:
    """Choose one of "lapack", "gram" and "krylov"."""
    m, n = A.shape
    if A.is_read and not on_disk and m * n <= _LAPACK_ENTRIES:
        return "lapack"
    k = 1 if goal.rtol is not None else goal.k
    side = max(_GRAM_SIDE, 40 * (k + 10))
    if (A.is_sparse or not A.is_read) and goal.rtol is None:
        side = max(_SPARSE_GRAM_SIDE, 4 * k)  # products with few vectors are cheap
    return "gram" if n <= side else "krylov"


def _rank(tails: Array, total: float, goal: Goal) -> int | None:
    """Least rank whose tail (squared, after 1, 2, ... values) is small enough, if there is one."""
    assert goal.rtol is not None
    small = np.flatnonzero(tails[: goal.k] <= goal.rtol**2 * total)
    return int(small[0]) + 1 if small.size else None


def _direct(A: Any, goal: Goal, method: str) -> Subspace:
    """All of A by LAPACK: of itself, or of the triangular factor."""
    B = A.entries()
    if method == "lapack":
        U, s, Vt = np.linalg.svd(B, full_matrices=False)
    else:
        R = qr(B, mode="r", overwrite_a=True, check_finite=False)[0][: A.shape[1]]
        U, (_, s, Vt) = np.empty((0, 0)), np.linalg.svd(R)
    squares = s * s
    tails = np.append(np.cumsum(squares[::-1])[::-1][1:], 0.0)
    k, total = goal.k, float(squares.sum())
    rank = None if goal.rtol is None else _rank(tails, total, goal)
    k = k if rank is None else rank
    return Subspace(
        Vt[:k].T,
        squares[:k],
        method,
        total,
        A.offset,
        tail=float(tails[k - 1]),
        converged=goal.rtol is None or rank is not None,
        factors=(U[:, :k], s[:k], Vt[:k].T) if method == "lapack" else None,
    )


def _gram(A: Any, goal: Goal, may_leave: bool) -> Subspace | None:
    """Eigenvectors of A'A; None where the k-th value is lost in its rounding errors."""
    C = A.gram()
    n, k = len(C), goal.k
    rank: int | None = None
    total = float(A.squared_norm) if A.is_read else float(np.trace(C))
    slack = rounding(A) * (total + A.offset**2)
    # Idle threads of BLAS spin for about 25 ms, in the way of the next pass over A.
    with single_threaded_blas() if n <= _SMALL else nullcontext():
        mu, V = _eigenvectors(C, k if goal.rtol is None else n)
    if goal.rtol is not None:
        tails = np.maximum(total - np.cumsum(mu), 0.0) + slack
        rank = _rank(tails, total, goal)
        if rank is None and may_leave and tails[k - 1] <= 2.0 * slack:
            return None
        k = k if rank is None else rank
    if may_leave and 2.0 * goal.tol * mu[k - 1] < rounding(A) * mu[0]:
        return None
    mu, V = mu[:k], V[:, :k]
    residuals = DenseMatrix(C, scale=1.0, is_measured=True).times(V) - V * mu
    return Subspace(
        V, np.maximum(mu, 0.0), "gram", total, A.offset, residuals,
        converged=goal.rtol is None or rank is not None,
    )  # fmt: skip


def _eigenvectors(C: Array, k: int) -> tuple[Array, Array]:
    """Eigenvalues of a symmetric matrix in descending order, at least k, and their vectors."""
    n = len(C)
    if 4 * k <= n:
        # C' is C in the order that LAPACK takes without a copy.
        mu, V = eigh(C.T, subset_by_index=(n - k, n - 1), driver="evr", check_finite=False)
        # Inverse iteration may fail in a cluster, and bisection among numbers that underflow.
        if mu.size == k and np.abs(V.T @ V - np.eye(k)).max() < 1e-12:
            return mu[::-1], V[:, ::-1]
    mu, V = eigh(C, driver="evd", check_finite=False)
    return mu[::-1], V[:, ::-1]


def _krylov(A: Any, goal: Goal, on_disk: bool) -> Subspace:
    """A block Krylov space of A'A, grown until its residuals, or what it leaves, are small."""
    n, k = A.shape[1], goal.k if goal.rtol is None else 0
    block = (k or 54) + 10 if on_disk else max(8, -(-k // 4))
    columns = block * _DASK_BLOCKS if on_disk else max(4 * k, _KRYLOV_COLUMNS)
    space = BlockKrylov(A.gram_times, n, block, min(max(columns, k + 2 * block), n), goal.rng)
    turn = 1
    while True:
        k, converged = _iterate(A, space, goal)
        found = _bracketed(A, space, goal, k, converged, turn == _ROUNDS)
        if isinstance(found, Subspace):
            return found
        space.restart(min(2 * k, space.size))
        space.add(found)  # directions that the start had missed
        if not space.is_full:
            space.step()
        turn += 1


def _iterate(A: Any, space: BlockKrylov, goal: Goal) -> tuple[int, bool]:
    """Grow the space until values of a rank have settled, or the reads are spent: the rank, and
    whether it reaches the goal.
    """
    needed, checked, n = goal.k if goal.rtol is None else 1, 0, A.shape[1]
    while True:
        if not space.is_full:
            space.step()
        if space.size < needed:
            continue
        spent = space.is_full or A.n_passes >= goal.max_passes - 1
        crowded = space.room < space.next_columns
        if not (spent or crowded) and space.size < 1.1 * checked:  # looking costs size^3
            continue
        space.solve()
        checked = space.size
        rank = goal.k if goal.rtol is None else _rank_of(A, space, goal)
        k = rank or min(goal.k, n)
        settled = k <= space.size and _have_settled(A, space, goal, k)
        if settled or spent:
            return min(k, space.size), settled and rank is not None
        if crowded and goal.rtol is not None:
            space.grow()
        elif crowded:
            space.restart(needed + 2 * (space.size - needed) // 5)
            checked = 0


def _rank_of(A: Any, space: BlockKrylov, goal: Goal) -> int | None:
    """The smallest rank within ``rtol``, if the space has it."""
    total, slack = _total(A, space, goal)
    tails = np.maximum(total - np.cumsum(np.maximum(space.mu, 0.0)), 0.0) + slack
    return _rank(tails, total, goal)


def _have_settled(A: Any, space: BlockKrylov, goal: Goal, k: int) -> bool:
    """Whether the first k values have residuals within ``tol``, or next to nothing is left."""
    mu = np.maximum(space.mu, 0.0)
    if A.is_read and _tail(A, space, mu) <= 2.0 * goal.tol * mu[k - 1]:
        return True
    residuals = np.linalg.norm(space.coupling[:, :k], axis=0)
    allowed = goal.tol * np.sqrt(mu[:k] * mu[k - 1])
    rounded = rounding(A) * (mu[0] + A.offset**2)
    return bool((residuals <= np.maximum(allowed, rounded)).all())


def _tail(A: Any, space: BlockKrylov, mu: Array) -> float:
    """At least ``|A|_F^2`` less the sum of the exact values of the first Ritz vectors."""
    slack = rounding(A) * (A.squared_norm + A.offset**2) + mu.size * space.deflated
    return float(max(A.squared_norm - mu.sum(), 0.0) + slack)


def _total(A: Any, space: BlockKrylov, goal: Goal) -> tuple[float, float]:
    """``|A|_F^2`` and its rounding; for an operator the upper end of what fresh vectors say."""
    total = A.squared_norm
    if not A.is_read:
        share = N_PROBES / float(chdtri(N_PROBES, 0.975))
        total = float(space.mu.sum()) + probed_tail(A, space.X, goal.rng) * share
    return total, rounding(A) * (total + A.offset**2)


def _bracketed(
    A: Any, space: BlockKrylov, goal: Goal, k: int, converged: bool, last: bool
) -> Subspace | Array:
    """The first k Ritz vectors with upper ends, or directions that should have been among them."""
    mu = np.maximum(space.mu, 0.0)
    s = min(space.size, max(2 * k, k + 20))
    V = space.X @ space.S[:, :s]
    upper = np.full(k, np.inf)
    if A.is_read:  # the Frobenius norm of all that is left bounds its spectral norm too
        t = space.size if space.size <= _SMALL else s
        left = _tail(A, space, mu[:t])
        upper = block_upper_bounds(mu[:t], space.coupling[:, :t], left, k)
        upper = np.minimum(upper, mu[:k] + _tail(A, space, mu))
    if (goal.quadratic or not A.is_read) and (upper > (1.0 + 2.0 * goal.tol) * mu[:k]).any():
        most = _tail(A, space, mu[:s]) if A.is_read else np.inf

        def upper_with(nu: float) -> Array:
            return block_upper_bounds(mu[:s], space.coupling[:, :s], min(nu, most), k)

        def is_narrow(low: float, high: float) -> bool:
            width = np.max(upper_with(high) - mu[:k]) if high < np.inf else np.inf
            least = np.max(upper_with(low) - mu[:k])
            return bool(width <= max(2.0 * goal.tol * mu[k - 1], 1.5 * least))

        if space.is_full:
            low = high = float(mu[s]) if s < space.size else 0.0
        else:
            share = _FAILURE / _ROUNDS
            low, high, rest = residual_norm(A, V, share, goal.rng, _CHECKPOINTS, is_narrow)
            if low > (1.0 + goal.tol) * mu[k - 1] + rounding(A) * mu[0] and not last:
                return rest.X @ rest.S[:, :BLOCK]
        upper = np.minimum(upper, upper_with(high))
    upper += space.deflated  # that much is missing in the coupling (Weyl)
    total = A.squared_norm if A.is_read else float(mu.sum()) if space.is_full else np.inf
    residuals = space.coupling[:, :k]
    return Subspace(V[:, :k], upper, "krylov", total, A.offset, residuals, converged=converged)


def probed_tail(A: Any, V: Array, rng: np.random.Generator) -> float:
    """Estimate of ``|A(I - VV')|_F^2`` from fresh Gaussian vectors, without bias."""
    F = rng.standard_normal((A.shape[1], N_PROBES))
    AF = A.times(F - V @ (V.T @ F))
    return float((AF * AF).sum()) / N_PROBES

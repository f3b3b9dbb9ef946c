"""Rows drawn by their scores, with the weights that keep norms unbiased."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._random import draw_keys
from randla._results import Result
from randla._validation import (
    as_choice,
    as_count,
    as_matrix,
    as_power,
    as_rhs,
    as_weights,
    is_sparse,
    read_only,
)
from randla.sampling._kernels.rows import counter_uniforms
from randla.sampling._leverage import leverage_scores
from randla.sampling._scores import Scores
from randla.sampling._tiles import as_tall

Array = NDArray[np.float64]

_NAMES = ("auto", "leverage", "root-leverage", "uniform")


@dataclass(frozen=True, eq=False, repr=False)
class RowSample(Result):
    r"""A weighted sample of the rows of a matrix.

    For every x the sum of ``weights * abs(A[indices] @ x)**p`` is an unbiased estimate of
    :math:`\|Ax\|_p^p`, for any p: only the scores that chose the rows depend on p.

    Attributes
    ----------
    indices : (k,) ndarray of int
        The rows, ascending and without repetition.
    weights : (k,) ndarray
        Weights of the p-th powers of the residuals (not factors of the rows).
    probabilities : (k,) ndarray
        The probability that the row is in the sample; for ``scheme="replacement"`` the expected
        number of its draws.
    p : float
        The power for which `apply` rescales rows.
    n_rows : int
        Rows of the matrix that was sampled.
    scheme : str
    """

    indices: NDArray[np.int64]
    weights: Array
    probabilities: Array
    p: float
    n_rows: int
    scheme: str

    _shown: ClassVar[tuple[str, ...]] = (
        "indices",
        "weights",
        "p",
        "n_rows",
        "scheme",
        "effective_size",
    )

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def effective_size(self) -> float:
        """Rows of equal weight that would be worth as much, ``sum(w)^2 / sum(w^2)``."""
        if len(self.weights) == 0:
            return 0.0
        w = self.weights / self.weights.max()
        return float(w.sum() ** 2 / (w * w).sum())

    def apply(self, A: Any) -> Any:
        r"""The sampled rows of `A`, each times :math:`w_i^{1/p}`.

        So that :math:`\|SAx\|_p^p` is unbiased for :math:`\|Ax\|_p^p`. For weighted losses that
        are no norm (quantile regression) use ``A[indices]`` and `weights` instead.

        Parameters
        ----------
        A : (n,) or (n, d) array_like, or sparse matrix
            The matrix that was sampled, or the right-hand side that belongs to it.

        Returns
        -------
        ndarray or csr_array
            (k,) or (k, d).
        """
        factors = self.weights ** (1.0 / self.p)
        if is_sparse(A):
            rows = as_matrix(A, sparse=True)
            if rows.shape[0] != self.n_rows:
                raise ValueError(f"A must have {self.n_rows} rows, got shape {rows.shape}")
            rows = rows[self.indices]
            rows.data *= np.repeat(factors, np.diff(rows.indptr)).astype(rows.dtype)
            return rows
        array = as_rhs(A, self.n_rows, "A", of="the sampled matrix")
        rows = array[self.indices]
        return (rows * (factors if rows.ndim == 1 else factors[:, None])).astype(array.dtype)


def sample_rows(
    A: ArrayLike,
    size: int | None = None,
    *,
    p: float | None = None,
    scores: Any = "auto",
    scheme: Literal["poisson", "fixed", "replacement"] = "poisson",
    rng: Any = None,
) -> RowSample:
    r"""Draw rows of a matrix by their scores, so that :math:`\|Ax\|_p` survives for all x.

    With inclusion probabilities :math:`\pi_i = \min(1, c u_i)`, where c makes them add up to
    `size`, row i gets the weight :math:`1 / \pi_i`.

    Parameters
    ----------
    A : (n, d) array_like or sparse matrix
    size : int
        Expected number of rows ("poisson"), number of rows ("fixed"), or of draws ("replacement").
        At most n.
    p : float
        The norm, 1 <= p < inf. May be left out if `scores` is a `Scores`.
    scores : str, Scores or (n,) array_like
        "leverage", "root-leverage" (leverage to the power p/2), "uniform", scores that were
        computed before, or any non-negative numbers. "auto" is "leverage" at p = 2, else
        "root-leverage".
    scheme : {"poisson", "fixed", "replacement"}
        Independent decisions for each row; exactly `size` rows, with the same inclusion
        probabilities, by systematic sampling of the rows in random order [1]_; or independent
        draws of which equal ones are merged.
    rng : {None, int, SeedSequence, Generator}, optional

    Returns
    -------
    RowSample

    Raises
    ------
    ValueError, TypeError
        If `size` is not between 1 and n, `p` is missing or below 1, scores are negative or all
        zero, or for "fixed" fewer than `size` rows have a positive score.

    Notes
    -----
    Rows of score 0 are never drawn. Rows with :math:`c u_i \ge 1` are in every sample; how many
    they are is solved exactly, so that the expected size is `size`.

    References
    ----------
    .. [1] Madow, Ann. Math. Stat. 20 (1949).

    Examples
    --------
    >>> import numpy as np
    >>> from randla.sampling import sample_rows
    >>> A = np.random.default_rng(0).standard_normal((1000, 3))
    >>> sample = sample_rows(A, 100, p=1, scheme="fixed", rng=0)
    >>> sample.apply(A).shape
    (100, 3)
    """
    A = as_tall(A)
    n = A.shape[0]
    if p is None:
        if not isinstance(scores, Scores):
            raise ValueError("p must be given unless scores is a Scores, got None")
        p = scores.p
    p = as_power(p)
    if size is None:
        raise ValueError("size must be given, got None")
    m = as_count(size, "size", maximum=n, note=", the number of rows of A")
    as_choice(scheme, "scheme", ("poisson", "fixed", "replacement"))
    key, order_key = draw_keys(rng, 2)
    u = _resolve(A, p, scores)
    if scheme == "replacement":
        indices, weights, probabilities = _with_replacement(u, m, key)
    else:
        pi = inclusion_probabilities(u, m)
        if scheme == "poisson":
            indices = np.flatnonzero(_uniforms(key, n) < pi)
        else:
            indices = _systematic(pi, m, key, order_key)
        probabilities = pi[indices]
        weights = 1.0 / probabilities
    arrays = (read_only(array) for array in (indices, weights, probabilities))
    return RowSample(*arrays, p=p, n_rows=n, scheme=scheme)


def _resolve(A: Any, p: float, scores: Any) -> Array:
    """The scores as non-negative numbers."""
    n = A.shape[0]
    if isinstance(scores, Scores):
        return as_weights(scores.values, n, "scores")
    if not isinstance(scores, str):
        return as_weights(scores, n, "scores")
    as_choice(scores, "scores", _NAMES)
    if scores == "uniform":
        return np.ones(n)
    tau = leverage_scores(A).values
    return as_weights(tau if scores == "leverage" else tau ** (p / 2.0), n, "scores")


def inclusion_probabilities(u: Array, size: float) -> Array:
    """``min(1, c u)`` with c such that they add up to `size` (or 1 for each u > 0 if too few are).

    At most `size` of them can be 1, so only the largest scores are sorted.
    """
    positive = int((u > 0).sum())
    if positive <= size:
        return (u > 0).astype(np.float64)
    u = u / u.max()
    k = int(size)
    at_top = np.argpartition(u, len(u) - k)[len(u) - k :]
    top = np.sort(u[at_top])[::-1]
    tails = np.cumsum(top[::-1])[::-1] + np.delete(u, at_top).sum()  # without the j largest
    for j in range(k):  # the j largest are in every sample; ends at j = size - 1 at the latest
        c = (size - j) / tails[j]
        if c * top[j] <= 1.0:
            break
    return np.minimum(c * u, 1.0)


def _uniforms(key: np.uint64, n: int) -> Array:
    out = np.empty(n)
    counter_uniforms(key, 0, out)
    return out


def _systematic(pi: Array, size: int, key: np.uint64, order_key: np.uint64) -> NDArray[np.int64]:
    """Exactly `size` rows: a grid of step 1 with a random start on the stacked probabilities."""
    certain = np.flatnonzero(pi >= 1.0)
    others = np.flatnonzero((pi > 0.0) & (pi < 1.0))
    n_left = size - len(certain)
    if n_left > len(others):
        raise ValueError(
            f"size must be at most {len(certain) + len(others)}, the number of rows with a "
            f"positive score, for scheme='fixed', got {size}"
        )
    if n_left <= 0:
        return certain
    others = others[np.argsort(_uniforms(order_key, len(pi))[others], kind="stable")]
    edges = np.cumsum(pi[others])
    edges *= n_left / edges[-1]
    start = _uniforms(key, 1)[0]
    chosen = np.searchsorted(edges, start + np.arange(n_left), side="right")
    return np.sort(np.concatenate([certain, others[np.minimum(chosen, len(others) - 1)]]))


def _with_replacement(
    u: Array, size: int, key: np.uint64
) -> tuple[NDArray[np.int64], Array, Array]:
    """Independent draws with probability proportional to the scores, equal ones merged."""
    positive = np.flatnonzero(u > 0)
    edges = np.cumsum(u[positive] / u.max())
    draws = np.searchsorted(edges, _uniforms(key, size) * edges[-1], side="right")
    indices, counts = np.unique(positive[np.minimum(draws, len(positive) - 1)], return_counts=True)
    expected = size * (u[indices] / u.max()) / edges[-1]
    return indices, counts / expected, expected

"""Rows drawn by their scores, with weights that make norms unbiased."""

import math
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._random import draw_keys, generator_from_key
from randla._results import Result, axes_or_new
from randla._tall.base import TallMatrix
from randla._tall.open import open_tall, take_rows
from randla._typing import Array
from randla._validation import as_choice, as_count, as_number, as_power, is_sparse, read_only
from randla.sampling._scores.draws import (
    draw_poisson,
    inclusion_probabilities,
    systematic,
    with_replacement,
)
from randla.sampling._scores.leverage import leverage
from randla.sampling._scores.lewis import sampling_weights
from randla.sampling._scores.result import Scores
from randla.sampling._scores.sensitivity_sample import sampling_sensitivities

_NAMES = (
    "auto",
    "leverage",
    "root-leverage",
    "lewis",
    "sensitivity",
    "sensitivity+leverage",
    "uniform",
)
_CALIBRATION = (1.0, 1.5, 2.0, 3.0, 4.0), (1.8, 2.1, 2.4, 2.0, 1.9)  # p, constant
_LEWIS_RTOL = 0.1  # accurate enough for sampling
#: Power of the scores beyond which the scores of most rows underflow to zero.
LARGEST_POWER = 1000.0


@dataclass(frozen=True, eq=False, repr=False)
class RowSample(Result):
    r"""A weighted sample of the rows of a matrix: the result of `sample_rows`.

    For every x, the sum of ``weights * abs(A[indices] @ x)**p`` is an unbiased estimate of
    :math:`\|Ax\|_p^p`, for any p: only the scores used to choose the rows depend on p.

    Attributes
    ----------
    indices : (k,) ndarray of int
        The rows, ascending and distinct.
    weights : (k,) ndarray
        Weights of the p-th powers of the residuals (not factors of the rows).
    probabilities : (k,) ndarray
        The probability that the row is in the sample; for ``scheme="replacement"`` the expected
        number of its draws.
    p : float
        The power with which `apply` rescales rows.
    n_rows : int
        Rows of the matrix that was sampled.
    scheme : str
        "poisson", "fixed" or "replacement".
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
        """Effective sample size, the number of equivalent rows: ``sum(w)^2 / sum(w^2)``."""
        if len(self.weights) == 0:
            return 0.0
        w = self.weights / self.weights.max()  # in range
        return float(w.sum() ** 2 / (w * w).sum())

    def apply(self, A: Any) -> Any:
        r"""Return the sampled rows of `A`, each multiplied by :math:`w_i^{1/p}`.

        This makes :math:`\|SAx\|_p^p` unbiased for :math:`\|Ax\|_p^p`. For weighted losses that are
        not a norm (quantile regression) use ``A[indices]`` and `weights` instead.

        Parameters
        ----------
        A : (n,) or (n, d) array_like, sparse matrix, or Dask array
            The sampled matrix, or the right-hand side that belongs to it.

        Returns
        -------
        ndarray or csr_array
            (k,) or (k, d).
        """
        rows = take_rows(A, self.indices, self.n_rows)
        factors = self.weights ** (1.0 / self.p)  # |w^(1/p) a x|^p = w |a x|^p
        if is_sparse(rows):
            rows.data = rows.data * np.repeat(factors, np.diff(rows.indptr)).astype(rows.dtype)
            return rows
        return (rows * (factors if rows.ndim == 1 else factors[:, None])).astype(rows.dtype)

    def plot(self, ax: Any = None) -> Any:
        """Plot the weight of each sampled row against its index, on a logarithmic axis.

        Rows of weight 1 are in every sample. Needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        ax.plot(self.indices, self.weights, ".", label=f"{len(self)} of {self.n_rows} rows")
        ax.set(yscale="log", xlabel="row", ylabel="weight", xlim=(-0.5, self.n_rows - 0.5))
        return ax


def sample_rows(
    A: ArrayLike,
    size: int | None = None,
    *,
    p: float | None = None,
    eps: float | None = None,
    scores: Any = "auto",
    scheme: Literal["poisson", "fixed", "replacement"] = "poisson",
    rng: Any = None,
) -> RowSample:
    r"""Draw rows of a matrix by their scores, such that :math:`\|Ax\|_p` is preserved for all x.

    The inclusion probabilities are :math:`\pi_i = \min(1, c u_i)`, where c makes their sum equal to
    `size`. The weight of row i is :math:`1 / \pi_i`.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array
        Real and finite.
    size : int, optional
        Expected number of rows ("poisson"), number of rows ("fixed"), or number of draws
        ("replacement"). At most n.
    p : float, optional
        The norm, 1 <= p < inf. By default the power of the `Scores` if given, else 2.
    eps : float, optional
        Instead of `size`, for Lewis weights and sensitivities: the relative error allowed in
        :math:`\|SAx\|_p^p` for the worst x, 0 < eps < 1. The size is that of the theorems below
        without logarithms, with a constant calibrated such that nine samples in ten satisfy the
        bound.
    scores : str, Scores or (n,) array_like
        The importance of each row: "lewis", "leverage", "root-leverage" (leverage to the power
        p/2), "sensitivity", "sensitivity+leverage" (their sum), "uniform", precomputed scores, or
        any non-negative numbers. "auto" is "leverage" at p = 2, else "lewis". Scores given by name
        are as accurate as sampling needs: Lewis weights satisfy their equation to within 10%, and
        sensitivities are correct to within a factor of two (see the notes).
    scheme : {"poisson", "fixed", "replacement"}
        Independent decisions for each row; exactly `size` rows, with the same inclusion
        probabilities, by systematic sampling of the rows in random order [1]_; or independent
        draws, with equal draws merged.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sample.

    Returns
    -------
    RowSample
        The `indices` of the rows and their `weights`; `apply` extracts the weighted rows.

    Raises
    ------
    ValueError, TypeError
        If `size` is not between 1 and n, neither or both of `size` and `eps` are given, `p` is
        below 1, or above 1000 for scores that depend on it, scores are negative or all zero, or for
        "fixed" fewer than `size` rows have a positive score.

    Notes
    -----
    Rows of score 0 are never drawn. Rows with :math:`c u_i \ge 1` are in every sample; their number
    is computed exactly, so that the expected size is `size`.

    Lewis weights and "sensitivity+leverage" are the safe choices: samples of
    :math:`O(d / \epsilon^2)` rows, up to logarithms, preserve all norms to within
    :math:`1 \pm \epsilon` for p <= 2 [2]_, [3]_; for p > 2 the worst case is
    :math:`d^{p/2} / \epsilon^2`, and sensitivities adapt to easier data [4]_. "root-leverage" needs
    no l_p computation and works well for p <= 2. "uniform" fails where single rows matter.

    A sensitivity given by name is the geometric mean of its certified bounds if their ratio is at
    most 4.1 (the ratio is slightly above :math:`d^{|1 - p/2|}`: for up to a dozen columns at p = 1
    this holds for all rows). The other sensitivities are estimated from a weighted sample of 40 d
    rows (all of them, if `eps` is given), to within a factor of two on all our test matrices. If
    that would take more than a few seconds, or p is between 1 and 1.1, only the bounds are used.

    A Dask array yields the same rows as an array in memory, for any chunks.

    For regression, sample by the scores of the matrix with the right-hand side as an extra column.

    References
    ----------
    .. [1] Madow, "On the theory of systematic sampling, II", Ann. Math. Statist. 20 (1949),
       333-354.
    .. [2] Cohen and Peng, "l_p row sampling by Lewis weights", STOC (2015), 183-192.
    .. [3] Munteanu and Omlor, "Optimal bounds for l_p sensitivity sampling via l_2 augmentation",
       ICML (2024), arXiv:2406.00328.
    .. [4] Woodruff and Yasuda, "Sharper bounds for l_p sensitivity sampling", ICML (2023),
       arXiv:2306.00732.

    Examples
    --------
    >>> import numpy as np
    >>> from randla.sampling import sample_rows
    >>> A = np.random.default_rng(0).standard_normal((1000, 3))
    >>> sample = sample_rows(A, 100, p=1, scheme="fixed", rng=0)
    >>> sample.apply(A).shape
    (100, 3)

    Choose the size for a given error:

    >>> sample = sample_rows(A, p=1, eps=0.3, scheme="fixed", rng=0)
    >>> len(sample)
    151
    >>> x = [1.0, -2.0, 0.5]
    >>> bool(abs(np.abs(sample.apply(A) @ x).sum() / np.abs(A @ x).sum() - 1) < 0.3)
    True
    """
    tall = open_tall(A, finite=True)
    p, size, eps = _as_options(tall.n, size, p, eps, scores, scheme)
    key, order_key, sketch_key = draw_keys(rng, 3)  # decisions, order of rows, sketch of scores
    rough = size is not None  # a size for `eps` follows from the sum of the scores
    u, part, kind = _resolve(tall, p, scores, generator_from_key(sketch_key), rough)
    if size is None:
        total, n_positive = tall.compute(part.sum(), (u > 0.0).sum())
        _require_a_row(n_positive > 0, scores)
        wanted = size_for(eps, p, tall.d, kind, float(total))  # rows, from the theorems
        size = rounded_size(wanted, int(n_positive))
    if scheme == "poisson":
        indices, probabilities = draw_poisson(tall, u, size, key)
        _require_a_row(len(indices) > 0 or bool(tall.compute((u > 0.0).any())), scores)
        weights = 1.0 / probabilities  # unbiased (Horvitz and Thompson)
    else:  # computes one number a row
        u = np.asarray(tall.compute(u))
        _require_a_row(bool(u.any()), scores)
        indices, weights, probabilities = _draw(u, size, scheme, key, order_key)
    return RowSample(
        read_only(indices), read_only(weights), read_only(probabilities), p, tall.n, scheme
    )


def _as_options(
    n: int, size: Any, p: Any, eps: Any, scores: Any, scheme: Any
) -> tuple[float, int | None, Any]:
    """Validated p, size and eps, one of them None; also checks the scheme."""
    if p is None:
        p = scores.p if isinstance(scores, Scores) else 2.0
    p = as_power(p)
    if size is None and eps is None:
        raise ValueError(
            "size (the number of rows) or eps (the relative error of norms) must be given, got "
            "neither: for example size=200 or eps=0.5"
        )
    if size is not None and eps is not None:
        raise ValueError(f"size or eps must be given, not both, got size={size} and eps={eps}")
    if size is not None:
        size = as_count(size, "size", maximum=n, note=", the number of rows of A")
    else:
        eps = as_number(eps, "eps", low=0.0, high=1.0, closed="neither")
        if isinstance(scores, Scores) and scores.p != p:
            raise ValueError(
                f"p must be {scores.p:g}, the power of the scores, if eps is given, got {p:g}"
            )
    as_choice(scheme, "scheme", ("poisson", "fixed", "replacement"))
    return p, size, eps


def _draw(
    u: Array, size: int, scheme: str, key: np.uint64, order_key: np.uint64
) -> tuple[NDArray[np.int64], Array, Array]:
    """Rows, weights and probabilities for the schemes that need all scores at once."""
    if scheme == "replacement":
        indices, counts, expected = with_replacement(u, size, key)
        return indices, counts / expected, expected  # unbiased (Hansen and Hurwitz)
    pi = inclusion_probabilities(u, size)
    indices = systematic(pi, size, key, order_key)
    return indices, 1.0 / pi[indices], pi[indices]  # as for independent decisions


def _resolve(
    tall: TallMatrix, p: float, scores: Any, rng: Any, rough: bool
) -> tuple[Any, Any, str]:
    """The scores as non-negative numbers, the scores that determine the size, and their kind."""
    if isinstance(scores, str):
        kind = kind_of(scores, p)
        if kind == "uniform":
            u = tall.ones()
        elif p > LARGEST_POWER and kind != "leverage":
            raise ValueError(
                f"p must be at most {LARGEST_POWER:g} for scores={scores!r}, got {p:g}: scores of "
                "most rows would be zero; use scores='leverage' or scores for a smaller p"
            )
        else:
            u = named_scores(tall, p, kind, rng, rough=rough)
        if isinstance(u, tuple):  # leverage scores, sensitivities
            return u[0] + u[1], u[1], kind
        return u, u, kind
    kind = scores.kind.split("-")[0] if isinstance(scores, Scores) else "array"
    u = tall.vector(scores.values if isinstance(scores, Scores) else scores, "scores")
    return u, u, kind


def _require_a_row(is_positive: bool, scores: Any) -> None:
    """Raise ValueError if no score is positive, in the user's scores or for this A."""
    if is_positive:
        return
    if isinstance(scores, str):
        raise ValueError("A must have a nonzero row, got only zeros")
    raise ValueError("scores must have a positive sum, got only zeros")


def kind_of(name: str, p: float) -> str:
    """The kind of scores that a name denotes."""
    as_choice(name, "scores", _NAMES)
    return name if name != "auto" else ("leverage" if p == 2.0 else "lewis")


def named_scores(tall: TallMatrix, p: float, name: str, rng: Any, *, rough: bool = True) -> Any:
    """Scores by name; "sensitivity+leverage" as a pair to be added.

    The scores of a Dask array are the same function as for an array in memory. With ``rough``,
    sensitivities are accurate only up to a constant factor.
    """
    if name == "lewis":
        return sampling_weights(tall, p, _LEWIS_RTOL)
    if name == "sensitivity":
        return sampling_sensitivities(tall, p, rng, rough=rough)
    tau = leverage(copy(tall), rng=rng).values
    if name == "leverage":
        return tau
    if name == "root-leverage":  # for p <= 2 an upper bound of the sensitivity
        unit = 1.0 if p <= 2.0 else tall.compute(tau.max()) or 1.0  # not all may underflow
        return (tau / unit) ** (0.5 * p)
    assert name == "sensitivity+leverage", name
    return tau, sampling_sensitivities(tall, p, rng, rough=rough)


def rounded_size(wanted: float, n_positive: int) -> int:
    """The number of rows, at most the number with a positive score."""
    # Sums of scores are often integers up to rounding, which must not decide about a row.
    return min(math.ceil((1.0 - 1e-5) * wanted), n_positive)


def size_for(eps: float, p: float, d: int, kind: str, total: float) -> float:
    """Number of rows with which samples by these scores kept all norms within 1 -+ eps in 90%.

    The form follows the theorems, with a constant instead of the logarithms: the largest value seen
    on matrices with 8 columns (``benchmarks/sampling/sizes.py``). The number also suffices for d
    groups of equal rows, whose shares in the sample are independent: each must be within eps.
    """
    worst = float(d) ** max(1.0, 0.5 * p)  # no scores need more rows, up to logarithms
    if kind == "sensitivity":
        form = d ** (1.0 - 0.5 * p) * total if p < 2.0 else total ** (2.0 - 2.0 / p)
    elif kind == "sensitivity+leverage" and p > 2.0:
        form = min(worst, d ** (2.0 / p) * total ** (2.0 - 4.0 / p))
    elif kind in ("lewis", "sensitivity+leverage") or (kind == "leverage" and p == 2.0):
        form = worst
    else:
        raise ValueError(
            "eps must be left out with these scores, for which it determines no size, got "
            f"eps={eps:g} with scores of kind {kind!r}: give size, or use Lewis weights, "
            "sensitivities, or leverage scores with p=2"
        )
    quantile = NormalDist().inv_cdf(1.0 - 0.05 / d)  # union bound over d groups
    return float(max(np.interp(p, *_CALIBRATION) ** 2 * form, quantile**2 * d) / eps**2)

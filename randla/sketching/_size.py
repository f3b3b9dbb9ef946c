"""How many rows a sketch needs for an error of eps in every coefficient."""

from __future__ import annotations

import math
from bisect import bisect_left

from randla._validation import as_count, as_number
from randla.sketching._inference import simultaneous_t
from randla.sketching._operators import UNBOUNDED

# Bonferroni's inequality has no slack for independent coefficients, and the tails of an SRHT are
# a little heavier than normal: with factor 1.00, up to 6% of draws failed at delta = 5%.
_MARGIN = 1.05


def sketch_size(d: int, *, eps: float, delta: float = 0.05, n: int | None = None) -> int:
    r"""Compute the number of rows of a sketch that bounds the error of every coefficient.

    The smallest m for which, with probability at least :math:`1 - \delta`, every coefficient of
    :math:`x' = \arg\min |S(Ax - b)|` satisfies

    .. math:: |x'_j - x^*_j| \le \frac{\epsilon}{\sqrt d}\, |Ax^* - b|_2 \sqrt{G_{jj}},
              \qquad G = (A^T A)^{-1}, \quad \sqrt{G_{jj}} \le |A^+|_2.

    For a Gaussian sketch, the error of a coefficient over :math:`|r| \sqrt{G_{jj}/(m - d + 1)}` has
    Student's t law with m - d + 1 degrees of freedom, exactly. With Bonferroni over d coefficients,
    and a margin of 5 percent of `eps` for sketches with heavier tails, m is about
    :math:`d + 1.1\, d z^2 / \epsilon^2` for `eps` up to 1, z the normal quantile of a tail of
    :math:`\delta/(2d)`, so that :math:`z^2 \le 2 \ln(d/\delta)`. With `n` rows, sampled without
    replacement from N = n padded to a power of two as in `SRHT`, the variance is smaller by
    :math:`(N - m)/(N - d)`, and so is m. The theorem [1]_ has the third power of the logarithm;
    with the first power, measured failure rates are below `delta`.

    Parameters
    ----------
    d : int
        Number of columns of A.
    eps : float
        Positive. For ``eps > 1`` the result is at least :math:`d (1 + \ln(d/\delta))`, as a smaller
        sketch can lose rank.
    delta : float
        Probability of failure, in (0, 1).
    n : int, optional
        Number of rows of A, for an exact `SRHT`. The result is at most n.

    Returns
    -------
    m : int
        Number of rows of the sketch.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    See Also
    --------
    lstsq : least squares with ``eps=``.

    References
    ----------
    .. [1] Song, Ye, Yin and Zhang, "A nearly-optimal bound for fast regression with l_inf
       guarantee", ICML (2023), arXiv:2302.00248.

    Examples
    --------
    >>> from randla import sketch_size
    >>> sketch_size(32, eps=0.5)
    1449
    >>> sketch_size(32, eps=0.5, n=4096)
    1084
    """
    d = as_count(d, "d")
    eps = as_number(eps, "eps", low=0.0, closed="neither")
    delta = as_number(delta, "delta", low=0.0, high=1.0, closed="neither")
    if n is None:
        m = required_rows(d, eps, delta, None)
        if m >= UNBOUNDED:
            raise ValueError(f"eps must be large enough for fewer than 2^62 rows, got {eps:g}")
        return m
    n = as_count(n, "n")
    return min(n, required_rows(d, eps, delta, 1 << (n - 1).bit_length()))  # N: n padded


def required_rows(d: int, eps: float, delta: float, population: int | None) -> int:
    """Rows for a sketch that draws its rows from `population`, or from infinitely many (None).

    At most the population, or `UNBOUNDED`; not capped by the number of rows of A.
    """
    low = d + math.ceil(d * math.log(d / delta))  # with fewer an SRHT can lose rank
    if population is not None and low >= population:
        return population

    def is_enough(m: int) -> bool:
        """Whether sqrt(d) times the simultaneous bound over |r| sqrt(G_jj) is at most eps."""
        if population is not None and m >= population:  # all rows of an orthogonal matrix are kept
            return True
        df = m - d + 1  # degrees of freedom of the exact law of an error over |r| sqrt(G_jj / df)
        # Sampling without replacement: the finite-population correction (N - m)/(N - d).
        fraction = 1.0 if population is None else (population - m) / (population - d)
        error = simultaneous_t(delta, d, df) * math.sqrt(d * fraction / df)
        return _MARGIN * error <= eps

    if is_enough(low):
        return low
    high = 2 * low
    while high < UNBOUNDED and not is_enough(high):
        low, high = high, 2 * high
    if high >= UNBOUNDED:
        return UNBOUNDED
    return low + bisect_left(range(low, high), True, key=is_enough)  # the error falls with m

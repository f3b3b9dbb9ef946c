"""Errors of particle filters: from the genealogy of one run, or from the spread of several.

With N in proportion to T, log Zhat is about N(log Z - V / 2, V) (Bérard, Del Moral and Doucet):
intervals of log Z undo that bias.

Sources: Bérard, Del Moral and Doucet, "A lognormal central limit theorem for particle
approximations of normalizing constants", Electron. J. Probab. 19 (2014), no. 94; Krishnamoorthy and
Mathew, "Inferences on the means of lognormal distributions using generalized p-values and
generalized confidence intervals", J. Statist. Plann. Inference 115 (2003), 103-121.
"""

import math
from functools import lru_cache

import numpy as np

from randla._results import RandlaWarning, t_of_tail, warn_caller
from randla._typing import Array
from randla._validation import as_level

# Over 304 models these refused 5 to 10% of the usable runs of one filter and kept few others.
_LEAST_ESS, _FEWEST_PARTICLES = 5.0, 20
# Standard deviation of the runs' log Zhat above which no interval is valid.
_LARGEST_SPREAD = 4.0
_MOST_SUGGESTED = 10**7
_N_POINTS = 2000  # quantiles of chi^2 that represent its law


class DegenerateFilterWarning(RandlaWarning):
    """Few particles carry the weight: the error of a log-likelihood is large or unknown.

    Issued by `particle_filter`, `OnlineFilter` and `maximum_likelihood`; the message suggests a
    number of particles.
    """


def lagged_variance(variances: Array) -> float:
    """The largest V^(l) of the lags l >= 2, with the noise that is not forgotten sooner."""
    return float(variances[min(2, len(variances) - 1) :].max())


def error_of_run(
    variances: Array, n_times: int, least_ess: float, t: int, n: int, *, seen: bool
) -> tuple[float, int]:
    """Standard error of log Zhat from the V^(l) of one run, NaN if it is unreliable.

    The effective sample size has its minimum at time `t`; `seen` tells whether there was any
    observation. Also returns the suggested number of particles: for V = 1 and a least effective
    sample size of 10, both proportional to N.
    """
    variance = lagged_variance(variances[:n_times])
    if not seen:  # nothing was weighed: Zhat = 1
        return 0.0, n
    for_ess = min(math.ceil(10 * n / least_ess), _MOST_SUGGESTED)
    # Differences of numbers up to 1, one for each time: smaller than that is rounding.
    none_seen = n_times > 1 and variance <= 1e-15 * n_times
    if least_ess >= _LEAST_ESS and n >= _FEWEST_PARTICLES and not none_seen:
        return math.sqrt(max(variance, 0.0)), max(math.ceil(n * variance), for_ess)
    reason = (
        f"the effective sample size falls to {least_ess:.1f} at t = {t}"
        if least_ess < _LEAST_ESS
        else "the genealogy shows no variance" if n >= _FEWEST_PARTICLES
        else f"n_particles = {n} is below {_FEWEST_PARTICLES}"
    )  # fmt: skip
    warn_caller(
        f"{reason}, so that the error of log_likelihood cannot be estimated from one run: it is "
        f"NaN. Use a proposal that depends on the observation, more particles (n_particles="
        f"{max(for_ess, _FEWEST_PARTICLES)} at least), or n_runs=8",
        DegenerateFilterWarning,
    )
    return math.nan, max(for_ess, _FEWEST_PARTICLES)


def worst_time(increments: Array) -> int:
    """The time at which most of the differences between runs arise.

    `increments` (R, T) are -inf from the time on at which all particles of a run had weight zero:
    then it is the first such time.
    """
    dead = np.isneginf(increments).any(axis=0)
    return int(dead.argmax() if dead.any() else np.ptp(increments, axis=0).argmax())


def error_of_runs(logs: Array, t: int, n: int) -> tuple[float, int]:
    """Standard error of the log of the mean of Zhat, from the logs (R,) of independent runs.

    NaN if the runs differ so much that they do not determine it; `t` is their `worst_time`.
    """
    dead = np.isneginf(logs)
    if dead.any():
        suggested = min(10 * n, _MOST_SUGGESTED)
        _warn_spread(f"no particle survived t = {t} in {dead.sum()} of {len(logs)} runs", suggested)
        return math.nan, suggested
    spread = float(np.hypot.reduce(logs - logs.mean())) / math.sqrt(len(logs) - 1)  # no overflow
    suggested = max(math.ceil(min(n * spread * spread, _MOST_SUGGESTED)), 2)
    if spread > _LARGEST_SPREAD:
        _warn_spread(
            f"log Zhat has a standard deviation of {spread:.1f} between the runs, most of it from "
            f"t = {t}",
            suggested,
        )
        return math.nan, suggested
    # Of m + s^2 / 2, for normal logarithms.
    return math.sqrt(spread**2 / len(logs) + spread**4 / (2 * (len(logs) - 1))), suggested


def _warn_spread(reason: str, suggested: int) -> None:
    warn_caller(
        f"{reason}: the log-likelihood is not determined and its error is NaN. Use a proposal that "
        f"depends on the observation, or more particles (n_particles={suggested} at least)",
        DegenerateFilterWarning,
    )


def run_interval(log_z: float, error: float, least_ess: float, level: float) -> tuple[float, float]:
    """Interval of log Z from one run: Student t with the sample size of the worst time."""
    half = float(t_of_tail(0.5 * (1.0 - as_level(level)), max(least_ess - 1.0, 1.0))) * error
    center = log_z + 0.5 * error**2
    return center - half, center + half


def pivot_interval(logs: Array, level: float) -> tuple[float, float]:
    r"""Interval of log E[Zhat] from log-normal Zhat with logarithms `logs` (R,).

    Quantiles of the generalized pivot of m + s^2 / 2 (Krishnamoorthy and Mathew),

        G = m - Z s sqrt((R - 1) / (R U)) + s^2 (R - 1) / (2 U),    Z ~ N(0, 1), U ~ chi^2_{R-1}.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    tail = 0.5 * (1.0 - as_level(level))
    n, m, s = len(logs), float(logs.mean()), float(logs.std(ddof=1))
    if s == 0.0:
        return m, m
    ratio = (n - 1) / _chi_square_points(n - 1)
    scale, center = s * np.sqrt(ratio / n), 0.5 * s**2 * ratio  # of G - m, given U
    ends = float((center - 9 * scale).min()), float((center + 9 * scale).max())

    def quantile(p: float) -> float:  # P(G - m <= x) = E Phi((x - center) / scale), over U
        return m + float(brentq(lambda x: ndtr((x - center) / scale).mean() - p, *ends))

    return quantile(tail), quantile(1.0 - tail)


@lru_cache(maxsize=32)
def _chi_square_points(degrees_of_freedom: int) -> Array:
    """Quantiles of chi^2 at the midpoints of equal parts of (0, 1)."""
    from scipy.special import gammaincinv

    midpoints = (np.arange(_N_POINTS) + 0.5) / _N_POINTS
    points: Array = 2.0 * gammaincinv(0.5 * degrees_of_freedom, midpoints)
    return points

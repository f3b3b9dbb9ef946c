"""Diagnostics of Markov chains: R-hat, effective sample sizes, Monte Carlo errors.

Draws are arrays (n_chains, n_draws, ...); every function gives one number for each of the other
axes. Ranks are taken over all chains, and each chain is cut into two halves, so that a drift is a
difference between chains.

Source: Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and
localization: an improved R-hat for assessing convergence of MCMC", Bayesian Anal. 16 (2021),
667-718.
"""

from collections.abc import Callable
from functools import wraps

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft
from scipy.special import betaincinv, ndtri

from randla._typing import Array
from randla._validation import as_quantile_levels

#: Half-chains shorter than this have no meaningful autocovariances.
LEAST_DRAWS = 4
_ONE_SD = (0.1586553, 0.8413447)  # probabilities of a normal law at one standard deviation


def _of_enough(function: Callable[..., Array]) -> Callable[..., Array]:
    """NaN if the half-chains are too short."""

    @wraps(function)
    def checked(draws: Array, *arguments: float) -> Array:
        if draws.shape[1] < 2 * LEAST_DRAWS:
            return np.full(draws.shape[2:], np.nan)
        return function(draws, *arguments)

    return checked


@_of_enough
def r_hat(draws: Array) -> Array:
    """Rank-normalized split R-hat, or that of the folded draws if it is larger."""
    halves = _split(_columns(draws))
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))  # detects scales that differ
    return _shaped(np.maximum(_r_hat(_ranked(halves)), _r_hat(_ranked(folded))), draws)


@_of_enough
def ess_bulk(draws: Array) -> Array:
    """Effective sample size of the rank-normalized draws."""
    return _shaped(_ess(_ranked(_split(_columns(draws)))), draws)


def ess_tail(draws: Array) -> Array:
    """The smaller of the effective sample sizes of the quantiles 0.05 and 0.95."""
    return np.minimum(*(ess_quantile(draws, p) for p in (0.05, 0.95)))


@_of_enough
def ess_mean(draws: Array) -> Array:
    """Effective sample size of the mean."""
    return _shaped(_ess(_split(_columns(draws))), draws)


@_of_enough
def ess_quantile(draws: Array, probability: float) -> Array:
    """Effective sample size of a quantile: that of the fraction of the draws below it."""
    columns = _columns(draws)
    below = columns <= np.quantile(columns, probability, axis=(0, 1))
    return _shaped(_ess(_split(below.astype(float))), draws)


@_of_enough
def mcse_mean(draws: Array) -> Array:
    """Monte Carlo standard error of the mean of all draws."""
    return draws.std(axis=(0, 1), ddof=1) / np.sqrt(ess_mean(draws))


@_of_enough
def mcse_quantile(draws: Array, probability: float) -> Array:
    """Monte Carlo standard error of a quantile.

    The rank of a quantile among S independent draws has a Beta law; half the distance between the
    order statistics one standard deviation apart, with the effective number of draws for S.
    """
    columns = _columns(draws)
    ess = np.reshape(ess_quantile(draws, probability), -1)
    ordered = np.sort(columns.reshape(-1, columns.shape[-1]), axis=0)
    size, ends = len(ordered), []
    for p, rounded in zip(_ONE_SD, (np.floor, np.ceil), strict=True):
        rank = betaincinv(ess * probability + 1, ess * (1 - probability) + 1, p) * size - 1
        place = np.clip(np.nan_to_num(rounded(rank)), 0, size - 1).astype(int)
        ends.append(np.take_along_axis(ordered, place[None], axis=0)[0])
    return _shaped(0.5 * (ends[1] - ends[0]), draws)


def quantile_errors(draws: Array, q: ArrayLike) -> Array:
    """Monte Carlo standard errors of the quantiles `q`, in the shape of the quantiles."""
    values = as_quantile_levels(q)
    errors = [mcse_quantile(draws, float(p)) for p in values.flat]
    return np.reshape(errors, values.shape + draws.shape[2:])


def _columns(draws: Array) -> Array:
    """(n_chains, n_draws, m)."""
    return np.ascontiguousarray(draws, np.float64).reshape(*draws.shape[:2], -1)


def _shaped(numbers: Array, draws: Array) -> Array:
    return numbers.reshape(draws.shape[2:])


def _split(columns: Array) -> Array:
    """Each chain as two, its first half and its last; a middle draw is left out."""
    half = columns.shape[1] // 2
    return np.concatenate([columns[:, :half], columns[:, columns.shape[1] - half :]])


def _ranked(columns: Array) -> Array:
    """Normal scores of the ranks among all chains: Blom's (r - 3/8) / (S + 1/4)."""
    from scipy.stats import rankdata

    flat = columns.reshape(-1, columns.shape[-1])
    ranks = rankdata(flat, axis=0)  # ties share their mean rank
    return ndtri((ranks - 0.375) / (len(flat) + 0.25)).reshape(columns.shape)


def _r_hat(chains: Array) -> Array:
    """The classical ratio of the pooled variance to that within chains."""
    n = chains.shape[1]
    between = n * chains.mean(axis=1).var(axis=0, ddof=1)
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    constant = between + within <= 0.0  # nothing moved anywhere: nothing differs
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(constant, 1.0, between / within)
    return np.sqrt((ratio + n - 1) / n)


def _ess(chains: Array) -> Array:
    """Effective sample sizes (m,) by Geyer's initial monotone sequence over all chains."""
    n_chains, n, m = chains.shape
    centered = chains - chains.mean(axis=1, keepdims=True)
    size = fft.next_fast_len(2 * n, real=True)  # padded: no wrap
    power = np.abs(fft.rfft(centered, size, axis=1)) ** 2
    autocovariance = fft.irfft(power, size, axis=1)[:, :n].mean(axis=0) / n  # (n, m)
    between = chains.mean(axis=1).var(axis=0, ddof=1)  # there are two half-chains at least
    within = autocovariance[0] * n / (n - 1)
    pooled = autocovariance[0] + between
    constant = np.ptp(chains, axis=(0, 1)) < 1e-15
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1.0 - (within - autocovariance) / pooled
    correlation[0] = 1.0
    return np.array([
        float(n_chains * n) if constant[k] else _size_of(correlation[:, k], n_chains * n)
        for k in range(m)
    ])  # fmt: skip


def _size_of(correlation: Array, total: int) -> float:
    """Effective size of `total` draws from their autocorrelations."""
    n_pairs = (len(correlation) - 1) // 2
    pairs = correlation[: 2 * n_pairs].reshape(-1, 2).sum(axis=1)
    # For a reversible chain the sums of pairs are positive and fall: from the first one that is
    # not on they are noise.
    stop = min(int(np.argmax(np.append(~(pairs > 0.0), True))), n_pairs - 1)
    time = -1.0 + 2.0 * np.minimum.accumulate(pairs[:stop]).sum()
    last = correlation[2 * stop]  # what the pair at the stop began with
    time += last if last > 0.0 or pairs[stop] >= 0.0 else 0.0
    return total / max(time, 1.0 / np.log10(total))  # antithetic chains: no more than that

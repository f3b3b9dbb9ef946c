"""The result of the smoothers, and the diagnostics of their chains."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from randla._results import RandlaWarning, t_interval, t_of_tail, warn_caller
from randla._typing import Array
from randla._validation import as_flag, as_quantile_levels
from randla.smoothing._model.plot import plot_band
from randla.smoothing._model.several import (
    SeriesResult,
    root_of_squares,
    stacked,
    total,
)
from randla.smoothing._particles.problem import SmoothingProblem

# Below it, over times and chains, the bias of paris and ffbs often exceeded one standard error.
_LEAST_ESS = 5.0


class BurnInWarning(RandlaWarning):
    """The burn-in may have been too short.

    Issued by `ppg` and `particle_gibbs`; see `SmoothingResult.suggested_burn_in`.
    """


class BiasWarning(RandlaWarning):
    """Few particles carry all of the weight: the bias may exceed the standard error.

    Issued by `paris` and `ffbs`. More particles reduce the bias, and `ppg` removes most of it.
    """


@dataclass(frozen=True, eq=False, repr=False)
class SmoothingResult(SeriesResult):
    """A smoothed expectation with its Monte Carlo error.

    The result of `ppg`, `paris`, `ffbs` and `particle_gibbs`.

    Attributes
    ----------
    estimate : (p,) ndarray or None
        Mean over the chains; None if no functional was given.
    standard_error : (p,) ndarray or None
        The algorithm's error, given the data: the spread of the chains over the square root of
        their number. It does not include a bias that all chains share. None with one chain.
    per_chain : (n_chains, p) ndarray or None
        The estimates of the chains, which are independent.
    per_iteration : (n_chains, n_iterations, p) ndarray or None
        The estimate of each sweep (`ppg`), or the functional of each path (`particle_gibbs`).
    start : (n_chains, p) ndarray or None
        Estimates of the unconditional sweeps that start the chains; not in the average.
    update_rate : (T,) ndarray or None
        Fraction of sweeps, over all chains, in which the path changed at time t.
    burn_in : int or None
        Number of sweeps left out of the average.
    bias_bound : (p,) ndarray or None
        Bound on the bias of `estimate`, up to the noise of the chains: for `paris` and `ffbs` with
        two chains or more.
    log_likelihood : float
        Logarithm of the mean, over the chains, of unbiased estimates of the likelihood.
    log_likelihood_per_chain : (n_chains,) ndarray
        Logarithms of these estimates.
    paths : (n_chains, n_paths, T, d) ndarray or None
        The drawn paths, all of equal weight; d = 1 for a scalar model. `mean` and `quantile` leave
        out the first `burn_in` of each chain.
    n_particles : int
        Particles of each sweep.
    backward : str
        The way in which backward indices were drawn.
    series : tuple of SmoothingResult
        The results of several series, of which this is the total, with their times one below the
        other; empty for one series.
    """

    estimate: Array | None
    standard_error: Array | None
    per_chain: Array | None
    per_iteration: Array | None
    start: Array | None
    update_rate: Array | None
    burn_in: int | None
    bias_bound: Array | None
    log_likelihood: float
    log_likelihood_per_chain: Array
    paths: Array | None
    n_particles: int
    backward: str

    _shown: ClassVar[tuple[str, ...]] = (
        "estimate", "standard_error", "n_chains", "n_particles", "backward", "burn_in",
        "suggested_burn_in", "log_likelihood",
    )  # fmt: skip

    _combine: ClassVar[Any] = {
        **dict.fromkeys(
            (
                "estimate", "per_chain", "per_iteration", "start", "bias_bound", "log_likelihood",
                "log_likelihood_per_chain",
            ),
            total,
        ),
        "standard_error": root_of_squares,
        "update_rate": stacked,
        "paths": lambda values: np.concatenate(values, axis=2),
    }  # fmt: skip

    @classmethod
    def of(
        cls,
        per_chain: Array | None,
        log_likelihoods: ArrayLike,
        problem: SmoothingProblem,
        *,
        paths: list[Array] | None = None,
        n_starts: int | None = None,
        identity: bool = False,
        **fields: Any,
    ) -> "SmoothingResult":
        """Make the result of independent chains from their estimates (n_chains, p) and paths.

        `n_starts` is the number of filters that were run until one survived in each of R chains.
        The mean of the survivors' likelihoods is then multiplied by (R - 1) / (n_starts - 1),
        Haldane's unbiased estimate of the survival probability. `identity` means that E[Zhat
        estimate] = Z times the expectation, in each chain.
        """
        stacked = estimate = error = bias_bound = None
        if paths is not None:
            shape = (len(paths), *paths[0].shape[:2], problem.model.dim or 1)
            stacked = np.array(paths).reshape(shape)
        if per_chain is not None:
            estimate = per_chain.mean(axis=0)
            if len(per_chain) > 1:  # the chains are independent
                error = per_chain.std(axis=0, ddof=1) / math.sqrt(len(per_chain))
        logs = np.asarray(log_likelihoods, dtype=float)
        if identity and per_chain is not None and len(per_chain) > 1:
            bias_bound = bound_on_bias(per_chain, logs)
        # Log of the mean likelihood: that one is unbiased, not the mean of the logarithms.
        log_likelihood = float(np.logaddexp.reduce(logs)) - math.log(logs.size)
        if n_starts is not None and n_starts > logs.size:
            share = (logs.size - 1) / (n_starts - 1)
            log_likelihood += math.log(share) if share > 0.0 else -math.inf
        empty = dict.fromkeys(("per_iteration", "start", "update_rate", "burn_in"))
        return cls(
            estimate=estimate,
            standard_error=error,
            per_chain=per_chain,
            bias_bound=bias_bound,
            log_likelihood=log_likelihood,
            log_likelihood_per_chain=logs,
            n_particles=problem.n_particles,
            backward="all particles" if problem.n_backward is None else problem.backward,
            paths=stacked,
            **{**empty, **fields},
        )

    @property
    def n_chains(self) -> int:
        """Number of independent chains."""
        source = self.per_chain if self.per_chain is not None else self.paths
        return 0 if source is None else len(source)

    def confidence_interval(
        self, level: float = 0.95, *, include_bias: bool = False
    ) -> tuple[Array, Array]:
        """Student t intervals from the spread of the chains, component by component.

        Unless `include_bias` is set they do not account for a bias that all chains share, see
        `burn_in` of `ppg`.

        Parameters
        ----------
        level : float, optional
            Coverage of each interval, between 0 and 1.
        include_bias : bool, optional
            Add `bias_bound` on both sides. It is large if the log-likelihoods of the chains have a
            standard deviation above 1, and uninformative above 2.

        Returns
        -------
        low, high : (p,) ndarrays

        Raises
        ------
        ValueError
            If there is only one chain, or no functional, or no bound on the bias.
        """
        include_bias = as_flag(include_bias, "include_bias")
        if self.estimate is None:
            raise ValueError("functional must be given for an interval, got None")
        if self.standard_error is None:
            raise ValueError("n_chains must be at least 2 for an interval, got 1")
        low, high = t_interval(self.estimate, self.standard_error, self.n_chains - 1, level)
        if not include_bias:
            return low, high
        if self.bias_bound is None:
            raise ValueError("include_bias=True needs a bias_bound, as of paris or ffbs, got None")
        return low - self.bias_bound, high + self.bias_bound

    @property
    def r_hat(self) -> Array | None:
        """Split R-hat of the sweeps after the burn-in, component by component.

        The ratio of the pooled standard deviation to that within half chains: near 1 if the chains
        agree. None with fewer than four sweeps. (Gelman, Carlin, Stern, Dunson, Vehtari and Rubin,
        "Bayesian data analysis", 3rd edition, CRC Press (2013), chapter 11.)
        """
        if self.per_iteration is None:
            return None
        draws = self.per_iteration[:, self.burn_in or 0 :]
        half = draws.shape[1] // 2
        if half < 2:
            return None
        halves = np.concatenate([draws[:, :half], draws[:, -half:]])
        within = halves.var(axis=1, ddof=1).mean(axis=0)  # W
        between = halves.mean(axis=1).var(axis=0, ddof=1)  # B / half
        pooled = within * (half - 1) / half + between  # var^+ of BDA3, equation 11.3
        constant = pooled <= 0.0  # all draws are equal; inf if only those of each chain are
        with np.errstate(divide="ignore"):
            return np.sqrt(np.where(constant, 1.0, pooled) / np.where(constant, 1.0, within))

    @property
    def suggested_burn_in(self) -> int | None:
        """Number of sweeps after which 95% of the start is forgotten at the slowest time.

        log(0.05) / log(1 - u) with u the smallest update rate: a rule of thumb, since the bias at a
        time falls about as fast as the path there is renewed. An observed rate of zero counts as
        half a renewal among all sweeps.
        """
        if self.update_rate is None:
            return None
        paths = self.paths if self.paths is not None else self.per_iteration
        n_sweeps = 1 if paths is None else paths.shape[0] * paths.shape[1]
        slowest = max(float(self.update_rate.min()), 0.5 / n_sweeps)
        # (1 - u)^k <= 0.05.
        return 1 if slowest >= 0.95 else math.ceil(math.log(0.05) / math.log1p(-slowest))

    @property
    def mean(self) -> Array:
        """Smoothed means of the states (T, d), averages over the paths."""
        return self._paths().mean(axis=(0, 1))

    def quantile(self, q: ArrayLike) -> Array:
        """Smoothed quantiles of the states, from the paths.

        Parameters
        ----------
        q : float or (m,) array_like
            Probabilities in [0, 1].

        Returns
        -------
        quantiles : (T, d) or (m, T, d) ndarray

        Raises
        ------
        ValueError
            If no paths were drawn, or `q` is outside [0, 1].
        """
        return np.quantile(self._paths(), as_quantile_levels(q), axis=(0, 1))

    def plot(self, ax: Any = None) -> Any:
        """Plot the smoothed means of the states with 90% bands (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes

        Raises
        ------
        ValueError
            If no paths were drawn.
        """
        low, high = self.quantile([0.05, 0.95])
        return plot_band(ax, self.mean, low, high)

    def _paths(self) -> Array:
        if self.paths is None:
            raise ValueError(
                "paths are drawn by ppg, particle_gibbs and ffbs, not by paris: without them there "
                "is no mean, quantile or plot of the states"
            )
        return self.paths[:, self.burn_in or 0 :]


def bound_on_bias(per_chain: Array, logs: Array) -> Array:
    """Bound on the bias of the estimates (R, p) of chains with log-likelihoods (R,).

    E[Zhat est] = Z h gives bias = -Cov(Zhat / Z, est), so that |bias| <= cv(Zhat) sd(est) by the
    inequality of Cauchy and Schwarz; cv^2 = exp(s^2) - 1 for a log-normal Zhat. The standard
    deviation is that of one chain: the mean of R chains has the same bias.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # inf, and NaN for 0 * inf
        bound: Array = np.sqrt(np.expm1(logs.var(ddof=1))) * per_chain.std(axis=0, ddof=1)
    return bound


def warn_if_degenerate(ess: list[Array], problem: SmoothingProblem) -> None:
    """Warn if the effective sample size of a chain (T,) is so low that the bias may be large."""
    least = np.min(ess, axis=0)  # (T,), over the chains
    t = int(least.argmin())
    if least[t] < _LEAST_ESS:
        suggested = math.ceil(2 * _LEAST_ESS * problem.n_particles / least[t])  # ESS grows like N
        warn_caller(
            f"the effective sample size falls to {least[t]:.1f} at t = {t}: the bias, which the "
            "standard error does not show, may exceed it. Use a proposal that depends on "
            f"the observation, or more particles (n_particles={suggested} or more), or ppg. A "
            "functional of distant times may still be accurate",
            BiasWarning,
        )


def warn_if_short(result: SmoothingResult) -> None:
    """Warn if the diagnostics of a `ppg` result indicate that the burn-in is too short."""
    suggested, burn_in = result.suggested_burn_in, result.burn_in or 0
    if suggested is not None and suggested > burn_in and result.update_rate is not None:
        slowest = int(result.update_rate.argmin())
        warn_caller(
            f"burn_in = {burn_in} is below the suggested {suggested}: at t = {slowest} a sweep "
            f"renews the path with rate {result.update_rate[slowest]:.2f}. Use more particles, a "
            "proposal that depends on the observation, or a longer burn-in",
            BurnInWarning,
        )
        return
    if result.per_iteration is None:
        return
    draws = result.per_iteration[:, burn_in:]
    half = draws.shape[1] // 2
    if half < 1 or len(draws) < 4:  # no spread to compare with
        return
    change = draws[:, -half:].mean(axis=1) - draws[:, :half].mean(axis=1)  # (n_chains, p)
    error = change.std(axis=0, ddof=1) / math.sqrt(len(change))
    # As unlikely as three standard errors of a normal, in any component.
    limit = t_of_tail(0.00135 / change.shape[1], len(change) - 1)
    drifts = np.abs(change.mean(axis=0)) > limit * error
    if drifts.any() and (error[drifts] > 0).all():
        warn_caller(
            f"the two halves of the sweeps after burn_in = {burn_in} differ by more than chance "
            f"(component {int(drifts.argmax())}): the chains still drift",
            BurnInWarning,
        )

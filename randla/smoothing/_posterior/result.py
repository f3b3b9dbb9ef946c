"""Draws from the posterior law of parameters, with their Monte Carlo errors, and forecasts."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from randla._results import RandlaWarning, Result, axes_or_new, warn_caller
from randla._typing import Array
from randla._validation import as_quantile_levels
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._posterior import diagnostics
from randla.smoothing._posterior.diagnostics import quantile_errors
from randla.smoothing._posterior.forecasts import ForecastResult, draw_futures

#: Above these the chains are unreliable (Vehtari et al. 2021, section 4).
_LARGEST_R_HAT, _LEAST_ESS, _LEAST_UPDATE_RATE = 1.01, 100.0, 0.05


class PosteriorWarning(RandlaWarning):
    """The chains do not agree, or their draws are worth too few independent ones.

    Issued by `posterior`; more iterations help in most cases.
    """


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorResult(Result):
    """Draws of p parameters from their posterior law: the result of `posterior`.

    `standard_error` and `quantile_standard_error` are the algorithm's errors, of the mean and the
    quantiles of the draws; the uncertainty about the parameters themselves is `sd`, `quantile`.

    Attributes
    ----------
    draws : (n_chains, n_kept, p) ndarray
        Parameters after the burn-in.
    names : tuple of str
        Their names.
    acceptance : (n_chains,) ndarray
        Acceptance rate of the proposals of parameters after the burn-in: of those given the path
        with ``method="particle"``, else of all.
    collapsed_acceptance : (n_chains,) ndarray or None
        Likewise for the moves that also renew the path ("particle").
    update_rate : (T,) ndarray or None
        Fraction of the sweeps after the burn-in, over all chains, in which the path changed at time
        t ("particle"); for several series one after another.
    paths : (n_chains, n_paths, T, d) ndarray or None
        Paths of the states, each drawn together with ``draws[:, i * thin]``; None with several
        series, and with ``method="exact"`` if they would take several megabytes.
    thin : int
        Number of draws from one of the `paths` to the next.
    method : str
        "exact", "particle" or "pmmh".
    n_particles : (n_chains,) ndarray of int or None
        Particles of the filters whose likelihoods were compared, at the center of the posterior;
        zero if there were none.
    period : (n_chains,) ndarray of int or None
        With "particle": iterations from one such comparison to the next.
    burn_in : int
        Number of discarded iterations.
    model : StateSpaceModel
        The given model.
    """

    draws: Array
    names: tuple[str, ...]
    acceptance: Array
    collapsed_acceptance: Array | None
    update_rate: Array | None
    paths: Array | None
    thin: int
    method: str
    n_particles: Array | None
    period: Array | None
    burn_in: int
    model: StateSpaceModel
    _y: Any = field(repr=False)
    _last_states: Array | None = field(repr=False)  # (n_chains, n_kept, d); None: drawn on demand

    _shown: ClassVar[tuple[str, ...]] = (
        "names", "mean", "sd", "standard_error", "r_hat", "ess_bulk", "method", "n_chains",
    )  # fmt: skip

    @property
    def n_chains(self) -> int:
        """Number of independent chains."""
        return len(self.draws)

    @cached_property
    def mean(self) -> Array:
        """Posterior means (p,)."""
        return self.draws.mean(axis=(0, 1))

    @cached_property
    def sd(self) -> Array:
        """Posterior standard deviations (p,)."""
        n = self.draws.shape[0] * self.draws.shape[1]
        return self.draws.std(axis=(0, 1)) * np.sqrt(n / (n - 1) if n > 1 else np.nan)

    @cached_property
    def standard_error(self) -> Array:
        """Monte Carlo standard error (p,) of `mean`: sd over the root of the effective size."""
        return diagnostics.mcse_mean(self.draws)

    @cached_property
    def r_hat(self) -> Array:
        """Rank-normalized split R-hat (p,), the larger one of plain and folded draws [1]_.

        Near 1 if the chains agree; above 1.01 they are too short.

        References
        ----------
        .. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and
           localization: an improved R-hat for assessing convergence of MCMC", Bayesian Anal. 16
           (2021), 667-718.
        """
        return diagnostics.r_hat(self.draws)

    @cached_property
    def ess_bulk(self) -> Array:
        """Number (p,) of independent draws with the same information about the middle."""
        return diagnostics.ess_bulk(self.draws)

    @cached_property
    def ess_tail(self) -> Array:
        """The same for the quantiles 0.05 and 0.95, the smaller of the two."""
        return diagnostics.ess_tail(self.draws)

    def quantile(self, q: ArrayLike) -> Array:
        """Posterior quantiles.

        Parameters
        ----------
        q : float or (m,) array_like
            Probabilities in [0, 1].

        Returns
        -------
        quantiles : (p,) or (m, p) ndarray
        """
        return np.quantile(self.draws, as_quantile_levels(q), axis=(0, 1))

    def quantile_standard_error(self, q: ArrayLike) -> Array:
        """Monte Carlo standard errors of `quantile`, by the Beta law of their ranks.

        Parameters
        ----------
        q : float or (m,) array_like
            Probabilities in [0, 1].

        Returns
        -------
        errors : (p,) or (m, p) ndarray
        """
        return quantile_errors(self.draws, q)

    def forecast(
        self, n: int, inputs: ArrayLike | None = None, *, rng: Any = None
    ) -> ForecastResult:
        """Draw future paths of the series, with the uncertainty of parameters and last state.

        For up to 2000 draws of the parameters, evenly spaced, one future path each, from a last
        state drawn with them.

        Parameters
        ----------
        n : int
            Times to look ahead.
        inputs : array_like, optional
            Inputs of the model at the last time and the `n` after it, as for
            `StateSpaceModel.forecast`.
        rng : {None, int, SeedSequence, Generator}, optional
            The same seed gives the same futures.

        Returns
        -------
        ForecastResult
            With ``mean``, ``standard_error``, ``quantile`` and ``quantile_standard_error`` of the
            observations, and the future paths themselves, ``states`` and ``observations``.

        Raises
        ------
        ValueError
            If the model has no `observe`.
        """
        return draw_futures(self, n, inputs, rng)

    def _model_at(self, c: int, k: int) -> StateSpaceModel:
        """The model with draw k of chain c."""
        theta = self.model.theta.copy()
        theta[[self.model.names.index(name) for name in self.names]] = self.draws[c, k]
        return self.model.replace(theta)

    def to_arviz(self) -> Any:
        """Return the draws in the format of ArviZ (needs arviz).

        Returns
        -------
        InferenceData, or DataTree from ArviZ 1.0 on
            A variable for each name, with the dimensions (chain, draw).
        """
        import arviz

        draws = {n: self.draws[..., k] for k, n in enumerate(self.names)}
        if int(arviz.__version__.split(".")[0]) < 1:
            return arviz.from_dict(posterior=draws)
        return arviz.from_dict({"posterior": draws})

    def plot(self, ax: Any = None, *, name: str | None = None) -> Any:
        """Plot the marginal distributions of the parameters, chain by chain (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes for the parameter `name` (by default the first); without them a new figure shows
            all parameters.
        name : str, optional
            Name of a parameter.

        Returns
        -------
        ax : matplotlib Axes, or an array of them
        """
        if name is not None and name not in self.names:
            raise ValueError(f"name must be one of {', '.join(self.names)}, got {name!r}")
        if ax is None and name is None and len(self.names) > 1:
            import matplotlib.pyplot as plt

            width = min(len(self.names), 3)
            rows = -(-len(self.names) // width)
            size = (3.2 * width, 2.4 * rows)
            figure, axes = plt.subplots(rows, width, figsize=size, squeeze=False, layout="tight")
            for one, each in zip(axes.flat, self.names, strict=False):
                self.plot(one, name=each)
            for one in axes.flat[len(self.names) :]:
                figure.delaxes(one)
            return axes
        ax, k = axes_or_new(ax), self.names.index(name or self.names[0])
        edges = np.histogram_bin_edges(self.draws[..., k], 30)
        for chain in self.draws[..., k]:
            ax.stairs(np.histogram(chain, edges, density=True)[0], edges)
        ax.set(xlabel=self.names[k], yticks=[])
        return ax


def warn_if_unreliable(result: PosteriorResult) -> None:
    """Warn if R-hat, the effective sample sizes or the update rates are inadequate."""
    worst, least = result.r_hat, np.minimum(result.ess_bulk, result.ess_tail)
    needed = _LEAST_ESS * result.n_chains
    more = "Use more iterations (n_iterations)"
    if not (worst <= _LARGEST_R_HAT).all():
        k = int(np.nan_to_num(worst, nan=np.inf).argmax())
        message = f"the chains do not agree: r_hat of {result.names[k]} is {worst[k]:.3f}. {more}"
        if np.isnan(worst[k]):
            message = f"the chains are too short to be compared. {more}"
    elif not (least >= needed).all():
        k = int(np.nan_to_num(least).argmin())
        message = (
            f"the draws of {result.names[k]} are worth {least[k]:.0f} independent ones, less than "
            f"100 a chain: quantiles in the tails are not well determined. {more}"
        )
    elif result.update_rate is not None and result.update_rate.min() < _LEAST_UPDATE_RATE:
        t = int(result.update_rate.argmin())
        message = (
            f"a sweep renews the path at t = {t} with rate {result.update_rate[t]:.3f} only. Use "
            "a proposal that depends on the observation, or more iterations (n_iterations)"
        )
    else:
        return
    warn_caller(message, PosteriorWarning)

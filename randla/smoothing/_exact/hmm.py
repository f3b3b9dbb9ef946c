"""Exact smoothing of hidden Markov models with finitely many states."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._typing import Array
from randla._validation import as_choice
from randla.smoothing._exact.kalman import Functional
from randla.smoothing._kernels.exact.hmm import forward_backward
from randla.smoothing._model.additive_functional import NAMES
from randla.smoothing._model.observations import as_symbols
from randla.smoothing._model.plot import plot_shares
from randla.smoothing._model.series import as_inputs
from randla.smoothing._model.several import (
    SeriesResult,
    over_series,
    stacked,
    total,
)
from randla.smoothing._models.discrete_hmm import DiscreteHMM

Tables = tuple[Array, Array, Array]  # mu (K,), P (K, K) and G (K, M)


@dataclass(frozen=True, eq=False, repr=False)
class HMMSmootherResult(SeriesResult):
    """Exact smoothing probabilities of a hidden Markov model: the result of `hmm_smoother`.

    For T times and K states.

    Attributes
    ----------
    probs : (T, K) ndarray
        Smoothed probabilities of the states, P(x_t = i | y).
    pair_probs : (T - 1, K, K) ndarray
        Smoothed probabilities of pairs, P(x_t = i, x_{t+1} = j | y).
    log_likelihood : float
        log P(y), over the observed entries of y.
    series : tuple of HMMSmootherResult
        The results of several series, of which this is the total, with their times one below the
        other; empty for one series.
    """

    probs: Array
    pair_probs: Array
    log_likelihood: float
    _tables: Tables = field(repr=False)
    _symbols: NDArray[np.int64] = field(repr=False)

    _shown: ClassVar[tuple[str, ...]] = ("probs", "pair_probs", "log_likelihood")

    _combine: ClassVar[Any] = {
        **dict.fromkeys(("probs", "pair_probs"), stacked),
        "log_likelihood": total,
    }

    @classmethod
    def of(cls, symbols: NDArray[np.int64], tables: Tables) -> "HMMSmootherResult":
        """Smooth validated symbols (T,), -1 where missing, by the forward-backward algorithm."""
        initial, transition, _ = tables
        n_steps, n_states = len(symbols), len(initial)
        # Filtered probabilities, in logarithms; smoothed probabilities of states and of pairs.
        log_alpha, probs = np.empty((n_steps, n_states)), np.empty((n_steps, n_states))
        pair_probs = np.empty((n_steps - 1, n_states, n_states))
        with np.errstate(divide="ignore"):
            log_initial, log_transition, log_emission = map(np.log, tables)
        value, time = forward_backward(
            symbols, log_initial, transition, log_transition, log_emission,
            log_alpha, probs, pair_probs,
        )  # fmt: skip
        if time >= 0:  # the kernel returns the time
            raise ValueError(
                f"y is impossible under the model: symbol {symbols[time]} at time {time} has "
                "probability zero given the earlier ones"
            )
        return cls(probs, pair_probs, value, tables, symbols)

    def plot(self, ax: Any = None) -> Any:
        """Plot the smoothed probabilities, stacked (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        return plot_shares(ax, self.probs)

    def expectation(self, functional: Functional) -> Array:
        """Exact smoothed expectation of an additive functional, given by name.

        Parameters
        ----------
        functional : {"state", "square", "lag_product", "score"}
            The sum over t of x_t, of x_t squared or of x_t x_{t+1}, with states 0..K-1; or the
            gradient of the log-likelihood in the parameters ``model.names``, each probability taken
            as free (that is, the expected number of its uses over the probability; zero for a
            probability that is zero and cannot be used).

        Returns
        -------
        (1,) ndarray, or (number of parameters,) ndarray for "score"
        """
        name = as_choice(functional, "functional", NAMES)
        if self.series:
            return total([result.expectation(name) for result in self.series])
        if name == "score":
            # Expected number of uses over the probability (Fisher's identity).
            ratios = [
                np.divide(n, p, out=np.zeros_like(p), where=p > 0).ravel()
                for n, p in zip(self.counts(), self._tables, strict=True)
            ]
            return np.concatenate(ratios)
        # E x_t x_{t+1} is a quadratic form in the pair probabilities, the others are sums of them.
        x = np.arange(self.probs.shape[1], dtype=np.float64)
        if name == "lag_product":
            return np.atleast_1d(x @ self.pair_probs.sum(0) @ x)
        return np.atleast_1d(self.probs.sum(0) @ (x if name == "state" else x * x))

    def counts(self) -> tuple[Array, Array, Array]:
        """Expected numbers of uses of the initial states, transitions and emissions.

        Returns
        -------
        initial, transitions, emissions : (K,), (K, K) and (K, M) ndarray
        """
        if self.series:
            starts, pairs, uses = zip(*(result.counts() for result in self.series), strict=True)
            return total(starts), total(pairs), total(uses)
        emissions = np.zeros_like(self._tables[2])
        seen = self._symbols >= 0  # -1 is missing
        # Column m of the table gets P(x_t = i | y) of the times at which the symbol is m.
        np.add.at(emissions.T, self._symbols[seen], self.probs[seen])
        return self.probs[0], self.pair_probs.sum(0), emissions


@over_series
def hmm_smoother(model: DiscreteHMM, y: ArrayLike, *, inputs: None = None) -> HMMSmootherResult:
    r"""Exact smoothing in a hidden Markov model with finitely many states and symbols.

    By the forward-backward algorithm [1]_ in logarithms,

    .. math::
        P(x_t = i \mid y) \propto \alpha_t(i) \beta_t(i), \qquad
        P(x_t = i, x_{t+1} = j \mid y) \propto \alpha_t(i) P_{ij} g_{t+1}(j) \beta_{t+1}(j).

    Parameters
    ----------
    model : DiscreteHMM
        K states, M symbols.
    y : (T,) or (T, 1) array_like, or a list of arrays
        Symbols 0..M-1, as integers or as floats with integer values; NaN if missing. Several series
        as for `kalman_smoother`.
    inputs : None
        Must be None, as the functions of these models have no argument `u`.

    Returns
    -------
    HMMSmootherResult
        ``probs``, ``pair_probs``, ``log_likelihood``, ``expectation(name)``, ``counts()``.

    Raises
    ------
    TypeError, ValueError
        If `model` is not a DiscreteHMM, `y` has the wrong shape, is empty or has entries other than
        symbols and NaN, or if the observations are impossible (the message names the first such
        time).

    See Also
    --------
    kalman_smoother : the same for linear Gaussian models.

    Notes
    -----
    :math:`O(T K^2)` operations and memory.

    References
    ----------
    .. [1] Rabiner, "A tutorial on hidden Markov models and selected applications in speech
       recognition", Proc. IEEE 77 (1989), 257-286.

    Examples
    --------
    >>> from randla import DiscreteHMM, hmm_smoother
    >>> model = DiscreteHMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.8, 0.2], [0.2, 0.8]])
    >>> hmm_smoother(model, [0, 1, 0]).probs.round(3)
    array([[0.753, 0.247],
           [0.669, 0.331],
           [0.753, 0.247]])
    """
    if not isinstance(model, DiscreteHMM):
        raise TypeError(f"model must be a DiscreteHMM, got {type(model).__name__}")
    as_inputs(inputs, False)
    return HMMSmootherResult.of(as_symbols(y, model.emission_probs.shape[1]), model._tables)

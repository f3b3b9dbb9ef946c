"""The hidden Markov model with finitely many states and symbols."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._typing import Array
from randla._validation import as_array, read_only
from randla.smoothing._kernels.models import discrete_hmm
from randla.smoothing._model.observations import as_symbols
from randla.smoothing._models.ready import ReadyModel, entry_name, functions


class DiscreteHMM(ReadyModel):
    r"""Hidden Markov chain with finitely many states and symbols.

    .. math::
        P(x_0 = i) = \mu_i, \qquad P(x_{t+1} = j \mid x_t = i) = P_{ij}, \qquad
        P(y_t = m \mid x_t = i) = G_{im}.

    States are the numbers 0..K-1 (as floats, a scalar state), symbols 0..M-1. Exact smoothing is
    available (`hmm_smoother`), so this is the model on which the laws of particle methods are
    tested.

    Parameters
    ----------
    initial_probs : (K,) array_like
        The probabilities :math:`\mu`, which sum to one.
    transition_matrix : (K, K) array_like
        P; each row sums to one.
    emission_probs : (K, M) array_like
        G; each row sums to one.

    Attributes
    ----------
    theta, names
        The entries of the three arguments in their order, ``"initial_probs[0]"``,
        ``"transition_matrix[0,1]"``, ``"emission_probs[0,2]"``. In the score each is taken as free.
    initial_probs, transition_matrix, emission_probs : ndarray
        The arguments, with sums of exactly one, as read-only arrays.

    Raises
    ------
    TypeError, ValueError
        If a shape is wrong, a probability is negative or a sum is not one (to 1e-6).

    See Also
    --------
    hmm_smoother : exact smoothing.

    Examples
    --------
    >>> from randla import DiscreteHMM
    >>> model = DiscreteHMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.8, 0.2], [0.2, 0.8]])
    >>> states, symbols = model.simulate(6, rng=0)
    >>> states.shape, symbols.shape
    ((6, 1), (6,))
    """

    initial_probs: Array
    transition_matrix: Array
    emission_probs: Array
    _default_free = ("transition_matrix", "emission_probs")

    def __init__(
        self,
        initial_probs: ArrayLike,
        transition_matrix: ArrayLike,
        emission_probs: ArrayLike,
    ) -> None:
        mu = as_probabilities(as_array(initial_probs, "initial_probs", ndim=1), "initial_probs")
        P = as_array(transition_matrix, "transition_matrix", ndim=2)
        G = as_array(emission_probs, "emission_probs", ndim=2)
        K = len(mu)  # states
        if P.shape != (K, K):
            raise ValueError(f"transition_matrix must have shape ({K}, {K}), got shape {P.shape}")
        if G.shape[0] != K or G.shape[1] == 0:
            raise ValueError(f"emission_probs must have shape ({K}, M), got shape {G.shape}")
        tables = {
            "initial_probs": mu,
            "transition_matrix": as_probabilities(P, "transition_matrix"),
            "emission_probs": as_probabilities(G, "emission_probs"),
        }
        names = [entry_name(name, i) for name, p in tables.items() for i in np.ndindex(p.shape)]
        theta = np.concatenate([table.ravel() for table in tables.values()])
        super().__init__(**functions(discrete_hmm), theta=theta, names=names)
        self._n_states = K
        rows = [K] * (K + 1) + [G.shape[1]] * K  # sizes of the rows of theta that sum to one
        ends = np.cumsum(rows)
        self._joint_parameters = tuple(
            ("simplex", np.arange(end - size, end)) for size, end in zip(rows, ends, strict=True)
        )
        self._derive()

    def _derive(self) -> None:
        K = self._n_states
        shapes = {"initial_probs": (K,), "transition_matrix": (K, K), "emission_probs": (K, -1)}
        parts = np.split(self.theta, [K, K + K * K])  # mu, P, G one after another
        for (name, shape), part in zip(shapes.items(), parts, strict=True):
            self.__dict__[name] = as_probabilities(part.reshape(shape), f"theta ({name})")

    @property
    def _tables(self) -> tuple[Array, Array, Array]:
        return self.initial_probs, self.transition_matrix, self.emission_probs

    def _as_observations(
        self, y: ArrayLike, inputs: Array | None = None
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Observations, and which are there; ValueError unless `y` has only symbols and NaN."""
        values, observed = super()._as_observations(y, inputs)
        as_symbols(values, self.emission_probs.shape[1])  # for its errors
        return values, observed

    def _require_states(self, states: NDArray[Any]) -> None:
        """Raise ValueError unless `states` are numbers of states."""
        K = self._n_states
        bad = ~((states >= 0) & (states < K) & (states == np.floor(states)))
        if bad.any():
            raise ValueError(f"states must be numbers 0..{K - 1}, got {states[bad][0]:g}")

    def _pack(self) -> Array:
        tables = self._tables
        sums = [np.cumsum(p, axis=-1) for p in tables]  # to draw by inversion
        sums = [s / s[..., -1:] for s in sums]  # the last one is exactly one despite rounding
        with np.errstate(divide="ignore"):
            logs = [np.log(p) for p in tables]  # -inf for what is impossible
        # Gradients of the logarithms, for scores.
        inverses = [np.divide(1.0, p, out=np.zeros_like(p), where=p > 0) for p in tables]
        blocks = [np.ravel(p) for p in (*tables, *sums, *logs, *inverses)]
        return np.concatenate([*blocks, [logs[1].max()], self.emission_probs.shape])


def as_probabilities(table: NDArray[Any], name: str) -> Array:
    """Return `table` as read-only float64 with sums over the last axis that are one."""
    table = np.array(table, np.float64)
    if table.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {table.shape}")
    if (table < 0).any():
        raise ValueError(f"{name} must be non-negative, got {table.min():g}")
    sums = table.sum(-1, keepdims=True)
    worst = sums.flat[np.argmax(np.abs(sums - 1.0))]
    if abs(worst - 1.0) > 1e-6:  # beyond the error of printing six digits
        if table.ndim == 1:
            raise ValueError(f"{name} must sum to 1, got a sum of {worst:g}")
        raise ValueError(f"{name} must have rows that sum to 1, got a row with the sum {worst:g}")
    return read_only(table / sums)

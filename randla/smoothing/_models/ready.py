"""Ready models: stochastic volatility, a chaotic network, a discrete hidden Markov chain.

The linear Gaussian model has a module of its own.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._validation import as_array, as_number, read_only
from randla.smoothing._kernels.models import chaotic, discrete_hmm, volatility
from randla.smoothing._model.observations import as_symbols
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._models.packing import pack_chaotic, pack_hmm, pack_volatility

FloatArray = NDArray[np.float64]

LAWS = (
    "initial",
    "transition",
    "log_potential",
    "log_transition",
    "log_initial",
    "log_transition_bound",
    "observe",
)
SCORES = ("score_initial", "score_step")
PROPOSAL = ("proposal", "log_proposal")
INITIAL_PROPOSAL = ("initial_proposal", "log_initial_proposal")


def functions(module: Any, *groups: tuple[str, ...]) -> dict[str, Any]:
    """Return the functions of a module of kernels by their names."""
    return {name: getattr(module, name) for group in groups for name in group}


class ReadyModel(StateSpaceModel):
    """A model whose functions are handed, as `theta`, all that follows from the parameters.

    They get ``model._arguments``, which begins with the parameters.
    """

    _is_ready = True

    @property
    def _observation_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return super()._observation_shape or ()

    @property
    def _arguments(self) -> FloatArray:
        """The packed array that the functions are handed as `theta`; made when first asked for."""
        packed = self.__dict__.get("_packed")
        if packed is None:
            packed = self.__dict__["_packed"] = read_only(self._pack())
        return packed

    def replace(self, theta: ArrayLike) -> "StateSpaceModel":
        """Return the same model with other parameters; nothing is compiled again."""
        other = super().replace(theta)
        assert isinstance(other, ReadyModel)
        other.__dict__.pop("_packed", None)
        other._derive()
        return other

    def _derive(self) -> None:
        """Set the attributes that follow from `theta`, or raise ValueError."""

    def _pack(self) -> FloatArray:
        """Return `arguments`: the parameters, and behind them what is computed once from them."""
        return self.theta


class StochasticVolatility(ReadyModel):
    r"""Stochastic volatility: returns whose log variance is an autoregression.

    .. math::
        x_0 \sim N\!\left(0, \frac{\sigma^2}{1 - \varphi^2}\right), \qquad
        x_{t+1} = \varphi x_t + \sigma \varepsilon_t, \qquad
        y_t = \beta e^{x_t / 2} \eta_t.

    The start is the stationary law. Returns are usually given in percent with the mean removed.

    Parameters
    ----------
    phi : float
        Persistence, between -1 and 1.
    sigma : float
        Standard deviation of the changes of the log variance, positive.
    beta : float
        Standard deviation of a return at the mean log variance, positive.

    Raises
    ------
    TypeError, ValueError
        If an argument is no number in its range.

    References
    ----------
    .. [1] Kim, Shephard and Chib, "Stochastic volatility: likelihood inference and comparison
       with ARCH models", Rev. Econ. Stud. 65 (1998), 361-393.

    Examples
    --------
    >>> from randla import StochasticVolatility
    >>> model = StochasticVolatility(0.975, 0.16, 0.63)
    >>> model
    StochasticVolatility(scalar state; phi=0.975, sigma=0.16, beta=0.63)
    >>> model.support
    ('tanh', 'log', 'log')
    """

    def __init__(self, phi: float, sigma: float, beta: float) -> None:
        theta = [
            as_number(phi, "phi", low=-1.0, high=1.0, closed="neither"),
            as_number(sigma, "sigma", low=0.0, closed="neither"),
            as_number(beta, "beta", low=0.0, closed="neither"),
        ]
        super().__init__(
            **functions(volatility, LAWS, SCORES),
            theta=theta,
            names=("phi", "sigma", "beta"),
            support=("tanh", "log", "log"),
        )

    def _pack(self) -> FloatArray:
        return pack_volatility(*map(float, self.theta))


class ChaoticRNN(ReadyModel):
    r"""Chaotic recurrent neural network with noisy states, all of which are observed with noise.

    .. math::
        x_{t+1} = x_t + \frac{\Delta}{\tau} \left(-x_t + \gamma W \tanh(x_t)\right)
        + s \varepsilon_t, \qquad y_t = x_t + r \eta_t,

    with normal :math:`\varepsilon` and Student-t :math:`\eta`, independent between components.
    Entries of y that are missing are left out. With normal observation noise the model has the
    optimal proposal.

    Parameters
    ----------
    weights : (d, d) array_like
        W; with independent N(0, 1/d) entries and a gain above 1 the network is chaotic.
    gain : float, optional
        :math:`\gamma`.
    process_sd, observation_scale : float, optional
        s and r, positive.
    df : float, optional
        Degrees of freedom of the observation noise; inf for normal noise.
    time_step, time_constant : float, optional
        :math:`\Delta` and :math:`\tau`, positive.
    initial_sd : float, optional
        The components of :math:`x_0` are independent N(0, initial_sd^2).

    Attributes
    ----------
    theta, names
        ``"weights[0,0]"``, ..., ``"gain"``, ``"process_sd"``, ``"observation_scale"``. The other
        arguments are constants of the model.

    Raises
    ------
    TypeError, ValueError
        If `weights` is not square and finite, or a number is not in its range.

    Notes
    -----
    A bound on the transition density grows like process_sd^-d, so ``backward="reject"`` is slow
    in many dimensions.

    References
    ----------
    .. [1] Sompolinsky, Crisanti and Sommers, "Chaos in random neural networks", Phys. Rev. Lett.
       61 (1988), 259-262.
    .. [2] Zhao, Nassar, Jordan, Bugallo and Park, "Streaming variational Monte Carlo", IEEE Trans.
       Pattern Anal. Mach. Intell. 45 (2023), 1150-1161: the values of the defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import ChaoticRNN
    >>> weights = np.random.default_rng(0).standard_normal((3, 3)) / np.sqrt(3)
    >>> x, y = ChaoticRNN(weights).simulate(200, rng=1)
    >>> x.shape, y.shape
    ((200, 3), (200, 3))
    """

    default_free = ("weights", "process_sd", "observation_scale")

    def __init__(
        self,
        weights: ArrayLike,
        *,
        gain: float = 2.5,
        process_sd: float = 0.01,
        observation_scale: float = 0.1,
        df: float = 2.0,
        time_step: float = 0.001,
        time_constant: float = 0.025,
        initial_sd: float = 1.0,
    ) -> None:
        W = np.array(as_array(weights, "weights", ndim=2), np.float64)
        d = len(W)
        if W.shape != (d, d) or d == 0:
            raise ValueError(f"weights must be square (d, d), got shape {W.shape}")
        numbers = {
            "process_sd": process_sd,
            "observation_scale": observation_scale,
            "time_step": time_step,
            "time_constant": time_constant,
            "initial_sd": initial_sd,
        }
        positive = {
            name: as_number(value, name, low=0.0, closed="neither")
            for name, value in numbers.items()
        }
        self.df = as_number(df, "df", low=0.0, closed="right", infinite=True)
        if self.df == 0.0:
            raise ValueError("df must be greater than 0, got 0")
        self.time_step, self.time_constant = positive["time_step"], positive["time_constant"]
        self.initial_sd = positive["initial_sd"]
        laws = {
            name: getattr(chaotic, name)
            for name in (*LAWS, *SCORES)
            if name not in ("log_potential", "observe")
        }
        noise = "normal" if math.isinf(self.df) else "student"
        for name in ("log_potential", "observe"):
            laws[name] = getattr(chaotic, f"{name}_{noise}")
        if math.isinf(self.df):
            laws |= functions(chaotic, PROPOSAL, INITIAL_PROPOSAL)
        scales = [positive["process_sd"], positive["observation_scale"]]
        super().__init__(
            **laws,
            dim=d,
            observation_dim=d,
            theta=[*W.ravel(), as_number(gain, "gain"), *scales],
            names=[
                *(f"weights[{i},{j}]" for i in range(d) for j in range(d)),
                *("gain", "process_sd", "observation_scale"),
            ],
            support=["real"] * (d * d + 1) + ["log", "log"],
        )

    @property
    def weights(self) -> FloatArray:
        """The matrix W (d, d)."""
        d = len(self.theta[:-3])
        return self.theta[:-3].reshape(math.isqrt(d), math.isqrt(d))

    def _pack(self) -> FloatArray:
        gain, process_sd, scale = map(float, self.theta[-3:])
        rate = self.time_step / self.time_constant
        return pack_chaotic(
            self.theta, self.weights, gain, process_sd, scale, self.df, rate, self.initial_sd
        )


class DiscreteHMM(ReadyModel):
    r"""Hidden Markov chain with finitely many states and symbols.

    .. math::
        P(x_0 = i) = \mu_i, \qquad P(x_{t+1} = j \mid x_t = i) = P_{ij}, \qquad
        P(y_t = m \mid x_t = i) = G_{im}.

    States are the numbers 0..K-1 (as floats, a scalar state), symbols 0..M-1. It is known exactly
    (`hmm_smoother`), so it is the model on which particle methods are tested in law.

    Parameters
    ----------
    initial_probs : (K,) array_like
        :math:`\mu`.
    transition_matrix : (K, K) array_like
        P; each row sums to one.
    emission_probs : (K, M) array_like
        G; each row sums to one.

    Attributes
    ----------
    theta, names
        The entries of the three arguments in their order, ``"initial_probs[0]"``,
        ``"transition_matrix[0,1]"``, ``"emission_probs[0,2]"``. In the score each is taken as
        free.
    initial_probs, transition_matrix, emission_probs : ndarray
        The arguments, with sums that are exactly one, as arrays that cannot be written to.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, a probability is negative or a sum is not one (to 1e-6).

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

    initial_probs: FloatArray
    transition_matrix: FloatArray
    emission_probs: FloatArray
    default_free = ("transition_matrix", "emission_probs")

    def __init__(
        self,
        initial_probs: ArrayLike,
        transition_matrix: ArrayLike,
        emission_probs: ArrayLike,
    ) -> None:
        mu = as_probabilities(as_array(initial_probs, "initial_probs", ndim=1), "initial_probs")
        P = as_array(transition_matrix, "transition_matrix", ndim=2)
        G = as_array(emission_probs, "emission_probs", ndim=2)
        K = len(mu)
        if P.shape != (K, K):
            raise ValueError(f"transition_matrix must have shape ({K}, {K}), got {P.shape}")
        if G.shape[0] != K or G.shape[1] == 0:
            raise ValueError(f"emission_probs must have shape ({K}, M), got {G.shape}")
        tables = {
            "initial_probs": mu,
            "transition_matrix": as_probabilities(P, "transition_matrix"),
            "emission_probs": as_probabilities(G, "emission_probs"),
        }
        names = [
            f"{name}[{','.join(map(str, index))}]"
            for name, table in tables.items()
            for index in np.ndindex(table.shape)
        ]
        theta = np.concatenate([table.ravel() for table in tables.values()])
        super().__init__(**functions(discrete_hmm, LAWS, SCORES), theta=theta, names=names)
        self._n_states = K
        rows = [K] * (K + 1) + [G.shape[1]] * K
        ends = np.cumsum(rows)
        self.joint_parameters = tuple(
            ("simplex", np.arange(end - size, end)) for size, end in zip(rows, ends, strict=True)
        )
        self._derive()

    def _derive(self) -> None:
        K = self._n_states
        parts = np.split(self.theta, [K, K + K * K])
        tables = {
            "initial_probs": parts[0],
            "transition_matrix": parts[1].reshape(K, K),
            "emission_probs": parts[2].reshape(K, -1),
        }
        for name, table in tables.items():
            self.__dict__[name] = as_probabilities(table, f"theta ({name})")

    def _as_observations(self, y: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
        """The same, or ValueError unless `y` holds symbols and NaN."""
        values, observed = super()._as_observations(y)
        as_symbols(values, self.emission_probs.shape[1])
        return values, observed

    def _require_states(self, states: NDArray[Any]) -> None:
        """Raise ValueError unless `states` are numbers of states."""
        K = self._n_states
        bad = ~((states >= 0) & (states < K) & (states == np.floor(states)))
        if bad.any():
            raise ValueError(f"states must be numbers 0..{K - 1}, got {states[bad][0]:g}")

    def _pack(self) -> FloatArray:
        return pack_hmm(self.initial_probs, self.transition_matrix, self.emission_probs)


def as_probabilities(table: NDArray[Any], name: str) -> FloatArray:
    """Return `table` as read-only float64 with sums over the last axis that are one."""
    table = np.array(table, np.float64)
    if table.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {table.shape}")
    if (table < 0).any():
        raise ValueError(f"{name} must be non-negative, got {table.min():g}")
    sums = table.sum(-1, keepdims=True)
    worst = sums.flat[np.argmax(np.abs(sums - 1.0))]
    if abs(worst - 1.0) > 1e-6:
        raise ValueError(f"{name} must have sums of one, got {worst:g}")
    return read_only(table / sums)

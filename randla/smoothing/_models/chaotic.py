"""The chaotic recurrent neural network."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln

from randla._typing import Array
from randla._validation import as_array, as_number
from randla.smoothing._kernels.models import chaotic
from randla.smoothing._models.ready import (
    HALF_LOG_2PI,
    INITIAL_PROPOSAL,
    PROPOSAL,
    ReadyModel,
    entry_name,
    functions,
)


class ChaoticRNN(ReadyModel):
    r"""Chaotic recurrent neural network with noisy states, observed with noise.

    .. math::
        x_{t+1} = x_t + \frac{\Delta}{\tau} \left(-x_t + \gamma W \tanh(x_t)\right)
        + s \varepsilon_t, \qquad y_t = x_t + r \eta_t,

    with normal :math:`\varepsilon` and Student-t :math:`\eta`, independent between components [1]_.
    Missing entries of y are left out. With normal observation noise the model has the optimal
    proposal.

    Parameters
    ----------
    weights : (d, d) array_like
        W; with independent N(0, 1/d) entries and a gain above 1 the network is chaotic.
    gain : float, optional
        The factor :math:`\gamma`.
    process_sd, observation_scale : float, optional
        s and r, positive. The defaults are those of [2]_.
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
        If `weights` is not square and finite, or a number is out of range.

    Notes
    -----
    A bound on the transition density grows like process_sd^-d, so ``backward="reject"`` is slow in
    high dimension.

    References
    ----------
    .. [1] Sompolinsky, Crisanti and Sommers, "Chaos in random neural networks", Phys. Rev. Lett.
       61 (1988), 259-262.
    .. [2] Zhao, Nassar, Jordan, Bugallo and Park, "Streaming variational Monte Carlo", IEEE Trans.
       Pattern Anal. Mach. Intell. 45 (2023), 1150-1161.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import ChaoticRNN
    >>> weights = np.random.default_rng(0).standard_normal((3, 3)) / np.sqrt(3)
    >>> x, y = ChaoticRNN(weights).simulate(200, rng=1)
    >>> x.shape, y.shape
    ((200, 3), (200, 3))
    """

    _default_free = ("weights", "process_sd", "observation_scale")

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

        def positive(value: float, name: str) -> float:
            return as_number(value, name, low=0.0, closed="neither")

        scales = [
            positive(process_sd, "process_sd"),
            positive(observation_scale, "observation_scale"),
        ]
        self.time_step = positive(time_step, "time_step")
        self.time_constant = positive(time_constant, "time_constant")
        self.initial_sd = positive(initial_sd, "initial_sd")
        self.df = as_number(df, "df", low=0.0, closed="right", infinite=True)
        if self.df == 0.0:
            raise ValueError("df must be greater than 0, got 0")
        # Only for normal noise the posterior of a state is known; it is the proposal.
        without = () if math.isinf(self.df) else (*PROPOSAL, *INITIAL_PROPOSAL)
        super().__init__(
            **functions(chaotic, without),
            dim=d,
            observation_dim=d,
            theta=[*W.ravel(), as_number(gain, "gain"), *scales],
            names=[
                *(entry_name("weights", i) for i in np.ndindex(W.shape)),
                *("gain", "process_sd", "observation_scale"),
            ],
            support=["real"] * (d * d + 1) + ["log", "log"],
        )

    @property
    def weights(self) -> Array:
        """The matrix W (d, d)."""
        d = math.isqrt(self.theta.size - 3)
        return self.theta[:-3].reshape(d, d)

    def _pack(self) -> Array:
        gain, process_sd, scale = map(float, self.theta[-3:])
        W, df, sd_0 = self.weights, self.df, self.initial_sd
        rate = self.time_step / self.time_constant  # Delta / tau
        if math.isinf(df):  # normal noise
            log_g = -HALF_LOG_2PI
        else:  # Student's t: log Gamma((df + 1) / 2) - log Gamma(df / 2) - 1/2 log(df pi)
            log_g = -float(betaln(0.5, 0.5 * df)) - 0.5 * math.log(df)
        numbers = [
            *(rate, gain, process_sd, 1.0 / process_sd, scale, 1.0 / scale, df, sd_0),
            -len(W) * (math.log(process_sd) + HALF_LOG_2PI),  # of N(0, process_sd^2 I)
            log_g - math.log(scale),  # of one component of y
            -len(W) * (math.log(sd_0) + HALF_LOG_2PI),  # of the start
            # Posterior standard deviations (s^-2 + scale^-2)^(-1/2), of the proposals.
            *(s / math.hypot(1.0, s / scale) for s in (process_sd, sd_0)),
        ]
        return np.concatenate([self.theta, rate * W.ravel(), numbers])

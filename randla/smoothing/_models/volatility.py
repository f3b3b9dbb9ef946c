"""The stochastic volatility model."""

import math

import numpy as np

from randla._typing import Array
from randla._validation import as_number
from randla.smoothing._kernels.models import volatility
from randla.smoothing._models.ready import HALF_LOG_2PI, ReadyModel, functions


class StochasticVolatility(ReadyModel):
    r"""Stochastic volatility: returns whose log variance is an autoregression.

    .. math::
        x_0 \sim N\!\left(0, \frac{\sigma^2}{1 - \varphi^2}\right), \qquad
        x_{t+1} = \varphi x_t + \sigma \varepsilon_t, \qquad
        y_t = \beta e^{x_t / 2} \eta_t.

    The start is the stationary law [1]_. Returns are usually given in percent with the mean
    removed.

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
        If an argument is not a number in its range.

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
            **functions(volatility),
            theta=theta,
            names=("phi", "sigma", "beta"),
            support=("tanh", "log", "log"),  # stationary; positive
        )

    def _pack(self) -> Array:
        phi, sigma, beta = map(float, self.theta)
        sd_0 = sigma / math.sqrt((1.0 - phi) * (1.0 + phi))  # of the stationary law
        # Log normalizers of the normal laws of a step, of the start and of a return at x = 0.
        norms = [-math.log(s) - HALF_LOG_2PI for s in (sigma, sd_0, beta)]
        return np.array([phi, sigma, beta, sd_0, 1.0 / sigma, 1.0 / sd_0, beta**-2, *norms])

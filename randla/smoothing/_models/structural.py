"""Structural time-series models: components with a meaning, as a linear Gaussian model."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._tables import column_names
from randla._typing import Array
from randla._validation import as_array, as_choice, as_count, as_flag, read_only
from randla.smoothing._kernels.models import (
    linear_gaussian as vector,
    linear_gaussian_scalar as scalar,
    linear_gaussian_varying as varying,
    linear_gaussian_varying_scalar as varying_scalar,
)
from randla.smoothing._models.linear_blocks import Gradients, root
from randla.smoothing._models.linear_gaussian import LinearGaussian
from randla.smoothing._models.ready import ReadyModel, functions
from randla.smoothing._models.structural_parts import (
    Autoregression,
    Cycle,
    MovingPart,
    Part,
    Regression,
    Seasonal,
    Trend,
    deviation,
)

#: Standard deviation whose square is a double.
LARGEST = 1e154
_DRAWS = ("initial", "transition", "log_potential", "observe")


class StructuralModel(LinearGaussian):
    """A sum of components (`structural`), with their parameters instead of matrices.

    ``theta`` holds the parameters ``names``; the matrices that follow from them, and the rest, are
    as in `LinearGaussian`.
    """

    def __init__(self, parts: Sequence[Part], period: int, noise: bool) -> None:
        self._parts, self._period, self._has_noise = tuple(parts), period, noise
        #: Whether theta is the user's; otherwise maximum likelihood starts from the data.
        self._is_given = False
        self._states = _slices([part.size for part in parts])
        self._places = _slices([len(part.parameters) for part in parts])
        blocks = list(zip(self._parts, self._places, self._states, strict=True))
        self._moving = [(p, own, x) for p, own, x in blocks if isinstance(p, MovingPart)]
        lengths = [len(part.observed) for part in parts if part.observed.ndim == 2]
        self._n_times = lengths[0] if lengths else None
        self._times_from = f"regressors with T = {self._n_times} rows"
        shape = tuple(lengths[:1])
        B = [np.broadcast_to(part.observed, (*shape, part.size)) for part in parts]
        d = self._states[-1].stop
        diffuse = np.concatenate([np.full(part.size, part.diffuse) for part in parts])
        self.diffuse = read_only(np.eye(d)[:, diffuse]) if diffuse.any() else None
        self.state_intercept = self.observation_intercept = None
        self.initial_mean = read_only(np.zeros(d))
        self.observation_matrix = read_only(np.concatenate(B, axis=-1)[..., None, :])
        parameters = [p for part in parts for p in part.parameters]
        parameters += [deviation("noise")] if noise else []
        self._joint_parameters = tuple(
            ("autoregression", np.arange(place.start, place.stop - 1))
            for part, place in zip(parts, self._places, strict=True)
            if isinstance(part, Autoregression) and part.size > 1
        )
        # The sign of a standard deviation is free; its intervals are those of its logarithm.
        self._interval_support = tuple(
            "log" if p.name.startswith("sd_") else p.support for p in parameters
        )
        #: A if it has no parameters, and which squares of theta are variances of which states.
        self._constant_A = np.zeros((d, d))
        self._spread = np.zeros((d, len(parameters)))
        for part, own, x in blocks:
            self._constant_A[x, x] = part.transition_matrix
            for k, states in enumerate(part.noisy, own.stop - len(part.noisy)):
                self._spread[[x.start + i for i in states], k] = 1.0
        self._is_plain = not lengths
        constant, moving = (scalar, varying_scalar) if d == 1 else (vector, varying)
        kernels = constant if self._is_plain else moving
        ReadyModel.__init__(
            self,
            **functions(kernels, [n for n in vars(kernels) if n not in _DRAWS]),
            dim=None if d == 1 else d,
            observation_dim=None,
            theta=[p.value for p in parameters],
            names=[p.name for p in parameters],
            support=[p.support for p in parameters],
        )
        self._derive()

    def replace(self, theta: ArrayLike) -> "StructuralModel":
        """Return the same model with other parameters, where maximum likelihood then starts."""
        other = super().replace(theta)
        assert isinstance(other, StructuralModel)
        other._is_given = True
        return other

    def _derive(self) -> None:
        for part, place in zip(self._parts, self._places, strict=True):
            part.check(self.theta[place])
        large = [n for n, v in zip(self.names, self.theta, strict=True) if abs(v) > LARGEST]
        if large:
            raise ValueError(
                f"theta must have numbers up to {LARGEST:g}, whose squares are finite, got a "
                f"larger one for {', '.join(large)}: give y in another unit"
            )
        A, variances, P0, sd_noise = self._blocks_at(self.theta)
        self.__dict__.update(
            transition_matrix=read_only(A),
            transition_cov=read_only(np.diag(variances)),
            observation_cov=read_only(np.full((1, 1), sd_noise**2)),
            initial_cov=read_only(P0),
        )
        self._set_system(
            {
                "transition_cov": np.diag(np.sqrt(variances)),
                "observation_cov": np.full((1, 1), abs(sd_noise)),
                "initial_cov": root(P0, "initial_cov"),
            }
        )

    def _blocks_at(self, theta: Array) -> tuple[Array, Array, Array, float]:
        """A, the diagonal of Q, P_0 and the standard deviation of the noise."""
        A = self._constant_A.copy()
        P0 = np.zeros_like(A)
        for part, own, x in self._moving:
            A[x, x], P0[x, x] = part.blocks(theta[own])
        return A, self._spread @ (theta * theta), P0, float(theta[-1]) if self._has_noise else 0.0

    def _gradient(
        self, theta: Array, gA: Array, gQ: Array, gP: Array, gR: float, P0: Array
    ) -> Array:
        """Gradient in theta from those in A, the diagonal of Q, P_0 and R, and P_0.

        Of gA and gP only the last states are needed, whose parts have parameters in them.
        """
        out, first = gQ @ self._spread, len(gQ) - len(gA)
        if self._has_noise:
            out[-1] = gR
        out *= 2.0 * theta
        for part, own, x in self._moving:
            block = slice(x.start - first, x.stop - first)
            out[own] += part.gradient(theta[own], gA[block, block], gP[block, block], P0[x, x])
        return out

    def _diffuse_names(self, columns: list[int]) -> str:
        names = []
        for part in self._parts:
            for i in range(part.size if part.diffuse else 0):
                own = [name for name, w in part.shown.items() if w.ndim == 1 and w[i] != 0.0]
                names.append((own or list(part.shown))[0])
        return ", ".join(dict.fromkeys(names[k] for k in columns))

    def _pull_back(self, gradients: Gradients) -> Array:
        Q, R = np.diagonal(gradients.Q), float(gradients.R[0, 0])
        return self._gradient(self.theta, gradients.A, Q, gradients.P0, R, self.initial_cov)

    def _as_rows(self, y: ArrayLike) -> Array:
        rows = super()._as_rows(y)
        if self._period > len(rows):
            raise ValueError(
                f"y must have at least as many times as the season, {self._period}, got {len(rows)}"
            )
        return rows


def _slices(sizes: Sequence[int]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def structural(
    *,
    level: Literal["level", "trend", "smooth trend"] | None = "level",
    seasonal: int | tuple[int, int] | None = None,
    cycle: Literal["damped", "undamped"] | None = None,
    ar: int = 0,
    regressors: ArrayLike | None = None,
    noise: bool = True,
) -> StructuralModel:
    r"""Structural time-series model: level, slope, season, cycle, autoregression, regressors.

    .. math::
        y_t = \mu_t + \gamma_t + \psi_t + a_t + x_t' \beta + \varepsilon_t, \qquad
        \mu_{t+1} = \mu_t + \nu_t + \eta_t, \qquad \nu_{t+1} = \nu_t + \zeta_t.

    The components are those of Harvey [1]_ (unobserved components in statsmodels). Each noise is
    normal with its own standard deviation, which may be zero: then the component is deterministic.
    Level, slope, season, undamped cycle and coefficients start anywhere (exactly diffuse); damped
    cycle and autoregression start from their stationary laws.

    The result is a `LinearGaussian`: `kalman_smoother` smooths and forecasts (rows of y that are
    NaN), `components` separates the smoothed states, and `maximum_likelihood` with
    ``method="exact"`` estimates the parameters, starting from the data unless
    ``model.replace(theta)`` has set values.

    Parameters
    ----------
    level : {"level", "trend", "smooth trend"} or None, optional
        Random walk; random walk whose slope is a random walk; the same with ``sd_level = 0``.
    seasonal : int or (int, int), optional
        Number s of times in a season: s dummies that sum to noise. Or (s, harmonics), sines and
        cosines of the frequencies :math:`2 \pi j / s`, j = 1, ..., harmonics, at most s / 2, with
        one standard deviation.
    cycle : {"damped", "undamped"}, optional
        A pair of states that rotates by the frequency and shrinks by the damping at each step.
    ar : int, optional
        Order of a stationary autoregression.
    regressors : (T, m) or (T,) array_like, optional
        Regressors with constant coefficients. With them the model has T times: to forecast, give
        future rows here and NaN in y.
    noise : bool, optional
        Whether y has observation noise.

    Returns
    -------
    StructuralModel
        A `LinearGaussian` with ``names`` from ``sd_level``, ``sd_slope``, ``sd_seasonal``,
        ``cycle_frequency`` (between 0 and pi), ``cycle_damping`` (between 0 and 1), ``sd_cycle``,
        ``ar[1]``, ..., ``sd_ar``, ``sd_noise``, as its components need them. The sign of standard
        deviations has no meaning. In ``theta`` they are one until `replace` sets them.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or there is no component.

    See Also
    --------
    components : the smoothed components, with standard errors.
    maximum_likelihood : estimates of the parameters.

    Notes
    -----
    The log-likelihood is the logarithm of the density of y given the diffuse states, integrated
    over their flat law, with :math:`(k - q) \log 2 \pi` for k numbers and q diffuse states. That of
    statsmodels with ``use_exact_diffuse=True`` counts k, and is therefore lower by
    :math:`(q / 2) \log 2 \pi`; it also starts a damped cycle diffusely. Only models with the same q
    can be compared by their likelihoods.

    The frequency of an undamped cycle is searched between that of a cycle as long as the series and
    that of a cycle of about two times. Outside, one of its states is hardly determined, and a flat
    law rewards that without limit: the likelihood has no maximum there.

    The standard error of a standard deviation comes from the observed information at the estimate.
    For a small one it is only an order of magnitude: the likelihood is far from normal near zero.
    Confidence intervals are those of its logarithm.

    Particle methods do not apply: if standard deviations may be zero, transitions have no density.

    References
    ----------
    .. [1] Harvey, "Forecasting, structural time series models and the Kalman filter", Cambridge
       University Press (1989), chapter 2.

    Examples
    --------
    >>> from randla import datasets, kalman_smoother, maximum_likelihood
    >>> from randla.smoothing import components, structural
    >>> y = datasets.nile()
    >>> fit = maximum_likelihood(structural(level="level"), y, method="exact")
    >>> fit.names
    ('sd_level', 'sd_noise')
    >>> fit.theta.round(1)
    array([ 38.3, 122.9])
    >>> level = components(kalman_smoother(fit.model, y))["level"]
    >>> level.mean.shape, level.standard_error.shape
    ((100,), (100,))
    """
    level = as_choice(level, "level", ("level", "trend", "smooth trend", None))
    cycle = as_choice(cycle, "cycle", ("damped", "undamped", None))
    ar = as_count(ar, "ar", minimum=0)
    noise = as_flag(noise, "noise")
    parts: list[Part] = [] if level is None else [Trend(level)]
    period = 1
    if seasonal is not None:
        period, harmonics = _as_season(seasonal)
        parts.append(Seasonal(period, harmonics))
    if regressors is not None:
        parts.append(Regression(*_as_regressors(regressors)))
    if cycle is not None:  # the parts whose matrices have parameters are the last ones
        parts.append(Cycle(cycle))
    if ar:
        parts.append(Autoregression(ar))
    if not parts:
        raise ValueError(
            "level, seasonal, cycle, ar and regressors must name a component, got none of them"
        )
    return StructuralModel(parts, period, noise)


def _as_season(seasonal: Any) -> tuple[int, int | None]:
    if not isinstance(seasonal, (tuple, list)):
        return as_count(seasonal, "seasonal", minimum=2), None
    if len(seasonal) != 2:
        raise ValueError(f"seasonal must be s or (s, harmonics), got {len(seasonal)} numbers")
    period = as_count(seasonal[0], "seasonal", minimum=2)
    note = ", half of the season"
    return period, as_count(seasonal[1], "seasonal harmonics", maximum=period // 2, note=note)


def _as_regressors(regressors: ArrayLike) -> tuple[Array, tuple[str, ...]]:
    """Regressors (T, m) and the names of their columns."""
    X = np.array(as_array(regressors, "regressors"), np.float64)
    if X.ndim not in (1, 2) or X.size == 0:
        raise ValueError(f"regressors must have shape (T,) or (T, m), got shape {X.shape}")
    X = X.reshape(len(X), -1)
    names = column_names(regressors, "regressors") or tuple(map(str, range(X.shape[1])))
    return read_only(X), names

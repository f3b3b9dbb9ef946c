"""Maximum likelihood of structural models: starting values, the search, zero variances.

A standard deviation sd is optimized on the scale asinh(sd / unit): logarithmic if it is large, and
linear through zero, where the log-likelihood, a function of sd^2, is stationary. So no search
begins there, and the derivative in sd^2 decides whether zero is a maximum.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._likelihood.newton import NewtonResult, newton_exact
from randla.smoothing._likelihood.parametrization import Parametrization, Single, Stationary
from randla.smoothing._likelihood.quasi_newton import QuasiNewton
from randla.smoothing._likelihood.structural_scores import StructuralScores
from randla.smoothing._models.structural import LARGEST, StructuralModel
from randla.smoothing._models.structural_parts import autoregression, partial_autocorrelations

_UNIT = 1e-3  # of sd(y_{t+1} - y_t): from there on a standard deviation is searched linearly
_ZERO = 1e-2  # of it: below, zero is tried
_AGAIN = 0.1  # of it: where a search restarts that found a zero which is not a maximum
_NOTHING = 1e-6  # of the log-likelihood: what zero may lose
_FLAT = 10.0  # standard errors relative to the estimate above which they are meaningless
_EDGE = 1e-4  # of the range of a frequency, a damping or a partial autocorrelation
_INSIDE = 1e-9  # what a frequency of a damped cycle keeps from the ends of its range
_N_FREQUENCIES, _SHORTEST_PERIOD = 8, 2.5
_MODULI = (0.7, 0.95)  # dampings, or moduli of roots of autoregressions, to begin with
_CORRELATIONS = (-0.5, 0.5, 0.95)  # likewise, of one time and the next
_SHARE = 0.1  # of one of these pairs, where it may be little compared with the other
_TREND, _MOVING = ("sd_level", "sd_slope"), ("sd_cycle", "sd_ar")
_NO_ERROR = 1e-18  # mean square of standardized residuals that is rounding
_FAR = 100  # exponents of y (base 2) from which on it is taken in another unit
_N_SHORT, _SHORT, _N_SEARCHES = 4, 6, 2  # searches of a few steps; the best of these continue


class _Deviation(Single):
    """A standard deviation, z = asinh(sd / unit)."""

    def __init__(self, index: int, unit: float) -> None:
        super().__init__(index, "real", 1.0)
        self.unit = unit

    def to_free(self, theta: Array) -> Array:
        return np.arcsinh(theta / self.unit)

    def to_theta(self, z: Array) -> Array:
        return self.unit * np.sinh(z)

    def jacobian(self, z: Array) -> Array:
        return np.full((1, 1), self.unit * math.cosh(z[0]))


class _Frequency(Single):
    """A frequency between two bounds, by the logit of its position there."""

    def __init__(self, index: int, low: float, high: float) -> None:
        super().__init__(index, "logit", 1.0)
        self.low, self.width = low, high - low

    def to_free(self, theta: Array) -> Array:
        share = (theta - self.low) / self.width
        return super().to_free(np.clip(share, _EDGE, 1.0 - _EDGE))  # of a user's start

    def to_theta(self, z: Array) -> Array:
        return self.low + self.width * super().to_theta(z)

    def jacobian(self, z: Array) -> Array:
        share = super().to_theta(z)
        return (self.width * share * (1.0 - share)).reshape(1, 1)


class _Parameters(Parametrization):
    """The free parameters of a structural model, fast: all standard deviations at once.

    `unit` is that of standard deviations; frequencies keep `low` from both ends of their range.
    """

    def __init__(self, model: StructuralModel, free: Any, unit: float, low: float) -> None:
        super().__init__(model, free)
        for k, block in enumerate(self.blocks):
            if isinstance(block, Single):
                (i,) = block.indices
                if model.names[i].startswith("sd_"):
                    self.blocks[k] = _Deviation(i, unit)
                elif block.kind == "angle":
                    self.blocks[k] = _Frequency(i, low, math.pi - low)
        pairs = list(zip(self.blocks, self._slices, strict=True))
        self.unit = unit
        self._others = [(b, part) for b, part in pairs if not isinstance(b, _Deviation)]
        deviations = [(b.indices[0], part.start) for b, part in pairs if isinstance(b, _Deviation)]
        self._deviations, self._places = np.array(deviations, np.intp).reshape(-1, 2).T

    def to_theta(self, z: Array) -> Array:
        theta = self.start.copy()
        theta[self._deviations] = self.unit * np.sinh(z[self._places])
        for block, part in self._others:
            theta[block.indices] = block.to_theta(z[part])
        return theta

    def pull_back(self, z: Array, gradient: Array) -> Array:
        out = np.empty(self.size)
        slopes = self.unit * np.cosh(z[self._places])
        out[self._places] = gradient[self._deviations] * slopes
        for block, part in self._others:
            own, g = z[part], gradient[block.indices]
            if isinstance(block, Stationary):
                out[part] = block.pull_back(own, g)
            else:
                out[part] = g @ block.jacobian(own)
        return out


class Maximum(NamedTuple):
    """The result of `structural_maximum`; f free parameters."""

    theta: Array  # all of them
    value: float  # of the log-likelihood
    trace: Array
    at_boundary: NDArray[np.bool_]  # (f,)
    covariance: Array | None  # (f, f), NaN where there is no normal law
    error: Array | None  # the root of its diagonal
    newton: NewtonResult | None


def structural_maximum(
    model: StructuralModel, series: list[Array], free: Any, n_steps: int, final: bool
) -> Maximum:
    """Search, settle zeros, and take Newton steps in the remaining parameters.

    The log-likelihood is the sum over independent series of rows (T, 1).
    """
    largest = max(np.nanmax(np.abs(rows)) for rows in series)
    exponent = math.frexp(largest)[1]
    if abs(exponent) < _FAR:
        return _maximum(model, series, free, n_steps, final)
    # Squares of variances would leave the range of doubles.
    with np.errstate(over="ignore"):  # `replace` refuses what is too large
        return _in_unit(model, series, free, n_steps, final, exponent)


def _in_unit(
    model: StructuralModel, series: list[Array], free: Any, n_steps: int, final: bool, exponent: int
) -> Maximum:
    """Maximize with y in the unit 2**exponent, a power of two: nothing is rounded."""
    units = np.array([n.startswith("sd_") for n in model.names]) * exponent
    theta = np.clip(np.ldexp(model.theta, -units), -LARGEST, LARGEST)
    other = model._at(read_only(theta))
    assert isinstance(other, StructuralModel)
    found = _maximum(other, [np.ldexp(rows, -exponent) for rows in series], free, n_steps, final)
    q = 0 if model.diffuse is None else model.diffuse.shape[1]
    n_free = sum(int((~np.isnan(rows)).sum()) - q for rows in series)
    covariance, error = found.covariance, found.error
    if covariance is not None and error is not None:
        own = units[Parametrization(model, free).free]
        error = np.ldexp(error, own)  # a double where its square may be none
        covariance = np.ldexp(np.ldexp(covariance, own), own[:, None])
    return found._replace(
        theta=np.ldexp(found.theta, units),
        value=found.value - n_free * exponent * math.log(2.0),
        trace=np.ldexp(found.trace, units),
        covariance=covariance,
        error=error,
    )


def _maximum(
    model: StructuralModel, series: list[Array], free: Any, n_steps: int, final: bool
) -> Maximum:
    search = _Search(model, series, free)
    places = search.search(n_steps)
    theta, zeros = search.settle(places[-1], n_steps)
    names = search.parameters.names
    at_boundary = np.array([n in zeros or n in search.edges(theta) for n in names])
    hidden = at_boundary | np.array([n in search.vanished(zeros) for n in names])
    inner = [n for n, h in zip(names, hidden, strict=True) if not h]
    newton, covariance, error = None, None, None
    if final:
        covariance = np.full((len(names), len(names)), np.nan)
        if inner:
            parameters = search.parametrization(theta, inner)
            newton = newton_exact(search.value_and_score, parameters, theta)
            theta = newton.theta
            covariance[np.ix_(~hidden, ~hidden)] = newton.covariance
        error = np.sqrt(np.diag(covariance))
        if newton is not None and search.are_flat(theta, error):
            newton = newton._replace(smallest_eigenvalue=0.0)
    trace = np.array([search.parameters.to_theta(z) for z in places])
    value, _ = search.value_and_score(theta)
    return Maximum(search.positive(theta), value, trace, at_boundary, covariance, error, newton)


class _Search:
    """The searches of one model and its series."""

    def __init__(self, model: StructuralModel, series: list[Array], free: Any) -> None:
        self.model, self.names = model, model.names
        self.scores = [StructuralScores(model, rows) for rows in series]
        self.n_times = max(map(len, series))
        self.unit = _size_of_steps([rows[~np.isnan(rows)] for rows in series])
        self.parameters = self.parametrization(model.theta, free)
        self.deviations = [i for i in self.parameters.free if self.names[i].startswith("sd_")]

    def value_and_score(self, theta: Array) -> tuple[float, Array]:
        value, score = self.scores[0].at(theta)
        for scores in self.scores[1:]:
            more, slope = scores.at(theta)
            value, score = value + more, score + slope
        return value, score

    def parametrization(self, theta: Array, free: Any) -> Parametrization:
        # An undamped cycle starts diffusely, and if it is longer than the series, or as
        # short as two times, one state is not determined: the flat law rewards that indefinitely.
        damped = "cycle_damping" in self.names
        low = _INSIDE if damped else 2.0 * math.pi / max(self.n_times, 5)
        return _Parameters(self.model.replace(theta), free, _UNIT * self.unit, low)

    def at(self, z: Array) -> tuple[float, Array]:
        value, gradient = self.value_and_score(self.parameters.to_theta(z))
        return value, self.parameters.pull_back(z, gradient)

    def positive(self, theta: Array) -> Array:
        out = np.array(theta)
        out[self.deviations] = np.abs(out[self.deviations])
        return out

    # Starting values ----------------------------------------------------------------------------

    def search(self, n_steps: int) -> list[Array]:
        """The points of the best search, from the user's values or from the best of several."""
        base = np.array(self.model.theta)
        n_noises = sum(name.startswith("sd_") for name in self.names)
        for i in self.deviations:
            if base[i] == 0.0 or not self.model._is_given:
                base[i] = self.unit / math.sqrt(n_noises)
        if self.model._is_given:
            return self.climb(base, n_steps).places
        families = self._candidates(base)
        scaled = [max(map(self._scaled, f), key=lambda found: found[0]) for f in families]
        scaled.sort(key=lambda found: -found[0])
        if len(scaled) == 1:
            return self.climb(scaled[0][1], n_steps).places
        first = min(_SHORT, n_steps)
        climbs = [self.climb(theta, first) for _, theta in scaled[:_N_SHORT]]
        climbs.sort(key=lambda climb: -climb.value)
        for climb in climbs[:_N_SEARCHES]:
            if n_steps > first and not climb.rests:
                climb.measure()
                climb.run(n_steps - first)
        return max(climbs, key=lambda climb: climb.value).places

    def climb(self, theta: Array, n_steps: int) -> QuasiNewton:
        search = QuasiNewton(self.at, self.parameters.to_free(theta))
        search.run(n_steps)
        return search

    def _candidates(self, base: Array) -> list[list[Array]]:
        """Initial values, in families that differ in more than a frequency.

        There may be several maxima where components move.
        """
        free = set(self.parameters.names)
        periods = np.geomspace(_SHORTEST_PERIOD, max(self.n_times / 2, 6.0), _N_FREQUENCIES)
        turns = 2.0 * math.pi / periods
        families: list[list[dict[str, float]]] = [[{}]]
        if "cycle_frequency" in free:
            families = [
                [{"cycle_frequency": w, "cycle_damping": r} for w in turns] for r in _MODULI
            ]
        if "ar[1]" in free:
            correlations = _CORRELATIONS if families == [[{}]] else (0.5,)
            families = [[{**c, "ar[1]": r} for c in f] for f in families for r in correlations]
            if "ar[2]" in free:
                families += [
                    [{"ar[1]": 2 * r * math.cos(w), "ar[2]": -r * r} for w in turns]
                    for r in _MODULI
                ]
        if families != [[{}]]:  # moving components and the level may exchange their parts
            pairs = [dict[str, float]()]
            groups = [g for g in (_TREND, _MOVING) if free.intersection(g)]
            pairs += [dict.fromkeys(group, _SHARE) for group in groups]
            families = [[{**c, **shares} for c in f] for f in families for shares in pairs]
        if free.issuperset(("ar[1]", "sd_noise")) and not free.intersection(_TREND):
            phi = enumerate(self._yule_walker(), 1)  # as if all were the autoregression
            families.append([{f"ar[{k}]": x for k, x in phi} | {"sd_noise": _SHARE}])
        return [[self._with_values(base, c) for c in f] for f in families]

    def _yule_walker(self) -> Array:
        """Coefficients that have the autocorrelations of the series about zero."""
        order = sum(name.startswith("ar[") for name in self.names)
        y = [np.nan_to_num(scores.y) for scores in self.scores]
        c = [sum(float(x[k:] @ x[: len(x) - k]) for x in y) for k in range(order + 1)]
        r = np.empty(order)
        for k in range(order):  # Levinson and Durbin
            phi = autoregression(r[:k])
            error = c[0] - sum(a * b for a, b in zip(phi, c[1:], strict=False))
            gain = c[k + 1] - sum(a * b for a, b in zip(phi, c[k:0:-1], strict=True))
            r[k] = np.clip(gain / error, -_MODULI[-1], _MODULI[-1]) if error > 0.0 else 0.0
        return autoregression(r)

    def _with_values(self, base: Array, values: dict[str, float]) -> Array:
        """For free parameters; standard deviations as fractions of their values."""
        theta = np.array(base)
        for i in self.parameters.free:
            name = self.names[i]
            if name in values:
                theta[i] = values[name] * (base[i] if name.startswith("sd_") else 1.0)
        return theta

    def _scaled(self, theta: Array) -> tuple[float, Array]:
        """With all standard deviations times the factor that is best, and the value there.

        log L(s theta) = const - n log s - rho^2 / (2 s^2), with a derivative rho^2 - n at s = 1.
        """
        found = [scores.value_and_square(theta) for scores in self.scores]
        value, square = (float(sum(numbers)) for numbers in zip(*found, strict=True))
        every = [n.startswith("sd_") for n in self.names]
        n = sum(scores.n_free for scores in self.scores)
        if len(self.deviations) < sum(every) or n < 1 or math.isnan(square):
            return value, theta  # some are fixed, or the sum of squares is not known
        if not square > _NO_ERROR * n:
            raise ValueError(
                "y must not be a sum of level, season and regressors without any error: the "
                "likelihood has no maximum"
            )
        scale = math.sqrt(square / n)
        return value + 0.5 * (square - n) - n * math.log(scale), np.where(every, scale, 1.0) * theta

    # Zeros and edges ------------------------------------------------------------------------------

    def settle(self, z: Array, n_steps: int) -> tuple[Array, set[str]]:
        """Parameters with the standard deviations that belong at zero set to it, and their names.

        If the derivative in sd^2 points away from zero, a value near it is searched for once more.
        """
        theta = self.parameters.to_theta(z)
        low = [i for i in self.deviations if abs(theta[i]) < _ZERO * self.unit]
        zeros: set[str] = set()
        wrong = []
        for i in sorted(low, key=lambda i: abs(theta[i])):
            value = self.value_and_score(theta)[0]
            nearly = _with(theta, {i: 1e-3 * _UNIT * self.unit})
            there, gradient = self.value_and_score(nearly)
            rises = gradient[i] > 0.0  # d/d(sd) = 2 sd d/d(sd^2)
            if rises and abs(theta[i]) < 0.1 * _UNIT * self.unit:
                wrong.append(i)
            elif there >= value - _NOTHING:
                theta = _with(theta, {i: 0.0})
                zeros.add(self.names[i])
        if wrong and n_steps:
            start = _with(theta, {i: _AGAIN * self.unit for i in wrong})
            search = self.climb(start, n_steps)
            if search.value > self.value_and_score(theta)[0]:
                return self.settle(search.places[-1], 0)
        return theta, zeros

    def are_flat(self, theta: Array, error: Array) -> bool:
        """Whether errors of standard deviations show that the likelihood hardly determines them."""
        of_free = dict(zip(self.parameters.free.tolist(), error, strict=True))
        return any(of_free[i] > _FLAT * abs(theta[i]) for i in self.deviations)

    def edges(self, theta: Array) -> set[str]:
        """Free parameters at the edge of their range, other than zeros."""
        at_edge: set[str] = set()
        for block in self.parameters.blocks:
            place = theta[block.indices]
            if any(self.names[i].startswith("ar[") for i in block.indices):
                place = 0.5 * (1.0 + partial_autocorrelations(place))
            elif isinstance(block, _Frequency):
                place = (place - block.low) / block.width
            elif not (isinstance(block, Single) and block.kind == "logit"):
                continue
            if min(place.min(), 1.0 - place.max()) < _EDGE:
                at_edge.update(self.names[i] for i in block.indices)
        return at_edge

    def vanished(self, zeros: set[str]) -> set[str]:
        """Parameters of components that are zero, as they start from a stationary law."""
        return {
            p.name
            for part in self.model._parts
            if not part.diffuse and part.parameters[-1].name in zeros
            for p in part.parameters
        }


def _size_of_steps(series: list[Array]) -> float:
    """Standard deviation of y_{t+1} - y_t, or their mean size where they are all the same."""
    steps = np.concatenate([np.diff(y) for y in series])
    size = float(steps.std() or np.abs(steps).mean()) if steps.size else 0.0
    if size == 0.0:
        raise ValueError("y must contain different values, got equal ones")
    return size


def _with(theta: Array, values: dict[int, float]) -> Array:
    out = np.array(theta)
    out[list(values)] = list(values.values())
    return out

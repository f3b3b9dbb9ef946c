"""Estimating the mean projected cost of a pair of clouds: choices, draws, and stopping."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from randla._results import warn_caller
from randla._typing import Array
from randla._validation import as_number
from randla.transport._controls.choice import HARMFUL, affordable, auto_family
from randla.transport._controls.control_variates import Controls, directions_for, make_controls
from randla.transport._controls.regression import Fit, fit_or_mean, plain_mean
from randla.transport._directions.designs import (
    N_BLOCKS,
    Design,
    Directions,
    FewProjectionsWarning,
    child_key,
    choose_design,
    on_the_line,
)
from randla.transport._projections.costs import PairOfClouds
from randla.transport._result import MeanCost, SlicedWassersteinResult, times_unit

_FIRST_PROJECTIONS = 64  # of an adaptive run
_CONFIDENCE = 0.95  # of the interval that the tolerances bound
_CHUNK_NUMBERS = 1 << 20  # coordinates of directions held at a time


@dataclass(frozen=True)
class Tolerance:
    """How wide the confidence interval of the value may be."""

    rtol: float
    atol: float

    @classmethod
    def of(cls, rtol: float | None, atol: float | None) -> "Tolerance | None":
        """Validate; None if neither is given."""
        if rtol is None and atol is None:
            return None
        return cls(
            0.0 if rtol is None else as_number(rtol, "rtol", low=0.0),
            0.0 if atol is None else as_number(atol, "atol", low=0.0),
        )

    def miss(self, result: SlicedWassersteinResult) -> float:
        """Half-width of the interval over the tolerance: at most 1 if the tolerance is met."""
        low, high = result.confidence_interval(_CONFIDENCE)
        wanted = max(self.atol, self.rtol * result.value)
        half = 0.5 * (high - low)  # of the interval
        return half / wanted if wanted > 0.0 else (0.0 if half == 0.0 else math.inf)


class SlicedEstimator:
    """Estimates the mean cost of a pair of clouds from a design; keeps controls between designs."""

    def __init__(
        self, clouds: Any, costs: PairOfClouds, control: str | Controls | None, cross_fit: Any
    ) -> None:
        self.clouds, self.costs, self.p = clouds, costs, costs.p
        self._control, self._cross_fit = control, cross_fit
        self._made = {control.name: control} if isinstance(control, Controls) else {}
        self._warning: str | None = None  # of the latest estimate

    # Choices -------------------------------------------------------------------------------------

    def controls(self, design: Design) -> Controls | None:
        """The controls for a design: the requested ones, or fewer if directions are too few."""
        d, n, p = self.clouds.dim, design.n, self.p
        if isinstance(self._control, Controls):
            wanted: str | None = self._control.name
            name = wanted if n >= directions_for(self._control.k) else None
        elif self._control == "auto":
            wanted = name = auto_family(design, p, self.costs.seconds, self.costs.n_points)
        else:
            wanted, name = self._control, affordable(self._control, d, n, p)
        used = "none" if name is None else repr(name)
        message = f"control_variate={wanted!r} needs more than {n} projections: using {used}"
        self._warning = message if name != wanted else None
        if name is None:
            return None
        if name not in self._made:
            x, y = self.clouds.items
            self._made[name] = make_controls(name, x, y, p)
        return self._made[name]

    # Estimates -----------------------------------------------------------------------------------

    def draw(self, design: Design, known: "Draws | None" = None) -> "Draws":
        """Costs and controls at the directions of a design, the first of which may be known."""
        controls, block, n = self.controls(design), design.block, design.n
        k, reads = (0, False) if controls is None else (controls.k, controls.reads_variances)
        draws = Draws(
            controls, np.empty(n), np.empty((n, k)), np.zeros(k), np.empty((2, n * reads))
        )
        n_costs, n_columns = (0, 0) if known is None else draws.take(known)
        step = max(_CHUNK_NUMBERS // (self.clouds.dim * block), 1) * block
        edges = [*range(n_columns, n_costs, step), *range(n_costs, n, step), n]
        for start, stop in pairwise(edges):
            theta, rows = design.rows(start, stop), slice(start, stop)
            variances = draws.variances[:, rows] if reads else None
            if start >= n_costs:
                draws.costs[rows] = self.costs(theta, variances)
            if controls is not None:
                column = controls.evaluate(theta, variances)
                draws.columns[rows] = column.centered
                np.maximum(draws.sizes, column.sizes, out=draws.sizes)
        return draws

    def result(self, design: Design) -> SlicedWassersteinResult:
        """The estimate from the directions of a design."""
        return self.final(self.estimate(design, self.draw(design)))

    def exact(self) -> SlicedWassersteinResult:
        """The exact cost of clouds on a line."""
        f = self.costs(np.ones((1, 1)))
        return self._result(None, None, plain_mean(f), f, f)

    def final(self, result: SlicedWassersteinResult) -> SlicedWassersteinResult:
        """Return the result, and warn if controls were requested but not used."""
        if self._warning is not None:
            warn_caller(self._warning, FewProjectionsWarning)
        return result

    def estimate(self, design: Design, draws: "Draws") -> SlicedWassersteinResult:
        """The estimate from costs and controls at the directions of a design."""
        controls, f, block = draws.controls, draws.costs, design.block
        if controls is None:
            return self._result(design, None, plain_mean(f, block), f, f)
        is_auto = self._control == "auto"
        fitted, used = fit_or_mean(
            f, draws.columns, draws.sizes, controls.mean_errors,
            limit=HARMFUL if is_auto else math.inf,
            block=block, family=controls.name, cross_fit=self._cross_fit,
        )  # fmt: skip
        if used:  # costs less the controls: f - sum_k beta_k (c_k - E c_k)
            adjusted = f - draws.columns @ fitted.coefficients
            return self._result(design, controls, fitted, f, adjusted)
        if not is_auto:
            self._warning = "control_variate is collinear without some of the directions: not used"
        return self._result(design, None, fitted, f, f)

    def _result(
        self,
        design: Design | None,
        controls: Controls | None,
        fitted: Fit,
        f: Array,
        adjusted: Array,
    ) -> SlicedWassersteinResult:
        p, unit = self.p, self.costs.unit
        is_given = design is not None and design.kind == "array"
        error = None if is_given else fitted.standard_error
        freedom = None if is_given else fitted.degrees_of_freedom
        cost = MeanCost.of(fitted.estimate, error, freedom, p, self.clouds.exponent, unit)
        coefficients = fitted.coefficients
        if controls is not None:
            with np.errstate(over="ignore", under="ignore"):
                powers = cost.length ** (p - controls.degrees)  # of length, see `Controls`
                powers *= unit**-controls.degrees  # controls are in units of the clouds
                coefficients = times_unit(coefficients * controls.scales, powers)
        mean = fitted.estimate
        has_error = not is_given and (mean > 0.0 or mean == error == 0.0)  # else see the interval
        return SlicedWassersteinResult(
            value=float(cost.value),
            standard_error=float(cost.value_error) if has_error else None,
            power=float(cost.powers(mean)),
            power_standard_error=None if is_given else float(cost.powers(error)),
            degrees_of_freedom=freedom,
            n_projections=len(f),
            variance_reduction=None if is_given else _variance_reduction(f, fitted.standard_error),
            control_variate=None if controls is None else controls.name,
            directions="exact" if design is None else design.kind,
            coefficients=coefficients,
            converged=True,
            projected_costs=cost.powers(f),
            adjusted_costs=cost.powers(adjusted),
            _cost=cost,
            _design=on_the_line() if design is None else design,
        )

    def adaptive(
        self,
        kind: str,
        n_projections: int | None,
        key: np.uint64,
        tolerance: Tolerance,
        max_projections: int,
    ) -> SlicedWassersteinResult:
        """Grow the number of directions until the tolerances are met."""
        n = n_projections or _FIRST_PROJECTIONS
        if kind == "orthogonal":
            n = max(n, N_BLOCKS * self.clouds.dim)  # whole frames from the start
        design = choose_design(kind, self.clouds.dim, min(n, max_projections), key)
        draws, stage = self.draw(design), 0
        while True:
            result = self.estimate(design, draws)
            miss = tolerance.miss(result)
            if miss <= 1.0:
                return self.final(result)
            if design.n >= max_projections:
                warn_caller(
                    f"sliced_wasserstein stopped at {design.n} projections (max_projections = "
                    f"{max_projections}), where half of the interval is {miss:.3g} times what rtol "
                    "and atol allow",
                    FewProjectionsWarning,
                )
                return self.final(replace(result, converged=False))
            factor = max(1.1 * min(miss, 4.0) ** 2, 1.5)  # errors fall like n^(-1/2)
            n, stage = min(math.ceil(design.n * factor), max_projections), stage + 1
            if design.kind == "rqmc":  # such sets do not grow: a new one, of another size
                design = Directions("rqmc", self.clouds.dim, n, child_key(key, stage))
                draws = self.draw(design)
            else:
                design = Directions(design.kind, self.clouds.dim, n, key)
                draws = self.draw(design, draws)


@dataclass(frozen=True, eq=False)
class Draws:
    """Costs (L,) at some directions, and the controls there: their centered columns (L, k), sizes
    (k,) as in `Columns`; variances (2, L) of the projections, (2, 0) if the controls need none.
    """

    controls: Controls | None
    costs: Array
    columns: Array
    sizes: Array
    variances: Array

    def take(self, known: "Draws") -> tuple[int, int]:
        """Enter the known values at the first directions; of how many costs and columns."""
        n = len(known.costs)
        if self.variances.shape[1] > known.variances.shape[1] == 0:
            return 0, 0
        self.costs[:n] = known.costs
        self.variances[:, :n] = known.variances[:, : self.variances.shape[1]]
        if self.controls is not known.controls:  # "auto" now uses more
            return n, 0
        self.columns[:n], self.sizes[:] = known.columns, known.sizes
        return n, n


def _variance_reduction(f: Array, error: float) -> float:
    """Variance of the plain mean of independent directions over the squared error."""
    deviations = f - f.mean()
    if error == 0.0:
        return math.inf if deviations.any() else 1.0
    deviations /= error  # squares of costs may vanish
    return float(deviations @ deviations) / (max(len(f) - 1, 1) * len(f))  # s^2 / L over error^2

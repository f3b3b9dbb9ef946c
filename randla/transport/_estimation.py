"""Estimating the mean projected cost of a pair of clouds: choices, draws, and stops."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from randla._results import warn_caller
from randla._typing import Array
from randla._validation import as_number
from randla.transport._choice import HARMFUL, affordable, auto_family
from randla.transport._clouds import Clouds, length_of, times_unit
from randla.transport._control_variates import Controls, directions_for, make_controls
from randla.transport._costs import ProjectedCosts
from randla.transport._directions import (
    N_BLOCKS,
    Design,
    Directions,
    FewProjectionsWarning,
    child_key,
    choose_design,
)
from randla.transport._regression import Fit, fit_or_mean
from randla.transport._result import SlicedWassersteinResult

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
        """Half of the interval over what is wanted: at most 1 if the tolerances are met."""
        low, high = result.confidence_interval(_CONFIDENCE)
        wanted = max(self.atol, self.rtol * result.value)
        half = 0.5 * (high - low)
        return half / wanted if wanted > 0.0 else (0.0 if half == 0.0 else math.inf)


class Problem:
    """A pair of clouds, what is known of it once and for all, and how to estimate from a design."""

    def __init__(
        self,
        clouds: Clouds,
        p: float,
        control: str | Controls | None,
        cross_fit: bool | None,
        show: bool,
        costs: type[ProjectedCosts],
    ) -> None:
        self.clouds, self.p, self._control = clouds, p, control
        self._cross_fit, self._progress = cross_fit, show
        self.costs = costs(clouds.items[0], clouds.items[1], p)
        self._made = {control.name: control} if isinstance(control, Controls) else {}
        self._warning: str | None = None  # of the latest estimate

    # Choices -------------------------------------------------------------------------------------

    def controls(self, design: Design) -> Controls | None:
        """The family asked for, or that suits the design, if there are directions enough."""
        d, n, p = self.clouds.dim, design.n, self.p
        if isinstance(self._control, Controls):
            wanted: str | None = self._control.name
            name = wanted if n >= directions_for(self._control.k) else None
        elif self._control == "auto":
            wanted = name = auto_family(design, p, n * self.costs.seconds)
        else:
            wanted, name = self._control, affordable(self._control, d, n, p)
        used = "none" if name is None else repr(name)
        message = f"control_variate={wanted!r} needs more than {n} projections: {used}"
        self._warning = message if name != wanted else None
        return None if name is None else self._make(name)

    def _make(self, name: str) -> Controls:
        if name not in self._made:
            self._made[name] = make_controls(
                name, self.clouds.items[0], self.clouds.items[1], self.p
            )
        return self._made[name]

    # Estimates -----------------------------------------------------------------------------------

    def draw(self, design: Design, first: int, last: int) -> tuple[Any, ...]:
        """Controls, costs (L,), their centred columns (L, k) and sizes at some directions."""
        controls = self.controls(design)
        block, d = design.block, self.clouds.dim
        step = max(_CHUNK_NUMBERS // (d * block), 1) * block
        costs, columns, sizes = [], [], np.zeros(0 if controls is None else controls.k)
        for start in range(first, last, step):
            theta = design.rows(start, min(start + step, last))
            costs.append(self.costs(theta, progress=self._progress))
            if controls is not None:
                column = controls.evaluate(theta)
                columns.append(column.centred)
                sizes = np.maximum(sizes, column.sizes)
        table = np.concatenate(columns) if columns else np.empty((last - first, 0))
        return controls, np.concatenate(costs), table, sizes

    def result(
        self,
        design: Design,
        controls: Controls | None,
        f: Array,
        columns: Array,
        sizes: Array,
    ) -> SlicedWassersteinResult:
        """The estimate from costs and controls at the directions of a design."""
        return self._final(self._estimate(design, controls, f, columns, sizes))

    def _final(self, result: SlicedWassersteinResult) -> SlicedWassersteinResult:
        """A result after a warning, if need be, of controls that were asked for and not used."""
        if self._warning is not None:
            warn_caller(self._warning, FewProjectionsWarning)
        return result

    def _estimate(
        self,
        design: Design,
        controls: Controls | None,
        f: Array,
        columns: Array,
        sizes: Array,
        converged: bool = True,
    ) -> SlicedWassersteinResult:
        if len(f) == 1:  # a single direction of the user
            only = Fit(float(f[0]), 0.0, 0.0, np.empty(0))
            return self._wrap(design, None, only, f, f, converged)
        is_auto = self._control == "auto"
        fitted, used = fit_or_mean(
            f,
            columns,
            sizes,
            np.zeros(0) if controls is None else controls.mean_errors,
            limit=HARMFUL if is_auto else math.inf,
            block=design.block,
            family=None if controls is None else controls.name,
            cross_fit=self._cross_fit,
        )
        if not used:
            if not is_auto:
                self._warning = "control_variate is collinear without some of the directions: none"
            controls, columns = None, columns[:, :0]
        adjusted = f - columns @ fitted.coefficients
        return self._wrap(design, controls, fitted, f, adjusted, converged)

    def exact(self) -> SlicedWassersteinResult:
        """In one dimension there is one direction, up to its sign."""
        f = self.costs(np.ones((1, 1)))
        return self._wrap(None, None, Fit(float(f[0]), 0.0, math.inf, np.empty(0)), f, f, True)

    def _wrap(
        self,
        design: Design | None,
        controls: Controls | None,
        fitted: Fit,
        f: Array,
        adjusted: Array,
        converged: bool,
    ) -> SlicedWassersteinResult:
        p, L = self.p, len(f)
        costs_unit = self.costs.unit or 1.0
        length = length_of(1.0 / costs_unit, self.clouds.exponent)
        coefficients = fitted.coefficients
        scaled, error = fitted.estimate, fitted.standard_error
        with np.errstate(over="ignore", under="ignore"):
            unit = float(np.float64(length) ** p)
            if controls is not None:
                powers = np.float64(length) ** (p - controls.degrees)
                powers *= costs_unit**-controls.degrees  # controls are in units of the clouds
                coefficients = times_unit(coefficients * controls.scales, powers)
        given = design is not None and design.kind == "array"
        value = max(scaled, 0.0) ** (1.0 / p)
        standard_error: float | None = None
        if not given and scaled > 0.0:
            standard_error = error * scaled ** (1.0 / p - 1.0) / p * length
        elif not given and scaled == error == 0.0:
            standard_error = 0.0
        reduction = None if given else _variance_reduction(f, error)
        return SlicedWassersteinResult(
            value=value * length,
            standard_error=standard_error,
            power=float(times_unit(scaled, unit)),
            power_standard_error=None if given else float(times_unit(error, unit)),
            degrees_of_freedom=None if given else fitted.degrees_of_freedom,
            n_projections=L,
            variance_reduction=reduction,
            control_variate=None if controls is None else controls.name,
            directions="exact" if design is None else design.kind,
            coefficients=coefficients,
            converged=converged,
            projected_costs=times_unit(f, unit),
            adjusted_costs=times_unit(adjusted, unit),
            _p=p,
            _scaled=(scaled, None if given else error, length),
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
        controls, f, columns, sizes = self.draw(design, 0, design.n)
        stage = 0
        while True:
            result = self._estimate(design, controls, f, columns, sizes)
            miss = tolerance.miss(result)
            if miss <= 1.0:
                return self._final(result)
            if design.n >= max_projections:
                warn_caller(
                    f"sliced_wasserstein stopped at {design.n} projections (max_projections = "
                    f"{max_projections}), where half of the interval is {miss:.3g} times what rtol "
                    "and atol allow",
                    FewProjectionsWarning,
                )
                return self._final(replace(result, converged=False))
            factor = max(1.1 * min(miss, 4.0) ** 2, 1.5)
            n, stage = min(math.ceil(design.n * factor), max_projections), stage + 1
            if design.kind == "rqmc":  # such sets do not grow: a new one, of another size
                design = Directions("rqmc", self.clouds.dim, n, child_key(key, stage))
                controls, f, columns, sizes = self.draw(design, 0, design.n)
                continue
            before, design = design.n, Directions(design.kind, self.clouds.dim, n, key)
            if self.controls(design) is not controls:  # "auto" now affords more: start again
                controls, f, columns, sizes = self.draw(design, 0, design.n)
                continue
            _, new, more, _ = self.draw(design, before, design.n)
            f, columns = np.concatenate([f, new]), np.concatenate([columns, more])


def _variance_reduction(f: Array, error: float) -> float:
    """Variance of the plain mean of independent directions over the squared error."""
    deviations = f - f.mean()
    if error == 0.0:
        return math.inf if deviations.any() else 1.0
    deviations /= error  # squares of costs may vanish
    return float(deviations @ deviations) / (max(len(f) - 1, 1) * len(f))

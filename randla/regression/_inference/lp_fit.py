"""What the statistical errors of quantile and l_p fits start from, and whether the data are its."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from randla._results import warn_caller
from randla._scaling import power_of_two_scale
from randla._typing import Array
from randla.regression._inference.data import FittedData
from randla.regression._inference.options import InferenceWarning

EPS = float(np.finfo(np.float64).eps)
#: A'z beside its terms, the value, and rounding errors of residuals, by which fits may differ.
_FEASIBLE, _SAME, _ROUNDINGS = 1e-8, 1e-9, 16.0


@dataclass(frozen=True, eq=False)
class LpFit:
    """k quantile fits, or one fit in the norm l_p, of d coefficients.

    Attributes
    ----------
    x : (d, k) ndarray
    value : (k,) ndarray
        Sums of pinball losses over `weights`, for p > 1 the norm.
    dual : (n, k) ndarray or Dask array
        z with A'z = 0; for quantiles ``w (tau - 1) <= z <= w tau``.
    p : float
    taus : tuple of float
        The quantiles in the order of the columns of x; empty for p > 1.
    rank : int
        Of A.
    solve : callable
        ``solve(A, b, tau=..., weights=...)``: the same problem for other rows, weights or several
        quantiles, in memory or lazy. What it returns has `x` (d, k), `dual` (n, k) and `value`.
        For p > 1 `tau` is left out, and there is no trailing axis.
    """

    x: Array
    value: Array
    dual: Any
    p: float
    taus: tuple[float, ...]
    rank: int
    solve: Callable[..., Any]

    @classmethod
    def of(
        cls, x: Array, value: Any, dual: Any, *, p: float, taus: tuple[float, ...] | None,
        rank: int, solve: Callable[..., Any],
    ) -> LpFit:  # fmt: skip
        """From what `lp_regression` returned; the norm at p = 1 is two losses of the median."""
        n, d = len(dual), len(x)
        x, value, dual = x.reshape(d, -1), np.reshape(value, -1), dual.reshape(n, -1)
        if p > 1.0:
            return cls(x, value, dual, p, (), rank, solve)
        if taus is None:
            taus, value, dual = (0.5,), 0.5 * value, 0.5 * dual
        return cls(x, value, dual, p, taus, rank, solve)

    def of_rows(self, data: FittedData) -> LpFit:
        """The fit for the rows and weights of `data`: dual and value; refuses what it is not of.

        The rows and weights of a fit have A'z = 0, z in its box, and losses that add up to `value`.
        """
        dual = self.dual if data.live is None else self.dual[data.live]
        if data.tall.lazy:
            dual = dual.rechunk({0: data.tall.A.chunks[0], 1: -1})
        if data.unit != 1.0:
            dual = data.unit * dual
        power = 1.0 if self.taus else 1.0 / self.p
        value = self.value * data.unit**power * data.b_scale
        fit = replace(self, dual=dual, value=value)
        fit._require_rows_of(data)
        return fit

    def _require_rows_of(self, data: FittedData) -> None:
        (d, k), p = self.x.shape, self.p
        total = float(data.n_rows if data.w is None else data.tall.compute(data.w.sum()))
        unit = 1.0 / power_of_two_scale(self.value / total ** (1.0 / p))  # a typical residual
        taus = np.array(self.taus) if self.taus else np.full(k, 0.5)
        sums, terms, loss, rounding, outside = data.sums(
            _guarded, data.B, self.dual, data.w, shapes=[(d, k), (d, k), (k,), (k,), (k,)],
            y=self.x / data.coefficient_units, unit=unit, taus=taus, p=p,
        )  # fmt: skip
        value = self.value / unit
        found, blur = loss ** (1.0 / p), rounding ** (1.0 / p)
        wrong = (np.abs(sums) > _FEASIBLE * terms).any()
        wrong |= (np.abs(found - value) > _SAME * value + _ROUNDINGS * blur).any()
        if wrong or (outside > _FEASIBLE * total).any():
            raise ValueError(
                "A, b or weights are not those of the fit: give the same rows in the same order, "
                "with the weights of the fit"
            )


def _guarded(
    X: Array, B: Array, Z: Array, w: Array | None, *, y: Array, unit: Array, taus: Array, p: float
) -> tuple[Array, ...]:
    """Sums of x z and |x z|; losses, what rounding may make of them, and how far z is outside."""
    weight = np.ones((len(X), 1)) if w is None else w[:, None]
    u = (B - X @ y) / unit
    size = np.abs(X)
    rounding = EPS * (np.abs(B) + size @ np.abs(y)) / unit
    sums = X.T @ Z, size.T @ np.abs(Z)
    if p > 1.0:
        loss, rounding = weight * np.abs(u) ** p, weight * rounding**p
        return *sums, loss.sum(axis=0), rounding.sum(axis=0), np.zeros(len(taus))
    loss = weight * u * (taus - (u < 0.0))
    outside = np.maximum(Z - weight * taus, weight * (taus - 1.0) - Z)
    outside = np.maximum(outside, 0.0)
    return *sums, loss.sum(axis=0), (weight * rounding).sum(axis=0), outside.sum(axis=0)


def warn_of_columns(told: Any, names: tuple[str, ...], where: str = "") -> None:
    """Name the columns whose coefficients the rows do not tell, or whose errors they do not."""
    if not told.all():
        listed = ", ".join(names[j] for j in np.flatnonzero(~told))
        warn_caller(
            f"no standard error (NaN) for {listed}{where}: too few rows tell them there",
            InferenceWarning,
        )

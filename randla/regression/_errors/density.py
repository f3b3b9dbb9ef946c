r"""Densities of the errors at a quantile, row by row.

With the bandwidth h of Hall and Sheather (halved until tau -+ h are quantiles) and the difference
:math:`\delta_i = a_i^T (x_{\tau+h} - x_{\tau-h})`, the density is

* "nid": :math:`2h / \delta_i`, or 0 (Hendricks and Koenker; as R's quantreg);
* the default: :math:`2h\, \delta_i^+ / (\delta_i^2 + v_i / 2)`, shrunk by an estimate of the
  variance of the difference, :math:`v_i = 2h (1 - 2h) \max(s, \delta_i^+ / 2h)^2 \ell_i`. As
  1/delta is convex, the plain quotient is too large exactly in the rows that determine the errors;
* "iid": 1/s for all rows, s the difference quotient of the quantiles of the nonzero residuals
(Siddiqui): in every fit as many residuals as coefficients are zero;
* "powell": a normal kernel at the residual, and "CR1": a flat one (Parente and Santos Silva).

Here :math:`\ell_i = a_i^T G D_0 G a_i` is the variance of :math:`a_i^T x` for a unit density; for
unit weights, the leverage.

Sources: Hall and Sheather, "On the distribution of a studentized quantile", J. R. Statist. Soc. B
50 (1988), 381-391; Siddiqui, "Distribution of quantiles in samples from a bivariate population", J.
Res. Nat. Bur. Stand. 64B (1960), 145-150; Hendricks and Koenker, "Hierarchical spline models for
conditional quantiles and the demand for electricity", J. Amer. Statist. Assoc. 87 (1992), 58-68;
Powell, "Estimation of monotonic regression models under quantile restrictions", in "Nonparametric
and semiparametric methods in econometrics", Cambridge University Press (1991), 357-384; Parente and
Santos Silva, "Quantile regression with clustered data", J. Econometric Methods 5 (2016), 1-15. The
shrunk quotient is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._tall._kernels.tiles import row_norms
from randla._typing import Array
from randla.regression._errors.basis import Basis
from randla.regression._errors.data import FittedData
from randla.regression._errors.lp_fit import LpRows
from randla.regression._errors.order_statistics import smallest, weighted_quantiles

#: Differences of fits up to this, relative to the range of b, are rounding errors.
_ROUNDING = 1e-12


def hall_sheather(n: float, tau: float) -> float:
    """Bandwidth in tau for 95% intervals, halved until tau -+ h are within (0, 1)."""
    from scipy.special import ndtri

    q = ndtri(tau)
    density = np.exp(-0.5 * q * q) / np.sqrt(2.0 * np.pi)
    h = (ndtri(0.975) ** 2 / n * 1.5 * density**2 / (2.0 * q * q + 1.0)) ** (1.0 / 3.0)
    while not (tau - h > 0.0 and tau + h < 1.0):
        h /= 2.0
    return float(h)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residuals of k fits, and the order statistics needed for densities.

    Attributes
    ----------
    rows : LpRows
    taus, h : (k,) ndarray
        Quantiles and bandwidths.
    kept : (n, k) ndarray or Dask array of bool
        Rows off the fit: in every fit, as many rows as coefficients lie on it.
    n_zero : (k,) ndarray
        Rows whose residual is a rounding error.
    is_perfect : (k,) ndarray of bool
        Fits with no other residuals: their errors are zero.
    rounding : (k,) ndarray
        Rounding error of the residuals: a mean over rows that is not dominated by a few large ones.
    """

    rows: LpRows
    taus: Array
    h: Array
    kept: Any
    n_zero: Array
    is_perfect: Any
    rounding: Array

    @classmethod
    def of(cls, rows: LpRows) -> Residuals:
        """Compute the statistics of the residuals of a fit."""
        fit, data = rows.fit, rows.data
        w, tall = data.w, data.tall
        h = np.array([hall_sheather(effective_rows(data), tau) for tau in fit.taus])
        size = abs(rows.u)
        is_zero = size <= rows.rounding
        kept = ~is_zero & (size - rows.rounding > smallest(tall, size, fit.rank))
        live: Any = True
        if w is not None:
            live = (w > 0.0)[:, None]
            kept, is_zero = kept & live, is_zero & live
        n_kept, roots = tall.compute(kept.sum(axis=0), np.sqrt(rows.rounding).sum(axis=0))
        is_perfect, rounding = rows.is_perfect | (n_kept == 0), (roots / data.n) ** 2
        # Rows with b = 0 on a fit whose coefficients are themselves rounding errors, too.
        n_zero = tall.compute((is_zero | live & (size <= rounding)).sum(axis=0))
        return cls(rows, np.array(fit.taus), h, kept, n_zero, is_perfect, rounding)

    def quantiles(self, levels: Array, values: Any, kept: Any = None) -> Array:
        """The quantiles (q, k) of values (n, k) over the kept rows, all rows by default."""
        return weighted_quantiles(self.rows.data.tall, values, kept, self.rows.data.w, levels)

    @property
    def sparsity(self) -> Array:
        """Siddiqui's difference quotient s (k,) of quantiles of the kept residuals."""
        levels = np.stack([self.taus - self.h, self.taus + self.h])
        low, high = self.quantiles(levels, self.rows.u, self.kept)
        return self.above_rounding(high - low) / (2.0 * self.h)

    def above_rounding(self, widths: Array) -> Array:
        """Differences (k,) of residuals, zero where they are rounding errors."""
        return np.where(widths > 2.0 * self.rounding, widths, 0.0)

    @property
    def normal_bandwidths(self) -> Array:
        """The bandwidths (k,) on the scale of standard normal residuals."""
        from scipy.special import ndtri

        return ndtri(self.taus + self.h) - ndtri(self.taus - self.h)


def effective_rows(data: FittedData) -> float:
    """Effective number of rows, (sum w)^2 / sum w^2; for frequencies the number of rows."""
    w = data.w
    if w is None or data.repeats:
        return float(data.n_rows)
    total, squares = data.tall.compute(w.sum(), (w * w).sum())
    return float(total) / float(squares) * float(total)


# Densities, one column a fit -------------------------------------------------------------------


def quantile_differences(residuals: Residuals) -> Array:
    """Differences (d, k) between the fits at tau + h and tau - h, in scaled units.

    All are solved in one call; fits that exist already are not solved again.
    """
    rows, h = residuals.rows, residuals.h
    fit, data = rows.fit, rows.data
    fits = dict(zip(fit.taus, rows.y.T, strict=True))
    wanted = [(tau - step, tau + step) for tau, step in zip(fit.taus, h, strict=True)]
    new = sorted({tau for pair in wanted for tau in pair} - fits.keys())
    if new:
        solved = fit.solve(data.tall.A, data.B[:, 0], tau=new, weights=data.w)
        fits.update(zip(new, solved.T / data.scale, strict=True))
    return np.stack([fits[high] - fits[low] for low, high in wanted], axis=1)


def shrunk(residuals: Residuals, difference: Array, basis: Basis) -> Any:
    """The default density, (n, k)."""
    return residuals.rows.data.rows(
        _shrunk, residuals.rows.rounding, width=len(residuals.h), difference=difference,
        h=residuals.h, s=residuals.sparsity, root=basis.variance_root(),
        tiny=_tiny(residuals.rows.data),
    )  # fmt: skip


def _shrunk(
    X: Array, rounding: Array, *, difference: Array, h: Array, s: Array, root: Array, tiny: float
) -> Array:
    delta = _above(X @ difference, rounding, tiny)
    length = np.empty(len(X))
    row_norms(X @ root, length)
    local = np.maximum(s, delta / (2.0 * h)) * length[:, None]
    half_variance = h * (1.0 - 2.0 * h) * local * local
    return _quotient(2.0 * h * delta, delta * delta + half_variance)


def hendricks_koenker(residuals: Residuals, difference: Array) -> Any:
    """The density of "nid", (n, k)."""
    return residuals.rows.data.rows(
        _difference_quotient, residuals.rows.rounding, width=len(residuals.h),
        difference=difference, h=residuals.h, tiny=_tiny(residuals.rows.data),
    )  # fmt: skip


def _difference_quotient(
    X: Array, rounding: Array, *, difference: Array, h: Array, tiny: float
) -> Array:
    return _quotient(2.0 * h, _above(X @ difference, rounding, tiny))


def _above(delta: Array, rounding: Array, tiny: float) -> Array:
    """Differences, set to zero where both fits pass through a row up to rounding."""
    return np.where(delta > np.maximum(tiny, rounding), delta, 0.0)


def normal_kernel(residuals: Residuals) -> Any:
    """The density of "powell", (n, k): widths from standard deviation or quartiles."""
    u, quarters = residuals.rows.u, np.full((2, len(residuals.h)), [[0.25], [0.75]])
    low, high = residuals.quantiles(quarters, u)
    between = residuals.above_rounding(high - low)
    widths = np.minimum(_standard_deviations(residuals), between / 1.34)
    widths = residuals.normal_bandwidths * widths
    z = u / np.where(widths > 0.0, widths, 1.0)
    heights = _quotient(1.0 / np.sqrt(2.0 * np.pi), widths)
    return np.exp(-0.5 * z * z) * heights


def flat_kernel(residuals: Residuals) -> Any:
    """The density of "CR1", (n, k): widths from the median absolute deviation from the median."""
    u, half = residuals.rows.u, np.full((1, len(residuals.h)), 0.5)
    (middle,) = residuals.quantiles(half, u)
    (deviation,) = residuals.quantiles(half, abs(u - middle))
    widths = residuals.normal_bandwidths * residuals.above_rounding(deviation)
    return (abs(u) <= widths) * _quotient(0.5, widths)


def _standard_deviations(residuals: Residuals) -> Array:
    data, u = residuals.rows.data, residuals.rows.u
    w = np.ones(1) if data.w is None else data.w
    share = (w / w.sum() if data.w is not None else w / data.n)[:, None]
    mean = data.tall.compute((share * u).sum(axis=0))
    variance = data.tall.compute((share * (u - mean) ** 2).sum(axis=0))
    return np.sqrt(variance * data.n_rows / (data.n_rows - 1.0))


def _quotient(x: Any, y: Array) -> Array:
    """The quotient, 0 where y is."""
    out: Array = np.divide(x, y, out=np.zeros_like(y), where=y > 0.0)
    return out


def _tiny(data: FittedData) -> float:
    """Bound on rounding errors in differences of fits: that of b, for any origin."""
    low, high = data.tall.compute(data.B.min(), data.B.max())
    return _ROUNDING * (float(high) - float(low))

"""A quantile or l_p fit with its rows: the input of its errors, and a check that they match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._scaling import power_of_two_scale
from randla._tall.memory import add_gram
from randla._typing import Array
from randla.regression._errors.data import FittedData, Scales

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).smallest_subnormal)
#: Residuals up to this many rounding errors are zero.
ZERO = 16.0
#: Tolerances, for the rows of the fit, of A'z relative to its terms and of the value.
_FEASIBLE, _SAME = 1e-8, 1e-9
#: Squared column norms and entries of b that need no scaling.
_MODERATE = 1e-60, 1e60


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
        Rank of A.
    solve : callable
        ``solve(A, b, tau=..., weights=...)``: coefficients (d, k) of the same problem for other
        rows, weights or several quantiles, in memory or lazy; without tau for p > 1.
    """

    x: Array
    value: Array
    dual: Any
    p: float
    taus: tuple[float, ...]
    rank: int
    solve: Callable[..., Array]

    @classmethod
    def of(
        cls, x: Array, value: Any, dual: Any, *, p: float, taus: tuple[float, ...] | None,
        rank: int, solve: Callable[..., Array],
    ) -> LpFit:  # fmt: skip
        """The fit of a result of `lp_regression`; the norm at p = 1 is two losses of the median."""
        n, d = len(dual), len(x)
        x, value, dual = x.reshape(d, -1), np.reshape(value, -1), dual.reshape(n, -1)
        if p > 1.0:
            return cls(x, value, dual, p, (), rank, solve)
        if taus is None:
            taus, value, dual = (0.5,), 0.5 * value, 0.5 * dual
        return cls(x, value, dual, p, taus, rank, solve)


@dataclass(frozen=True, eq=False)
class LpRows:
    """The rows of a fit, in scaled units.

    Attributes
    ----------
    fit : LpFit
    data : FittedData
    y : (d, k) ndarray
        Coefficients.
    u, rounding : (n, k) ndarray or Dask array
        Residuals, and bounds up to which they count as zero.
    dual : (n, k) ndarray or Dask array
        For the weights of `data`.
    gram, meat : (d, d) ndarray
        ``X'WX`` and ``X'MX``, see `Basis`.
    unit : (k,) ndarray
        A typical residual, a power of two; 1 for a perfect fit.
    has_dual : bool
        Whether all fits have a dual vector; it is zero if nothing could be proven.
    is_perfect : (k,) ndarray of bool
        Whether all residuals, or on average, are rounding errors.
    """

    fit: LpFit
    data: FittedData
    y: Array
    u: Any
    rounding: Any
    dual: Any
    gram: Array
    meat: Array
    unit: Array
    has_dual: bool
    is_perfect: Any

    @classmethod
    def open(
        cls, fit: LpFit, A: Any, b: Any, weights: Any, *, repeats: bool, groups: Any
    ) -> LpRows:
        """Read the rows again; refuse rows that do not belong to the fit.

        Rows and weights of a fit satisfy A'z = 0, z in its box, and their losses sum to `value`.
        """
        d = len(fit.x)
        options = {"repeats": repeats, "groups": groups, "shape": (len(fit.dual), d)}
        if weights is None and fit.rank == d:  # columns are usually moderate: saves a pass
            plain = Scales(np.zeros(d, np.int64), np.zeros(1, np.int64))
            data = FittedData.open(A, b, scales=plain, **options)
            rows = cls._of(fit, data)
            if rows is not None:
                return rows
        rows = cls._of(fit, FittedData.open(A, b, weights, **options), scaled=True)
        assert rows is not None
        return rows

    @classmethod
    def _of(cls, fit: LpFit, data: FittedData, scaled: bool = False) -> LpRows | None:
        """None if numbers are very large or small and not scaled."""
        (d, k), tall, p = fit.x.shape, data.tall, fit.p
        total = float(data.n_rows if data.w is None else tall.compute(data.w.sum()))
        factor = data.unit ** (1.0 / p) * float(data.b_scale[0])  # of the value
        unit = 1.0 / power_of_two_scale(fit.value * factor / total ** (1.0 / p))
        dual = fit.dual if data.live is None else fit.dual[data.live]
        if tall.lazy:
            dual = tall.right_hand_sides(dual).rechunk({1: -1})
        dual = dual if data.unit == 1.0 else data.unit * dual
        y = fit.x / data.coefficient_units
        floor = TINY / data.coefficient_units  # rounding errors of subnormal coefficients
        table = data.rows(
            _residuals, data.B, width=2 * k, y=y, floor=floor, of_b=TINY * float(data.b_scale[0])
        )
        gram, meat, n_off, excess, n_live, *sums = data.sums(
            _guarded, table, dual, data.w, taus=np.array(fit.taus), unit=unit, p=p,
            shapes=[(d, d), (d, d), (k,), (k,), (), (d, k), (k,), (k,), (k,), (k,)],
            squares=not data.repeats,
        )  # fmt: skip
        if not scaled and not _is_moderate(gram.diagonal(), tall.compute(abs(data.B).max())):
            return None
        floor = total * TINY * factor / unit  # what the value cannot show, in the units of `sums`
        _require_same(gram.diagonal(), sums, fit.value * factor / unit, p, floor, total)
        # Row by row, as rows of small weight are fitted too. (On average: some exceed the bounds.)
        is_perfect = (n_off == 0) | (excess <= n_live / ZERO)
        u, rounding, has_dual = table[:, :k], table[:, k:], bool(sums[1].all())
        return cls(fit, data, y, u, rounding, dual, gram, meat, unit, has_dual, is_perfect)


def _require_same(
    norms: Array, sums: list[Array], value: Array, p: float, floor: Array, total: float
) -> None:
    """Raise ValueError unless A'z = 0, the loss is the value, and z is in its box."""
    gradient, squares, loss, rounding, outside = sums
    wrong = _SAME * value + rounding ** (1.0 / p) + floor
    same = (np.abs(gradient) <= _FEASIBLE * np.sqrt(norms[:, None] * squares)).all()
    same &= (np.abs(loss ** (1.0 / p) - value) <= wrong).all()
    if not (same and (outside <= _FEASIBLE * total).all()):  # nor with NaN
        raise ValueError(
            "A, b or weights are not those of the fit: give the same rows in the same order, with "
            "the weights of the fit"
        )


def _is_moderate(norms: Array, largest: Any) -> bool:
    low, high = _MODERATE
    columns = ((norms > low) & (norms < high)).all()
    return bool(columns and (largest == 0.0 or low < largest < high))


def _residuals(X: Array, B: Array, *, y: Array, floor: Array, of_b: float) -> Array:
    """Residuals, and bounds for their rounding errors."""
    rounding = EPS * np.abs(B) + np.abs(X) @ (EPS * np.abs(y) + floor) + of_b
    return np.hstack([B - X @ y, ZERO * rounding])


def _guarded(
    X: Array, table: Array, Z: Array, w: Array | None, *, taus: Array, unit: Array, p: float,
    squares: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Gram matrices; nonzero residuals, and all over bounds; X'z and |z|^2; then sums.

    The sums are the loss, a bound on its rounding errors, and the distance of z from its box.
    """
    k, n_live = Z.shape[1], len(X)
    weight: Any = 1.0
    u, rounding = table[:, :k] / unit, table[:, k:] / unit
    size = np.abs(u)
    off, ratio = size > rounding, size / np.maximum(rounding, TINY)
    if w is not None:
        weight, live = w[:, None], (w > 0.0)[:, None]
        off, ratio, n_live = off & live, ratio * live, live.sum()
    sums = off.sum(axis=0), ratio.sum(axis=0), n_live, X.T @ Z, np.square(Z).sum(axis=0)
    if len(taus) == 0:
        loss, rounding, outside = weight * size**p, weight * rounding**p, np.zeros_like(u)
    else:
        loss, rounding = weight * (taus * u - np.minimum(u, 0.0)), weight * rounding
        outside = np.maximum(Z - weight * taus, weight * (taus - 1.0) - Z)
        outside = np.maximum(outside, 0.0)
    of_losses = loss.sum(axis=0), rounding.sum(axis=0), outside.sum(axis=0)
    return *grams(X, w, squares=squares), *sums, *of_losses


def grams(Q: Array, w: Array | None, *, squares: bool) -> tuple[Array, Array]:
    """Q'WQ, and Q'MQ with m = w^2 if `squares` are requested, else w."""
    if w is None:
        gram = np.zeros((Q.shape[1], Q.shape[1]))
        add_gram(Q, gram)
        return gram, gram
    weighted = w[:, None] * Q
    gram = Q.T @ weighted
    return gram, weighted.T @ weighted if squares else gram

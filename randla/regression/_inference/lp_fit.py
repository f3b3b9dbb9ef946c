"""What the statistical errors of quantile and l_p fits start from, and whether the data are its."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._scaling import power_of_two_scale
from randla._typing import Array
from randla.regression._inference.data import FittedData

EPS = float(np.finfo(np.float64).eps)


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
        """The fit with dual and value for the rows and weights of `data`, after a look at them.

        Rows and weights of the fit have A'z = 0, z in its box, and losses that add up to `value`.
        """
        raise NotImplementedError

"""The quantile fit of a sample, to within its statistical error.

An interior point solve of a small part of the sample is followed by a few Newton steps on all of
it, for the loss smoothed over a band around the fit. The band covers the error of the part and
shrinks from step to step. A step costs one pass, a tenth of an interior point solve. The derivative
of the exact loss shows whether it worked: at the fit of the population it has covariance tau (1 -
tau) A'A, and here it must be smaller than that.

Source: He, Pan, Tan and Zhou, "Smoothed quantile regression with large-scale inference",
J. Econometrics 232 (2023), 367-388.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._panels import PANEL, Panels
from randla._typing import Array
from randla.regression._kernels.smoothed import smoothed_pass
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.heavy_tails import solve_pinball

#: The part that is solved first, as a fraction of the sample, and its smallest size.
_PART, _SMALLEST = 1.0 / 12.0, 500
#: The part that is solved if Newton's method fails.
_LARGE_PART = 1.0 / 3.0
#: Relative tolerance of these solves: the error of the fit is smaller than its gap.
_TOLERANCE = 0.03
#: Half-widths of the bands, as multiples of the standard error of a fit in fractions of rows.
_WIDTHS = (6.0, 3.0)
#: Largest squared derivative, relative to its mean at the fit of the population.
_ACCEPTED = 1.0


@dataclass
class SampleFit:
    """Coefficients, residuals (K, PANEL) and the effective number of rows of a sample fit."""

    x: Array
    residuals: Array
    n_rows: float
    n_iterations: int


class SampleFits:
    """Fits of well conditioned rows, for any quantile.

    Parameters
    ----------
    rows : Panels
        Rows beyond the length of `lengths` are penalties.
    factor : Cholesky
        The factor of A'A.
    lengths : (n,) ndarray
        Norms of the rows for whitened A: the error of a fit at a row is proportional to the norm.
        The band is as wide as its square root, a compromise with a uniform width.
    """

    def __init__(self, rows: Panels, factor: Cholesky, lengths: Array) -> None:
        self.rows, self.factor, self.n = rows, factor, len(lengths)
        self._inverse = np.ones(rows.n)
        np.divide(1.0, np.sqrt(lengths), out=self._inverse[: self.n], where=lengths > 0.0)
        self._lines = rows.lines(self._inverse)
        self._size = min(max(int(_PART * self.n), _SMALLEST, 20 * rows.d), self.n)
        self._part = self._part_of(self._size)
        self._part_factor = Cholesky(self._part.gram())

    def fit(self, tau: float) -> SampleFit:
        """The fit of a quantile; safe to call from several threads."""
        rows, n, size = self.rows, self.n, self._size
        options: dict[str, Any] = {"rtol": _TOLERANCE, "crossover": False}
        start = solve_pinball(self._part, self._part_factor, tau, **options)
        x, n_iterations = start.x, start.n_iterations
        residuals = rows.residuals(x)
        error = np.sqrt(tau * (1.0 - tau) * rows.d / size)
        subset = slice(0, n, max(n // 2000, 1))
        for multiple in _WIDTHS:
            distance = np.abs(residuals.ravel()[subset]) * self._inverse[subset]
            rank = int(min(multiple * error, 0.8) * len(distance))  # rows in the band
            width = float(np.partition(distance, rank)[rank])
            if not width > 0.0:
                break
            smoothed, _, G = self._pass(x, tau, width, residuals)
            x = x + 2.0 * width * Cholesky(G).solve(smoothed)  # H = G / (2 width)
        _, exact, _ = self._pass(x, tau, np.inf, residuals)
        excess = float(exact @ self.factor.solve(exact)) / (tau * (1.0 - tau) * rows.d)
        if excess <= _ACCEPTED:
            return SampleFit(x, residuals, n / (1.0 + excess), n_iterations)
        size = max(int(_LARGE_PART * n), 1)
        part = self._part_of(size)
        larger = solve_pinball(part, Cholesky(part.gram()), tau, **options)
        x, n_iterations = larger.x, n_iterations + larger.n_iterations
        return SampleFit(x, rows.residuals(x), float(size), n_iterations)

    def _part_of(self, size: int) -> Panels:
        """Evenly spread rows, and the penalties, which shrink with the loss."""
        index = np.append((np.arange(size) * self.n) // size, np.arange(self.n, self.rows.n))
        part = self.rows.subset(index, self.rows.rhs)
        scale = np.ones(len(index))
        scale[size:] = size / self.n
        part.data *= part.lines(scale)[:, None]
        return part

    def _pass(
        self, x: Array, tau: float, width: float, residuals: Array
    ) -> tuple[Array, Array, Array]:
        """A'z smoothed and exact; the Gram matrix of the band, empty for an infinite width."""
        rows, w = self.rows, self.rows.data.shape[1]
        g = np.empty((rows.n_parts, 2, w))
        G = np.empty((rows.n_parts, w, w) if width < np.inf else (rows.n_parts, 0, 0))
        padded = rows.pad(x)

        def task(part: int, span: slice, count: int) -> None:
            smoothed_pass(
                rows.data[span],
                rows.rhs[span],
                self._lines[span],
                count,
                padded,
                tau,
                width,
                residuals[span],
                np.empty((4, PANEL)),
                g[part],
                G[part],
            )

        rows.each_part(task, passes=3.0 + 0.25 * rows.d)
        smoothed, exact = g.sum(axis=0)[:, : rows.d]
        return smoothed, exact, G.sum(axis=0)[: rows.d, : rows.d]

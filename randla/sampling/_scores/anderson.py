"""Anderson mixing: fixed-point iteration that extrapolates from its last few steps.

If neither the residual nor, for p >= 4, the convex function behind it decreases, the iteration
returns to its best point and takes a plain step. Vectors have one entry for each row of the matrix
and are read in blocks that stay in cache.

Source: Anderson, "Iterative procedures for nonlinear integral equations", J. ACM 12 (1965),
547-560, in the form of Walker and Ni, "Anderson acceleration for fixed-point iterations", SIAM J.
Numer. Anal. 49 (2011), 1715-1735.
"""

import math

import numpy as np

from randla._tall.base import by_blocks
from randla._typing import Array

_MEMORY = 4  # number of mixed steps


class AndersonAcceleration:
    """Anderson mixing in x = log w, with a fallback.

    Heavy rows count more, but light rows still count: the weight of a row is w plus the mean of all
    w, `mean`.
    """

    def __init__(self, p: float, mean: float) -> None:
        self.p, self.mean = p, mean
        self.eta = p / 2.0 if p <= 4.0 else 2.0 * p / (p + 2.0)
        self.points: list[Array] = []  # the last x = log w
        self.residuals: list[Array] = []  # log(leverage / w) there
        self.best = self.lowest = math.inf  # smallest residual so far, and smallest phi
        self.waited = 0  # steps since one of them was found
        self.anchor: tuple[Array, Array] | None = None  # the fallback: x and residual
        self.damping = 1.0

    def step(self, x: Array, residual: Array, delta: float, phi: float) -> Array:
        """The next x. For p >= 4, phi is the convex function that the weights minimize.

        The residual may have to rise meanwhile; phi falls along every short plain step.
        """
        # Progress by either measure.
        better = delta < self.best or (self.p >= 4.0 and phi < self.lowest)
        self.waited = 0 if better else self.waited + 1
        if self.anchor is not None and self._failed(delta, phi):
            self.points, self.residuals, self.waited = [], [], 0  # discard the misleading steps
            x, residual = self.anchor  # back to the best point
            step = self.eta * self.damping
            if self.p >= 4.0:
                self.damping *= 0.5  # phi falls along a short enough step
            return x + step * residual
        self.damping = 1.0
        if better:
            self.best, self.lowest = min(delta, self.best), min(phi, self.lowest)
            self.anchor = x, residual
        self.points = [*self.points[-_MEMORY:], x]
        self.residuals = [*self.residuals[-_MEMORY:], residual]
        return self._mixed(x, residual)

    def _failed(self, delta: float, phi: float) -> bool:
        if not delta <= 2.0 * self.best:
            return self.p < 4.0 or not phi <= self.lowest
        return self.waited > 5  # steps without progress

    def _mixed(self, x: Array, residual: Array) -> Array:
        """The plain step, less its least-squares fit by the differences of the last few steps.

        ``gamma`` minimizes ``|residual - changes gamma|`` in the norm of the rows' weights.
        """
        n, k = len(x), len(self.points) - 1

        def products(block: slice) -> Array:
            changes = _differences(self.residuals, block)  # (k, block)
            weight = np.exp(x[block]) + self.mean  # of the rows in the norm
            # [F'WF, F'Wr], F the changes.
            return (changes * weight) @ np.vstack([changes, residual[block]]).T

        gamma = np.zeros(k)
        if k:
            sums = sum(by_blocks(products, n), start=np.zeros((k, k + 1)))
            gram, right = sums[:, :k], sums[:, k]  # normal equations, k at most 4
            scale = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))  # changes vary by orders
            gram, right = gram * np.outer(scale, scale), scale * right
            gamma = scale * np.linalg.lstsq(gram, right, rcond=1e-13)[0]
        out = np.empty(n)

        def fill(block: slice) -> None:
            step = x[block] + self.eta * residual[block]
            if k:
                step -= gamma @ _differences(self.points, block)  # x - X gamma, and
                step -= self.eta * gamma @ _differences(self.residuals, block)  # eta (r - F gamma)
            out[block] = step

        by_blocks(fill, n)
        return out


def _differences(vectors: list[Array], block: slice) -> Array:
    """Differences of neighboring vectors, in rows."""
    return np.diff([v[block] for v in vectors], axis=0)

"""Passes over all rows for quantile regression that is solved on a few of them.

Rows are copied to panels a tile at a time, for any memory layout; threads share the tiles.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from randla._panels import PACE, PANEL, Panels, fill_lines
from randla._parallel import run_parts
from randla._typing import Array
from randla.regression._kernels import screening as kernels
from randla.regression._panels.weighted_data import WeightedData

#: Rows of a tile, the unit of a pass; its panels stay in the second-level cache.
_TILE = 16 * PANEL
#: Tiles of a part, the unit that threads share.
_PART = 8
#: Rows with a squared leverage above this in the metric of the whitener are never summed.
_HEAVY = 0.1

#: Panels of rows, of their right-hand sides and of their weights, and the number of rows.
_Tile = tuple[Array, Array, Array, int]


class RowPasses:
    """Passes over `data` that serve several fits at once."""

    def __init__(self, data: WeightedData) -> None:
        self.data = data
        self._width = data.d + data.d % 2
        self._n_parts = -(-data.n // (_PART * _TILE))

    def split(self, X: Array, limits: Array, whitener: Array, side: NDArray[np.int8]) -> Array:
        """Sum the rows above and those below each fit, except for those near it.

        Fills side (K, k, PANEL) with +1, -1 or, for rows that stay, 0: rows within the fit's limit
        times their length |whitener a|. Returns sums (k, 2, d + 1), of [A b].
        """
        d, w = self.data.d, self._width
        X, white = self._padded(X), self._padded(whitener)
        work = np.empty((self._n_parts, 4, PANEL))

        def visit(part: int, span: slice, tile: _Tile, total: Array) -> None:
            kernels.split(*tile, X, white, limits, _HEAVY, side[span], work[part], total)

        total = self._each_tile(visit, (len(X), 2, w + 1), 2.0 + 0.25 * d + 3.0 * len(X))
        return np.concatenate([total[:, :, :d], total[:, :, w:]], axis=2)

    def check(
        self, X: Array, taus: Array, duals: Array, side: NDArray[np.int8]
    ) -> tuple[list[NDArray[np.intp]], Array]:
        """The summed rows on the wrong side of each fit, and loss and gap (k, 2) of all of them.

        duals (k, 2) are the dual values of the two sums.
        """
        wrong = np.zeros_like(side)
        X = self._padded(X)
        work = np.empty((self._n_parts, 1, PANEL))

        def visit(part: int, span: slice, tile: _Tile, total: Array) -> None:
            kernels.check(*tile, X, taus, duals, side[span], work[part], wrong[span], total)

        total = self._each_tile(visit, (len(X), 2), 1.0 + 2.0 * len(X))
        return [np.flatnonzero(wrong[:, q]) for q in range(len(X))], total

    def _each_tile(
        self,
        visit: Callable[[int, slice, _Tile, Array], None],
        shape: tuple[int, ...],
        passes: float,
    ) -> Array:
        """Call ``visit(part, panels of the tile, tile, total)`` for all rows; sum the totals."""
        data, n, d = self.data, self.data.n, self.data.d

        def task(part: int) -> Array:
            scratch, total = Panels(_TILE, d), np.zeros(shape)
            weight = np.ones_like(scratch.rhs)
            for i in range(part * _PART * _TILE, min((part + 1) * _PART * _TILE, n), _TILE):
                j = min(i + _TILE, n)
                scratch.fill(data.dense(slice(i, j)), data.b[i:j])
                if data.weight is not None:
                    fill_lines(weight[:, None], data.weight[i:j, None])
                k = -(-(j - i) // PANEL)
                tile = scratch.data[:k], scratch.rhs[:k], weight[:k], j - i
                visit(part, slice(i // PANEL, i // PANEL + k), tile, total)
            return total

        seconds = passes * PACE * n * (d + 8)
        return sum(run_parts(task, self._n_parts, seconds=seconds), start=np.zeros(shape))

    def _padded(self, X: Array) -> Array:
        """Rows of length d with a zero where d is odd."""
        return np.pad(X, ((0, 0), (0, self._width - self.data.d)))

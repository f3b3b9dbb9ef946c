"""A Dask array in blocks of rows: a product is one read of it, and the sums join in a tree.

In the first pass each block is centered around its own mean ``mu + d_b``, as no other is known yet.
Of m_b rows, the sums are then ``sum_b m_b d_b d_b'`` short of the Gram matrix. Later all blocks are
centered around the same pilot, and it is off by d: the sums are ``m d d'`` too large.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from randla._tall import dask_arrays
from randla._tall.blocks import as_block
from randla._typing import Array
from randla.spectral._matrix.base import SpectralMatrix, is_safe, nearest_power_of_two
from randla.spectral._matrix.sparse import open_in_memory


class DaskMatrix(SpectralMatrix):
    """A Dask array that is chunked along its rows."""

    def __init__(self, A: Any, center: bool = False) -> None:
        super().__init__(dask_arrays.as_rows(A), center)
        self._is_measured = False
        self._rows = np.array(self.A.chunks[0])
        self._pilot: Array | None = None
        self._off: Array | None = None

    def gram_times(self, X: Array) -> Array:
        Z, D, sign = self._pass(_gram_times, X.shape, X=X)
        return Z if D is None else Z + sign * (D.T @ (D @ X))

    def gram(self) -> Array:
        G, D, sign = self._pass(_gram, (self.shape[1], self.shape[1]))
        return G if D is None else G + sign * (D.T @ D)

    def times(self, X: Array) -> Array:
        Y, D, _ = self._pass(_times, None, X=X)
        return Y if D is None else Y + np.repeat(self._per_row(D) @ X, self._rows, axis=0)

    def transposed_times(self, Y: Array) -> Array:
        operand = dask_arrays.as_columns(Y, self.A, "Y")
        Z, D, _ = self._pass(_transposed_times, (self.shape[1], Y.shape[1]), operand)
        if D is None:
            return Z
        starts = np.append(0, np.cumsum(self._rows[:-1]))
        return Z + self._per_row(D).T @ np.add.reduceat(Y, starts, axis=0)

    def residual_squared_norm(self, B: Array, V: Array) -> float:
        """``|A - B V'|_F^2`` in one read."""
        if not self._is_measured:
            self.gram_times(np.zeros((self.shape[1], 1)))
        if self._off is not None:  # the blocks are centered around the pilot, which is off by d
            d = -self._off.sum(axis=0) / np.sqrt(self._rows).sum()
            B, V = np.column_stack([B, np.ones(len(B))]), np.column_stack([V, d])
        operand = dask_arrays.as_columns(B, self.A, "B")
        return float(self._pass(_residual, (1, 1), operand, V=V)[0][0, 0])

    def _per_row(self, D: Array) -> Array:
        return D / np.sqrt(self._rows)[:, None]

    def transposed(self) -> SpectralMatrix:
        if self.center:
            return super().transposed()
        return DaskMatrix(self.A.T.rechunk({0: "auto", 1: -1}))

    def _pass(
        self, action: Callable[..., Any], shape: Any, *operands: Any, **constants: Any
    ) -> tuple[Array, Array | None, float]:
        """What `action` returns of the blocks, joined; sqrt(m_b) d_b as rows, and their sign."""
        self.n_passes += 1
        value, moments = self._read(action, shape, *operands, **constants)
        if self._is_measured:
            return value, self._off, -1.0
        squares, largest = self._size(moments)
        if not is_safe(squares) and largest > 0.0:
            self.scale = nearest_power_of_two(largest)
            value, moments = self._read(action, shape, *operands, **constants)  # once more
        self._is_measured = True
        return value, self._measure(moments), 1.0

    def _read(self, action: Any, shape: Any, *operands: Any, **constants: Any) -> Any:
        constants.update(action=action, scale=self.scale, mean=self._pilot, center=self.center)
        constants["is_measured"] = self._is_measured
        if shape is None:
            width = constants["X"].shape[1]
            value = dask_arrays.map_rows(_of_block, self.A, *operands, width=width, **constants)
        else:
            value = dask_arrays.join_rows(_of_block, self.A, *operands, shape=shape, **constants)
        lazy = [value]
        if not self._is_measured:
            lazy.append(dask_arrays.join_rows(
                _moments, self.A, shape=(1, 2 * self.shape[1] + 2), join=_stacked,
                scale=self.scale, center=self.center,
            ))  # fmt: skip
        results = [np.array(x) for x in dask_arrays.run(lazy)]  # of the same read
        return results if len(results) > 1 else (results[0], None)

    def _size(self, moments: Array) -> tuple[float, float]:
        """Squares, and the largest number, in the blocks and between their means."""
        squares, largest = float(moments[:, 0].sum()), float(moments[:, 1].max())
        if self.center:
            pilots, offs = np.split(moments[:, 2:], 2, axis=1)
            between = float(np.abs(pilots - pilots[0] + (offs - offs[0])).max())
            squares, largest = max(squares, between * between), max(largest, between)
        return squares, largest

    def _measure(self, moments: Array) -> Array | None:
        self.squared_norm = float(moments[:, 0].sum())
        if not self.center:
            return None
        pilots, offs = np.split(moments[:, 2:], 2, axis=1)  # the means are their sums
        self._pilot, roots = pilots[0], np.sqrt(self._rows)[:, None]
        offs += pilots - self._pilot  # exact for means that are far larger than their differences
        off = self._rows @ offs / self.shape[0]
        self.mean, self._off = self._pilot + off, -roots * off
        self.offset = self._offset_of(2.0**-53 * self.mean)  # entries less it: rounded
        D: Array = roots * (offs - off)
        self.squared_norm += float((D * D).sum())
        return D


@np.errstate(all="ignore")  # what leaves the range is looked at in the end
def _of_block(
    first: int, block: Any, *operands: Any, action: Any, scale: float, mean: Any, center: bool,
    is_measured: bool, **constants: Any,
) -> Array:  # fmt: skip
    block = as_block(block)
    matrix = open_in_memory(block, center, scale=scale, mean=mean, is_measured=is_measured)
    return action(matrix, *operands, **constants)  # type: ignore[no-any-return]


def _gram_times(matrix: SpectralMatrix, *, X: Array) -> Array:
    return matrix.gram_times(X)


def _gram(matrix: SpectralMatrix) -> Array:
    return matrix.gram()


def _times(matrix: SpectralMatrix, *, X: Array) -> Array:
    return matrix.times(X)


def _transposed_times(matrix: SpectralMatrix, Y: Array) -> Array:
    return matrix.transposed_times(Y)


def _residual(matrix: SpectralMatrix, B: Array, *, V: Array) -> Array:
    return np.array([[matrix.residual_squared_norm(B, V)]])


def _moments(first: int, block: Any, *, scale: float, center: bool) -> Array:
    """|A|_F^2 of a block, its largest entry or so, a pilot and by how much it is off the mean."""
    matrix = open_in_memory(as_block(block), center, scale=scale)
    squares = matrix.measured()
    top = math.sqrt(squares) if is_safe(squares) else matrix.largest()
    return np.concatenate([[squares, top], *matrix.mean_in_parts()])[None]


def _stacked(above: Array, below: Array) -> Array:
    return np.vstack([above, below])

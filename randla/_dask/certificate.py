"""Proofs that the gap of a regression of a Dask array holds for all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._dask.residuals import Data
from randla._tall import dask_arrays
from randla._tall.blocks import as_block
from randla._tall.dask import DaskMatrix
from randla._tall.whitening import whiten
from randla.regression._lp.certificate import Span, prove, span_of, span_of_whitening
from randla.regression._lp.quantile import Plane, proven_plane
from randla.regression._quantile.weighted import Rows, condition, joined_sums

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LazyRows:
    """The rows of `Data`, and their dual sums."""

    data: Data

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.data.A.shape[0])

    def dual_sums(self, z: Any, scale: Array) -> tuple[Array, Array, float]:
        """See `randla.regression._quantile.weighted.Rows.dual_sums`."""
        blocks = dask_arrays.gather(_partial_sums, *self.data.operands, z, scale=scale)
        return joined_sums([part for block in blocks for part in block])


def _partial_sums(
    first: int, A: Any, b: Any, weight: Any, z: Any, *, scale: Array
) -> list[tuple[Array, float]]:
    return Rows(as_block(A), np.asarray(b, np.float64), weight).partial_sums(np.asarray(z), scale)


def proven(data: Data, plane: Plane, span: Span, c: float, *others: tuple[Rows, Array]) -> Plane:
    """The plane with its proven gap; `others` are rows in memory and their dual points."""
    parts = [(LazyRows(data), plane.z), *others]
    return proven_plane(plane, span, prove(span, parts, plane.x, plane.value, plane.gap, c))


def span_of_some(data: Data, some: Rows) -> Span:
    """The span of some of the rows, unless these are too few."""
    span = span_of(condition(some))
    if span.rank == some.d and span.certified:
        return span
    tiles = DaskMatrix(data.A)
    return span_of_tiles(tiles, data.weight)


def span_of_tiles(tiles: DaskMatrix, weight: Any, white: Any = None) -> Span:
    """The span of all rows."""
    white = whiten(tiles, weight) if white is None else white
    scale = np.ones(tiles.d) if tiles.column_scale is None else tiles.column_scale
    return span_of_whitening(white, scale)

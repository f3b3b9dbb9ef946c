"""Minimax regression of a Dask array: solve for some rows, add those that are off the most."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._dask.certificate import proven, span_of_some
from randla._dask.residuals import Data, residuals, stacked
from randla._tall import dask_arrays
from randla.regression._lp.norm import norm_plane
from randla.regression._lp.quantile import Plane
from randla.regression._quantile.weighted import Rows

Array = NDArray[np.float64]

_MAX_ROUNDS = 40
#: Rows that a round adds, for each column.
_ADDED = 20


def solve(data: Data, few: Rows, indices: NDArray[np.int64], rtol: float) -> Plane:
    """Minimise the largest weighted residual.

    The dual point of the chosen rows, zero elsewhere, is one for all rows.
    """
    k, n_iterations = min(_ADDED * (few.d + 1), data.A.shape[0]), 0
    for _ in range(_MAX_ROUNDS):
        plane = norm_plane(few, np.inf, rtol)
        n_iterations += plane.n_iterations
        found = dask_arrays.join_rows(
            _largest, *data.operands, shape=(2, k), join=_joined_largest, x=plane.x, k=k
        )
        sizes, numbers = dask_arrays.compute(found)
        value, bound = float(sizes[0]), plane.value - plane.gap
        new = np.setdiff1d(numbers[sizes > plane.value].astype(np.int64), indices)
        if value - bound <= rtol * value or len(new) == 0:
            break
        few, indices = stacked([few, data.take(new)]), np.append(indices, new)
    order = np.argsort(indices)
    z = dask_arrays.map_rows(
        _scattered, *data.operands, width=None, indices=indices[order], z=plane.z[order]
    )
    found = Plane(plane.x, z, value, max(value - bound, 0.0), "full", few.n, n_iterations)
    if bound <= 0.0:  # an exact fit
        return replace(found, rank=plane.rank)
    return proven(data, found, span_of_some(data, few), float(data.n) ** 0.5)


def _largest(first: int, A: Any, b: Any, weight: Any, *, x: Array, k: int) -> Array:
    """The k largest residuals, falling, above the numbers of their rows."""
    size = np.abs(residuals(A, b, weight, x))
    here = np.stack([size, first + np.arange(len(size), dtype=np.float64)])
    return _joined_largest(here, np.tile([[-1.0], [0.0]], k))


def _joined_largest(x: Array, y: Array) -> Array:
    both = np.concatenate([x, y], axis=1)
    return both[:, np.lexsort((both[1], -both[0]))[: y.shape[1]]]


def _scattered(
    first: int, A: Any, b: Any, weight: Any, *, indices: NDArray[np.int64], z: Array
) -> Array:
    out = np.zeros(A.shape[0])
    here = slice(*np.searchsorted(indices, [first, first + len(out)]))
    out[indices[here] - first] = z[here]
    return out

"""Rows of a matrix copied into column-major panels, and the sums over them."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from randla._kernels import panels as kernels
from randla._kernels.panels import PANEL
from randla._parallel import run_parts
from randla._typing import Array

T = TypeVar("T")

#: Approximate seconds a row and column of a pass.
PACE = 1e-9


class Panels:
    """n rows of d columns and their right-hand side, transposed panel by panel.

    Attributes
    ----------
    data : (K, w, PANEL) ndarray
        w is d rounded up to an even number; entries beyond n and d are zero.
    rhs : (K, PANEL) ndarray
    weight : (K, PANEL) ndarray or None
        Weights by which rows and right-hand sides have been multiplied; None for ones.
    part_size : int
        Panels of a part, the unit that threads share: by default 64, that is 16384 rows.
    """

    def __init__(self, n: int, d: int, part_size: int = 64) -> None:
        self.n, self.d, self.part_size = n, d, part_size
        n_panels = max(-(-n // PANEL), 1)
        self.data = np.zeros((n_panels, d + d % 2, PANEL))  # kernels take two columns at a time
        self.rhs = np.zeros((n_panels, PANEL))
        self.weight: Array | None = None
        self.n_parts = -(-n_panels // part_size)

    def fill(
        self, rows: NDArray[Any], rhs: NDArray[Any] | None = None, weight: Array | None = None
    ) -> "Panels":
        """Copy `rows` (n, d), in any order and float type, times an optional weight a row."""
        fill_lines(self.data[:, : self.d], rows)
        if rhs is not None:
            fill_lines(self.rhs[:, None], rhs[:, None])
        if weight is not None:
            self.weight = self.lines(weight)
            self.data *= self.weight[:, None]
            self.rhs *= self.weight
        return self

    def rows(self, index: NDArray[np.intp]) -> Array:
        """Rows as an array (len(index), d)."""
        return self.data[index // PANEL, : self.d, index % PANEL]

    def subset(self, index: NDArray[np.intp], rhs: Array) -> "Panels":
        """Some rows with another right-hand side (K, PANEL)."""
        subset = Panels(len(index), self.d).fill(self.rows(index), rhs.ravel()[index])
        if self.weight is not None:
            subset.weight = subset.lines(self.weight.ravel()[index])
        return subset

    def unweighted(self, residuals: Array) -> Array:
        """Sizes of residuals (K, PANEL) without the weights; 0 for a weight of 0."""
        size = np.abs(residuals)
        if self.weight is None:
            return size
        return np.divide(size, self.weight, out=np.zeros_like(size), where=self.weight > 0.0)

    def each_part(self, task: Callable[[int, slice, int], T], passes: float = 1.0) -> list[T]:
        """``task(part, its panels, rows from its first on)`` for the parts, perhaps on threads.

        The cost is that of `passes` products with a vector.
        """
        if self.n_parts == 1:
            return [task(0, slice(None), self.n)]
        seconds = passes * PACE * self.n * (self.d + 8)
        return run_parts(lambda k: task(*self.part(k)), self.n_parts, seconds=seconds)

    def part(self, k: int) -> tuple[int, slice, int]:
        """Number, panels, and rows from the first on, of a part."""
        return (
            k,
            slice(k * self.part_size, (k + 1) * self.part_size),
            self.n - k * self.part_size * PANEL,
        )

    def gram(self, q: Array | None = None) -> Array:
        """A' diag(q) A, its lower triangle (d, d); q (K, PANEL), or ones."""
        w = self.data.shape[1]
        weights = np.ones_like(self.rhs) if q is None else q
        sums = np.empty((self.n_parts, w, w))
        self.each_part(
            lambda part, span, count: kernels.weighted_gram(
                self.data[span], weights[span], np.empty((2, PANEL)), sums[part]
            ),
            passes=0.25 * self.d,
        )
        return sums.sum(axis=0)[: self.d, : self.d]  # in the order of the parts, on any threads

    def residuals(self, x: Array, rhs: Array | None = None) -> Array:
        """The residuals b - A x as (K, PANEL)."""
        out = (self.rhs if rhs is None else rhs).copy()
        padded = self.pad(x)
        self.each_part(
            lambda part, span, count: kernels.subtract_product(self.data[span], padded, out[span])
        )
        return out

    def transposed_product(self, z: Array) -> Array:
        """A'z for z (K, PANEL) that is zero beyond n."""
        sums = np.zeros((self.n_parts, self.data.shape[1]))
        self.each_part(
            lambda part, span, count: kernels.adjoint(self.data[span], z[span], sums[part])
        )
        return sums.sum(axis=0)[: self.d]

    def column_sums(self) -> Array:
        """Sums of the absolute values of the columns, (d,)."""
        sums = np.zeros((self.n_parts, self.data.shape[1]))
        self.each_part(lambda part, span, count: kernels.add_absolute(self.data[span], sums[part]))
        return sums.sum(axis=0)[: self.d]

    def column_maxima(self) -> Array:
        """The largest absolute values of the columns, (d,)."""
        maxima = np.zeros((self.n_parts, self.data.shape[1]))
        self.each_part(
            lambda part, span, count: kernels.raise_maxima(
                self.data[span], np.empty(PANEL), maxima[part]
            )
        )
        return maxima.max(axis=0)[: self.d]

    def norms(self, W: Array) -> Array:
        """The norms of W a for the rows a, as (K, PANEL)."""
        out = np.empty_like(self.rhs)
        padded = np.pad(W, ((0, 0), (0, self.d % 2)))
        self.each_part(
            lambda part, span, count: kernels.fill_norms(
                self.data[span], padded, np.empty((2, PANEL)), out[span]
            ),
            passes=0.5 * self.d,
        )
        return out

    def pad(self, x: Array) -> Array:
        """Append to x a zero for the column that makes d even."""
        return np.append(x, 0.0) if self.d % 2 else x

    def lines(self, values: Array) -> Array:
        """A vector (n,) as (K, PANEL), zero beyond n."""
        out = np.zeros_like(self.rhs)
        out.ravel()[: self.n] = values
        return out


def fill_lines(out: Array, rows: NDArray[Any]) -> None:
    """Transpose rows (m, d) into out (K, d, PANEL), panel by panel."""
    m, d = rows.shape
    full = m // PANEL
    whole = rows[: full * PANEL].reshape(full, PANEL, d)  # a view, for any strides
    np.copyto(out[:full], whole.transpose(0, 2, 1))
    if m > full * PANEL:
        np.copyto(out[full, :, : m - full * PANEL], rows[full * PANEL :].T)

"""A, b and weights of any size, read in passes: in memory, or lazy in blocks of rows."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import draw_keys, generator_from_key
from randla._tall.base import TallMatrix
from randla._tall.open import open_tall
from randla._tall.whitening import Whitening, whiten
from randla._typing import Array
from randla._validation import is_sparse, require_finite
from randla.regression._lp.certificate import Span, span_of, span_of_whitening
from randla.regression._panels.weighted_data import WeightedData, condition, joined_sums
from randla.sampling._samples.sample_rows import LARGEST_POWER, kind_of, named_scores
from randla.sampling._scores.draws import draw_poisson


@dataclass(frozen=True)
class TallData:
    """A, b and weights (None for ones); n of the rows have weight.

    A function of rows receives a block of them as `WeightedData`, the index of its first row, and
    the same rows of other vectors; it depends on nothing else, so that the blocks do not matter.
    """

    A: TallMatrix
    b: Any
    weight: Any
    n: int

    @property
    def d(self) -> int:
        """Number of columns."""
        return self.A.d

    @cached_property
    def in_memory(self) -> WeightedData:
        """The rows, if they are in memory."""
        return WeightedData(self.A.A, self.b, self.weight)

    def map_rows(
        self,
        function: Callable[..., Any],
        *vectors: Any,
        width: int | None = None,
        **constants: Any,
    ) -> Any:
        """The values of ``function(rows, first, *vectors, **constants)`` for each row."""
        if not self.A.lazy:
            return np.concatenate(self._of_parts(function, vectors, constants))
        return self.A.map_rows(
            _of_block, self.b, self.weight, *vectors, width=width, of_rows=function, **constants
        )

    def join_rows(
        self,
        function: Callable[..., Any],
        *vectors: Any,
        shape: tuple[int, int],
        join: Callable[[Any, Any], Any] = np.add,
        **constants: Any,
    ) -> Any:
        """Arrays of one shape from all blocks, joined pair by pair; for `compute`."""
        if not self.A.lazy:
            return reduce(join, self._of_parts(function, vectors, constants))
        return self.A.join_rows(
            _of_block, self.b, self.weight, *vectors, shape=shape, join=join, of_rows=function,
            **constants,
        )  # fmt: skip

    def gather(self, function: Callable[..., Any], *vectors: Any, **constants: Any) -> list[Any]:
        """The results of ``function(rows, first, *vectors, **constants)`` for each block."""
        if not self.A.lazy:
            return self._of_parts(function, vectors, constants)
        return self.A.gather_rows(
            _of_block, self.b, self.weight, *vectors, of_rows=function, **constants
        )

    def _of_parts(
        self, function: Callable[..., Any], vectors: tuple[Any, ...], constants: dict[str, Any]
    ) -> list[Any]:
        A, b, weight = self.A.A, self.b, self.weight

        def visit(span: slice) -> Any:
            rows = WeightedData(A[span], b[span], None if weight is None else weight[span])
            parts = (None if v is None else v[span] for v in vectors)
            return function(rows, span.start, *parts, **constants)

        return self.in_memory.each_part(visit)

    def compute(self, *values: Any) -> Any:
        """The numbers behind the results of passes."""
        return self.A.compute(*values)

    def take(self, index: NDArray[np.int64]) -> WeightedData:
        """Rows of ascending indices, dense and in memory."""
        if not self.A.lazy:
            return self.in_memory.take(index)
        A = self.A.take(index).A
        A = np.asarray(A.toarray() if is_sparse(A) else A, np.float64)
        b, weight = (
            None if v is None else np.asarray(self.compute(v[index]), np.float64)
            for v in (self.b, self.weight)
        )
        return WeightedData(A, b, weight)  # type: ignore[arg-type]

    def weighted_rows(self) -> Array:
        """Dense rows of [A b] times the weights; of lazy ones the R of their QR factorization."""
        M = self._joined()
        return M.triangular() if self.A.lazy else M.A

    def _joined(self, **options: Any) -> Any:
        if self.A.lazy:
            return open_tall(self.map_rows(_joined_columns, width=self.d + 1))
        return open_tall(_joined_columns(self.in_memory, 0, **options))

    def norms(self, function: Callable[..., Any], k: int, p: float, **constants: Any) -> Any:
        """The l_p norms of the k vectors (k, n) that a function of rows returns, for `norm_from`.

        A (k, 2) table without overflow: the largest entries, and sums of powers in units of them.
        """
        return self.join_rows(
            _scaled_sums, shape=(k, 2), join=partial(joined_powers, p=p), of_block=function, p=p,
            **constants,
        )  # fmt: skip

    def dual_sums(self, z: Any, scale: Array) -> tuple[Array, Array, float]:
        """See `WeightedData.dual_sums`."""
        blocks = self.gather(_partial_sums, z, scale=scale)
        return joined_sums([part for block in blocks for part in block])

    def accurate_residuals(self, x: Array, scale: Array) -> Array:
        """See `WeightedData.accurate_residuals`; in memory only."""
        return self.in_memory.accurate_residuals(x, scale)

    def whiten(self) -> tuple[Whitening, Array]:
        """Whitening of the weighted rows, and the scale of the columns it is for."""
        A = copy(self.A)  # as its long rows may be divided
        white = whiten(A, self.weight)
        return white, np.ones(self.d) if A.column_scale is None else A.column_scale

    def span(self, sample: WeightedData | None = None, white: Any = None) -> Span:
        """What is known about the columns: from some of the rows, unless these are too few."""
        if sample is not None:
            span = span_of(condition(sample))
            if span.rank == sample.d and span.certified:
                return span
        span = span_of_whitening(*(self.whiten() if white is None else white))
        if span.rank < self.d and not self.A.lazy:  # it may be exact
            span = span_of(condition(self.in_memory))
        return span

    def draw(
        self, p: float, size: int, generator: np.random.Generator
    ) -> tuple[WeightedData, NDArray[np.int64]]:
        """A weighted row sample of [A b]: sum |r_i|^p is unbiased for the sum over all rows."""
        M = self._joined(sparse=True)
        key, _, sketch_key = draw_keys(generator, 3)
        # Scores of l_inf do not show which rows may bind.
        power = min(p, LARGEST_POWER) if p < np.inf else 2.0
        u = named_scores(M, power, kind_of("auto", power), generator_from_key(sketch_key))
        index, pi = draw_poisson(M, u, size, key)
        if len(index) == 0:  # possible for a size of one or two: the row of largest score
            index, pi = np.array([int(self.compute(u.argmax()))]), np.ones(1)
        sample = self.take(index)
        if p < np.inf:  # only which rows bind matters there, not their number
            sample = replace(sample, weight=sample.weighted((1.0 / pi) ** (1.0 / p)))
        return sample, index


def norm_from(table: Array, p: float) -> Array:
    """The norms (k,) from the table of `TallData.norms`."""
    with np.errstate(divide="ignore"):
        return table[:, 0] if p == np.inf else table[:, 0] * table[:, 1] ** (1.0 / p)


def _of_block(
    block: Any, b: Any, weight: Any, *vectors: Any, of_rows: Callable[..., Any], **constants: Any
) -> Any:
    weight = None if weight is None else np.asarray(weight)
    rows = WeightedData(block.A, np.asarray(b, np.float64), weight)
    return of_rows(rows, block.first, *vectors, **constants)


def _joined_columns(rows: WeightedData, first: int, *, sparse: bool = False) -> Any:
    """Weighted rows of [A b]; dense, unless A is sparse and they may be sparse."""
    require_finite(rows.b, "b")  # scores would need the whole A
    if sparse and is_sparse(rows.A):
        from scipy.sparse import csr_array, diags_array, hstack

        M = csr_array(hstack([rows.A, rows.b[:, None]]))
        return M if rows.weight is None else csr_array(diags_array(rows.weight) @ M)
    M = np.empty((rows.n, rows.d + 1))
    M[:, :-1], M[:, -1] = rows.dense(), rows.b
    if rows.weight is not None:
        M *= rows.weight[:, None]
    return M


def _partial_sums(rows: WeightedData, first: int, z: Any, *, scale: Array) -> Any:
    return rows.partial_sums(np.asarray(z), scale)


def _scaled_sums(
    rows: WeightedData, first: int, *, of_block: Callable[..., Any], p: float, **constants: Any
) -> Array:
    return scaled_sums(np.abs(of_block(rows, first, **constants)), p)


def scaled_sums(sizes: Array, p: float) -> Array:
    """The largest of each of k vectors (k, n), and the sum of p-th powers in units of it (k, 2)."""
    top = sizes.max(axis=1)
    unit = np.where(top > 0.0, top, 1.0)  # |v|_p^p = top^p sum (v / top)^p
    return np.stack([top, ((sizes / unit[:, None]) ** p).sum(axis=1)], axis=1)


def joined_powers(x: Array, y: Array, *, p: float) -> Array:
    top = np.maximum(x[:, 0], y[:, 0])
    unit = np.where(top > 0.0, top, 1.0)
    total = sum(part[:, 1] * (part[:, 0] / unit) ** p for part in (x, y))
    return np.stack([top, total], axis=1)

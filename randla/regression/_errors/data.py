"""A, b, weights and groups of a fit, read again for its statistical errors.

A function of rows receives a tile X (rows, d) of A, dense, in float64 and in scaled columns, and
the same rows of other vectors; one body serves arrays in memory, CSR matrices and Dask arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._scaling import MAX_EXPONENT, power_of_two_scale
from randla._tall.base import TallMatrix
from randla._tall.memory import MemoryMatrix
from randla._tall.open import open_tall
from randla._typing import Array
from randla._validation import read_only
from randla.regression._errors.groups import Groups, as_groups

Shape = tuple[int, ...]
Exponents = NDArray[np.int64]

#: Largest entries of right-hand sides that need no scaling.
_SMALLEST, _LARGEST = 1e-140, 1e140
#: Largest entry of a right-hand side below which its digits, or those of its scale, are lost.
_TINY = 1e-300
#: Relative difference allowed between the sum of the weights and that of the fit.
_SAME = 1e-6
#: Entries of the work arrays of a tile.
_WORK = 1 << 18
#: Entries of A that are processed at once without copies or work arrays, by few calls of NumPy.
_TOGETHER = 1 << 17


class Scales(NamedTuple):
    """Exponents of the powers of two that a fit worked with."""

    columns: Exponents  # (d,), of the columns of A
    rhs: Exponents  # (k,), of the right-hand sides
    weights: int = 0  # weights were multiplied by 4^-weights

    @property
    def units(self) -> Array:
        """Powers of two (d, k) that multiply the coefficients of the scaled problem."""
        exponents = self.columns[:, None] - self.rhs
        return np.ldexp(1.0, np.clip(exponents, -MAX_EXPONENT, MAX_EXPONENT))


@dataclass
class FittedData:
    """The rows behind a fit. Rows of weight zero were left out, or (in lazy arrays) add nothing.

    The user's coefficients x (d, k) are `coefficient_units` times those of the scaled A and B.

    Attributes
    ----------
    tall : TallMatrix
        A, its columns multiplied by the powers of two `scale`.
    B : (n, k) ndarray or Dask array
        The right-hand sides, multiplied by the powers of two `b_scale`.
    w : (n,) ndarray, Dask array or None
        Weights; None for ones.
    repeats : bool
        Whether a weight w means w equal rows (frequency weights) or the variance 1/w.
    n_rows : int
        Rows with positive weight; with `repeats` the sum of the weights.
    groups : Groups or None
    b_scale : (k,) ndarray
    unit : float
        Factor applied to the user's weights, usually a power of two.
    live : (n,) ndarray of int or None
        Indices of the rows that are kept, if some were left out.
    """

    tall: TallMatrix
    B: Any
    w: Any
    repeats: bool
    n_rows: int
    groups: Groups | None
    b_scale: Array
    unit: float = 1.0
    live: Any = None

    @classmethod
    def open(
        cls, A: Any, b: Any, weights: Any = None, *, repeats: bool = False, groups: Any = None,
        shape: Shape | None = None, scales: Scales | None = None,
        weight_sum: float | None = None,
    ) -> FittedData:  # fmt: skip
        """Check the user's data again, and scale A, b and weights.

        `shape`, `scales` and the sum of the scaled weights are those of the fit; if given, the data
        are not read for them.
        """
        tall = open_tall(A, finite=scales is None)
        if shape not in (None, tall.A.shape):
            raise ValueError(f"A must have shape {shape} as in the fit, got shape {tall.A.shape}")
        B = tall.right_hand_sides(b, finite=True)
        k = 1 if scales is None else len(scales.rhs)
        if B.shape[1:] != (k,) and (k > 1 or B.ndim > 1):
            fitted = f"({tall.n},) or ({tall.n}, 1)" if k == 1 else f"({tall.n}, {k})"
            raise ValueError(f"b must have shape {fitted}, as in the fit, got shape {B.shape}")
        B = B[:, None] if B.ndim == 1 else B
        w: Any = None
        n_rows, unit, live = tall.n, 1.0, None
        if weights is not None:
            w = tall.vector(weights, "weights", positive_sum=True)
            largest, n_positive, total, n_whole = tall.compute(
                w.max(), (w > 0.0).sum(), w.sum(dtype=np.float64), (w == np.floor(w)).sum()
            )
            if not largest > 0.0:  # lazy weights are not read before
                raise ValueError("weights must have a positive sum, got only zeros")
            if repeats and n_whole < tall.n:
                raise ValueError("weights must be whole numbers if they are frequencies")
            n_rows = int(total if repeats else n_positive)
            if not repeats:  # only their ratios matter
                unit = float(
                    power_of_two_scale(largest) if scales is None else 4.0**-scales.weights
                )
                fitted_sum = weight_sum if np.isfinite(total) else None
                if fitted_sum and abs(unit * total - fitted_sum) > _SAME * fitted_sum:
                    unit = fitted_sum / float(total)  # weights in a different unit from the fit
                w = unit * w
            if n_positive < tall.n and not tall.lazy:
                live = np.flatnonzero(w)
        members = None if groups is None else as_groups(tall, groups, w)
        if live is not None:
            members = None if members is None else members.take(live)
            tall, B, w = tall.take(live), B[live], w[live]
        if scales is None:
            tall.rescale_columns()
            top = np.asarray(tall.compute(abs(B).max(axis=0)), np.float64)
            tiny = (top > 0.0) & (top < _TINY)
            moderate = (top == 0.0) | ((top > _SMALLEST) & (top < _LARGEST))
            b_scale = np.where(moderate, 1.0, power_of_two_scale(top))
        else:
            if scales.columns.any():
                tall.column_scale = np.ldexp(1.0, scales.columns)
            tiny = scales.rhs > -np.log2(_TINY)
            b_scale = np.ldexp(1.0, np.where(tiny, 0, scales.rhs))
        if tiny.any():
            raise ValueError(
                f"b must have an entry above {_TINY:g} for standard errors: rescale it"
            )
        if (b_scale != 1.0).any():
            B = B * b_scale
        return cls(tall, B, w, repeats, n_rows, members, b_scale, unit, live)

    @property
    def n(self) -> int:
        """Rows that are read."""
        return self.tall.n

    @property
    def d(self) -> int:
        """Number of columns."""
        return self.tall.d

    @property
    def scale(self) -> Array:
        """Powers of two by which the columns were multiplied."""
        scale = self.tall.column_scale
        return np.ones(self.d) if scale is None else scale

    @property
    def k(self) -> int:
        """Number of right-hand sides."""
        return int(self.B.shape[1])

    @property
    def coefficient_units(self) -> Array:
        """Powers of two (d, k): the user's coefficients x are these times the scaled ones."""
        columns, rhs = (np.frexp(scale)[1] - 1 for scale in (self.scale, self.b_scale))
        return Scales(columns.astype(np.int64), rhs.astype(np.int64)).units

    def sums(
        self,
        function: Callable[..., Sequence[Any]],
        *vectors: Any,
        shapes: Sequence[Shape],
        widths: Sequence[int] = (),
        **constants: Any,
    ) -> list[Array]:
        """Sums over the tiles of the arrays that ``function(X, *parts, **constants)`` returns.

        One pass over A, on several threads; the shape determines the parts, so that the sums do not
        depend on the number of threads. With `widths`, X and the parts are C-ordered and read-only,
        as compiled kernels require, and ``work=`` are arrays (rows, width) to write to.
        """
        size = sum(math.prod(shape) for shape in shapes)
        total = self.tall.compute(
            self.tall.join_rows(
                _sums_of_block, *vectors, shape=(1, size), of_tile=function, size=size,
                widths=tuple(widths), **constants,
            )
        )  # fmt: skip
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(np.asarray(total)[0], ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def rows(
        self,
        function: Callable[..., Any],
        *vectors: Any,
        width: int | None = None,
        **constants: Any,
    ) -> Any:
        """The values of ``function(X, *parts, **constants)`` for each row, (n,) or (n, width)."""
        return self.tall.map_rows(
            _values_of_block, *vectors, width=width, of_tile=function, columns=width, **constants
        )

    def select(
        self, function: Callable[..., Any], *vectors: Any, **constants: Any
    ) -> tuple[Array, ...]:
        """The few rows X with ``function(X, *parts, **constants)`` true, and their parts."""
        found = self.tall.gather_rows(_rows_of_block, *vectors, of_tile=function, **constants)
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _sums_of_block(
    block: MemoryMatrix, *vectors: Any, of_tile: Callable[..., Any], size: int,
    widths: tuple[int, ...], **constants: Any,
) -> Array:  # fmt: skip
    vectors = tuple(None if v is None else np.asarray(v) for v in vectors)

    width = sum(widths)
    step = max(_WORK // max(width, 1) // 64 * 64, 64)  # rows whose work arrays are not too large

    def visit(i: int, j: int, tile: Array, work: Array, total: Array) -> None:
        for first in range(i, j, step):
            last = min(first + step, j)
            X = block.rows(first, last, out=tile)
            parts = [None if v is None else v[first:last] for v in vectors]
            more = constants
            if widths:
                if not X.flags.c_contiguous:
                    np.copyto(tile[: last - first], X)
                    X = tile[: last - first]
                X = _for_kernels(X)
                parts = [None if v is None else _for_kernels(v) for v in parts]
                more = {**constants, "work": _carved(work.reshape(-1), last - first, widths)}
            at = 0
            for array in of_tile(X, *parts, **more):
                value = np.asarray(array).reshape(-1)
                total[0, at : at + value.size] += value
                at += value.size

    n_rows = _TOGETHER // block.d if width == 0 and _is_ready(block) else None
    return block.each(visit, width, 2.0 * block.n * size, (1, size), n_rows)


def _is_ready(block: MemoryMatrix) -> bool:
    """Whether kernels can read the rows in place."""
    lies = isinstance(block.A, np.ndarray) and block.A.flags.c_contiguous
    return lies and np.may_share_memory(block.rows(0, 1), block.A)


def _for_kernels(values: Any) -> Array:
    return read_only(np.ascontiguousarray(values, np.float64))


def _carved(work: Array, n_rows: int, widths: tuple[int, ...]) -> list[Array]:
    """Arrays (n_rows, width), one after the other in memory."""
    arrays, first = [], 0
    for width in widths:
        last = first + n_rows * width
        arrays.append(work[first:last].reshape(n_rows, width))
        first = last
    return arrays


def _values_of_block(
    block: MemoryMatrix,
    *vectors: Any,
    of_tile: Callable[..., Any],
    columns: int | None,
    **constants: Any,
) -> Array:
    vectors = tuple(None if v is None else np.asarray(v) for v in vectors)
    out = np.empty(block.n if columns is None else (block.n, columns))

    def visit(i: int, j: int, tile: Array, _: Array, __: Array) -> None:
        parts = (None if v is None else v[i:j] for v in vectors)
        out[i:j] = of_tile(block.rows(i, j, out=tile), *parts, **constants)

    block.each(visit, 0, 2.0 * block.n * block.d * (columns or 1))
    return out


def _rows_of_block(
    block: MemoryMatrix, *vectors: Any, of_tile: Callable[..., Any], **constants: Any
) -> tuple[Array, ...]:
    vectors = tuple(np.asarray(v) for v in vectors)
    found = []
    for i in range(0, block.n, block.tile_rows):
        j = min(i + block.tile_rows, block.n)
        X, parts = block.rows(i, j), tuple(v[i:j] for v in vectors)
        chosen = np.flatnonzero(of_tile(X, *parts, **constants))
        found.append(tuple(values[chosen] for values in (X, *parts)))
    return tuple(np.concatenate(values) for values in zip(*found, strict=True))

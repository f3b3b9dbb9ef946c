"""Rows of a regression whose A is a dense array: passes over blocks that stay in cache."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts
from randla._tall._kernels import residual as kernels
from randla._tall.problem import CarefulSum, Rows
from randla._validation import read_only, require_finite
from randla.sketching._operators import Sketch

Matrix = NDArray[np.float64]

#: Entries of a block, so that it stays in the second-level cache.
_BLOCK_ENTRIES = 1 << 16
#: Rough floating-point operations a second, to decide whether the pool is worth its price.
_FLOPS = 2e10
#: Floating-point operations of a part, some milliseconds.
_FLOPS_OF_PART = 1e8
#: Entries of partial results that wait to be added.
_WAITING_ENTRIES = 1 << 23
#: Entries of a float32 matrix that are cast at a time.
_CAST_ENTRIES = 1 << 19
#: Rows of a product that is kept whole.
_PRODUCT_ROWS = 512


def _squared(Z: Matrix) -> Matrix:
    """``Z Z'``, which NumPy sends to SYRK: half the work of a product."""
    return Z @ Z.T


def _squared_in_single(Z: Matrix) -> Matrix:
    """The same with products in float32, in little more than half the time."""
    Z = Z.astype(np.float32)
    return Z @ Z.T


class DenseRows(Rows):
    """Rows of a dense A of any memory order, float32 or float64."""

    def _prepare(self) -> None:
        self._factor = None if self.exponents is None else np.ldexp(1.0, self.exponents)
        self._as_it_lies = (
            self.A.dtype == np.float64
            and self.root_weights is None
            and self._factor is None
            and self.active is None
            and _suits_blas(self.A)
        )
        self._suits_kernels = self.A.flags.c_contiguous

    def load(self, first: int, last: int) -> Matrix:
        """Rows first..last of the scaled A: a view where nothing has to be done."""
        block = self.A[first:last]
        if self._as_it_lies:
            return block
        if self.active is not None:
            block = np.take(block, self.active, axis=1)  # in C order, unlike an index
        if self._factor is not None:
            block = np.multiply(block, self._factor, dtype=np.float64)
        if self.root_weights is not None:
            block = np.multiply(block, self.root_weights[first:last, None], dtype=np.float64)
        if block.dtype != np.float64:
            block = block.astype(np.float64)
        return block if _suits_blas(block) else np.ascontiguousarray(block)

    def load_every(self, step: int) -> Matrix:
        """Every step-th row of the scaled A, for a first look."""
        rows = self.A[::step]
        if self.active is not None:
            rows = np.take(rows, self.active, axis=1)
        rows = rows.astype(np.float64)
        if self._factor is not None:
            rows *= self._factor
        if self.root_weights is not None:
            rows *= self.root_weights[::step, None]
        return rows

    def _sum(
        self,
        block_sum: Callable[[Matrix, Matrix], list[Matrix]],
        *,
        flops: float,
        n_parts: int,
        block: int,
        compensated: bool = False,
    ) -> list[Matrix]:
        """Sum of ``block_sum(a, b)`` over blocks of rows, in an order fixed by the shape."""
        bounds = part_bounds(self.n, n_parts)

        @np.errstate(all="ignore")  # a thread has its own; what may overflow is looked at
        def sum_of_part(part: int) -> list[Matrix]:
            first, last = bounds[part]
            total = CarefulSum(compensated)
            for i in range(first, last, block):
                j = min(i + block, last)
                total.add(block_sum(self.load(i, j), self.B[i:j]))
            return total.value()

        total = CarefulSum(compensated)
        group = max(min(n_parts, _WAITING_ENTRIES // max(self.d * self.d, 1)), 4)
        for start in range(0, n_parts, group):
            parts = run_parts(
                lambda k, start=start: sum_of_part(start + k),  # type: ignore[misc]
                min(group, n_parts - start),
                seconds=flops / _FLOPS,
                blas=True,
            )
            for values in parts:
                total.add(values)
        return total.value()

    def _sum_of_products(
        self, block_sum: Callable[[Matrix, Matrix], list[Matrix]], width: int
    ) -> list[Matrix]:
        """`_sum` where a block costs a product of A with its own columns or with `width` others."""
        flops = float(self.n) * self.d * (self.d + width + 2.0 * self.k)
        block = max(_BLOCK_ENTRIES // self.d, 1024, 4 * self.d)  # sums of d^2 entries cost little
        n_parts = int(min(max(flops / _FLOPS_OF_PART, 1), max(self.n // block, 1), 1024))
        return self._sum(block_sum, flops=flops, n_parts=n_parts, block=block)

    def _sum_of_vectors(self, block_sum: Callable[[Matrix, Matrix], list[Matrix]]) -> list[Matrix]:
        """`_sum` where a block is multiplied by k vectors, from both sides."""
        flops = 4.0 * self.n * self.d * max(self.k, 4)  # a single vector is bound by memory
        block = min(max(_BLOCK_ENTRIES // self.d, 64), 1024)
        if self._suits_kernels and self._as_it_lies and self.k == 1:
            block = self.n  # a kernel needs no blocks
        n_parts = int(min(max(flops / _FLOPS_OF_PART, 1), max(self.n // 64, 1), 1024))
        return self._sum(block_sum, flops=flops, n_parts=n_parts, block=block, compensated=True)

    def _gram(self, squared: Callable[[Matrix], Matrix] = _squared) -> tuple[Matrix, Matrix]:
        G, C = self._sum_of_products(lambda a, b: [squared(a.T), a.T @ b], 0)
        return G, C

    def _gram_in_single(self) -> tuple[Matrix, Matrix]:
        return self._gram(_squared_in_single)

    def _gram_after(
        self, P: Matrix, triangular: bool, squared: Callable[[Matrix], Matrix] = _squared
    ) -> tuple[Matrix, Matrix]:
        r = P.shape[1]
        n_panels = 4 if triangular and r >= 160 else 1
        edges = [k * r // n_panels // 8 * 8 for k in range(n_panels)] + [r]
        panels = []  # an upper triangular P is cut into panels that skip its zeros
        for lo, hi in pairwise(edges):
            used = hi if triangular else self.d
            panels.append((lo, hi, used, np.ascontiguousarray(P[:used, lo:hi].T)))

        def block_sum(a: Matrix, b: Matrix) -> list[Matrix]:
            if n_panels == 1:
                Y = a @ P
                return [squared(Y.T), Y.T @ b]
            Z = np.empty((r, len(a)))  # Y', as panels of rows: panels of columns are slower
            for lo, hi, used, panel in panels:
                np.matmul(panel, a.T[:used], out=Z[lo:hi])
            return [squared(Z), Z @ b]

        G, C = self._sum_of_products(block_sum, r)
        return G, C

    def _gram_after_in_single(self, P: Matrix, triangular: bool) -> tuple[Matrix, Matrix]:
        return self._gram_after(P, triangular, _squared_in_single)

    def _residual(self, X: Matrix) -> tuple[Matrix, Matrix]:
        if self.k == 1 and self._suits_kernels:
            x = np.ascontiguousarray(X[:, 0])

            def block_sum(a: Matrix, b: Matrix) -> list[Matrix]:
                g, work = np.empty(self.d), np.empty((2, self.d))
                squares = kernels.residual_gradient(read_only(a), read_only(b[:, 0]), x, work, g)
                return [g, np.array([squares])]
        elif self.k == 1:
            x = np.ascontiguousarray(X[:, 0])

            def block_sum(a: Matrix, b: Matrix) -> list[Matrix]:
                r = b[:, 0] - a @ x
                return [r @ a, np.array([r @ r])]
        else:

            def block_sum(a: Matrix, b: Matrix) -> list[Matrix]:
                R = b - a @ X
                return [a.T @ R, (R * R).sum(axis=0)]

        g, squares = self._sum_of_vectors(block_sum)
        return g.reshape(self.d, self.k), squares

    def _normal_product(self, X: Matrix) -> Matrix:
        if X.shape[1] > 1:
            return self._sum_of_vectors(lambda a, b: [a.T @ (a @ X)])[0]
        x = np.ascontiguousarray(X[:, 0])

        def block_sum(a: Matrix, b: Matrix) -> list[Matrix]:
            if not self._suits_kernels:
                return [(a @ x) @ a]
            out = np.empty(self.d)
            kernels.normal_product(read_only(a), x, out)
            return [out]

        return self._sum_of_vectors(block_sum)[0][:, None]

    def _times(self, X: Matrix) -> Matrix:
        image = np.empty((self.n, X.shape[1]))
        for i in range(0, self.n, _PRODUCT_ROWS):
            j = min(i + _PRODUCT_ROWS, self.n)
            image[i:j] = self.load(i, j) @ X
        return image

    def _transposed(self, R: Matrix) -> Matrix:
        total = CarefulSum(compensated=True)
        for i in range(0, self.n, _PRODUCT_ROWS):
            j = min(i + _PRODUCT_ROWS, self.n)
            total.add([self.load(i, j).T @ R[i:j]])
        return total.value()[0]

    def _column_maxima(self) -> Matrix:
        n_parts = max(min(self.A.size >> 20, 256), 1)
        bounds = part_bounds(self.n, n_parts)

        @np.errstate(all="ignore")
        def maxima(part: int) -> Matrix:
            first, last = bounds[part]
            top = np.zeros(self.n_columns)
            for i in range(first, last, 1024):
                j = min(i + 1024, last)
                block = np.abs(self.A[i:j])
                if self.root_weights is not None:
                    block = np.multiply(block, self.root_weights[i:j, None], dtype=np.float64)
                np.maximum(top, block.max(axis=0), out=top)
            return top

        top = np.max(run_parts(maxima, n_parts, seconds=1e-9 * self.A.size), axis=0)
        if not np.isfinite(top).all():
            self._require_finite()
        return top

    def _require_finite(self) -> None:
        require_finite(self.A, "A")

    def _sketch(self, S: Sketch, with_b: bool) -> tuple[Matrix, Matrix | None]:
        B, scale = self._unweighted if with_b else None, self.root_weights
        if self.A.dtype == np.float64:
            return S._sketch(self.A, B, row_scale=scale)
        # Sums in float32 would limit the factor to condition numbers of 1e7: cast as we go.
        SA, SB = np.zeros((S.shape[0], self.n_columns)), None
        step = max(_CAST_ENTRIES // self.n_columns // 4096, 1) * 4096  # whole blocks of a sketch
        for i in range(0, self.n, step):
            j = min(i + step, self.n)
            part, b = S._sketch(
                self.A[i:j].astype(np.float64),
                None if B is None else B[i:j],
                row_scale=None if scale is None else scale[i:j],
                first_row=i,
            )
            SA += part
            SB = b if SB is None or b is None else SB + b
        return SA, SB


def _suits_blas(A: NDArray[Any]) -> bool:
    """Whether NumPy hands the matrix to BLAS without a copy."""
    if A.flags.c_contiguous or A.flags.f_contiguous:
        return True
    size = A.itemsize
    for short, long, k in (
        (A.strides[1], A.strides[0], A.shape[1]),
        (A.strides[0], A.strides[1], A.shape[0]),
    ):
        if short == size and long % size == 0 and long >= size * max(k, 1):
            return True
    return False

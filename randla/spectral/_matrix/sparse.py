"""A CSR matrix: the products of its rows are fused, and it is centered without filling the zeros.

Centered, A is ``S - u v'`` with S as it is stored, ``u = 1`` and v the means of the columns (the
other way round for the transposed). A row of the product is ``y_i = s_i'X - u_i (v'X)``, and
``A'Y = S'Y - v (u'Y)``: the second term is taken off what the rows gave, not off A'A X, so that
nothing cancels next to means that are no larger than the spread. A column without zeros may have
means of any size; such ones are shifted in S.

Rows are shared out over threads where S has many entries for each column, so that the sums of
the parts cost little; else the columns of X are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from randla._parallel import part_bounds, run_parts
from randla._typing import Array
from randla._validation import read_only, require_finite
from randla.spectral._kernels import csr as kernels
from randla.spectral._matrix.base import SpectralMatrix, is_safe, nearest_power_of_two
from randla.spectral._matrix.dense import DenseMatrix

_ROW_PARTS = 4  # each with sums of its own
_TOTAL_ENTRIES = 1 << 24  # of the sums that parts keep until they are added
_BLOCK_ENTRIES = 1 << 18  # of rows that are made dense at a time
_RATE = 2e9  # products of an entry and a number, a second
_DENSE_SHARE = 0.05  # of stored entries, from which A'A of dense tiles is faster than a sparse one
_LARGE_MEAN = 0.99  # share of m mu^2 in a sum of squares beyond which A'A - m mu mu' loses digits


class SparseMatrix(SpectralMatrix):
    """A CSR array, float32 or float64.

    `scale` and `mean` are given for a block of rows of a larger matrix.
    """

    A: csr_array
    is_sparse = True

    def __init__(
        self, A: Any, center: bool = False, *,
        scale: float | None = None, mean: Any = None, is_measured: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(A, center)
        if not is_measured:
            require_finite(A.data, "A")
        if scale is None and (top := self.largest()) > 0.0 and not is_safe(top * top * A.nnz):
            scale = nearest_power_of_two(top)
        if scale is not None and scale != 1.0:
            self.scale = scale
            self.A = _with_data(A, np.multiply(A.data, 1.0 / scale, dtype=np.float64))
        self._u, self._v = np.empty(0), np.zeros(0)  # no shift
        if center:
            self._center(mean)
        if not is_measured:
            self.squared_norm = self._sum_of_squares()

    def measured(self) -> float:
        """|A|_F^2."""
        return self.squared_norm

    def mean_in_parts(self) -> tuple[Array, Array]:
        """Two vectors whose sum is the mean, to more digits than one has."""
        none = np.zeros(self.shape[1])
        return (self._full, self._v) if self.center else (none, none)

    def largest(self) -> float:
        """The largest absolute entry that is stored."""
        return float(np.abs(self.A.data).max(initial=0.0))

    def _center(self, mean: Array | None) -> None:
        m = self.shape[0]
        counts = np.bincount(self.A.indices, minlength=self.shape[1])
        own = self._column_means()
        full = np.where(counts == m, own if mean is None else mean, 0.0)
        if full.any():  # to the last digit
            self.A = _with_data(self.A, self.A.data - full[self.A.indices])
            own = self._column_means()
        self._u, self._v = np.ones(m), own if mean is None else mean - full
        self.mean, self._full = full + self._v, full
        self.offset = self._offset_of(self._v)

    def _column_means(self) -> Array:
        sums = np.bincount(self.A.indices, weights=self.A.data, minlength=self.shape[1])
        return sums / self.shape[0]

    @np.errstate(all="ignore")  # a block of a larger matrix may overflow: its scale comes later
    def _sum_of_squares(self) -> float:
        if not self.center:
            return float(np.square(self.A.data, dtype=np.float64).sum())
        v = self._v  # sum over stored entries of (a - v)^2, and v^2 of the others
        counts = np.bincount(self.A.indices, minlength=self.shape[1])
        stored = float(np.square(self.A.data - v[self.A.indices]).sum())
        return stored + float((self.shape[0] - counts) @ (v * v))

    # Passes --------------------------------------------------------------------------------------

    def gram_times(self, X: Array) -> Array:
        self.n_passes += 1
        return self._scattered(X, None)

    def times(self, X: Array) -> Array:
        self.n_passes += 1
        s = X.shape[1]
        Y, X = np.empty((self.shape[0], s)), np.ascontiguousarray(X)
        vX, none = self._v @ X if self._u.size else np.zeros(s), np.empty(0)

        def part(k: int) -> None:
            kernels.rows(*self._csr, *bounds[k], X.ravel(), self._u, vX, Y.ravel(), s, none, none)

        bounds = part_bounds(self.shape[0], min(_ROW_PARTS, self.shape[0]))
        run_parts(part, len(bounds), seconds=self.A.nnz * s / _RATE)
        return Y

    def transposed_times(self, Y: Array) -> Array:
        self.n_passes += 1
        return self._scattered(np.zeros((self.shape[1], Y.shape[1])), Y)

    def gram(self) -> Array:
        (m, n), shifted = self.shape, self._u.size > 0
        if self.A.nnz > _DENSE_SHARE * m * n:
            self.n_passes += 1
            known: dict[str, Any] = {}
            if shifted:
                known = {"row_means": (self._u,)} if self.mean is None else {"mean": self._v}
            return DenseMatrix(self.A, scale=1.0, is_measured=True, **known).gram()  # by tiles
        squares = self.A.power(2).sum(axis=0)
        if shifted and (self.mean is None or (m * self._v**2 > _LARGE_MEAN * squares).any()):
            return super().gram()
        self.n_passes += 1
        G = np.asarray((self.A.T @ self.A).toarray(), np.float64)
        return G - m * np.outer(self._v, self._v) if shifted else G

    def residual_squared_norm(self, B: Array, V: Array) -> float:
        """``|A - B V'|_F^2`` in one read, by blocks of rows."""
        self.n_passes += 1
        total, step = 0.0, max(_BLOCK_ENTRIES // self.shape[1], 1)
        for i in range(0, self.shape[0], step):
            E = self.A[i : i + step].toarray() - B[i : i + step] @ V.T
            if self._u.size:
                E -= np.outer(self._u[i : i + step], self._v)
            total += float((E * E).sum())
        return total

    def transposed(self) -> SparseMatrix:
        out = object.__new__(SparseMatrix)
        out.__dict__.update(self.__dict__)
        out.A, out.shape = self.A.T.tocsr(), self.shape[::-1]
        if self._u.size:
            out._u, out._v, out.mean = self._v, self._u, None
        return out

    @property
    def _csr(self) -> tuple[Any, Any, Any]:
        return read_only(self.A.data), read_only(self.A.indices), read_only(self.A.indptr)

    def _scattered(self, X: Array, Y: Array | None) -> Array:
        """``A'Y``, where Y is A X if it is None."""
        (m, n), s = self.shape, X.shape[1]
        n_parts = int(min(_ROW_PARTS, self.A.nnz // (4 * n), _TOTAL_ENTRIES // (n * s)))
        if n_parts < 2:  # panels of columns instead
            n_panels = max(1, min(s // 8, 2 * _ROW_PARTS))
            panels = part_bounds(s, n_panels, 4)
            parts = [((0, m), panel) for panel in panels]
        else:
            parts = [(rows, (0, s)) for rows in part_bounds(m, n_parts)]

        def part(k: int) -> tuple[Array, Array]:
            rows, (low, high) = parts[k]
            width = high - low
            x = np.ascontiguousarray(X[:, low:high])
            y = np.empty((1, width)) if Y is None else np.ascontiguousarray(Y[:, low:high])
            vX = self._v @ x if self._u.size else np.zeros(width)
            z, w = np.zeros(n * width), np.zeros(width)
            step = 0 if Y is None else width
            kernels.rows(*self._csr, *rows, x.ravel(), self._u, vX, y.ravel(), step, z, w)
            return z.reshape(n, width), w

        results = run_parts(part, len(parts), seconds=2 * self.A.nnz * s / _RATE)
        zs, ws = zip(*results, strict=True)
        Z, w = (np.hstack(zs), np.hstack(ws)) if n_parts < 2 else (sum(zs), sum(ws))
        return Z - np.outer(self._v, w) if self._u.size else Z


def _with_data(A: Any, data: Any) -> csr_array:
    return csr_array((data, A.indices, A.indptr), shape=A.shape)


def open_in_memory(A: Any, center: bool, **known: Any) -> DenseMatrix | SparseMatrix:
    """What `as_matrix` or `as_block` returned; of a block the scale and the mean may be known."""
    kind = DenseMatrix if isinstance(A, np.ndarray) else SparseMatrix
    return kind(A, center, **known)

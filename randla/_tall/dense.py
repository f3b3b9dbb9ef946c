"""A dense matrix, read as it lies."""

from typing import Any

import numpy as np

from randla._tall._kernels import tiles as kernels
from randla._tall.memory import MemoryMatrix
from randla._typing import Array
from randla._validation import read_only, require_finite


class DenseMatrix(MemoryMatrix):
    """An array in C, Fortran or strided order, float32 or float64."""

    def rows(self, i: int, j: int, row_scale: Array | None = None, out: Array | None = None) -> Any:
        """Rows i..j, scaled, in float64: a view where nothing has to be done, else `out`."""
        X = self.A[i:j]
        if self.columns is not None:
            X = X[:, self.columns]
        if row_scale is None and self.column_scale is None and X.dtype == np.float64:
            return X
        out = np.empty((j - i, self.d)) if out is None else out[: j - i]
        if row_scale is None:
            np.copyto(out, X)
        elif X.dtype == np.float64 and X.flags.c_contiguous:
            kernels.scale_rows(read_only(X), read_only(row_scale[i:j]), out)
        else:
            np.multiply(X, row_scale[i:j, None], out=out)
        if self.column_scale is not None:
            out *= self.column_scale
        return out

    def require_finite(self) -> None:
        """Raise ValueError if an entry is NaN or inf."""
        require_finite(self.A, "A")

    def _divide_rows(self, exponents: Array) -> None:
        self.A = read_only(np.ldexp(self.A, -exponents.astype(np.int64)[:, None]))

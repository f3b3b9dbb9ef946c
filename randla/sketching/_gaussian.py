"""The Gaussian sketch: independent normal entries, drawn on demand and never stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts
from randla._random import draw_key, fill_normal_rows
from randla._validation import as_count, is_sparse
from randla.sketching._operators import AnyArray, Sketch
from randla.sketching._working_memory import sum_parts

#: Entries of a block of S: a block is drawn and multiplied while it is in cache.
_BLOCK_ENTRIES = 1 << 17
#: Approximate seconds per entry.
_SECONDS_PER_ENTRY = 6e-9


@dataclass(frozen=True, eq=False, repr=False, init=False)
class GaussianSketch(Sketch):
    r"""Sketch with independent :math:`N(0, 1/m)` entries.

    The errors of least-squares coefficients from ``S @ A`` and ``S @ b`` have a known law: they are
    Student t for any A, b, n and d [1]_. Row i of the operand is multiplied by stream i of the key,
    so blocks of S are drawn on demand and discarded. Drawing m normals for each row makes this the
    slowest sketch: `SRHT` has nearly the same quality in a twentieth of the time.

    Parameters
    ----------
    m : int
        Rows of the sketch.
    n : int
        Rows of the operand.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sketch for any number of threads.

    Attributes
    ----------
    shape : tuple of int
        (m, n).
    population : None
        Rows are not drawn from a finite population, so there is no correction.
    has_linf_guarantee : bool
        True.

    Raises
    ------
    ValueError, TypeError
        If `m` or `n` is not a positive integer.

    See Also
    --------
    SRHT : the same quality in one pass over the operand.

    References
    ----------
    .. [1] Bartan and Pilanci, "Distributed sketching for randomized optimization: exact
       characterization, concentration, and lower bounds", IEEE Trans. Inform. Theory 69 (2023),
       3850-3879.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import GaussianSketch
    >>> S = GaussianSketch(200, 1000, rng=0)
    >>> x = np.ones(1000)
    >>> bool(abs(np.linalg.norm(S @ x) / np.linalg.norm(x) - 1) < 0.2)
    True
    """

    has_linf_guarantee: ClassVar[bool] = True

    def __init__(self, m: int, n: int, *, rng: Any = None) -> None:
        self.__dict__.update(shape=(as_count(m, "m"), as_count(n, "n")), _key=draw_key(rng))

    def _rows(self, buffer: NDArray[np.float64], first: int, dtype: Any) -> AnyArray:
        """Rows first, first + 1, ... of sqrt(m) S^T, drawn into `buffer` (k, m)."""
        fill_normal_rows(buffer, self._key, first)
        return buffer.astype(dtype, copy=False)

    def _block_rows(self) -> int:
        return min(max(_BLOCK_ENTRIES // self.shape[0], 64), 2048)

    def _apply(self, A: Any, b: AnyArray, weights: AnyArray, first_row: int) -> AnyArray:
        m, (n_rows, d), k = self.shape[0], A.shape, b.shape[1]
        block = self._block_rows()
        # Parts by shape: an accumulator is at most a quarter of the entries that a part draws.
        bounds = part_bounds(n_rows, max(1, min(n_rows // max(4 * (d + k), block), 64)))

        def sketch_part(part: int, buffer: AnyArray, total: AnyArray) -> None:
            for i in range(bounds[part][0], bounds[part][1], block):
                end = min(i + block, bounds[part][1])
                E = self._rows(buffer[: end - i], first_row + i, A.dtype)  # (rows, m), N(0, 1)
                if weights.size:
                    E = E * weights[i:end, None]  # E' W A without a copy of A
                rows = A[i:end]
                with np.errstate(invalid="ignore", over="ignore"):  # the sum is checked
                    total[:, :d] += (rows.T @ E).T if is_sparse(rows) else E.T @ rows
                    if k:
                        total[:, d:] += E.T @ b[i:end]

        total = sum_parts(
            sketch_part,
            len(bounds),
            lambda: np.zeros((m, d + k), A.dtype),
            lambda: np.empty((block, m)),
            seconds=_SECONDS_PER_ENTRY * n_rows * m,
            blas=True,
        )
        total *= 1.0 / math.sqrt(m)  # entries of S have variance 1/m
        return total

    def _apply_adjoint(self, Y: AnyArray, first: int, last: int) -> AnyArray:
        m, block = self.shape[0], self._block_rows()
        scaled = Y * Y.dtype.type(1.0 / math.sqrt(m))
        out = np.empty((last - first, Y.shape[1]), Y.dtype)
        bounds = part_bounds(last - first, max(1, min((last - first) // block, 64)))

        def fill_part(part: int) -> None:
            buffer = np.empty((block, m))
            for i in range(bounds[part][0], bounds[part][1], block):
                end = min(i + block, bounds[part][1])
                E = self._rows(buffer[: end - i], first + i, Y.dtype)
                np.matmul(E, scaled, out=out[i:end])  # rows i..end of S'Y

        seconds = _SECONDS_PER_ENTRY * m * len(out)
        run_parts(fill_part, len(bounds), seconds=seconds, blas=True)
        return out

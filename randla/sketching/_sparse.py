"""Sparse sketches: CountSketch and sparse signs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._kernels import vector_code
from randla._memory import aligned_zeros
from randla._parallel import part_bounds, run_parts
from randla._random import draw_key
from randla._validation import as_count, is_sparse, read_only
from randla.sketching._kernels import sparse as kernels
from randla.sketching._operators import AnyArray, Sketch
from randla.sketching._working_memory import part_count, strided_view, sum_parts

#: Entries of a slab of rows, which stays in the second-level cache.
_SLAB_ENTRIES = 1 << 14
#: Rows of the adjoint whose buckets are drawn at a time.
_ADJOINT_ROWS = 512
#: Additions in one kernel call; Ctrl-C takes effect between calls.
_ADDITIONS_PER_CALL = 1 << 28
#: Approximate seconds per addition.
_SECONDS_PER_ADDITION = 4e-10


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SparseSignSketch(Sketch):
    r"""Sketch with a few entries :math:`\pm 1/\sqrt{\zeta}` in each column.

    Each row of the operand is added, with random signs, to :math:`\zeta` = `nonzeros` rows of the
    sketch, which are drawn without replacement [1]_. The cost is :math:`\zeta` additions for each
    entry (of a sparse operand, each stored entry). With m = 4d to 12d rows it makes a good
    preconditioner [2]_.

    There is **no l_inf guarantee**: a heavy row of the residual may share a sketch row with a row
    of A. The error of one coefficient is then :math:`1/\zeta` of that residual, and its confidence
    interval misses it. Dense sketches such as `SRHT` spread the error evenly.

    Parameters
    ----------
    m : int
        Rows of the sketch.
    n : int
        Rows of the operand.
    nonzeros : int
        :math:`\zeta`, from 1 to m.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sketch for any number of threads.

    Attributes
    ----------
    shape : tuple of int
        (m, n).
    nonzeros : int
        :math:`\zeta`.
    has_linf_guarantee : bool
        False.

    Raises
    ------
    ValueError, TypeError
        If `m`, `n` or `nonzeros` is not a positive integer, or nonzeros > m.

    See Also
    --------
    SRHT : a dense sketch, with the l_inf guarantee.

    References
    ----------
    .. [1] Nelson and Nguyen, "OSNAP: faster numerical linear algebra algorithms via sparser
       subspace embeddings", FOCS (2013), 117-126.
    .. [2] Epperly, "Fast and forward stable randomized algorithms for linear least-squares
       problems", SIAM J. Matrix Anal. Appl. 45 (2024), 1782-1804, arXiv:2311.04362.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import SparseSignSketch
    >>> S = SparseSignSketch(10, 40, nonzeros=4, rng=0).toarray()
    >>> np.unique(np.count_nonzero(S, axis=0)), np.unique(np.abs(S))
    (array([4]), array([0. , 0.5]))
    """

    nonzeros: int

    def __init__(self, m: int, n: int, *, nonzeros: int = 8, rng: Any = None) -> None:
        m, n = as_count(m, "m"), as_count(n, "n")
        nonzeros = as_count(nonzeros, "nonzeros", maximum=m, note=" (m)")
        self.__dict__.update(shape=(m, n), _key=draw_key(rng), nonzeros=nonzeros)

    def _options(self) -> dict[str, Any]:
        return {"nonzeros": self.nonzeros}

    def _apply(self, A: Any, b: AnyArray, weights: AnyArray, first_row: int) -> AnyArray:
        m, zeta, (n_rows, d) = self.shape[0], self.nonzeros, A.shape
        width = d + b.shape[1]
        line, lanes = vector_code.line_entries(A.dtype), vector_code.lanes(A.dtype)
        step = -(-width // line) * line  # a row of the sum takes whole cache lines
        slab_rows = min(max(_SLAB_ENTRIES // step, 32), 512)
        # Few parts: adding their sums (m rows each) must cost little compared with the sketching.
        entries = (A.nnz if is_sparse(A) else n_rows * d) + n_rows * b.shape[1]
        n_parts = part_count(-(-n_rows // slab_rows), zeta * entries / (32 * m * step))
        bounds = part_bounds(n_rows, n_parts)
        rows_per_call = _ADDITIONS_PER_CALL * n_rows // (zeta * max(entries, 1)) + 1
        common = strided_view(b), weights, first_row  # the same in all calls

        def sketch_part(part: int, work: kernels.Work, total: AnyArray) -> None:
            first, last = bounds[part]
            for i in range(first, last, rows_per_call):
                rows = i, min(i + rows_per_call, last)
                arguments = *common, *rows, self._draw, work, lanes, total, step
                if is_sparse(A):
                    kernels.sketch_sparse_rows(
                        read_only(A.data), read_only(A.indices), read_only(A.indptr), d, *arguments
                    )
                else:
                    kernels.sketch_rows(strided_view(A), *arguments)

        total = sum_parts(
            sketch_part,
            n_parts,
            lambda: aligned_zeros(m * step, A.dtype),
            lambda: self._make_work(slab_rows, step, A.dtype),
            seconds=_SECONDS_PER_ADDITION * zeta * entries,
        )
        total *= 1.0 / math.sqrt(zeta)  # entries of S are +-1/sqrt(zeta)
        return total.reshape(m, step)[:, :width]

    def _apply_adjoint(self, Y: AnyArray, first: int, last: int) -> AnyArray:
        zeta, width = self.nonzeros, Y.shape[1]
        # S'Y: each row is a sum of zeta rows of Y.
        scaled = read_only((Y * Y.dtype.type(1.0 / math.sqrt(zeta))).reshape(-1))
        out = np.empty((last - first, width), Y.dtype)
        n_parts = part_count(-(-len(out) // _ADJOINT_ROWS), 64)
        bounds = part_bounds(len(out), n_parts)

        def fill_part(part: int) -> None:
            work = self._make_work(_ADJOINT_ROWS, 0, Y.dtype)
            kernels.adjoint_rows(
                scaled, width, first, *bounds[part], self._draw, work, out.reshape(-1)
            )

        run_parts(fill_part, n_parts, seconds=_SECONDS_PER_ADDITION * zeta * out.size)
        return out

    @property
    def _draw(self) -> kernels.Draw:
        return kernels.Draw(self._key, self.shape[0], self.nonzeros)

    def _make_work(self, slab_rows: int, step: int, dtype: Any) -> kernels.Work:
        drawn = slab_rows * self.nonzeros
        return kernels.Work(
            buckets=np.empty(drawn, np.int64),
            flips=np.empty(drawn, dtype),
            owner=np.full(self.shape[0], -1),
            slab=aligned_zeros(slab_rows * step, dtype),
            one=np.ones(slab_rows, dtype),
            order=np.arange(slab_rows),
        )


@dataclass(frozen=True, eq=False, repr=False, init=False)
class CountSketch(SparseSignSketch):
    r"""Sketch with one entry :math:`\pm 1` in each column: the case ``nonzeros=1``.

    Each row of the operand is added, with a random sign, to one random row of the sketch [1]_. It
    is the cheapest sketch: one addition for each (stored) entry.

    There is **no l_inf guarantee**, and the rank of every A is kept only for :math:`m \gg d^2`: on
    :math:`A = [I; 0]` two columns coincide as soon as two of d rows share a bucket.

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
    has_linf_guarantee : bool
        False.

    Raises
    ------
    ValueError, TypeError
        If `m` or `n` is not a positive integer.

    See Also
    --------
    SRHT : a dense sketch, with the l_inf guarantee.

    References
    ----------
    .. [1] Clarkson and Woodruff, "Low-rank approximation and regression in input sparsity time",
       J. ACM 63 (2017), article 54.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import CountSketch
    >>> S = CountSketch(10, 40, rng=0)
    >>> np.unique(np.count_nonzero(S.toarray(), axis=0))
    array([1])
    """

    def __init__(self, m: int, n: int, *, rng: Any = None) -> None:
        super().__init__(m, n, nonzeros=1, rng=rng)

    def _options(self) -> dict[str, Any]:
        return {}

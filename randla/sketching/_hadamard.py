"""The subsampled randomized Hadamard transform, exact and in blocks, and the transform itself."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts
from randla._random import draw_key
from randla._validation import as_count, read_only
from randla.sketching._kernels import hadamard as kernels
from randla.sketching._operators import Sketch, as_operand

#: Rough seconds per entry of A, to decide whether the pool is worth its price.
_SECONDS_PER_ENTRY = 8e-10
#: Bytes of A that one call of a kernel reads, so that Ctrl-C is seen between two.
_BYTES_PER_CALL = 1 << 28

_SIGNS, _SHIFTS, _FLIPS, _LABELS, _TABLE, _SAMPLES = range(6)


def _next_power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


def _hashes(key: np.uint64, n: int) -> NDArray[np.uint64]:
    """``counter_hash(key, i)`` for i < n, with NumPy."""
    with np.errstate(over="ignore"):
        z = key + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _random_permutation(key: np.uint64, n: int) -> NDArray[np.int64]:
    """A uniform permutation of n, the same on every machine."""
    return np.argsort(_hashes(key, n), kind="stable").astype(np.int64)


def _sample_without_replacement(key: np.uint64, n: int, m: int) -> NDArray[np.int64]:
    """Draw m different numbers below n = 2^k, uniformly, the same on every machine."""
    if 2 * m > n:
        return _random_permutation(key, n)[:m]
    size = m + m // 2 + 16
    while True:
        numbers = (_hashes(key, size) % np.uint64(n)).astype(np.int64)
        _, first = np.unique(numbers, return_index=True)
        if len(first) >= m:
            return numbers[np.sort(first)[:m]]
        size *= 2


class _HadamardSketch(Sketch):
    """What the exact and the block form share: all but the draw."""

    has_linf_guarantee = True

    @cached_property
    def _draw(self) -> kernels.Draw:
        raise NotImplementedError

    @cached_property
    def _q(self) -> NDArray[np.int64]:
        """Row inside its block of each sample, samples sorted."""
        raise NotImplementedError

    @cached_property
    def _rank(self) -> NDArray[np.int64]:
        """Place of row j of S among the sorted samples."""
        raise NotImplementedError

    def _sort(self, p: NDArray[np.int64], q: NDArray[np.int64], **draw: Any) -> kernels.Draw:
        """Sort the samples by group and complete the draw; remembers `_q` and `_rank`."""
        block = draw["block"]
        groups = block // kernels.last_radix(block)
        order = np.lexsort((p, q, q % groups))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        q = q[order]
        self.__dict__.update(_q=read_only(q), _rank=read_only(rank))
        return kernels.Draw(
            p=read_only(p[order]),
            part=read_only(q // groups),
            start=read_only(np.searchsorted(q % groups, np.arange(groups + 1))),
            **draw,
        )

    def _apply(
        self, A: Any, b: NDArray[Any] | None, row_scale: NDArray[Any] | None, first_row: int
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        draw, m = self._draw, self.shape[0]
        n_rows, d = A.shape
        width = d + (0 if b is None else b.shape[1])
        out = np.empty((m, width), A.dtype)
        nothing = read_only(np.empty(0, A.dtype))
        scale = nothing if row_scale is None else read_only(row_scale.astype(A.dtype, copy=False))
        first, last = first_row // draw.block, -(-(first_row + n_rows) // draw.block)
        # Parts by shape: their accumulators are small beside the rows that they read.
        n_parts = max(1, min(last - first, n_rows // (32 * m), 64))
        bounds = part_bounds(last - first, n_parts)

        def sketch_part(k: int) -> list[NDArray[Any]]:
            return [
                self._sketch_strip(A, b, scale, first_row, first + bounds[k][0],
                                   first + bounds[k][1], lo, hi)
                for lo, hi in _strips(width)
            ]  # fmt: skip

        parts = run_parts(sketch_part, n_parts, seconds=_SECONDS_PER_ENTRY * n_rows * width)
        for s, (lo, hi) in enumerate(_strips(width)):
            total = parts[0][s]
            for part in parts[1:]:
                total += part[s]
            total *= 1.0 / np.sqrt(m)
            out[:, lo:hi] = total[self._rank]
        return out[:, :d], None if b is None else out[:, d:]

    def _sketch_strip(
        self,
        A: Any,
        b: NDArray[Any] | None,
        scale: NDArray[Any],
        first_row: int,
        first: int,
        last: int,
        lo: int,
        hi: int,
    ) -> NDArray[Any]:
        """Blocks first..last of columns lo..hi of [A b], as (m, hi - lo) sums."""
        draw, (n_rows, d) = self._draw, A.shape
        LD = next(s for s in kernels.STRIDES if s >= hi - lo)
        total = np.zeros((self.shape[0], hi - lo), A.dtype)
        work = np.empty(kernels.work_size(draw, LD), A.dtype)
        positions = np.empty(draw.block, np.int64)
        left = _source(A[:, min(lo, d) : min(hi, d)])
        right = _source(A[:, :0] if b is None else b[:, max(lo - d, 0) : max(hi - d, 0)])
        step = max(_BYTES_PER_CALL // (draw.block * (hi - lo) * A.itemsize), 1)
        for i in range(first, last, step):
            kernels.SKETCH_BLOCKS[LD](
                left, right, scale, first_row, n_rows, i, min(i + step, last), draw, work,
                positions, total.reshape(-1),
            )  # fmt: skip
        return total

    def _apply_adjoint(self, Y: NDArray[Any], first: int, last: int) -> NDArray[Any]:
        draw, (m, k) = self._draw, Y.shape
        out = np.empty((last - first, k), Y.dtype)
        Y = Y[np.argsort(self._rank)] * Y.dtype.type(1.0 / np.sqrt(m))
        low, high = first // draw.block, -(-last // draw.block)
        n_parts = max(1, min(high - low, 64))
        bounds = part_bounds(high - low, n_parts)

        def adjoint_part(i: int) -> None:
            for lo, hi in _strips(k):
                LD = next(s for s in kernels.STRIDES if s >= hi - lo)
                work = np.empty(kernels.work_size(draw, LD), Y.dtype)
                positions = np.empty(draw.block, np.int64)
                kernels.ADJOINT_BLOCKS[LD](
                    read_only(np.ascontiguousarray(Y[:, lo:hi])), low + bounds[i][0],
                    low + bounds[i][1], first, self._q, draw, work, positions, out, lo,
                )  # fmt: skip

        if out.size:
            run_parts(adjoint_part, n_parts, seconds=2 * _SECONDS_PER_ENTRY * out.size)
        return out


def _strips(width: int) -> list[tuple[int, int]]:
    """Nearly equal strips of columns, none wider than the widest tile."""
    n_strips = -(-width // kernels.STRIDES[-1])
    step = 8 * -(-width // (8 * max(n_strips, 1)))
    return [(lo, min(lo + step, width)) for lo in range(0, width, step)] if width else []


def _source(A: NDArray[Any]) -> kernels.Source:
    return kernels.Source(*as_operand(A), A.shape[1])


class SRHT(_HadamardSketch):
    r"""Subsampled randomized Hadamard transform with permuted positions.

    .. math:: S = \sqrt{N/m}\; R\, (H_N / \sqrt N)\, P D

    N is n padded to a power of two (padding costs nothing), D holds random signs, P permutes the
    rows inside blocks and the blocks, and R keeps m rows, drawn without replacement. ``S @ A``
    reads A once, in any memory order, and costs :math:`\log_2 B + m/B` additions per entry with
    blocks of B rows; nothing of the size of A is stored.

    Without P the transform loses rank on aligned rows, such as those of an identity matrix or of
    one-hot columns [1]_.

    Parameters
    ----------
    m : int
        Rows of the sketch, at most N.
    n : int
        Rows of the operand.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sketch for any number of threads.

    Attributes
    ----------
    shape : tuple of int
        (m, n).
    population : int
        N, the population of the finite-population correction.
    has_linf_guarantee : bool
        True: least-squares coefficients from this sketch have an error that is spread evenly [2]_.

    Raises
    ------
    ValueError, TypeError
        If `m` or `n` is no positive integer, or m > N.

    References
    ----------
    .. [1] Tropp, Adv. Adapt. Data Anal. 3 (2011).
    .. [2] Song, Ye, Yin and Zhang, ICML 2023, theorem 1.1.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import SRHT
    >>> A = np.random.default_rng(0).standard_normal((5000, 3))
    >>> S = SRHT(400, 5000, rng=0)
    >>> (S @ A).shape
    (400, 3)
    >>> S.population
    8192
    """

    def __init__(self, m: int, n: int, *, rng: Any = None) -> None:
        n = as_count(n, "n")
        N = _next_power_of_two(n)
        m = as_count(m, "m", maximum=N, note=" (n padded to a power of two)")
        self._initialise(m, n, draw_key(rng))

    @property
    def population(self) -> int:
        """N: n padded to a power of two."""
        return _next_power_of_two(self.shape[1])

    @cached_property
    def _draw(self) -> kernels.Draw:
        N, (m, _) = self.population, self.shape
        # Blocks of B >= m/2 rows: few additions a row, and with m >= 4d rows B >= 2d, which a
        # matrix whose mass lies in one block needs for its rank.
        block = min(N, max(kernels.TILE, min(_next_power_of_two(m // 2), 8 * kernels.TILE)))
        keys = _hashes(self._key, 6)
        samples = _sample_without_replacement(keys[_SAMPLES], N, m)
        return self._sort(
            samples // block,
            samples % block,
            block=block,
            signs_key=keys[_SIGNS],
            shifts_key=keys[_SHIFTS],
            flips_key=keys[_FLIPS],
            independent=False,
            labels=read_only(_random_permutation(keys[_LABELS], N // block)),
            table=read_only(_random_permutation(keys[_TABLE], block)),
        )

    @cached_property
    def _q(self) -> NDArray[np.int64]:
        _ = self._draw
        return self.__dict__["_q"]

    @cached_property
    def _rank(self) -> NDArray[np.int64]:
        _ = self._draw
        return self.__dict__["_rank"]

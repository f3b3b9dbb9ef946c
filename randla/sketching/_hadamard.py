"""The subsampled randomized Hadamard transform, exact and in blocks, applied in one pass.

The operand is cut into blocks of rows (the kernel's unit), strips of columns (what fits a tile in
cache) and parts (for the threads).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._kernels import vector_code
from randla._memory import aligned_zeros
from randla._parallel import part_bounds, run_parts
from randla._random import draw_key, hashes, random_permutation, sample_without_replacement
from randla._validation import as_count, is_sparse, read_only
from randla.sketching._kernels import hadamard as kernels
from randla.sketching._operators import UNBOUNDED, AnyArray, Sketch
from randla.sketching._working_memory import Reused, part_count, strided_view, sum_parts

#: Approximate seconds per entry of A, which decide whether to use the thread pool.
_SECONDS_PER_ENTRY = 8e-10
#: Bytes of A that one kernel call reads; Ctrl-C takes effect between calls.
_BYTES_PER_CALL = 1 << 28
#: Rows of a block unless m asks for more: three stages of radix 8.
USUAL_BLOCK = 512
#: Columns of a tile. At 512 rows of float64 it fills a second-level cache of 1 MiB.
_WIDEST = 264


class Purpose(IntEnum):
    """Indices of the keys that are derived from the key of a sketch."""

    SIGNS, SHIFTS, FLIPS, LABELS, TABLE, SAMPLES, ORDER = range(7)
    SIGNS_1, TABLE_1, SAMPLES_1 = range(7, 10)  # of the first factor of a Kronecker sketch


def padded(n: int) -> int:
    """The smallest power of two that is at least n and 8 (the first stage has eight rows)."""
    return max(kernels.SMALLEST_BLOCK, 1 << max(n - 1, 0).bit_length())


@dataclass(frozen=True, eq=False, repr=False, init=False)
class HadamardSketch(Sketch):
    """Everything the Hadamard sketches share, except the random draw."""

    has_linf_guarantee: ClassVar[bool] = True

    @cached_property
    def _draw(self) -> kernels.Draw:
        return self._sorted_draw[0]

    @cached_property
    def _rank(self) -> NDArray[np.int64]:
        """Place of row j of S among the sorted samples."""
        return self._sorted_draw[1]

    @property
    @abstractmethod
    def _sorted_draw(self) -> tuple[kernels.Draw, NDArray[np.int64]]:
        """The draw with its samples sorted, and the place of each sample; drawn once."""

    def _apply(self, A: Any, b: AnyArray, weights: AnyArray, first_row: int) -> AnyArray:
        draw, m = self._draw, self.shape[0]
        n_rows, d = A.shape
        right = np.ascontiguousarray(b)
        width = d + right.shape[1]
        strips, lanes = _strips(width, A.dtype), vector_code.lanes(A.dtype)
        first, last = _block_range(draw, first_row, first_row + n_rows)
        # Adding the sum of a part costs m rows, so a part has about 96 rows of A for each of them.
        n_parts = part_count(last - first, n_rows / (96 * m))
        bounds = part_bounds(last - first, n_parts)  # in blocks of rows

        def sketch_strip(k: int, strip: _Strip, work: kernels.Work, total: AnyArray) -> None:
            """Add the share of the blocks of part k in the columns of a strip."""
            lo, hi = min(strip.lo, d), min(strip.hi, d)  # columns of A; the rest belong to b
            columns_of_b = right[:, max(strip.lo - d, 0) : max(strip.hi - d, 0)]
            common = strided_view(columns_of_b), weights, first_row, n_rows
            step = max(_BYTES_PER_CALL // (draw.block * strip.padded * total.itemsize), 1)
            end = first + bounds[k][1]
            for i in range(first + bounds[k][0], end, step):
                arguments = *common, i, min(i + step, end), draw, work, lanes, total
                if is_sparse(A):
                    data, indices, indptr = map(read_only, (A.data, A.indices, A.indptr))
                    kernels.sketch_sparse_blocks(data, indices, indptr, lo, hi, *arguments)
                else:
                    kernels.sketch_blocks(strided_view(A[:, lo:hi]), *arguments)

        def sketch_part(k: int, work: kernels.Work, total: AnyArray) -> None:
            for strip in strips:
                part = total[m * strip.offset : m * (strip.offset + strip.padded)]
                sketch_strip(k, strip, work, part)

        sums = sum_parts(
            sketch_part,
            n_parts,
            lambda: aligned_zeros(m * sum(strip.padded for strip in strips), A.dtype),
            lambda: _make_work(draw, strips, A.dtype),
            seconds=_SECONDS_PER_ENTRY * n_rows * width,
        )
        out = np.empty((m, width), A.dtype)  # samples in the order of S, times 1/sqrt(m)
        for strip in strips:
            total = sums[m * strip.offset : m * (strip.offset + strip.padded)]
            kernels.collect_samples(
                read_only(total), strip.padded, self._rank, A.dtype.type(m**-0.5), out, strip.lo,
                strip.hi - strip.lo,
            )  # fmt: skip
        return out

    def _apply_adjoint(self, Y: AnyArray, first: int, last: int) -> AnyArray:
        draw, (m, k) = self._draw, Y.shape
        out = np.empty((last - first, k), Y.dtype)
        low, high = _block_range(draw, first, last)
        n_parts = part_count(high - low, 64)
        bounds = part_bounds(high - low, n_parts)
        strips = _strips(k, Y.dtype)
        rows = []
        for strip in strips:  # the rows of Y / sqrt(m), samples sorted
            sorted_rows = aligned_zeros(m * strip.padded, Y.dtype).reshape(m, strip.padded)
            sorted_rows[self._rank, : strip.hi - strip.lo] = Y[:, strip.lo : strip.hi] / np.sqrt(m)
            rows.append(read_only(sorted_rows.reshape(-1)))
        works = Reused(lambda: _make_work(draw, strips, Y.dtype))

        def fill_part(i: int) -> None:
            work = works.take()
            for strip, strip_rows in zip(strips, rows, strict=True):
                kernels.adjoint_blocks(
                    strip_rows, low + bounds[i][0], low + bounds[i][1], first, draw, work,
                    strip.padded, out, strip.lo, strip.hi - strip.lo,
                )  # fmt: skip
            works.give(work)

        run_parts(fill_part, n_parts, seconds=_SECONDS_PER_ENTRY * out.size)
        return out


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SRHT(HadamardSketch):
    r"""Subsampled randomized Hadamard transform with permuted positions.

    .. math:: S = \sqrt{N/m}\; R\, (H_N / \sqrt N)\, P D

    N is n padded to a power of two, at least 8 (padding costs nothing), D holds random signs, P
    permutes rows within blocks, and the blocks, and R keeps m rows, drawn without replacement.
    ``S @ A`` reads A once, in any memory order, and costs :math:`\log_2 B + m/B` additions per
    entry with blocks of B rows. No array of the size of A is stored.

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
        True: the error of least-squares coefficients from this sketch is spread evenly [2]_.

    Raises
    ------
    ValueError, TypeError
        If `m` or `n` is not a positive integer, or m > N.

    References
    ----------
    .. [1] Tropp, "Improved analysis of the subsampled randomized Hadamard transform", Adv. Adapt.
       Data Anal. 3 (2011), 115-126.
    .. [2] Song, Ye, Yin and Zhang, "A nearly-optimal bound for fast regression with l_inf
       guarantee", ICML (2023), arXiv:2302.00248.

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
        m = as_count(m, "m", maximum=padded(n), note=" (n padded to a power of two)")
        self.__dict__.update(shape=(m, n), _key=draw_key(rng))

    @property
    def population(self) -> int:
        """N: n padded to a power of two, at least 8."""
        return padded(self.shape[1])

    @cached_property
    def _sorted_draw(self) -> tuple[kernels.Draw, NDArray[np.int64]]:
        N, (m, _) = self.population, self.shape
        # Blocks of B >= m/2 rows: few additions a row, and with m >= 4d rows B >= 2d, which a
        # matrix whose mass lies in one block needs for its rank.
        block = min(N, max(USUAL_BLOCK, min(padded(m // 2), kernels.LARGEST_BLOCK)))
        keys = hashes(self._key, len(Purpose))
        samples = sample_without_replacement(keys[Purpose.SAMPLES], N, m)
        labels = random_permutation(keys[Purpose.LABELS], N // block)  # P on whole blocks
        return sort_samples(keys, block, samples // block, samples % block, labels)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class BlockSRHT(HadamardSketch):
    r"""Subsampled randomized Hadamard transforms of row blocks, with independent signs.

    .. math:: S = [S_1 \; S_2 \; \dots], \qquad S_i = m^{-1/2} E_i R H_B P_i D_i

    Each block of B rows has random signs :math:`D_i`, a permutation :math:`P_i` and m random signs
    :math:`E_i`; the choice R of m rows is the same for all [1]_. No block depends on the number of
    rows: with ``n=None`` rows can be appended indefinitely, through `columns`. Speed and quality
    match `SRHT`, except that there is no finite-population correction (``population`` is None).

    Parameters
    ----------
    m : int
        Rows of the sketch.
    n : int, optional
        Rows of the operand. None means any number; ``S @ A`` takes the rows of A as the first ones.
    block_size : int, optional
        B, a power of two from 8 to 4096. The default is the smallest that is at least m and 512,
        but at most 4096 and n padded. If m > B, rows of :math:`H_B` are repeated with new signs.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sketch for any number of threads.

    Attributes
    ----------
    shape : tuple of int
        (m, n), with 2**62 for ``n=None``.
    block_size : int
        The number B of rows.
    has_linf_guarantee : bool
        True.

    Raises
    ------
    ValueError, TypeError
        If `m`, `n` or `block_size` is out of range.

    References
    ----------
    .. [1] Balabanov, Beaupère, Grigori and Lederer, "Block subsampled randomized Hadamard transform
       for Nyström approximation on distributed architectures", ICML (2023), arXiv:2210.11295.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import BlockSRHT
    >>> A = np.random.default_rng(0).standard_normal((5000, 3))
    >>> S, SA, first = BlockSRHT(400, rng=0), 0, 0
    >>> for chunk in np.array_split(A, 7):  # as the chunks come
    ...     SA = SA + S.columns(first, first + len(chunk)) @ chunk
    ...     first += len(chunk)
    >>> np.allclose(SA, S @ A)
    True
    """

    block_size: int

    def __init__(
        self, m: int, n: int | None = None, *, block_size: int | None = None, rng: Any = None
    ) -> None:
        m = as_count(m, "m")
        n = n if n is None else as_count(n, "n")
        if block_size is not None:
            least, most = kernels.SMALLEST_BLOCK, kernels.LARGEST_BLOCK
            block_size = as_count(block_size, "block_size", minimum=least, maximum=most)
            if block_size & (block_size - 1):
                raise ValueError(f"block_size must be a power of two, got {block_size}")
        else:
            block_size = min(max(padded(m), USUAL_BLOCK), kernels.LARGEST_BLOCK)  # no row twice
            block_size = block_size if n is None else min(block_size, padded(n))
        shape = m, UNBOUNDED if n is None else n
        self.__dict__.update(shape=shape, _key=draw_key(rng), block_size=block_size)

    def _options(self) -> dict[str, Any]:
        return {"block_size": self.block_size}

    @cached_property
    def _sorted_draw(self) -> tuple[kernels.Draw, NDArray[np.int64]]:
        m, B = self.shape[0], self.block_size
        keys = hashes(self._key, len(Purpose))
        # Each row of H_B is taken equally often, to within one.
        more = sample_without_replacement(keys[Purpose.SAMPLES], B, m % B)
        q = np.concatenate([np.tile(np.arange(B), m // B), more])
        q = q[random_permutation(keys[Purpose.ORDER], m)]
        return sort_samples(keys, B, np.zeros_like(q), q, None)


def _block_range(draw: kernels.Draw, first: int, last: int) -> tuple[int, int]:
    """Blocks that contain rows first..last of an operand."""
    if draw.period:
        return first // draw.period_rows * draw.period, -(-last // draw.period_rows) * draw.period
    return first // draw.block, -(-last // draw.block)


class _Strip(NamedTuple):
    """Columns lo..hi of an operand; `padded` rounds their number up to whole vectors."""

    lo: int
    hi: int
    padded: int
    offset: int  # sum of the counts of earlier strips


def _strips(width: int, dtype: Any) -> list[_Strip]:
    """Nearly equal strips of columns, each small enough for a tile in cache."""
    lanes = vector_code.lanes(dtype)
    n_strips = -(-width // _WIDEST)
    step = 16 * -(-width // (16 * max(n_strips, 1)))
    strips, offset = [], 0
    for lo in range(0, width, step):
        hi = min(lo + step, width)
        count = -(-(hi - lo) // lanes) * lanes
        strips.append(_Strip(lo, hi, count, offset))
        offset += count
    return strips


def _make_work(draw: kernels.Draw, strips: list[_Strip], dtype: Any) -> kernels.Work:
    line, B = vector_code.line_entries(dtype), draw.block
    # An odd number of lines, so that the rows of a tile spread over the cache.
    stride = (-(-strips[0].padded // line) | 1) * line
    return kernels.Work(
        tile=aligned_zeros(B * stride, dtype),
        last_rows=aligned_zeros(16 * stride, dtype),
        stride=stride,
        row=np.empty(B, np.int64),
        position=np.empty(B, np.int64),
        offset=np.empty(B, np.int64),
        offset_b=np.empty(B, np.int64),
        sign=np.empty(B, dtype),
        factor=np.empty(B, dtype),
        flip=np.empty(len(draw.p), dtype),
    )


def sort_samples(
    keys: NDArray[np.uint64],
    block: int,
    p: NDArray[np.int64],
    q: NDArray[np.int64],
    labels: NDArray[np.int64] | None,
    period_rows: int = 0,
    period_labels: NDArray[np.int64] | None = None,
) -> tuple[kernels.Draw, NDArray[np.int64]]:
    """The draw with its samples sorted for the last stage, and the place of each sample."""
    R = kernels.last_radix(block)
    stride = block // R
    order = np.lexsort((p, q, q % stride))  # q % stride: which rows the last stage brings
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))  # the inverse permutation
    p, q = p[order], q[order]
    draw = kernels.Draw(
        block=block,
        last_radix=R,
        signs_key=keys[Purpose.SIGNS],
        shifts_key=keys[Purpose.SHIFTS],
        flips_key=keys[Purpose.FLIPS],
        independent=labels is None,
        period=0 if period_labels is None or labels is None else len(labels),
        period_rows=period_rows,
        labels=read_only(p[:0] if labels is None else labels),
        period_labels=read_only(p[:0] if period_labels is None else period_labels),
        table=read_only(random_permutation(keys[Purpose.TABLE], block)),
        p=read_only(p),
        q=read_only(q),
        start=read_only(np.searchsorted(q % stride, np.arange(stride + 1))),
    )
    return draw, read_only(rank)

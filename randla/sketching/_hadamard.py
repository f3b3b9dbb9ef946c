"""The subsampled randomized Hadamard transform, exact and in blocks, and the transform itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._memory import aligned_zeros
from randla._parallel import part_bounds, run_parts
from randla._random import draw_key, hashes, random_permutation, sample_without_replacement
from randla._validation import as_array, as_count, read_only, require_finite
from randla.sketching._hadamard_plan import (
    USUAL_BLOCK,
    HadamardSketch,
    Purpose,
    padded,
    sort_samples,
)
from randla.sketching._kernels import hadamard as kernels, vector_code, walsh
from randla.sketching._operators import UNBOUNDED

#: Rough seconds per entry and pass.
_SECONDS_PER_ENTRY = 1e-9
#: Entries of a tile, and the most rows that one pass transforms.
_TILE_ENTRIES, _MOST_ROWS = 1 << 15, 1 << 12


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SRHT(HadamardSketch):
    r"""Subsampled randomized Hadamard transform with permuted positions.

    .. math:: S = \sqrt{N/m}\; R\, (H_N / \sqrt N)\, P D

    N is n padded to a power of two, at least 8 (padding costs nothing), D holds random signs, P
    permutes the rows inside blocks and the blocks, and R keeps m rows, drawn without replacement.
    ``S @ A`` reads A once, in any memory order, and costs :math:`\log_2 B + m/B` additions per
    entry with blocks of B rows; nothing of the size of A is stored.

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
        labels = random_permutation(keys[Purpose.LABELS], N // block)
        return sort_samples(keys, block, samples // block, samples % block, labels)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class BlockSRHT(HadamardSketch):
    r"""Subsampled randomized Hadamard transforms of row blocks, with independent signs.

    .. math:: S = [S_1 \; S_2 \; \dots], \qquad S_i = m^{-1/2} E_i R H_B P_i D_i

    Each block of B rows has random signs :math:`D_i`, a permutation :math:`P_i` and m random signs
    :math:`E_i`; the choice R of m rows is the same for all [1]_. No block knows the number of rows:
    with ``n=None`` rows can be appended for ever, through `columns`. Speed and quality are those of
    `SRHT`, except that there is no finite-population correction (``population`` is None).

    Parameters
    ----------
    m : int
        Rows of the sketch.
    n : int, optional
        Rows of the operand. None: any number; ``S @ A`` takes the rows of A as the first ones.
    block_size : int, optional
        B, a power of two from 8 to 4096. By default the smallest that is at least m and 512, but
        not above 4096 or n padded. For m > B rows of :math:`H_B` are repeated with new signs.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sketch for any number of threads.

    Attributes
    ----------
    shape : tuple of int
        (m, n), with 2**62 in place of n=None.
    block_size : int
        B.
    has_linf_guarantee : bool
        True.

    Raises
    ------
    ValueError, TypeError
        If `m`, `n` or `block_size` is outside of its range.

    References
    ----------
    .. [1] Balabanov, Beaupere, Grigori and Lederer, "Block subsampled randomized Hadamard
       transform for low-rank approximation on distributed architectures", ICML (2023),
       arXiv:2210.11295.

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
            block_size = as_count(
                block_size,
                "block_size",
                minimum=kernels.SMALLEST_BLOCK,
                maximum=kernels.LARGEST_BLOCK,
            )
            if block_size & (block_size - 1):
                raise ValueError(f"block_size must be a power of two, got {block_size}")
        else:
            block_size = min(max(padded(m), USUAL_BLOCK), kernels.LARGEST_BLOCK)
            block_size = block_size if n is None else min(block_size, padded(n))
        shape = m, UNBOUNDED if n is None else n
        self.__dict__.update(shape=shape, _key=draw_key(rng), block_size=block_size)

    def _options(self) -> dict[str, Any]:
        return {"block_size": self.block_size}

    @cached_property
    def _sorted_draw(self) -> tuple[kernels.Draw, NDArray[np.int64]]:
        m, B = self.shape[0], self.block_size
        keys = hashes(self._key, len(Purpose))
        # Each row of H_B as often as any other, or once more.
        q = np.concatenate(
            [
                np.tile(np.arange(B), m // B),
                sample_without_replacement(keys[Purpose.SAMPLES], B, m % B),
            ]
        )
        q = q[random_permutation(keys[Purpose.ORDER], m)]
        return sort_samples(keys, B, np.zeros_like(q), q, None)


def fwht(X: ArrayLike, *, axis: int = 0) -> NDArray[Any]:
    r"""Walsh-Hadamard transform of an axis whose length is a power of two.

    .. math:: Y = H_n X, \qquad H_1 = 1, \quad H_{2n} = H_2 \otimes H_n

    In natural (Hadamard) order, without normalisation: ``fwht(fwht(X)) == n * X``, and
    ``fwht(X) / sqrt(n)`` is orthogonal. :math:`n \log_2 n` additions for each vector, in two
    passes over memory (three for an axis above 2^24).

    Parameters
    ----------
    X : (..., n, ...) array_like
        Real and finite. float32 stays float32; all else is read as float64.
    axis : int
        The axis to transform; its length n is a power of two.

    Returns
    -------
    Y : (..., n, ...) ndarray
        In Fortran order if X is.

    Raises
    ------
    ValueError, TypeError
        If `X` is not real and finite, its axis is no power of two, or the result overflows.

    See Also
    --------
    SRHT : the subsampled transform of a matrix with any number of rows.

    References
    ----------
    .. [1] Fino and Algazi, "Unified matrix treatment of the fast Walsh-Hadamard transform", IEEE
       Trans. Comput. 25 (1976), 1142-1146.

    Examples
    --------
    >>> from randla import fwht
    >>> fwht([1.0, 0.0, 2.0, 0.0])
    array([ 3.,  3., -1., -1.])
    """
    array = as_array(X, "X", finite=False)
    if array.ndim == 0:
        raise ValueError("X must be at least 1-D, got a number")
    axis = as_count(axis, "axis", minimum=-array.ndim, maximum=array.ndim - 1) % array.ndim
    n = array.shape[axis]
    if n == 0 or n & (n - 1):
        raise ValueError(f"X must have a power of two as length of axis {axis}, got {n}")
    if array.size == 0:
        return array.copy()
    norm = _norm(array)  # one read, which also finds NaN and inf
    if not math.isfinite(norm):
        require_finite(array, "X")
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        out = _transform(array.T, array.ndim - 1 - axis).T
    else:
        out = _transform(np.ascontiguousarray(array), axis)
    # An entry of the transform is at most sqrt(n) times the norm.
    if not norm < np.finfo(out.dtype).max / math.sqrt(n) and not np.isfinite(out).all():
        raise ValueError(f"X must be scaled down: its transform overflows {out.dtype}")
    return out


def _norm(array: NDArray[Any]) -> float:
    """The Euclidean norm; NaN or inf if an entry is, and inf if its square overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        entries = array.ravel(order="K")  # a view of what is contiguous
        return math.sqrt(float(entries @ entries))


def _transform(X: NDArray[Any], axis: int) -> NDArray[Any]:
    """Transform an axis of a C-contiguous array, into a new one."""
    n, stride = X.shape[axis], math.prod(X.shape[axis + 1 :])
    if 1 < stride < vector_code.line_entries(X.dtype) and n > 1:  # too short for vectors: turn it
        turned = np.ascontiguousarray(np.moveaxis(X, axis, -1))
        return np.ascontiguousarray(np.moveaxis(_transform(turned, X.ndim - 1), -1, axis))
    out = np.empty(X.shape, X.dtype)
    source, target = read_only(X.reshape(-1)), out.reshape(-1)
    if n == 1:
        target[:] = source
    elif stride > 1:
        for rows, step in _passes(n, stride):
            _transform_rows(source, target, rows, step)
            source = read_only(target)
    elif n < walsh.SHORT:
        kernel = lambda first, last: walsh.transform_short(source, target, n, first, last)  # noqa: E731
        _run(kernel, X.size // n, X.size)
    else:
        first_pass, *others = _passes(n // walsh.SHORT, walsh.SHORT) or [(1, walsh.SHORT)]
        _transform_vectors(source, target, first_pass[0])
        for rows, step in others:
            _transform_rows(read_only(target), target, rows, step)
    return out


def _passes(n: int, stride: int) -> list[tuple[int, int]]:
    """Factors of the axis, nearly equal and of at most `_MOST_ROWS` rows, with their strides."""
    bits = n.bit_length() - 1
    n_passes = -(-bits // (_MOST_ROWS.bit_length() - 1))
    passes = []
    for k in range(n_passes):
        rows = 1 << ((k + 1) * bits // n_passes - k * bits // n_passes)
        passes.append((rows, stride))
        stride *= rows
    return passes


def _transform_rows(x: NDArray[Any], out: NDArray[Any], rows: int, stride: int) -> None:
    line = vector_code.line_entries(out.dtype)
    width = min(stride, max(_TILE_ENTRIES // rows // line * line, line))
    LD = (-(-width // line) | 1) * line
    n_items = x.size // (rows * stride) * -(-stride // width)

    def run(first: int, last: int) -> None:
        tile = aligned_zeros(rows * LD, out.dtype)
        walsh.transform_rows(x, out, rows, stride, width, tile, LD, first, last)

    _run(run, n_items, x.size)


def _transform_vectors(x: NDArray[Any], out: NDArray[Any], rows: int) -> None:
    LD = walsh.SHORT + vector_code.line_entries(out.dtype)

    def run(first: int, last: int) -> None:
        tile = aligned_zeros(rows * LD, out.dtype)
        lanes = vector_code.lanes(out.dtype)
        walsh.transform_vectors(x, out, rows, lanes, tile, LD, first, last)

    _run(run, x.size // (rows * walsh.SHORT), x.size)


def _run(task: Callable[[int, int], None], n_items: int, n_entries: int) -> None:
    """Run a pass in parts that write to places of their own."""
    n_parts = max(1, min(n_items, n_entries >> 16, 256))
    bounds = part_bounds(n_items, n_parts)
    run_parts(lambda k: task(*bounds[k]), n_parts, seconds=_SECONDS_PER_ENTRY * n_entries)

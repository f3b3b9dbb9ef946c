"""The Walsh-Hadamard transform of an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._kernels import vector_code
from randla._memory import aligned_zeros
from randla._parallel import part_bounds, run_parts
from randla._validation import as_array, as_count, read_only, require_finite
from randla.sketching._kernels import walsh

#: Approximate seconds per entry and pass.
_SECONDS_PER_ENTRY = 1e-9
#: Entries of a tile, and the largest number of rows that one pass transforms.
_TILE_ENTRIES, _MOST_ROWS = 1 << 15, 1 << 12


def fwht(X: ArrayLike, *, axis: int = 0) -> NDArray[Any]:
    r"""Walsh-Hadamard transform of an axis whose length is a power of two.

    .. math:: Y = H_n X, \qquad H_1 = 1, \quad H_{2n} = H_2 \otimes H_n

    The order is natural (Hadamard), without normalization: ``fwht(fwht(X)) == n * X``, and
    ``fwht(X) / sqrt(n)`` is orthogonal. The cost is :math:`n \log_2 n` additions for each vector
    [1]_, in two passes over memory (three for an axis above 2^24).

    Parameters
    ----------
    X : (..., n, ...) array_like
        Real and finite. float32 stays float32; other types are converted to float64.
    axis : int
        The axis to transform; its length n is a power of two.

    Returns
    -------
    Y : (..., n, ...) ndarray
        In Fortran order if X is in Fortran order.

    Raises
    ------
    ValueError, TypeError
        If `X` is not real and finite, its axis is not a power of two long, or the result overflows.

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
    array = as_array(X, "X", finite=False)  # NaN and inf show in the norm
    if array.ndim == 0:
        raise ValueError("X must be at least 1-D, got shape ()")
    axis = as_count(axis, "axis", minimum=-array.ndim, maximum=array.ndim - 1) % array.ndim
    n = array.shape[axis]
    if n == 0 or n & (n - 1):
        raise ValueError(f"X must have a power of two as the length of axis {axis}, got {n}")
    if array.size == 0:
        return array.copy()
    norm = _norm(array)  # one read, which also finds NaN and inf
    if not math.isfinite(norm):
        require_finite(array, "X")
    flags = array.flags
    if flags.f_contiguous and not flags.c_contiguous:  # C contiguous from the other side
        out = _transform(array.T, array.ndim - 1 - axis).T
    else:
        out = _transform(np.ascontiguousarray(array), axis)
    # An entry of the transform is at most sqrt(n) times the norm.
    if not norm < np.finfo(out.dtype).max / math.sqrt(n) and not np.isfinite(out).all():
        raise ValueError(f"X must be scaled down: its transform overflows {out.dtype}")
    return out


def _norm(array: NDArray[Any]) -> float:
    """The Euclidean norm: NaN or inf if an entry is, and inf if its square overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        entries = array.ravel(order="K")  # a view of what is contiguous
        return math.sqrt(float(entries @ entries))


def _transform(X: NDArray[Any], axis: int) -> NDArray[Any]:
    """Transform an axis of a C-contiguous array, into a new one."""
    n, stride = X.shape[axis], math.prod(X.shape[axis + 1 :])
    if 1 < stride < vector_code.line_entries(X.dtype) and n > 1:  # too short for vectors
        moved = np.ascontiguousarray(np.moveaxis(X, axis, -1))
        return np.ascontiguousarray(np.moveaxis(_transform(moved, X.ndim - 1), -1, axis))
    out = np.empty(X.shape, X.dtype)
    source, target = read_only(X.reshape(-1)), out.reshape(-1)
    if n == 1:  # H_1 = 1
        target[:] = source
    elif stride > 1:  # across rows; the columns are the vectors of the kernel
        for rows, step in _passes(n, stride):
            _transform_rows(source, target, rows, step)
            source = read_only(target)
    elif n < walsh.SHORT:  # contiguous vectors
        kernel = lambda first, last: walsh.transform_short(source, target, n, first, last)  # noqa: E731
        _run(kernel, X.size // n, X.size)
    else:
        # H_n = H_{n / SHORT} (x) H_SHORT: the first pass does the inner factor too.
        first_pass, *others = _passes(n // walsh.SHORT, walsh.SHORT) or [(1, walsh.SHORT)]
        _transform_vectors(source, target, first_pass[0])
        for rows, step in others:
            _transform_rows(read_only(target), target, rows, step)
    return out


def _passes(n: int, stride: int) -> list[tuple[int, int]]:
    """Factors of the axis, nearly equal and of at most `_MOST_ROWS` rows, with their strides."""
    bits = n.bit_length() - 1  # n = 2^bits
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
    LD = (-(-width // line) | 1) * line  # an odd number of lines: rows spread over the cache
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

"""Dask arrays in blocks of rows: which are accepted, functions of the blocks, and sums of them.

A block function receives the index of the first row of its block, the block and the blocks of other
operands, and returns an array. It depends on nothing else, so that the result is the same for every
scheduler; and its draws for a row are a function of the row's index in the whole, so that the
result does not depend on where the blocks are cut.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.diagnostics import ProgressBar
from dask.layers import ArrayBlockwiseDep

from randla._parallel import WORTH_A_BAR, shown_progress, single_thread, single_threaded_blas
from randla._tables import from_table
from randla._validation import is_sparse, one_column_hint, require_rhs_shape

#: Largest block of whole rows that is assembled from chunks of columns, in bytes.
_MAX_BLOCK = 1 << 28
#: Partial sums that are added by one task.
_SPLIT_EVERY = 8
#: Bytes from which a constant of the block functions is sent once to each worker, not in each task.
_LARGE_CONSTANT = 1 << 15


def as_rows(A: Any, name: str = "A", *, ndim: tuple[int, ...] = (2,)) -> Any:
    """`A` as a non-empty Dask array of real numbers that is chunked along its rows only.

    Chunks of columns are joined if a block of whole rows is not too large.
    """
    A = from_table_of_blocks(A, name)
    if A.ndim not in ndim:
        expected = " or ".join(f"{k}-D" for k in ndim)
        hint = one_column_hint(name) if A.ndim == 1 else ""
        raise ValueError(f"{name} must be {expected}, got shape {A.shape}{hint}")
    if A.dtype.kind not in "biuf":
        kind = "complex numbers" if A.dtype.kind == "c" else f"dtype {A.dtype}"
        raise TypeError(f"{name} must hold real numbers, got {kind}")
    if np.isnan(A.shape).any():
        raise ValueError(
            f"{name} must have known chunk sizes, got shape {A.shape}: call "
            f"{name}.compute_chunk_sizes() first"
        )
    if 0 in A.shape:
        raise ValueError(f"{name} must have rows and columns, got shape {A.shape}")
    if A.ndim == 2 and len(A.chunks[1]) > 1:
        size = max(A.chunks[0]) * A.shape[1] * A.dtype.itemsize  # bytes of the largest block
        if size > _MAX_BLOCK:
            raise ValueError(
                f"{name} must be chunked along rows only, got {len(A.chunks[1])} chunks of columns,"
                f" and blocks of whole rows would have {size / 2**20:.0f} MiB: use "
                f"{name}.rechunk({{0: 'auto', 1: -1}})"
            )
        A = A.rechunk({1: -1})  # whole rows
    if 0 in A.chunks[0]:
        A = A.rechunk({0: tuple(size for size in A.chunks[0] if size)})
    return A


def from_table_of_blocks(x: Any, name: str) -> Any:
    """A table of Dask, or a column of one, as a Dask array; its rows are counted in one pass."""
    if isinstance(x, da.Array) or not hasattr(x, "to_dask_array"):
        return x
    columns = x.dtypes if x.ndim == 2 else [x.dtype]
    if not all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in columns):
        from_table(x._meta, name, missing=False)  # refuses, by name, columns that are not numbers
        x = x.astype(np.float64)
    return x.to_dask_array(lengths=True)


def from_memory(A: Any) -> Any:
    """An array in memory as a Dask array of one block."""
    return da.from_array(A, chunks=A.shape)


def as_columns(b: Any, A: Any, name: str, *, single: bool = False) -> Any:
    """`b`, (n,) or (n, k), as a Dask array chunked like the rows of `A`; k = 1 if `single`."""
    b = from_table_of_blocks(b, name)
    if not isinstance(b, da.Array):
        b = np.asarray(from_table(b, name, missing=False))
        require_rhs_shape(b.shape, A.shape[0], name, single=single)
        b = da.from_array(b, chunks=(A.chunks[0], *b.shape[1:]))
    b = as_rows(b, name, ndim=(1, 2))
    require_rhs_shape(b.shape, A.shape[0], name, single=single)
    return b if b.chunks[0] == A.chunks[0] else b.rechunk({0: A.chunks[0]})


def as_vector(b: Any, A: Any, name: str) -> Any:
    """`b` as a Dask vector (n,) chunked like the rows of `A`."""
    b = from_table_of_blocks(b, name)
    shape = getattr(b, "shape", None)
    if shape is None:
        shape = np.shape(b)
    if len(shape) != 1 or shape[0] != A.shape[0]:
        raise ValueError(
            f"{name} must be of shape ({A.shape[0]},), one number for each row of A, "
            f"got shape {shape}"
        )
    return as_columns(b, A, name)


def map_rows(
    function: Callable[..., Any], *operands: Any, width: int | None = None, **constants: Any
) -> Any:
    """The values of ``function(first, *blocks, **constants)`` for each row, as a lazy Dask array.

    (n,) for ``width=None``, else (n, width); float64. An operand that is None stays None.
    """
    return _blockwise(function, operands, operands[0].chunks[0], width, np.float64, constants)


def join_rows(
    function: Callable[..., Any],
    *operands: Any,
    shape: tuple[int, int],
    join: Callable[[Any, Any], Any] = np.add,
    dtype: Any = np.float64,
    **constants: Any,
) -> Any:
    """Arrays of the given shape, one from each block, joined pair by pair (added) in a tree; lazy.

    The order is that of the blocks, for any scheduler.
    """
    rows = (shape[0],) * operands[0].numblocks[0]  # the parts lie one below the other
    parts = _blockwise(function, operands, rows, shape[1], dtype, constants)
    return da.reduction(
        parts,
        chunk=_keep,
        combine=partial(_join, join=join),
        aggregate=partial(_join, join=join),
        axis=0,
        keepdims=True,
        concatenate=False,
        split_every=_SPLIT_EVERY,
        output_size=shape[0],
        dtype=parts.dtype,
        meta=np.empty((0, 0), parts.dtype),
    )


def compute(*lazy: Any) -> Any:
    """Compute Dask arrays together, so that what they share is read once; one array or a tuple."""
    results = run(lazy)
    return results[0] if len(results) == 1 else results


def run(tasks: Iterable[Any]) -> tuple[Any, ...]:
    """Compute, with Dask's own progress bar under `showing_progress`."""
    if not shown_progress():
        return dask.compute(*tasks)
    with ProgressBar(minimum=WORTH_A_BAR, out=sys.stderr):
        return dask.compute(*tasks)


def gather(function: Callable[..., Any], *operands: Any, **constants: Any) -> list[Any]:
    """Compute ``function(first, *blocks, **constants)``, any Python object, for each block."""
    rows = (1,) * operands[0].numblocks[0]
    parts = _blockwise(partial(_boxed, function), operands, rows, None, object, constants)
    return list(compute(parts))


def _boxed(function: Callable[..., Any], *arguments: Any, **constants: Any) -> Any:
    box = np.empty(1, object)  # an array, as tasks return arrays
    box[0] = function(*arguments, **constants)
    return box


def take_rows(A: Any, indices: Any) -> Any:
    """Some rows of a Dask array, of ascending indices, in memory; other blocks are not read."""
    edges = np.append(_first_rows(A.chunks[0]), A.shape[0])  # where blocks begin, and the end
    cuts = np.searchsorted(indices, edges)  # which of the rows are in which block
    blocks, call = A.to_delayed().ravel(), dask.delayed(_take)
    tasks = [
        call(blocks[k], indices[i:j] - edges[k]) for k, (i, j) in enumerate(pairwise(cuts)) if i < j
    ]
    parts = run(tasks)
    if not parts:
        return np.empty((0, *A.shape[1:]), A.dtype)
    if is_sparse(parts[0]):
        from scipy.sparse import csr_array, vstack

        return csr_array(vstack(parts))
    return np.concatenate(parts)


def _take(block: Any, rows: Any) -> Any:
    return (block.tocsr() if is_sparse(block) else np.asarray(block))[rows]


def _blockwise(
    function: Callable[..., Any],
    operands: Sequence[Any],
    rows: tuple[int, ...],
    width: int | None,
    dtype: Any,
    constants: dict[str, Any],
) -> Any:
    first, names = operands[0], "abcdefgh"
    adjusted: dict[str, Any] = {"i": rows}  # sizes of the chunks of the result
    # Dask fuses the loading of a block into the task that works on it if their axes are the
    # same, and if their layers join chunks in the same way. Then the block is freed earlier.
    out = "i" if width is None else "ia"
    new_axes = {"a": width} if width is not None and first.ndim == 1 else None
    if width is not None and first.ndim == 2:
        adjusted["a"] = (width,)
    layer = first.dask.layers.get(first.name)
    arguments: list[Any] = [_FirstRows(first.chunks[0]), "i"]
    for k, operand in enumerate(operands):
        axes = None if operand is None else ("i" if operand.ndim == 1 else "i" + names[k])
        arguments += [operand, axes]
    return da.blockwise(
        _call,
        out,
        *arguments,
        of=function,
        new_axes=new_axes,
        adjust_chunks=adjusted,
        align_arrays=False,
        concatenate=getattr(layer, "concatenate", None),
        dtype=dtype,
        meta=np.empty((0,) * len(out), dtype),
        token=getattr(function, "__name__", "block").strip("_"),
        **_sent_once(constants),
    )


class _FirstRows(ArrayBlockwiseDep):
    """The index of the first row of each block, as an operand of `da.blockwise`."""

    def __init__(self, rows: tuple[int, ...]) -> None:
        super().__init__((rows,))
        self._first = _first_rows(rows)

    def __getitem__(self, index: tuple[int, ...]) -> int:
        return int(self._first[index[0]])

    def __dask_tokenize__(self) -> Any:
        return type(self).__name__, self.chunks


def _call(first: Any, *blocks: Any, of: Callable[..., Any], **constants: Any) -> Any:
    """Call a block function, as one of several tasks: on one thread."""
    # A block whose columns are not an axis of the result may come as a list of its one chunk.
    plain = [block[0] if isinstance(block, list) else block for block in blocks]
    with single_thread(), single_threaded_blas():
        return of(int(first), *plain, **constants)


def _first_rows(chunks: tuple[int, ...]) -> Any:
    return np.concatenate([[0], np.cumsum(chunks[:-1], dtype=np.int64)]).astype(np.int64)


def _sent_once(constants: dict[str, Any]) -> dict[str, Any]:
    def wrap(value: Any) -> Any:
        large = getattr(value, "nbytes", 0) >= _LARGE_CONSTANT
        return dask.delayed(value, pure=True) if large else value

    return {name: wrap(value) for name, value in constants.items()}


def _keep(x: Any, axis: Any, keepdims: bool) -> Any:
    return x


@np.errstate(all="ignore")  # sums that leave the range are checked at the end
def _join(arrays: Any, axis: Any = None, keepdims: bool = True, *, join: Any) -> Any:
    """Nested lists of arrays, joined."""
    if not isinstance(arrays, list):
        return arrays
    return reduce(join, (_join(part, join=join) for part in arrays))

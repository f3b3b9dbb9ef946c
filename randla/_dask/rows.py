"""Rows of a Dask array, drawn by their scores: each decision is a function of the row's number."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from randla._random import draw_keys, generator_from_key
from randla._tall import dask_arrays
from randla._validation import as_weights, is_sparse, read_only
from randla.sampling._kernels.rows import counter_uniforms
from randla.sampling._samples.sample_rows import (
    RowSample,
    kind_of,
    named_scores,
    read_options,
    require_a_row,
    rounded_size,
    sample_by,
    size_for,
)
from randla.sampling._scores.draws import in_units, inclusion_factor
from randla.sampling._scores.result import Scores

Array = NDArray[np.float64]


def sample_rows(
    A: Any, size: Any, p: Any, eps: Any, scores: Any, scheme: Any, rng: Any
) -> RowSample:
    """`randla.sample_rows` of a Dask array.

    "poisson" needs two passes over the scores and brings the drawn rows' numbers together; the
    other schemes bring one number a row.
    """
    A = dask_arrays.as_rows(A)
    n, d = A.shape
    p, size, eps = read_options(n, size, p, eps, scores, scheme)
    key, order_key, sketch_key = draw_keys(rng, 3)
    rough = size is not None
    u, part, kind = _resolve(A, p, scores, generator_from_key(sketch_key), rough)
    if size is None:
        sums = dask_arrays.compute(
            dask_arrays.join_rows(_sum_and_count, u, shape=(1, 2)),
            dask_arrays.join_rows(_sum_and_count, part, shape=(1, 2)),
        )
        size = rounded_size(size_for(eps, p, d, kind, float(sums[1][0, 0])), int(sums[0][0, 1]))
    if scheme != "poisson":
        given = as_weights(dask_arrays.compute(u), n, "scores", positive_sum=False)
        values = np.array(given, np.float64)
        require_a_row(bool(values.any()), scores)
        return sample_by(values, size, p, scheme, key, order_key)
    indices, pi = draw_poisson(u, size, key)
    require_a_row(indices is not None, scores)
    return RowSample(read_only(indices), read_only(1.0 / pi), read_only(pi), p, n, scheme)


def _resolve(A: Any, p: float, scores: Any, rng: Any, rough: bool) -> tuple[Any, Any, str]:
    """Lazy scores, those of them that decide about the size, and their kind."""
    if isinstance(scores, Scores):
        u = dask_arrays.as_vector(scores.values, A, "scores")
        return u, u, scores.kind.split("-")[0]
    if not isinstance(scores, str):
        u = dask_arrays.as_vector(scores, A, "scores")
        return u, u, "array"
    kind = kind_of(scores, p)
    if kind == "uniform":
        u = da.ones(A.shape[0], chunks=(A.chunks[0],))
    else:
        u = named_scores(A, p, kind, rng, rough=rough)
    if isinstance(u, tuple):  # leverage scores, sensitivities
        return u[0] + u[1], u[1], kind
    return u, u, kind


def draw_poisson(u: Any, size: int, key: np.uint64) -> tuple[Any, Array]:
    """Numbers and inclusion probabilities of rows that are drawn independently.

    The numbers are None if all scores are zero.
    """
    found = dask_arrays.compute(
        dask_arrays.join_rows(_top, u, shape=(1, size + 2), join=_joined_tops, size=size)
    )[0]
    top, rest, n_positive = found[:size], found[size], found[size + 1]
    if n_positive == 0.0:
        return None, top
    unit, factor = top[0], np.inf  # with few positive scores, each of them
    if n_positive > size:
        unit = top[-1]
        factor = inclusion_factor(in_units(top, unit), rest / unit, size)
    parts = dask_arrays.gather(_draw, u, key=key, unit=unit, factor=factor)
    indices, pi = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    return indices, pi


def _sum_and_count(first: int, u: Any) -> Array:
    u = np.asarray(as_weights(u, len(u), "scores", positive_sum=False))
    return np.array([[u.sum(), np.count_nonzero(u)]])


def _top(first: int, u: Any, *, size: int) -> Array:
    """The `size` largest scores, falling, the sum of the others, and how many are positive."""
    u = np.asarray(as_weights(u, len(u), "scores", positive_sum=False))
    return _packed(u, 0.0, float(np.count_nonzero(u)), size)


def _packed(u: Any, rest: float, n_positive: float, size: int) -> Array:
    out = np.zeros((1, size + 2))
    if len(u) > size:
        u = np.partition(u, len(u) - size)
        rest += u[: len(u) - size].sum()
        u = u[len(u) - size :]
    out[0, : len(u)] = np.sort(u)[::-1]
    out[0, size:] = rest, n_positive
    return out


def _joined_tops(x: Array, y: Array) -> Array:
    size = x.shape[1] - 2
    both = np.concatenate([x[0, :size], y[0, :size]])
    rest, n_positive = (x + y)[0, size:]
    return _packed(both, rest, n_positive, size)


def _draw(
    first: int, u: Array, *, key: np.uint64, unit: float, factor: float
) -> tuple[NDArray[np.int64], Array]:
    random = np.empty(len(u))
    counter_uniforms(key, first, random)
    u = np.asarray(u, np.float64)
    few = factor == np.inf
    pi = (u > 0.0).astype(float) if few else np.minimum(factor * in_units(u, unit), 1.0)
    chosen = np.flatnonzero(random < pi)
    return chosen + first, pi[chosen]


def apply(sample: RowSample, A: Any) -> Any:
    """The sampled rows of a Dask array, times ``weights^(1/p)``, in memory."""
    A = dask_arrays.as_rows(A, ndim=(1, 2))
    if A.shape[0] != sample.n_rows:
        raise ValueError(f"A must have {sample.n_rows} rows, got shape {A.shape}")
    factors = sample.weights ** (1.0 / sample.p)
    rows = dask_arrays.take_rows(A, sample.indices)
    if is_sparse(rows):
        rows.data = rows.data * np.repeat(factors, np.diff(rows.indptr)).astype(rows.dtype)
        return rows
    dtype = np.float32 if rows.dtype == np.float32 else np.float64
    return (rows * (factors if rows.ndim == 1 else factors[:, None])).astype(dtype)

"""Groups of rows whose errors may be correlated (clusters): labels of any type as codes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._tall.base import TallMatrix
from randla._validation import are_in_memory, is_sparse

#: Integers that span at most this many values for each row are numbered through a table.
_VALUES_PER_ROW = 4


@dataclass(frozen=True)
class Groups:
    """The group of each row, numbered from 0.

    Attributes
    ----------
    codes : (n,) ndarray or Dask array of int64
    n_groups : int
        Groups that have rows with positive weight.
    """

    codes: Any
    n_groups: int

    def take(self, rows: Any) -> Groups:
        """The same groups for some of the rows, which carry all the weight."""
        return Groups(self.codes[rows], self.n_groups)


def as_groups(tall: TallMatrix, labels: Any, w: Any) -> Groups:
    """Check and number labels (n,): numbers, strings, categoricals; from arrays, tables, Dask.

    Rows of weight zero do not count: if no other row has their label, their code has no meaning.
    """
    given, labels = type(labels).__name__, _as_array(labels)
    if labels.shape == ():
        raise TypeError(f"groups must be a sequence of {tall.n} labels, one for a row, got {given}")
    if labels.shape != (tall.n,):
        raise ValueError(f"groups must have shape ({tall.n},), got shape {labels.shape}")
    if tall.lazy and not are_in_memory(labels):
        groups = _of_blocks(tall, labels, w)
    else:
        values = np.asarray(labels if are_in_memory(labels) else labels.compute())
        if w is None:
            keys, codes = _numbered(values)
        else:
            live = np.asarray(tall.compute(w > 0.0))
            keys, found = _numbered(values[live])
            codes = np.zeros(tall.n, np.int64)
            codes[live] = found
        groups = Groups(tall.aligned(codes), len(keys))
    if groups.n_groups < 2:
        raise ValueError("groups must have at least two different labels, got one")
    return groups


def _as_array(labels: Any) -> Any:
    """Labels as an ndarray or a Dask array of one dimension, of any comparable type."""
    if is_sparse(labels):
        raise TypeError(f"groups must be a dense array, got a sparse {type(labels).__name__}")
    if isinstance(labels, np.ma.MaskedArray) and np.ma.is_masked(labels):
        raise ValueError(f"groups must have no missing labels, got {np.ma.count_masked(labels)}")
    pandas = sys.modules.get("pandas")  # not imported: then the labels are not a Dask object
    if pandas is not None and isinstance(
        labels, (pandas.Series, pandas.Index, pandas.api.extensions.ExtensionArray)
    ):
        codes, _ = pandas.factorize(labels)  # also for categoricals, whose levels may be unused
        if (codes < 0).any():
            raise ValueError(f"groups must have no missing labels, got {(codes < 0).sum()}")
        return codes
    if hasattr(labels, "to_dask_array"):  # a column of a Dask table
        plain = isinstance(labels.dtype, np.dtype)  # else strings or categories of pandas
        labels = (labels if plain else labels.astype(object)).to_dask_array(lengths=True)
    if not are_in_memory(labels):
        if np.isnan(labels.shape).any():
            raise ValueError(
                f"groups must have known chunk sizes, got shape {labels.shape}: call "
                "groups.compute_chunk_sizes() first"
            )
        return labels
    if isinstance(labels, (list, tuple)):  # 1 and "1" are two labels: NumPy would merge them
        kinds = {type(label) for label in labels}
        if len(kinds) > 1 or tuple in kinds:
            array = np.empty(len(labels), object)
            array[:] = labels
            return array
    return np.asarray(labels)


def _numbered(values: Any) -> tuple[Any, Any]:
    """Distinct labels, and the index of the label of each row."""
    _require_labels(values)
    if values.dtype.kind == "O":
        numbers: dict[Any, int] = {}
        codes = np.fromiter((numbers.setdefault(x, len(numbers)) for x in values), np.int64)
        return list(numbers), codes
    if values.dtype.kind in "biu" and values.size:
        low, high = int(values.min()), int(values.max())
        if high - low < _VALUES_PER_ROW * values.size:
            offsets = values.astype(np.int64) - low if high < 1 << 63 else values - values.min()
            is_used = np.zeros(high - low + 1, bool)
            is_used[offsets] = True
            keys = np.flatnonzero(is_used)
            return keys, (np.cumsum(is_used) - 1)[offsets]
    keys, codes = np.unique(values, return_inverse=True)
    return keys, codes.astype(np.int64)


def _require_labels(values: Any) -> None:
    """Raise ValueError for missing labels, TypeError for values that cannot be labels."""
    kind = values.dtype.kind
    if kind == "O":
        n_missing = sum(map(_is_missing, values))
    elif kind in "fcmM":
        n_missing = int((values != values).sum())  # NaN, NaT
    elif kind in "biuUST":
        n_missing = 0
    else:
        raise TypeError(f"groups must hold labels, such as integers, got dtype {values.dtype}")
    if n_missing:
        raise ValueError(f"groups must have no missing labels, got {n_missing}")


def _is_missing(label: Any) -> bool:
    if label is None:
        return True
    try:
        hash(label)
        return bool(label != label)  # NaN, NaT
    except TypeError:  # pandas.NA has no truth value, a list no hash
        if type(label).__name__ == "NAType":
            return True
        kind = type(label).__name__
        raise TypeError(f"groups must hold labels, such as strings, got a {kind}") from None


# Dask --------------------------------------------------------------------------------------------


def _of_blocks(tall: TallMatrix, labels: Any, w: Any) -> Groups:
    """Groups of labels that are not in memory; the distinct labels are computed at once."""
    chunks = (tall.A.chunks[0],)
    labels = labels if labels.chunks == chunks else labels.rechunk(chunks)
    found: set[Any] = set().union(*tall.gather_vectors(_labels_of_block, labels, w))
    codes = tall.map_vectors(_codes_of_block, labels, numbers=_Numbers(found))
    return Groups(codes, len(found))


class _Numbers(dict):  # type: ignore[type-arg]
    """Indices of labels; 0 for labels that only rows of weight zero have."""

    def __init__(self, labels: set[Any]) -> None:
        super().__init__(zip(_in_order(labels), range(len(labels)), strict=True))

    def __missing__(self, label: Any) -> int:
        return 0


def _in_order(labels: set[Any]) -> list[Any]:
    """A reproducible order, if the labels have one."""
    try:
        return sorted(labels)
    except TypeError:
        return sorted(labels, key=lambda label: (type(label).__name__, str(label)))


def _labels_of_block(first: int, labels: Any, w: Any) -> set[Any]:
    labels = np.asarray(labels)
    live = labels if w is None else labels[np.asarray(w) > 0.0]
    _require_labels(live)
    return set(live if live.dtype.kind == "O" else np.unique(live).tolist())


def _codes_of_block(first: int, labels: Any, *, numbers: _Numbers) -> Any:
    values = np.asarray(labels).tolist()
    return np.fromiter((numbers[x] for x in values), np.int64, len(values))

"""Groups of rows whose errors may be correlated (clusters): labels of any kind as codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._tall.base import TallMatrix


@dataclass(frozen=True)
class Groups:
    """The group of each row, numbered from 0.

    Attributes
    ----------
    codes : (n,) ndarray or Dask array of int64
    n_groups : int
        Groups that have rows with weight.
    """

    codes: Any
    n_groups: int


def as_groups(tall: TallMatrix, labels: Any, w: Any) -> Groups:
    """Check and number labels (n,): numbers, strings, categoricals; of arrays, tables, Dask."""
    values = np.asarray(labels)
    if values.shape != (tall.n,):
        raise ValueError(f"groups must have shape ({tall.n},), got shape {values.shape}")
    found, codes = np.unique(values, return_inverse=True)
    return Groups(codes.astype(np.int64), len(found))

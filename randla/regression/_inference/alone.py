"""Coefficients that hang on one row or group, which no resampling of rows or groups tells.

Each replicate fits that row, or the mean of that group, as all others do: its spread has nothing of
its error.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from randla._tall.whitening import whiten
from randla._typing import Array
from randla.regression._inference.clusters import covariance_of_groups, group_sums
from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors

#: 1 - h below which a row stands alone.
_ALONE = 1e-10
#: Share of a coefficient that such rows may have in it, beside rounding errors.
_SHARE = 1e-6
_ON_ROW = "it hangs on one row of leverage one, whose error the replicates do not have"


def without_alone(errors: Errors, data: FittedData) -> Errors:
    """The errors without those of coefficients that hang on one row, or on one group."""
    d, k = errors.degrees_of_freedom.shape
    T = whiten(copy(data.tall), None if data.w is None else np.sqrt(data.w)).transform
    if data.groups is None:
        reasons = dict.fromkeys(np.flatnonzero(_on_one_row(data, T)).tolist(), _ON_ROW)
    else:
        sums = group_sums(data, T, data.w, data.B[:, :1])
        reasons = covariance_of_groups(sums, "CR1", n_rows=data.n_rows)[2]
    numbers = [j + d * t for j in reasons for t in range(k)]
    covariance = errors.covariance.copy()
    covariance[numbers] = covariance[:, numbers] = np.nan
    return replace(errors, covariance=covariance, reasons={**reasons, **errors.reasons})


def _on_one_row(data: FittedData, T: Array) -> Array:
    """Which coefficients (d,) have a part in the directions of rows of leverage one."""
    r = T.shape[1]
    (P,) = data.sums(_directions, data.w, shapes=[(r, r)], T=T, repeats=data.repeats)
    lost: Array = ((T @ P) * T).sum(axis=1) > _SHARE**2 * (T * T).sum(axis=1)
    return lost


def _directions(X: Array, w: Array | None, *, T: Array, repeats: bool) -> tuple[Array]:
    """The projector on the directions of rows of leverage one."""
    Q = X @ T
    if w is not None:
        Q *= np.sqrt(w)[:, None]
    of_copy = (Q * Q).sum(axis=1) / (w if repeats else 1.0)
    Q = Q[of_copy > 1.0 - _ALONE]
    return (Q.T @ Q,)

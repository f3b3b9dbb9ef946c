"""Coefficients that depend on one group of rows, about which no resampling of groups informs.

Each replicate fits the mean of that group as all others do: its spread does not include the error
of the group.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from randla._tall.whitening import whiten
from randla.regression._errors.clusters import factor_of_groups, group_sums
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors


def without_carried(errors: Errors, data: FittedData) -> Errors:
    """Errors of a bootstrap of groups without those of coefficients that one group determines."""
    if data.groups is None:
        return errors
    d, k = errors.degrees_of_freedom.shape
    T = whiten(copy(data.tall), None if data.w is None else np.sqrt(data.w)).transform
    sums = group_sums(data, T, data.w, data.B[:, :1])
    reasons = factor_of_groups(sums, "CR1", n_rows=data.n_rows)[2]
    found = {j + d * t: reason for j, reason in reasons.items() for t in range(k)}
    return errors.without({j: found[j] for j in found.keys() - errors.reasons.keys()})

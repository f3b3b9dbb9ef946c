"""The statistical errors that a kind of inference computes, before they become an `Inference`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._results import warn_caller
from randla._typing import Array
from randla.regression._errors.options import InferenceWarning

NOT_DETERMINED = "the column depends on others, so that the data do not determine its coefficient"
#: A coefficient is not determined if this (squared) fraction of its unit vector is outside the row
#: space, in columns scaled to norm about 1.
_OUTSIDE = 1e-12


@dataclass(frozen=True)
class Errors:
    """Statistical errors of k fits of d coefficients, in the user's units.

    Attributes
    ----------
    covariance : (k d, k d) ndarray
        Covariance of the estimates over repetitions of the data, coefficients fastest. NaN in rows
        and columns of coefficients that have none.
    degrees_of_freedom : (d, k) ndarray
        Degrees of freedom of the Student t law of each coefficient.
    assumed : str
        The assumption, as one line of the table, such as "independent rows, HC3".
    notes : tuple of str
        Further lines for `summary`.
    replicates : (n_replicates, d, k) ndarray or None
    interval : callable or None
        ``interval(level)`` gives low, high (d, k) if the interval is not Student's t.
    reasons : dict of int to str
        Reasons why coefficients have no error, by their indices.
    unit : float or (d, k) ndarray
        Powers of two: `covariance` is that of estimates divided by them; squares stay in range.
    complete : (k d, k d) ndarray or None
        If A lacks rank, the covariance of all coefficients of the shortest x. It is used for
        combinations that the data determine, such as fitted values.
    null : (d, d - rank) ndarray or None
        Then a combination is determined if its weights, times the units, are orthogonal to these.
    """

    covariance: Array
    degrees_of_freedom: Array
    assumed: str
    notes: tuple[str, ...] = ()
    replicates: Array | None = None
    interval: Callable[[float], tuple[Array, Array]] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)
    unit: float | Array = 1.0
    complete: Array | None = None
    null: Array | None = None

    @property
    def units(self) -> Array:
        """The units (d, k), one for each coefficient."""
        return np.broadcast_to(self.unit, self.degrees_of_freedom.shape)

    def without(self, reasons: Mapping[int, str]) -> Errors:
        """The same without the errors of some coefficients, by index (coefficients fastest)."""
        covariance, numbers = self.covariance.copy(), list(reasons)
        covariance[numbers] = covariance[:, numbers] = np.nan
        return replace(self, covariance=covariance, reasons={**self.reasons, **reasons})

    def completed(self, null: Array) -> Errors:
        """The same without errors of coefficients that dependent columns leave undetermined."""
        if null.shape[1] == 0:
            return self
        d, k = self.degrees_of_freedom.shape
        lost = (np.flatnonzero(~_inside(null)) + d * np.arange(k)[:, None]).ravel().tolist()
        errors = self.without(dict.fromkeys(lost, NOT_DETERMINED))
        return replace(errors, complete=self.covariance, null=null)


def null_space(K: Array) -> Array:
    """An orthonormal basis (d, d - rank) of the complement of the columns of K (d, rank)."""
    d, rank = K.shape
    return np.linalg.qr(K, mode="complete")[0][:, rank:] if rank < d else np.empty((d, 0))


def _inside(null: Array) -> NDArray[np.bool_]:
    return np.asarray(np.square(null).sum(axis=1) <= _OUTSIDE)


def diagonal(covariance: Array, shape: tuple[int, int]) -> Any:
    """Variances of the coefficients (d, k) of a covariance with coefficients fastest."""
    d, k = shape
    return covariance.diagonal().reshape(k, d).T


def warn_of_missing(errors: Errors, names: tuple[str, ...]) -> None:
    """Warn, by name, about coefficients without an error."""
    by_reason: dict[str, list[str]] = {}
    for column, reason in sorted(errors.reasons.items()):
        by_reason.setdefault(reason, []).append(names[column])
    for reason, columns in by_reason.items():
        listed = _listed(list(dict.fromkeys(columns)))  # each once, for any number of quantiles
        warn_caller(f"no standard error for {listed}: {reason}", InferenceWarning)


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"

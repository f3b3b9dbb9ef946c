"""What a kind of inference says of the coefficients, before it becomes an `Inference`."""

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
#: A coefficient is not determined where so much of its (squared) unit vector is outside of the row
#: space, in columns scaled to norm about 1.
_OUTSIDE = 1e-12


@dataclass(frozen=True)
class Errors:
    """Statistical errors of k fits of d coefficients, in the units of the caller.

    Attributes
    ----------
    covariance : (k d, k d) ndarray
        Of the estimates over repetitions of the data, coefficients fastest. NaN in rows and
        columns of coefficients that have none.
    degrees_of_freedom : (d, k) ndarray
        Of the Student t law of each coefficient.
    assumed : str
        One line of the table: what is assumed, such as "independent rows, HC3".
    notes : tuple of str
        Further lines for `summary`.
    replicates : (n_replicates, d, k) ndarray or None
    interval : callable or None
        ``interval(level)`` gives low, high (d, k) where the interval is not that of Student's t.
    reasons : dict of int to str
        Why a coefficient has no error, by its number.
    unit : float or (d, k) ndarray
        Powers of two: `covariance` is that of estimates over them, whose squares are within range.
    complete : (k d, k d) ndarray or None
        Where A lacks rank, the covariance of all coefficients of the shortest x. It serves for
        sums that the data determine, such as fitted values.
    null : (d, d - rank) ndarray or None
        Then weights of a sum, times the units, are determined if they have no part in its span.
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
        """The units (d, k) one by one."""
        return np.broadcast_to(self.unit, self.degrees_of_freedom.shape)

    def without(self, reasons: Mapping[int, str]) -> Errors:
        """The same without errors of some coefficients, by their numbers (coefficients fastest)."""
        covariance, numbers = self.covariance.copy(), list(reasons)
        covariance[numbers] = covariance[:, numbers] = np.nan
        return replace(self, covariance=covariance, reasons={**self.reasons, **reasons})

    def completed(self, null: Array) -> Errors:
        """The same without errors of coefficients that columns leave open which depend."""
        if null.shape[1] == 0:
            return self
        d, k = self.degrees_of_freedom.shape
        lost = (np.flatnonzero(~_inside(null)) + d * np.arange(k)[:, None]).ravel().tolist()
        errors = self.without(dict.fromkeys(lost, NOT_DETERMINED))
        return replace(errors, complete=self.covariance, null=null)


def null_space(K: Array) -> Array:
    """An orthonormal basis (d, d - rank) of what is orthogonal to the columns of K (d, rank)."""
    d, rank = K.shape
    return np.linalg.qr(K, mode="complete")[0][:, rank:] if rank < d else np.empty((d, 0))


def determined(K: Array) -> NDArray[np.bool_]:
    """Which coefficients are in the row space of A, the span of the columns of K (d, rank)."""
    return _inside(null_space(K))


def _inside(null: Array) -> NDArray[np.bool_]:
    return np.asarray(np.square(null).sum(axis=1) <= _OUTSIDE)


def diagonal(covariance: Array, shape: tuple[int, int]) -> Any:
    """Variances of the coefficients (d, k) of a covariance with coefficients fastest."""
    d, k = shape
    return covariance.diagonal().reshape(k, d).T


def warn_of_missing(errors: Errors, names: tuple[str, ...]) -> None:
    """Warn, by name, of coefficients without an error."""
    by_reason: dict[str, list[str]] = {}
    for column, reason in sorted(errors.reasons.items()):
        by_reason.setdefault(reason, []).append(names[column])
    for reason, columns in by_reason.items():
        listed = _listed(list(dict.fromkeys(columns)))  # each once, for however many quantiles
        warn_caller(f"no standard error for {listed}: {reason}", InferenceWarning)


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"

"""The statistical errors that a kind of inference computes, before they become an `Inference`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

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

    The covariance V is stored as a factor F with V = F F' (see `factors`). The variance of a fitted
    value x'b is |x'F|^2, in which terms c times the result lose log10(c) digits: in x'V x they lose
    twice as many, which are all for columns whose mean is 1e8 times their spread.

    Attributes
    ----------
    factor : (k d, p) ndarray
        F: the covariance of the estimates over repetitions of the data is ``F @ F.T``, coefficients
        fastest. NaN in rows of coefficients that have none.
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
        Powers of two: F is for estimates divided by them; squares stay in range.
    null : (d, d - rank) ndarray or None
        If A lacks rank, F is that of the shortest x. A combination of coefficients, such as a
        fitted value, is determined if its weights, times the units, are orthogonal to `null`.
    undetermined : (d,) ndarray of bool or None
        Then the coefficients that are not.
    joint : bool
        Whether the covariances between fits are known.
    """

    factor: Array
    degrees_of_freedom: Array
    assumed: str
    notes: tuple[str, ...] = ()
    replicates: Array | None = None
    interval: Callable[[float], tuple[Array, Array]] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)
    unit: float | Array = 1.0
    null: Array | None = None
    undetermined: NDArray[np.bool_] | None = None
    joint: bool = True

    @property
    def variances(self) -> Array:
        """Variances (d, k) of the coefficients, NaN where these are not determined."""
        d, k = self.degrees_of_freedom.shape
        with np.errstate(over="ignore", under="ignore"):
            variances = np.square(self.factor).sum(axis=1).reshape(k, d).T
        if self.undetermined is not None:
            variances[self.undetermined] = np.nan
        return np.asarray(variances, np.float64)

    @property
    def units(self) -> Array:
        """The units (d, k), one for each coefficient."""
        return np.broadcast_to(self.unit, self.degrees_of_freedom.shape)

    def without(self, reasons: Mapping[int, str]) -> Errors:
        """The same without the errors of some coefficients, by index (coefficients fastest)."""
        factor = self.factor.copy()
        factor[list(reasons)] = np.nan
        return replace(self, factor=factor, reasons={**self.reasons, **reasons})

    def completed(self, null: Array) -> Errors:
        """The same without errors of coefficients that dependent columns leave undetermined."""
        if null.shape[1] == 0:
            return self
        d, k = self.degrees_of_freedom.shape
        undetermined = np.square(null).sum(axis=1) > _OUTSIDE
        lost = (np.flatnonzero(undetermined) + d * np.arange(k)[:, None]).ravel().tolist()
        reasons = {**self.reasons, **dict.fromkeys(lost, NOT_DETERMINED)}
        return replace(self, null=null, undetermined=undetermined, reasons=reasons)


def null_space(K: Array) -> Array:
    """An orthonormal basis (d, d - rank) of the complement of the columns of K (d, rank)."""
    d, rank = K.shape
    return np.linalg.qr(K, mode="complete")[0][:, rank:] if rank < d else np.empty((d, 0))


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

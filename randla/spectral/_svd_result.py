"""The result of `svd`: factors, brackets, the error of the approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from randla._results import Result, axes_or_new
from randla._typing import Array


@dataclass(frozen=True, eq=False, repr=False)
class SvdResult(Result):
    """Truncated singular value decomposition, with certificates: the result of `svd`.

    Attributes
    ----------
    U : (m, k) ndarray
        Left singular vectors, orthonormal columns.
    s : (k,) ndarray
        Singular values in descending order; never above the true ones, up to rounding.
    Vt : (k, n) ndarray
        Right singular vectors as rows; the entry of largest magnitude in each, the first of equals,
        is positive. Vectors of equal singular values are determined up to a rotation.
    s_lower, s_upper : (k,) ndarray
        Bounds of the singular values of A.
    error : float
        Frobenius norm of ``A - U @ diag(s) @ Vt`` (minus the means, if it is centered).
    error_interval : tuple of float
        95% interval of the error; both ends are `error` if it is exact.
    error_kind : str
        "exact", or "estimate" for an operator, unless its Gram matrix was formed.
    residuals : (k,) ndarray
        Norms of ``A.T @ u - s * v``, where ``A @ v = s * u``: a singular value lies within each, up
        to rounding. If A has more columns than rows both are those of ``A.T``. For an operator of
        less than double precision the rounding errors that the brackets allow for are added.
    explained_variance_ratio : (k,) ndarray
        Fractions ``s**2 / |A|_F**2`` of the squared Frobenius norm.
    explained_variance_ratio_bounds : tuple of (k,) ndarray
        Bounds of the fractions of the exact singular values; with 95% if the error is an estimate.
    mean : (n,) ndarray or None
        Means of the columns, with ``center=True``.
    n_passes : int
        Number of passes over A.
    method : str
        "lapack", "gram", "qr" or "krylov".
    converged : bool
        Whether the tolerance was reached. The brackets and the error hold in any case.
    """

    U: Array
    s: Array
    Vt: Array
    s_lower: Array
    s_upper: Array
    error: float
    error_interval: tuple[float, float]
    error_kind: str
    residuals: Array
    explained_variance_ratio: Array
    explained_variance_ratio_bounds: tuple[Array, Array]
    mean: Array | None
    n_passes: int
    method: str
    converged: bool

    _shown: ClassVar[tuple[str, ...]] = (
        "s",
        "s_lower",
        "s_upper",
        "error",
        "error_kind",
        "n_passes",
        "method",
        "converged",
    )

    def plot(self, ax: Any = None) -> Any:
        """Plot the singular values with their brackets (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        number = np.arange(1, self.s.size + 1)
        below, above = self.s - self.s_lower, self.s_upper - self.s
        ax.errorbar(number, self.s, yerr=np.maximum([below, above], 0.0), fmt=".", capsize=3)
        ax.set_xlabel("number")
        ax.set_ylabel("singular value, with its bracket")
        return ax

"""Statistical errors of least squares: the choice of the kind, and independent rows."""

from __future__ import annotations

from typing import Any

from randla._typing import Array
from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors
from randla.regression._inference.fit import LeastSquaresFit
from randla.regression._inference.options import CLUSTERED, InferenceOptions


def least_squares_errors(
    fit: LeastSquaresFit, data: FittedData | None, options: InferenceOptions
) -> tuple[Errors, Array | None]:
    """Statistical errors of a fit, and the covariance of the algorithm in the same units.

    Without data kind "iid" only.
    """
    if fit.sketch is not None:
        from randla.regression._inference.sketched import sketched_errors

        return sketched_errors(fit, data, options)
    if data is None:
        return iid_errors(fit, None), None
    require_same_data(fit, data)
    if options.kind in CLUSTERED:
        from randla.regression._inference.clusters import cluster_errors

        return cluster_errors(data, fit, options), None
    if options.kind == "bootstrap":
        from randla.regression._inference.bootstrap import bootstrap_errors

        return bootstrap_errors(data, fit, options), None
    if options.kind == "iid":
        return iid_errors(fit, data), None
    return robust_errors(fit, data, options), None


def iid_errors(fit: LeastSquaresFit, data: FittedData | None) -> Errors:
    """Errors of one variance."""
    raise NotImplementedError


def robust_errors(fit: LeastSquaresFit, data: FittedData, options: InferenceOptions) -> Errors:
    """HC0-HC3, and HC3 with Satterthwaite's degrees of freedom."""
    raise NotImplementedError


def require_same_data(fit: LeastSquaresFit, data: FittedData) -> Any:
    """Raise ValueError unless the fit solves the normal equations of the data."""
    raise NotImplementedError

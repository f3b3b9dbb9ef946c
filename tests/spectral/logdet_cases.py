"""Calls of `logdet`."""

import numpy as np

from randla.spectral import logdet
from tests.conformance import Case, grid

_ROWS = grid(np.random.default_rng(8), (24, 8), scale=0.5)
_MATRIX = np.round(64 * _ROWS @ _ROWS.T) / 64 + np.eye(24)  # of least eigenvalue near 1


def _values(result):
    return (
        np.float64(result.value),
        np.float64(result.standard_error),
        np.array(result.confidence_interval()),
    )


def _call(A, preconditioner=None, lower=0.5, n_products=20, **kw):
    return logdet(A, lower=lower, n_products=n_products, preconditioner=preconditioner, **kw)


_BAD = [
    ({"lower": 0.0}, ValueError, "lower must be greater than 0"),
    ({"lower": "1"}, TypeError, "lower must be a real number"),
    ({"n_products": 3}, ValueError, "n_products must be at least 4"),
    ({"n_products": 20.0}, TypeError, "n_products must be an integer"),
    ({"preconditioner": "jacobi"}, TypeError, "preconditioner must be 'auto', None or"),
]

LOGDET_CASES = [
    Case(
        name="logdet",
        call=_call,
        arrays={"A": _MATRIX},
        values=_values,
        random=True,
        integers=False,
        sparse=("A",),
        bad_options=_BAD,
    ),
    Case(
        name="logdet preconditioned",
        call=lambda A, **kw: _call(A, "auto", **kw),
        arrays={"A": _MATRIX},
        values=_values,
        random=True,
        integers=False,
    ),
    Case(
        name="logdet exact",
        call=logdet,
        arrays={"A": _MATRIX},
        values=_values,
        integers=False,
        sparse=("A",),
    ),
]

"""Calls of `trace` and `diagonal` for the conformance suite."""

import numpy as np
from scipy.sparse.linalg import LinearOperator

from randla import diagonal, trace
from randla._validation import as_array
from tests.conformance import Case, grid

_rng = np.random.default_rng(0)
_A = grid(_rng, (64, 64))
_ROOT = grid(_rng, (64, 64), 0.1)
_PSD = _ROOT @ _ROOT.T  # exact in float32


def by_products(A):
    """An array as an operator."""
    A = np.ascontiguousarray(as_array(A, "A", finite=False, ndim=2, missing=False))

    def times(X):
        with np.errstate(all="ignore"):
            return A @ X

    def transposed(X):
        with np.errstate(all="ignore"):
            return A.T @ X

    return LinearOperator(A.shape, times, transposed, times, A.dtype, transposed)


def _trace(A, *, n_products=40, **options):
    return trace(by_products(A), n_products, **options)


def _trace_psd(A, *, n_products=60, **options):
    return _trace(A, n_products=n_products, psd=True, **options)


def _diagonal(A, *, n_products=20, method="xdiag", **options):
    return diagonal(by_products(A), n_products, method=method, **options)


_BAD_PRODUCTS = [
    ({"n_products": 7}, ValueError, "n_products must be at least 8 for the method 'x.*', got 7"),
    ({"n_products": 0}, ValueError, "n_products must be at least"),
    ({"n_products": 20.0}, TypeError, r"n_products must be an integer, got 20\.0"),
]
_BAD_TRACE = [
    *_BAD_PRODUCTS,
    ({"rtol": 0.0}, ValueError, "rtol must be greater than 0"),
    ({"rtol": "small"}, TypeError, "rtol must be a real number"),
    ({"psd": 1}, TypeError, "psd must be True or False"),
    ({"psd": True}, ValueError, r"A must be .* with psd=True, got .*: pass psd=False"),
    ({"method": "xtrac"}, ValueError, "method must be one of 'auto', 'hutch"),
    ({"n_products": 7}, ValueError, "got 7: method='hutchinson' takes 2 or more"),
    ({"method": "xnystrace"}, ValueError, "psd must be True for .*: pass psd=True if A is sym"),
]


def _number(result):
    return result.value, result.standard_error


def _numbers(result):
    return result.value, result.standard_error


_SCALED = {"A": (1, 1)}

TRACE_CASES = [
    Case(
        "trace",
        trace,
        {"A": _A},
        values=_number,
        sparse=("A",),
        scaled=_SCALED,
        bad_options=[({"n_products": 0}, ValueError, "n_products must be at least 1")],
    ),
    Case(
        "trace xtrace",
        _trace,
        {"A": _A},
        values=_number,
        random=True,
        scaled=_SCALED,
        bad_options=_BAD_TRACE,
    ),
    Case(
        "trace psd",
        _trace_psd,
        {"A": _PSD},
        values=_number,
        random=True,
        scaled=_SCALED,
        integers=False,  # rounded it has negative eigenvalues
    ),
    Case(
        "diagonal",
        diagonal,
        {"A": _A},
        values=_numbers,
        sparse=("A",),
        scaled=_SCALED,
    ),
    Case(
        "diagonal xdiag",
        _diagonal,
        {"A": _A},
        values=_numbers,
        random=True,
        scaled=_SCALED,
        bad_options=[
            *_BAD_PRODUCTS,
            ({"symmetric": 1}, TypeError, "symmetric must be True or False"),
            ({"symmetric": True}, ValueError, "A must be symmetric with symmetric=True"),
            ({"method": "xtrace"}, ValueError, "method must be one of 'auto', 'xdiag'"),
        ],
    ),
]

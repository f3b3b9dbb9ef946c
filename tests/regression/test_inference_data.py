"""Errors of independent rows: without data, from any kind of data, from other data than the fit."""

import gc
import pickle
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from randla import KroneckerProduct, lstsq
from randla.regression._errors.options import InferenceWarning
from tests.data import normal
from tests.regression.test_inference_least_squares import KINDS, assert_same, inference, skewed

# Without data ------------------------------------------------------------------------------------

METHODS = ("cholesky", "sketch-cholesky", "iterative", "lsqr", "lapack")


@pytest.mark.parametrize(
    ("method", "spread"),
    [(m, 0.0) for m in METHODS] + [(m, 5.0) for m in METHODS[1:]] + [("cholesky", 3.0)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_variance_needs_no_data(method, spread, weighted):
    A = normal(3000, 70) @ np.diag(10.0 ** -np.linspace(0, spread, 70)) @ normal(70, 70, seed=3)
    b = A @ np.ones(70) + normal(3000, seed=1)
    w = np.random.default_rng(2).exponential(size=3000) if weighted else None
    fit = lstsq(A, b, method=method, weights=w)
    found = fit.inference(kind="iid")
    root = np.ones(3000) if w is None else np.sqrt(w)
    G = np.linalg.pinv(A * root[:, None])
    r = root * (b - A @ fit.x)
    expected = np.sqrt(r @ r / 2930 * np.einsum("ij,ij->i", G, G))
    np.testing.assert_allclose(found.standard_error, expected, rtol=10 ** (spread / 2 - 11))
    assert_same(pickle.loads(pickle.dumps(fit)).inference(kind="iid"), found, rtol=1e-13)
    assert_same(fit.inference(A, b, kind="iid", weights=w), found)
    accurate = lstsq(A, b, method="lapack", weights=w)
    robust = (x.inference(A, b, kind="HC3", weights=w) for x in (fit, accurate))
    assert_same(*robust, rtol=1e-7)


def test_what_needs_data_is_forgotten():
    for method in METHODS:
        A, b = normal(3000, 70), normal(3000, seed=1)
        reference = weakref.ref(A)
        fit = lstsq(A, b, method=method)
        fit.inference(kind="iid")
        _ = fit.backward_error
        del A
        gc.collect()
        assert reference() is None, method


def test_operators_and_kronecker_products():
    A1, A2 = normal(12, 2), normal(9, 3, seed=1)
    A, b = np.kron(A1, A2), normal(108, seed=2)
    expected = inference(A, b, "iid")
    for operand in (KroneckerProduct(A1, A2), aslinearoperator(A)):
        fit = lstsq(operand, b)
        for found in (fit.inference(kind="iid"), fit.inference(operand, b, kind="iid")):
            assert_same(found, expected)
        with pytest.raises(ValueError, match="kind must be 'iid' for a"):
            fit.inference(operand, b)
        assert_same(fit.inference(A, b), inference(A, b))  # the rows themselves
    scales = 10.0 ** np.array([150.0, -150.0])
    fit = lstsq(KroneckerProduct(A1 * scales, A2), b)
    back = np.kron(scales, np.ones(3))
    np.testing.assert_allclose(fit.inference(kind="iid").standard_error * back,
                               expected.standard_error, rtol=1e-9)  # fmt: skip


# Kinds of data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_layouts_and_types(kind):
    A, b = skewed(400, 5)
    A = A.astype(np.float32).astype(float)
    expected = inference(A, b, kind)
    wide = np.zeros((800, 10))
    wide[::2, ::2] = A
    for operand in (
        np.asfortranarray(A),
        wide[::2, ::2],
        A.astype(np.float32),
        sparse.csr_array(A),
    ):
        assert_same(lstsq(operand, b).inference(operand, b, kind=kind), expected)
    assert_same(lstsq(A, b).inference(sparse.csc_array(A), list(b), kind=kind), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_dask_equals_memory(kind, weighted):
    da = pytest.importorskip("dask.array")
    A, b = skewed(500, 5)
    A[17, 3] = 1e3  # of leverage near one
    w = np.random.default_rng(1).exponential(size=500) * (np.arange(500) % 5 > 0) + 0.0
    w = w if weighted else None
    lazy = da.from_array(A, chunks=(123, 3))
    rhs, weights = da.from_array(b, chunks=200), None if w is None else da.from_array(w, chunks=99)
    fit = lstsq(lazy, rhs, weights=weights)
    expected = inference(A, b, kind, w)
    assert_same(fit.inference(lazy, rhs, kind=kind, weights=weights), expected)
    assert_same(fit.inference(A, b, kind=kind, weights=w), expected)  # and of the other kind
    assert_same(lstsq(A, b, weights=w).inference(lazy, rhs, kind=kind, weights=weights), expected)
    if kind == "iid":
        assert_same(pickle.loads(pickle.dumps(fit)).inference(kind="iid"), expected)
        assert fit.inference(kind="iid").n_rows == (400 if weighted else 500)


@pytest.mark.parametrize(("kind", "passes"), [("iid", 1), ("HC3", 1), ("robust", 1)])
def test_dask_reads_the_rows_once(kind, passes):
    """In blocks that are gone after it: little more than one of them is held."""
    da = pytest.importorskip("dask.array")
    n, d, step, starts = 200_000, 8, 10_000, []

    def block(block_info=None):
        first = block_info[None]["array-location"][0][0]
        starts.append(first)
        return np.random.default_rng(first).standard_normal((step, d))

    A = da.map_blocks(block, chunks=((step,) * (n // step), d), dtype=float, meta=np.empty((0, 0)))
    b = A.sum(axis=1) + 1.0
    fit = lstsq(A, b)
    starts.clear()
    import dask

    with dask.config.set(scheduler="synchronous"):
        tracemalloc.start()
        found = fit.inference(A, b, kind=kind)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert np.isfinite(found.standard_error).all()
    assert peak < 12 * step * d * 8  # A has 20 blocks
    # b is made of A, so that each block is made for it once more, unless Dask fuses the two.
    assert passes <= len(starts) / (n // step) <= 2 * passes


def test_dask_finds_what_is_not_finite():
    da = pytest.importorskip("dask.array")
    A, b = skewed(400)
    fit = lstsq(A, b)
    spoiled = A.copy()
    spoiled[333, 2] = np.nan
    with pytest.raises(ValueError, match="A must be finite"):
        fit.inference(da.from_array(spoiled, chunks=(100, -1)), b)
    with pytest.raises(ValueError, match=r"b .*must be finite"):
        fit.inference(da.from_array(A, chunks=(100, -1)), np.where(b > 1.9, np.inf, b))


def test_dask_alone_in_a_row():
    da = pytest.importorskip("dask.array")
    A, b = skewed(500, 5)
    A = np.column_stack([A, np.arange(500) == 444])
    lazy = da.from_array(A, chunks=(100, -1))
    with pytest.warns(InferenceWarning, match="'x5'"):
        found, expected = lstsq(lazy, b).inference(lazy, b), inference(A, b)
    assert_same(found, expected)


# Other data than those of the fit ----------------------------------------------------------------


def _cases():
    A, b = skewed()
    w = np.random.default_rng(1).exponential(size=80)
    order = np.random.default_rng(2).permutation(80)
    swapped = b.copy()
    swapped[[3, 4]] = b[[4, 3]]
    yield "permuted rows", (A, b, None), (A, b[order], None)
    yield "two rows swapped", (A, b, None), (A, swapped, None)
    yield "another b", (A, b, None), (A, b + 1e-6 * A[:, 1] * b, None)
    yield "another A", (A, b, None), (A * [1, 1 + 1e-9, 1, 1], b, None)
    yield "columns swapped", (A, b, None), (A[:, [0, 1, 3, 2]], b, None)
    yield "a column of b", (A, np.column_stack([b, -b]), None), (A, np.column_stack([-b, b]), None)
    yield "other weights", (A, b, w), (A, b, w[order])
    yield "weights squared", (A, b, w), (A, b, w * w)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", list(_cases()), ids=lambda case: case[0])
def test_other_data_are_refused(kind, case):
    _, (A, b, w), (other, rhs, weights) = case
    with pytest.raises(ValueError, match="A, b or weights are not those of the fit"):
        lstsq(A, b, weights=w).inference(other, rhs, kind=kind, weights=weights)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6))
def test_the_data_of_the_fit_are_never_refused(seed):
    """Ill-conditioned, far from the origin, with rows and columns of any scale, dependent."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(8, 400)), int(rng.integers(1, 7))
    A = rng.standard_normal((n, d)) @ np.diag(10.0 ** rng.uniform(-8, 8, d))
    if rng.random() < 0.3:
        A = A @ rng.standard_normal((d, d))
    if rng.random() < 0.3:
        A += 10.0 ** rng.uniform(0, 10)
    if rng.random() < 0.3:
        A *= 10.0 ** rng.uniform(-3, 3, (n, 1))
    if rng.random() < 0.3:
        A = np.column_stack([A, A[:, :1] * (1 + 1e-13 * rng.standard_normal((n, 1)))])
    A *= 10.0 ** rng.uniform(-60, 60, A.shape[1])
    b = rng.standard_normal((n, 2)) * 10.0 ** rng.uniform(-150, 150, 2)
    b[:, 1] += 1e6 * b[:, 1].max() * rng.integers(2)
    w = None if rng.random() < 0.5 else 10.0 ** rng.uniform(-6, 6, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        for kind in ("iid", "robust"):
            inference(A, b, kind, w)

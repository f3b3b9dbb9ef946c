"""Leave-one-out and leave-two-out formulas against fitting each basis anew."""

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from randla.spectral import _diagonal
from randla.spectral._matrix.square import SquareMatrix
from randla.spectral._traces import methods
from randla.spectral._traces.methods import XNysTraceMethod, XTraceMethod
from randla.spectral._traces.test_vectors import sign_vectors, sphere_vectors
from tests.spectral.trace_reference import (
    jackknife_error,
    leave_out,
    rotated,
    xdiag_term,
    xnystrace_term,
    xtrace_term,
)

N, M, KEY = 30, 7, np.uint64(5)
#: How much of a tail, or of the rounding errors of A X, XNysTrace may return, over the trace: it
#: divides by what a vector has off the six others. BLAS kernels gave 112 for tails, 90 for errors.
_AMPLIFIED = 200
_j = np.arange(N)
_rng = np.random.default_rng(0)
SQUARE = _rng.standard_normal((N, N))
LOW = _rng.standard_normal((N, M - 2)) @ _rng.standard_normal((M - 2, N))
MATRICES = {
    "not symmetric": SQUARE,
    "indefinite": SQUARE + SQUARE.T,
    "low rank, not symmetric": LOW,
    "two ones": np.diag(1.0 * (_j < 2)),
    "positive": rotated(np.linspace(1.0, 3.0, N)),
    "fast decay": rotated(0.5**_j),
    "faster decay": rotated(1e-3**_j),
    "rank one": rotated(1.0 * (_j < 1)),
    "rank m": rotated((_j + 1.0) * (_j < M)),
    "rank m - 1 and a tail": rotated(np.where(_j < M - 1, 1.0 + _j, 1e-2)),
    "identity": np.eye(N),
}
POSITIVE = list(MATRICES)[4:]


DRAWS = pytest.mark.parametrize("draw", [sphere_vectors, sign_vectors])


@pytest.fixture
def estimator(monkeypatch):
    """The estimator of a method on M vectors of a law, and A as it sees it."""

    def make(kind, A, draw=sphere_vectors):
        monkeypatch.setattr(methods, "sphere_vectors", draw)
        method = kind(SquareMatrix(aslinearoperator(A)), KEY, False)
        method.extend(2 * M if kind is XTraceMethod else M)
        return method.leave_out(), A / method.matrix.scale

    return make


def assert_close(got, expected, A, tolerance=1e-12):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * N * np.abs(A).max())


@pytest.mark.parametrize("name", MATRICES)
@DRAWS
def test_xtrace_is_the_mean_over_bases(name, draw, estimator):
    fast, A = estimator(XTraceMethod, MATRICES[name], draw)
    X = draw(KEY, 0, M, N)
    left_out, jackknife = leave_out(lambda basis, i: xtrace_term(A, X, basis, i), M)
    got = fast.replicates()
    assert_close(got.left_out, left_out, A)
    assert_close(got.jackknife, jackknife, A)
    assert_close(got.standard_error, jackknife_error(jackknife), A)


@pytest.mark.parametrize("name", POSITIVE)
@DRAWS
def test_xnystrace_is_the_mean_over_approximations(name, draw, estimator):
    fast, A = estimator(XNysTraceMethod, MATRICES[name], draw)
    X = draw(KEY, 0, M, N)
    left_out, jackknife = leave_out(lambda basis, i: xnystrace_term(A, X, basis, i, fast.shift), M)
    got = fast.replicates()
    assert_close(got.left_out, left_out, A)
    assert_close(got.jackknife, jackknife, A)
    assert_close(got.standard_error, jackknife_error(jackknife), A)


@pytest.mark.parametrize("name", MATRICES)
def test_xdiag_is_the_mean_over_bases(name, monkeypatch):
    A, X = MATRICES[name], sign_vectors(KEY, 0, M, N)
    left_out, jackknife = leave_out(lambda basis, i: xdiag_term(A, X, basis, i), M)
    monkeypatch.setattr(_diagonal, "draw_key", lambda rng: KEY)
    monkeypatch.setattr(_diagonal, "_NUMBERS", 11 * M)  # three blocks of rows
    got = _diagonal.diagonal(aslinearoperator(A), 2 * M, method="xdiag")
    assert_close(got.value, left_out.mean(axis=0), A)
    assert_close(got.standard_error, jackknife_error(jackknife), A)


@pytest.mark.parametrize("kind", [XTraceMethod, XNysTraceMethod])
def test_a_vector_may_be_left_out_before(kind, estimator):
    fast, A = estimator(kind, MATRICES["positive"])
    X = np.delete(sphere_vectors(KEY, 0, M, N), 2, axis=1)
    term = xtrace_term if kind is XTraceMethod else xnystrace_term
    options = () if kind is XTraceMethod else (fast.shift,)
    left_out, jackknife = leave_out(lambda basis, i: term(A, X, basis, i, *options), M - 1)
    got = fast.without(2).replicates()
    assert_close(got.left_out, left_out, A)
    assert_close(got.jackknife, jackknife, A)


@pytest.mark.parametrize("kind", [XTraceMethod, XNysTraceMethod, "xdiag"])
@pytest.mark.parametrize("tail", [1e-5, 1e-7, 1e-9, 1e-12, 1e-15, 0.0])
def test_a_cliff_at_rank_m_minus_one(kind, tail, estimator, monkeypatch):
    # All bases of m - 1 vectors are the same up to the tail, so that the directions s_i are one up
    # to rounding, and the pairs left out must not be told by them.
    A = rotated(np.where(_j < M - 1, 1.0 + _j, tail))
    if kind == "xdiag":
        monkeypatch.setattr(_diagonal, "draw_key", lambda rng: KEY)
        got = _diagonal.diagonal(aslinearoperator(A), 2 * M, method="xdiag")
        error = np.abs(got.value - A.diagonal()).max()
        bound = got.standard_error.max()
    else:
        fast, A = estimator(kind, A)
        got = fast.replicates()
        error = abs(got.left_out.mean() - A.trace())
        bound = got.standard_error
    size, largest = A.trace(), M - 1.0
    small = _AMPLIFIED * size * (tail + 2.0**-52 * largest)
    assert error <= small
    if tail == 0.0:  # rank m - 1: exact, and known to be
        assert bound < small
    elif tail > 1e-13:  # the error of one vector fewer, which misses a large direction
        assert 0.01 * size < bound < size


@pytest.mark.parametrize(
    ("method", "tail"), [("xtrace", 1e-7), ("xnystrace", 1e-12), ("xdiag", 1e-7)]
)
def test_a_jackknife_of_fewer_vectors_has_fewer_degrees_of_freedom(method, tail):
    A = aslinearoperator(rotated(np.where(_j < M - 1, 1.0 + _j, tail)))
    if method == "xdiag":
        got = _diagonal.diagonal(A, 2 * M, method="xdiag", rng=0)
    else:
        run = methods.METHODS[method](SquareMatrix(A), KEY, False)
        got = run.estimate(2 * M if method == "xtrace" else M)
    assert got.degrees_of_freedom == M - 2

"""What holds for every sketch: each is one fixed matrix, however it is applied."""

import pickle
import tracemalloc
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import randla
from randla import (
    SRHT,
    BlockSRHT,
    CountSketch,
    GaussianSketch,
    KroneckerProduct,
    KroneckerSRHT,
    SparseSignSketch,
)
from randla._validation import as_matrix
from randla.sketching._operators import Sketch
from tests.sketching import reference


def kronecker(m, n, rng):
    n2 = next(k for k in (7, 5, 3, 2, 1) if n % k == 0)
    return KroneckerSRHT(m, (n // n2, n2), rng=rng)


MAKERS = {
    "SRHT": lambda m, n, rng: SRHT(min(m, n), n, rng=rng),
    "BlockSRHT": lambda m, n, rng: BlockSRHT(m, n, block_size=32, rng=rng),
    "GaussianSketch": lambda m, n, rng: GaussianSketch(m, n, rng=rng),
    "SparseSignSketch": lambda m, n, rng: SparseSignSketch(m, n, nonzeros=min(m, 3), rng=rng),
    "CountSketch": lambda m, n, rng: CountSketch(m, n, rng=rng),
    "KroneckerSRHT": kronecker,
}
ORACLES = {
    "SRHT": reference.srht,
    "BlockSRHT": lambda S: reference.block_srht(S, S.shape[1]),
    "GaussianSketch": reference.gaussian,
    "SparseSignSketch": reference.sparse_signs,
    "CountSketch": reference.sparse_signs,
    "KroneckerSRHT": reference.kronecker_srht,
}
each_sketch = pytest.mark.parametrize("kind", MAKERS)


def test_every_sketch_is_here():
    public = [getattr(randla.sketching, name) for name in randla.sketching.__all__]
    sketches = {c.__name__ for c in public if isinstance(c, type) and issubclass(c, Sketch)}
    for table in (MAKERS, ORACLES):
        assert set(table) == sketches, f"MAKERS or ORACLES: {set(table) ^ sketches}"


def layouts(A):
    """The same matrix as it may lie in memory."""
    wide = np.zeros((2 * A.shape[0], 3 * A.shape[1]), A.dtype)
    wide[::2, ::3] = A
    yield "C", A
    yield "Fortran", np.asfortranarray(A)
    yield "strided", wide[::2, ::3]
    yield "columns of a wider matrix", np.hstack([A, A])[:, : A.shape[1]]
    yield "negative", np.ascontiguousarray(A[::-1, ::-1])[::-1, ::-1]
    yield "Fortran, negative", np.asfortranarray(A[::-1])[::-1]
    yield "CSR", sparse.csr_array(A)
    yield "CSC", as_matrix(sparse.csc_matrix(A), sparse=True)


def close(got, expected, dtype=np.float64):
    tolerance = 1e-12 if np.dtype(dtype) == np.float64 else 2e-5
    scale = np.abs(expected).max(initial=1e-300)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


@each_sketch
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    m=st.integers(1, 70), n=st.integers(1, 150), d=st.integers(1, 40), seed=st.integers(0, 2**32)
)
def test_equals_its_definition(kind, m, n, d, seed):
    S, A = MAKERS[kind](m, n, seed), np.random.default_rng(seed).standard_normal((n, d))
    E = ORACLES[kind](S)
    close(S @ A, E @ A)
    close(S @ A[:, 0], E @ A[:, 0])
    close(S.toarray(), E)
    Y = A[: S.shape[0]] if n >= S.shape[0] else np.ones((S.shape[0], 2))
    close(S.T @ Y, E.T @ Y)


@each_sketch
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(140, 9), (77, 300), (1400, 4), (630, 1)])
def test_every_memory_layout_and_weights(kind, dtype, shape):
    rng = np.random.default_rng(1)
    A, b = (
        rng.standard_normal(shape).astype(dtype),
        rng.standard_normal((shape[0], 2)).astype(dtype),
    )
    A[rng.random(shape) < 0.3] = 0.0
    weights = rng.random(shape[0])
    S = MAKERS[kind](50, shape[0], 2)
    E = S.toarray()
    for name, B in layouts(A):
        for scale in (None, weights):
            D = np.ones(shape[0]) if scale is None else scale
            SA, Sb = S._sketch(B, b, row_scale=scale)
            assert SA.dtype == Sb.dtype == dtype, name
            close(SA, E @ (D[:, None] * A.astype(float)), dtype)
            close(Sb, E @ (D[:, None] * b.astype(float)), dtype)


@each_sketch
def test_right_hand_side_of_another_dtype_keeps_its_own(kind):
    rng = np.random.default_rng(3)
    A, b = rng.standard_normal((60, 3)), rng.standard_normal(60)
    S = MAKERS[kind](20, 60, 4)
    SA, Sb = S._sketch(A.astype(np.float32), b)
    assert SA.dtype == np.float32
    assert Sb.dtype == np.float64
    close(Sb, S.toarray() @ b)
    SA, Sb = S._sketch(A, b.astype(np.float32))
    assert SA.dtype == Sb.dtype == np.float64


@each_sketch
@settings(max_examples=8, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 1200), max_size=4), seed=st.integers(0, 2**32))
def test_sum_over_row_blocks_is_the_sketch(kind, cuts, seed):
    A = np.random.default_rng(seed).standard_normal((1200, 3))
    S = MAKERS[kind](40, 1200, seed)
    edges = [0, *sorted(cuts), 1200]
    parts = [S.columns(i, j) @ A[i:j] for i, j in pairwise(edges) if j > i]
    close(sum(parts), S @ A)


@each_sketch
def test_columns_are_a_sketch_of_their_own(kind):
    S = MAKERS[kind](40, 700, 5)
    E, part = S.toarray(), S.columns(100, 430)
    assert part.shape == (40, 330)
    assert part.population == S.population
    assert part.has_linf_guarantee == S.has_linf_guarantee
    close(part.toarray(), E[:, 100:430])
    close(part.columns(7, 100).toarray(), E[:, 107:200])
    Y = np.random.default_rng(6).standard_normal((40, 5))
    close(part.T @ Y, E[:, 100:430].T @ Y)
    assert S.columns(3, 3).toarray().shape == (40, 0)
    with pytest.raises(ValueError, match=r"last must be at least 100 and at most 700, got 99"):
        S.columns(100, 99)
    with pytest.raises(ValueError, match="first must be at least 0"):
        S.columns(-1, 5)


@each_sketch
def test_is_a_linear_operator_with_an_exact_adjoint(kind):
    rng = np.random.default_rng(7)
    S, A, Y = MAKERS[kind](30, 210, 8), rng.standard_normal((210, 6)), rng.standard_normal((30, 4))
    E = S.toarray()
    assert isinstance(S, LinearOperator)
    assert aslinearoperator(S) is S
    assert S.dtype == np.float64
    for got, expected in (
        (S.dot(A), E @ A), (S * A, E @ A), (S.matmat(A), E @ A), (S.matvec(A[:, 0]), E @ A[:, 0]),
        (S.rmatmat(Y), E.T @ Y), (S.rmatvec(Y[:, 0]), E.T @ Y[:, 0]), (S.H @ Y, E.T @ Y),
        (A.T @ S.T, A.T @ E.T), (A[:, 0] @ S.T, E @ A[:, 0]), (S.T.T @ A, E @ A),
        (sparse.csr_array(A).T @ S.T, A.T @ E.T), (S.T @ sparse.csr_array(Y), E.T @ Y),
        (S.T.rmatmat(A), E @ A), (S.T.toarray(), E.T), ((2 * S) @ A, 2 * E @ A),
        ((S @ aslinearoperator(A)) @ np.ones(6), E @ A @ np.ones(6)), ((S @ S.T) @ Y, E @ E.T @ Y),
        (Y.T @ S, Y.T @ E), (Y[:, 0] @ S, Y[:, 0] @ E),
    ):  # fmt: skip
        close(got, expected)
    x, y = A[:, 0], Y[:, 0]
    assert abs((S @ x) @ y - x @ (S.T @ y)) <= 1e-13 * np.linalg.norm(x) * np.linalg.norm(y)
    wide = rng.standard_normal((30, 300)).astype(np.float32)
    assert (S.T @ wide).dtype == np.float32
    close(S.T @ wide, E.T @ wide, np.float32)


@each_sketch
def test_adjoint_refuses_what_does_not_fit(kind):
    S = MAKERS[kind](30, 210, 8)
    with pytest.raises(ValueError, match=r"Y must have shape \(30,\) or \(30, k\)"):
        S.T @ np.ones(31)
    with pytest.raises(ValueError, match="Y must be finite, got NaN"):
        S.T @ np.full(30, np.nan)


@each_sketch
def test_is_immutable_picklable_and_small(kind):
    S, A = MAKERS[kind](40, 5040, 9), np.random.default_rng(10).standard_normal((5040, 2))
    with pytest.raises(AttributeError, match="cannot assign"):
        S.shape = (3, 4)
    with pytest.raises(AttributeError, match="cannot assign"):
        S.anything = 1
    expected = S @ A
    for T in (S, S.columns(0, 5040)):
        data = pickle.dumps(T)
        assert len(data) < 500
        copy = pickle.loads(data)
        assert np.array_equal(copy @ A, expected)
        assert repr(copy) == repr(T)
        assert copy.__dask_tokenize__() == T.__dask_tokenize__()
    assert repr(S).startswith(f"{kind}(m=40, n=")
    assert repr(S.T) == f"{S!r}.T"
    assert repr(S.columns(1, 2)) == f"{S!r}.columns(1, 2)"


@each_sketch
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_argument_that_is_not_finite_is_named(kind, bad):
    S, A, b, w = MAKERS[kind](20, 630, 13), np.ones((630, 3)), np.ones(630), np.ones(630)
    word = "NaN" if np.isnan(bad) else "inf"
    for arguments, name in (((A, b, w), "A"), ((b, A, w), "b"), ((w, A, b), "weights")):
        spoilt = arguments[0].copy()
        spoilt[400] = bad
        call = {"A": A, "b": b, "weights": w, name: spoilt}
        with pytest.raises(ValueError, match=f"^{name} must be finite, got {word}"):
            S._sketch(call["A"], call["b"], row_scale=call["weights"])
    spoilt = sparse.csr_array(np.eye(630, 3))
    spoilt.data[1] = bad
    with pytest.raises(ValueError, match=f"^A must be finite, got {word}"):
        S @ spoilt


@each_sketch
def test_sums_that_overflow_are_scaled(kind):
    S = MAKERS[kind](20, 630, 16)
    A = np.full((630, 2), 1.7e308)
    A[:, 1] = 1e-3
    E = S.toarray()
    exact = E @ (A / 2.0**600)
    if np.abs(exact[:, 0]).max() < 1.7e308 / 2.0**600:
        np.testing.assert_allclose((S @ A) / 2.0**600, exact, rtol=1e-9, atol=1e-3)
    else:
        with pytest.raises(ValueError, match="A must be scaled down: its sketch overflows float64"):
            S @ A
    small = np.full((630, 2), np.float32(3e38 / 630))
    close(S @ small, E @ small.astype(float), np.float32)


@each_sketch
def test_operands_without_columns_and_integers(kind):
    S = MAKERS[kind](20, 630, 17)
    assert (S @ np.ones((630, 0))).shape == (20, 0)
    assert (S.T @ np.ones((20, 0))).shape == (630, 0)
    close(S @ np.arange(630), S.toarray() @ np.arange(630.0))
    close(S @ (np.arange(630) % 2 == 0), S.toarray() @ (np.arange(630) % 2 == 0))
    empty = sparse.csr_array((630, 4))
    assert np.array_equal(S @ empty, np.zeros((20, 4)))
    places = np.array([5, 5, 5], np.int32), np.array([1, 1, 0], np.int32)
    many = sparse.coo_array((np.ones(3), places), shape=(630, 2))
    close(S @ many, S.toarray() @ many.toarray())  # duplicates are summed


@each_sketch
def test_kronecker_product_as_operand(kind):
    rng = np.random.default_rng(18)
    A1, A2, b = rng.standard_normal((90, 2)), rng.standard_normal((7, 3)), rng.standard_normal(630)
    S, K, A = MAKERS[kind](40, 630, 19), KroneckerProduct(A1, A2), np.kron(A1, A2)
    close(S @ K, S @ A)
    for weights in (None, rng.random(630)):
        SA, Sb = S._sketch(K, b, row_scale=weights)
        expected = S._sketch(A, b, row_scale=weights)
        close(SA, expected[0])
        close(Sb, expected[1])
    with pytest.raises(ValueError, match="A must have 630 rows"):
        S @ KroneckerProduct(A2, A2)


@pytest.mark.compiled
@each_sketch
def test_memory_is_the_accumulators(kind):
    A = np.ones((1 << 16, 16))
    S = MAKERS[kind](32, 1 << 16, 20)
    for B in (A, np.asfortranarray(A)):
        S @ B[:]
        tracemalloc.start()
        S @ B
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20 * max(2, numba.config.NUMBA_NUM_THREADS)  # for 8 MiB of input

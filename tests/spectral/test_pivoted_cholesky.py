"""Pivoted Cholesky factors against dense algebra; nothing here depends on which pivots came."""

import math
import pickle
from fractions import Fraction

import mpmath
import numba
import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from randla import pivoted_cholesky
from randla.spectral._kernels.pivoted_factor import residual_diagonal
from tests.spectral.kernels import clustered_points, kernel_matrix

NAMES = ("gaussian", "laplace", "matern12", "matern32", "matern52")
_RNG = np.random.default_rng(3)
POINTS = _RNG.standard_normal((150, 3)) + 5.0
SCALES = np.array([0.7, 1.3, 2.0])
WIDE = 3.0 + 0.2 * _RNG.standard_normal((150, 60))  # distances by products
HOSTILE = {
    "one point": (np.array([[3.0]]), 1),
    "equal points": (np.ones((40, 2)), 1),
    "a grid with repetitions": (_RNG.integers(0, 3, (200, 2)) * 1.0, 9),
    "points on a line": (np.linspace(0.0, 1.0, 300), None),
    "a cluster and outliers": (clustered_points(_RNG, 200), None),
    "far apart": (1e300 * _RNG.standard_normal((30, 2)), 30),
    "far from the origin": (1e8 + POINTS, None),
    "a step of rounding": (np.array([1.0, 1.0 + 2.0**-52, 1.0 - 2.0**-53]), 1),
}


def residual(K, fit):
    return K - fit.factor.astype(float) @ fit.factor.T.astype(float)


@pytest.mark.parametrize("kernel", NAMES)
@pytest.mark.parametrize("X", [POINTS, WIDE], ids=["direct", "by products"])
def test_the_residual_is_what_is_said(kernel, X):
    scales = np.resize(SCALES, X.shape[1])
    K = kernel_matrix(X, kernel, scales)
    fit = pivoted_cholesky(X, 30, kernel=kernel, length_scale=scales, rng=0)
    E = residual(K, fit)
    assert fit.factor.shape == (150, 30)
    assert len(set(fit.pivots)) == 30
    assert fit.trace == 150.0
    assert fit.trace_error == pytest.approx(np.trace(E), rel=1e-13)
    np.testing.assert_allclose(fit.diagonal_error, np.diag(E), rtol=0, atol=1e-14)
    bound = np.sqrt(np.outer(fit.diagonal_error, fit.diagonal_error))
    assert (np.abs(E) <= bound + 1e-14).all()
    assert np.linalg.eigvalsh(E)[0] > -1e-13
    assert not np.triu(fit.factor[fit.pivots], 1).any()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kernel", ["gaussian", "matern32", "matern52"])
def test_hostile_points(name, kernel):
    X, rank = HOSTILE[name]
    K = kernel_matrix(X.reshape(len(X), -1), kernel, 1.0)
    fit = pivoted_cholesky(X, kernel=kernel, rtol=1e-13, rng=1)
    assert fit.trace_error <= 1e-13 * fit.trace
    if rank is not None:
        assert fit.factor.shape[1] == rank
    assert np.abs(residual(K, fit)).max() <= fit.trace_error + 1e-12


def test_no_more_columns_than_it_takes():
    fit = pivoted_cholesky(POINTS, kernel="gaussian", rtol=1e-2, rng=0)
    errors = fit.trace - np.cumsum((fit.factor**2).sum(axis=0))
    assert fit.trace_error == pytest.approx(errors[-1], rel=1e-12)
    assert errors[-1] <= 1e-2 * fit.trace < errors[-2]
    few = pivoted_cholesky(POINTS, 5, kernel="gaussian", rtol=1e-2, rng=0)
    assert few.factor.shape == (150, 5)


def test_single_precision_knows_its_own_error():
    X = POINTS.astype(np.float32)
    K = kernel_matrix(X.astype(float), "gaussian", 1.0)
    fit = pivoted_cholesky(X, 60, kernel="gaussian", rng=0)
    assert fit.factor.dtype == np.float32
    E = residual(K, fit)
    assert fit.trace_error == pytest.approx(np.trace(E), abs=1e-7 * 150)
    bound = np.sqrt(np.outer(fit.diagonal_error, fit.diagonal_error))
    assert (np.abs(E) <= bound + 2e-6).all()


@pytest.mark.parametrize("grading", [0.0, 3.0])
def test_a_matrix_of_low_rank_is_exact_after_its_rank(grading):
    F = np.random.default_rng(0).standard_normal((200, 6)) * np.logspace(0, -grading, 6)
    fit = pivoted_cholesky(F @ F.T, 40, rng=0)
    assert 6 <= fit.factor.shape[1] <= 9
    assert fit.trace_error <= 1e-13 * fit.trace
    np.testing.assert_allclose(fit.factor @ fit.factor.T, F @ F.T, rtol=0, atol=1e-12)


def test_matrices_that_are_easy():
    zero = pivoted_cholesky(np.zeros((4, 4)), 2, rng=0)
    assert zero.factor.shape == (4, 0)
    assert zero.trace_error == 0.0
    assert zero.logdet(2.0) == pytest.approx((4 * math.log(2.0),) * 2, rel=1e-14)
    np.testing.assert_array_equal(zero.solve(np.ones(4), 2.0), np.full(4, 0.5))
    diagonal = np.array([1e-80, 3.0, 0.0, 1e80])
    fit = pivoted_cholesky(np.diag(diagonal), 4, rng=0)
    np.testing.assert_allclose(fit.factor @ fit.factor.T, np.diag(diagonal), rtol=1e-15)


def test_only_some_columns_are_read():
    F = np.random.default_rng(0).standard_normal((1100, 4))
    K = F @ F.T
    at = pivoted_cholesky(K, 4, rng=0).pivots
    i, j = np.setdiff1d(np.arange(1100), at)[[3, 500]]
    K[i, j] = K[j, i] = np.nan
    np.testing.assert_array_equal(pivoted_cholesky(K, 4, rng=0).pivots, at)
    K[at[0], i] = np.nan
    with pytest.raises(ValueError, match="X must be finite, got NaN or inf"):
        pivoted_cholesky(K, 4, rng=0)


def indefinite():
    K = np.eye(30)
    K[3, 4] = K[4, 3] = 1.5
    return K


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (indefinite(), r"X must be positive semidefinite, got -.* of the trace in row"),
        (np.diag([1.0, -1e-9]), "X must be positive semidefinite, got the diagonal entry -1e-09"),
        (np.triu(np.ones((5, 5))), "X must be symmetric, got entries that differ by 1 from"),
        (np.ones((3, 4)), "X must be a square matrix"),
        (np.array([[0.0, 1.0], [1.0, 1.0]]), "X must be positive semidefinite"),
        (1.0 - np.eye(3), "X must be positive .*, got an entry larger than its diagonal allows"),
        (  # whose residual diagonal is zero after one pivot
            np.array([[1.0, 1.0, -1.0], [1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]]),
            "X must be positive .*, got an entry larger .* in row .* after 1 pivots",
        ),
        (1e308 * np.eye(3), r"X must have a trace of at most 1\.8e308.*: divide X by a power"),
        (np.eye(20) - 0.1, "X must be positive .*, got an entry larger than its diagonal allows"),
    ],
)
def test_matrices_that_are_refused(K, message):
    with pytest.raises(ValueError, match=message):
        pivoted_cholesky(K, len(K), rng=0)


def test_matrices_that_are_not_symmetric():
    K = np.eye(200)
    K[7, 9] = 0.5
    with pytest.raises(ValueError, match="X must be symmetric"):  # though few columns are read
        pivoted_cholesky(K, 1, rng=0)
    with pytest.raises(ValueError, match="X must be symmetric"):
        pivoted_cholesky(np.tril(np.ones((1001, 1001))), 10, rng=0)


# Users' kernels: all of one compiled shape each.


@numba.njit
def rational(x, y):
    total = 1.0
    for j in range(x.size):
        total += (x[j] - y[j]) ** 2
    return 1.0 / total


@numba.njit
def polynomial(x, y, theta):
    total = theta[0]
    for j in range(x.size):
        total += theta[1] * x[j] * y[j]
    return total**2


def lopsided(x, y, theta):
    if theta[0] > 1.0:
        return math.nan
    return x[0] * y[1]


def test_kernels_of_users():
    scales = SCALES.copy()
    fit = pivoted_cholesky(POINTS, 20, kernel=rational, length_scale=scales, rng=0)
    scales[:] = 1.0  # what the caller does with them later does not matter
    scaled = POINTS / SCALES
    K = 1.0 / (1.0 + ((scaled[:, None] - scaled) ** 2).sum(axis=-1))
    np.testing.assert_allclose(residual(K, fit)[fit.pivots], 0.0, atol=1e-13)
    assert fit.trace_error == pytest.approx(np.trace(residual(K, fit)), rel=1e-12)
    copy = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(copy.features(POINTS), fit.features(POINTS))
    np.testing.assert_allclose(fit.features(POINTS), fit.factor, atol=1e-12)

    fit = pivoted_cholesky(POINTS, 60, kernel=polynomial, length_scale=[0.5, 2.0], rng=0)
    assert 10 <= fit.factor.shape[1] <= 14  # monomials of degree at most two in three coordinates
    K = (0.5 + 2.0 * POINTS @ POINTS.T) ** 2
    np.testing.assert_allclose(fit.factor @ fit.factor.T, K, rtol=1e-12)


def test_kernels_that_are_refused():
    with pytest.raises(ValueError, match="kernel must be symmetric"):
        pivoted_cholesky(POINTS, 5, kernel=lopsided, rng=0)
    with pytest.raises(ValueError, match="kernel must return finite numbers"):
        pivoted_cholesky(POINTS, 5, kernel=lopsided, length_scale=2.0, rng=0)
    with pytest.raises(TypeError, match="kernel must be a function of two points"):
        pivoted_cholesky(POINTS, 5, kernel=lambda x, y: "near", rng=0)
    with pytest.raises(ValueError, match=r"no more than 3 coordinates .* and 1 numbers of length_"):
        pivoted_cholesky(POINTS, 5, kernel=polynomial, length_scale=[0.5], rng=0)
    pivoted_cholesky(POINTS, 5, kernel=polynomial, length_scale=0.5, rng=0)  # once a column


def test_operators_are_refused():
    with pytest.raises(TypeError, match=r"X must be an array.* got a MatrixLinearOperator"):
        pivoted_cholesky(aslinearoperator(np.eye(3)), 2)


# What the factor is for.


@pytest.mark.parametrize("ridge", [1e-10, 1e-4, 1.0, 1e8])
@pytest.mark.parametrize("shape", [(150,), (150, 2)])
def test_solve(ridge, shape):
    fit = pivoted_cholesky(POINTS, 40, kernel="gaussian", length_scale=2.0, rng=0)
    b = np.random.default_rng(0).standard_normal(shape)
    left, values, _ = np.linalg.svd(fit.factor, full_matrices=False)
    inside = left.T @ b
    shrunk = (inside.T / (values**2 + ridge)).T
    expected = left @ shrunk + (b - left @ inside) / ridge
    x = fit.solve(b, ridge)
    assert x.shape == shape
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_solve_with_a_ridge_below_rounding():
    fit = pivoted_cholesky(POINTS, 10, kernel="gaussian", rng=0)
    b = np.random.default_rng(0).standard_normal(150)
    outside = b - fit.factor @ np.linalg.lstsq(fit.factor, b)[0]
    np.testing.assert_allclose(1e-300 * fit.solve(b, 1e-300), outside, atol=1e-12)


def test_solve_has_more_digits_than_a_dense_solver():
    fit = pivoted_cholesky(
        np.linspace(0.0, 1.0, 30), 12, kernel="gaussian", length_scale=0.3, rng=0
    )
    b = fit.factor @ np.ones(fit.factor.shape[1])
    with mpmath.workdps(40):
        F = mpmath.matrix(fit.factor.tolist())
        exact = mpmath.lu_solve(F * F.T + mpmath.mpf(1e-8) * mpmath.eye(30), mpmath.matrix(b))
        expected = np.array([float(x) for x in exact])
    error = np.linalg.norm(fit.solve(b, 1e-8) - expected) / np.linalg.norm(expected)
    assert error < 7e-11


@pytest.mark.parametrize("ridge", [1e-6, 1e-10, 1e-13])
def test_solve_with_a_small_ridge_in_the_range(ridge):
    X = np.random.default_rng(0).standard_normal((400, 3))
    fit = pivoted_cholesky(X, 30, rng=0, kernel="gaussian")
    F = fit.factor
    b = F @ np.ones(30)  # x does not grow with 1 / ridge
    x = fit.solve(b, ridge)
    assert np.linalg.norm(F @ (F.T @ x) + ridge * x - b) <= 1e-9 * np.linalg.norm(b)


@pytest.mark.parametrize("ridge", [1e-6, 1e-10, 1e-13, 1e-16, 1e-100])
def test_solve_with_a_small_ridge_and_all_columns(ridge):
    X = np.random.default_rng(0).standard_normal((400, 3))
    whole = pivoted_cholesky(X, 400, rng=0, kernel="laplace", length_scale=0.2)
    K = whole.factor @ whole.factor.T + ridge * np.eye(400)  # well conditioned for any ridge
    expected = np.linalg.solve(K, np.ones((400, 2)))
    np.testing.assert_allclose(whole.solve(np.ones((400, 2)), ridge), expected, rtol=1e-9)


@pytest.mark.parametrize("exponent", range(-9, 10, 3))
@pytest.mark.parametrize("k", [5, 150])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_log_determinant_is_between_its_bounds(exponent, k, dtype):
    ridge = 10.0**exponent
    for X in (POINTS, clustered_points(np.random.default_rng(0), 150), POINTS[:, :1]):
        K = kernel_matrix(X, "gaussian", 1.0).astype(dtype)
        values = np.maximum(np.linalg.eigvalsh(K.astype(float)), 0.0)  # right to 1e-14
        exact = np.log(values + ridge).sum()
        lower, upper = pivoted_cholesky(K, k, rng=0).logdet(ridge)
        slack = 150 * 1e-14 / ridge  # of `exact`
        assert lower - slack <= exact <= upper + slack
        assert 150 * math.log(ridge) <= lower + 1e-9
        if dtype == np.float64 and k == 150:
            assert upper - lower <= 1e-10 / min(ridge, 1.0) + 1e-12 * abs(exact)


def test_bounds_make_room_for_rounding():
    """A factor of full rank leaves nothing: without that room both ends were one number."""
    K = kernel_matrix(np.linspace(0.0, 1.0, 20)[:, None], "gaussian", 0.06)
    fit = pivoted_cholesky(K, 20, rng=0)
    assert fit.trace_error == 0.0
    for ridge in (1e-9, 1e-6, 1e-3):
        with mpmath.workdps(40):
            exact = mpmath.log(mpmath.det(mpmath.matrix(K.tolist()) + ridge * mpmath.eye(20)))
            lower, upper = fit.logdet(ridge)
            assert lower < exact < upper


def test_bad_arguments_of_methods():
    fit = pivoted_cholesky(POINTS, 5, kernel="gaussian", rng=0)
    for ridge in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="ridge must be"):
            fit.logdet(ridge)
    with pytest.raises(ValueError, match="length_scale must be positive"):
        pivoted_cholesky(POINTS, 5, kernel="gaussian", length_scale=1e-310)
    with pytest.raises(ValueError, match=r"b must have shape \(150,\) or .* row of the factor"):
        fit.solve(np.ones(3), 1.0)
    with pytest.raises(ValueError, match="X_new must have points of dimension 3"):
        fit.features(np.ones((2, 2)))
    fit = pivoted_cholesky(np.eye(3), 2, rng=0)
    with pytest.raises(ValueError, match="X_new must have 3 columns of kernel values"):
        fit.features(np.ones((2, 2)))


def test_features_extend_the_factor():
    fit = pivoted_cholesky(POINTS, 40, kernel="matern52", rng=0)
    np.testing.assert_allclose(fit.features(POINTS), fit.factor, rtol=0, atol=1e-11)
    new = np.random.default_rng(1).standard_normal((7, 3)) + 5.0
    features = pickle.loads(pickle.dumps(fit)).features(new)
    both = np.vstack([new, POINTS])
    K = kernel_matrix(both, "matern52", 1.0)
    np.testing.assert_allclose(
        features @ fit.factor[fit.pivots].T, K[:7, 7 + fit.pivots], atol=1e-12
    )
    of_matrix = pivoted_cholesky(K[7:, 7:], 40, rng=0)
    np.testing.assert_array_equal(of_matrix.pivots, fit.pivots)
    np.testing.assert_allclose(of_matrix.features(K[:7, 7:]), features, atol=1e-11)


def test_a_residual_diagonal_has_its_digits():
    F = np.random.default_rng(0).standard_normal((20, 3))
    diagonal = (F**2).sum(axis=0) * (1.0 + 1e-15 * np.arange(3))
    out = np.empty(3)
    residual_diagonal(diagonal, F, out)
    for i in range(3):
        exact = Fraction(diagonal[i]) - sum(Fraction(f) ** 2 for f in F[:, i])
        assert out[i] == pytest.approx(float(exact), rel=1e-12, abs=1e-28)

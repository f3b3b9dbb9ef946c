"""Log-determinants against closed forms and dense factorizations, and what is refused."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import randla
from randla import logdet
from randla._scaling import EPS
from randla.spectral import _logdet
from randla.spectral._logdet import _skewness
from randla.spectral._quadrature.preconditioner import (
    _ROUNDING,
    Preconditioner,
    pivoted_preconditioner,
)

N = 120


def path_laplacian(n, shift):
    """With ends tied to zero: tridiagonal -1, 2, -1, of eigenvalues 2 - 2 cos(pi j / (n + 1))."""
    off = -np.ones(n - 1)
    return sparse.diags_array([off, np.full(n, 2.0 + shift), off], offsets=[-1, 0, 1]).tocsr()


def path_eigenvalues(n):
    return 2.0 - 2.0 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))


def kernel_matrix(n, noise, length_scale=0.3, dim=2, seed=0):
    """The covariance of a Gaussian process with noise."""
    X = np.random.default_rng(seed).random((n, dim))
    squares = ((X[:, None] - X) ** 2).sum(axis=2)
    return np.exp(-0.5 * squares / length_scale**2) + noise * np.eye(n)


def exact(A):
    sign, value = np.linalg.slogdet(A)
    assert sign == 1.0
    return value


def assert_holds(result, expected, level=0.9999):
    low, high = result.confidence_interval(level)
    assert low <= expected <= high
    assert low <= result.quadrature_lower <= result.value <= result.quadrature_upper <= high


# Exact -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 30])
def test_path_laplacian_by_cholesky(n):
    A = path_laplacian(n, 0.5)
    expected = np.log(path_eigenvalues(n) + 0.5).sum()
    for matrix in (A, A.toarray(), aslinearoperator(A)):
        result = logdet(matrix)
        assert result.method == "cholesky"
        assert result.value == pytest.approx(expected, rel=1e-13)
        assert result.standard_error == 0.0
        assert result.confidence_interval(0.999) == (result.value, result.value)
        assert result.n_products == (n if matrix is not A and not sparse.issparse(matrix)
                                     and isinstance(matrix, LinearOperator) else 0)  # fmt: skip


def test_sparse_factorization():
    """Kronecker sums: eigenvalues add up. More than 1000 rows."""
    n, eye = 40, sparse.eye_array(40)
    A = sparse.kron(path_laplacian(n, 0.1), eye) + sparse.kron(eye, path_laplacian(n, 0.0))
    expected = np.log(path_eigenvalues(n)[:, None] + path_eigenvalues(n) + 0.1).sum()
    assert logdet(A).value == pytest.approx(expected, rel=1e-13)
    assert logdet(1e200 * A).value == pytest.approx(expected + n**2 * math.log(1e200), rel=1e-13)
    for shift in (4.0, 8.2):  # an eigenvalue below zero; all of them
        with pytest.raises(ValueError, match=r"\bA must be positive definite"):
            logdet(A - shift * sparse.eye_array(n * n))
    swaps = sparse.kron(sparse.eye_array(600), [[0.0, 1.0], [1.0, 0.0]])  # pivots off the diagonal
    for singular_or_indefinite in (sparse.csr_array((1200, 1200)), swaps):
        with pytest.raises(ValueError, match=r"\bA must be positive definite"):
            logdet(singular_or_indefinite)


def test_as_many_products_as_columns_are_exact():
    A = kernel_matrix(N, 0.1)
    result = logdet(aslinearoperator(A), n_products=N)
    assert result.method == "cholesky"
    assert result.n_products == N
    assert result.value == pytest.approx(exact(A), rel=1e-12)


# Estimates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("preconditioner", ["auto", None])
@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-4])
def test_gaussian_processes(noise, preconditioner):
    A = kernel_matrix(N, noise)
    for n_products in (16, 50, N - 1):
        result = logdet(A, lower=noise, n_products=n_products, preconditioner=preconditioner, rng=1)
        assert result.method == "lanczos"
        assert result.n_products <= n_products
        assert_holds(result, exact(A))
    assert result.converged or (noise == 1e-4 and preconditioner is None)


def test_kinds_of_one_matrix_agree():
    A = path_laplacian(N, 0.3)
    dense = A.toarray()
    options = {"lower": 0.3, "n_products": 100, "preconditioner": None, "rng": 0}
    expected = logdet(dense, **options)
    for same in (A, A.tocsc(), aslinearoperator(A), np.asfortranarray(dense),
                 dense.astype(np.float32)):  # fmt: skip
        result = logdet(same, **options)
        assert result.value == pytest.approx(expected.value, rel=1e-6)
        assert result.standard_error == pytest.approx(expected.standard_error, rel=1e-4)
    assert_holds(expected, np.log(path_eigenvalues(N) + 0.3).sum())


def test_diagonal_and_scaled_identity_are_exact():
    """Signs see nothing of a diagonal, whatever the vectors are."""
    d = np.repeat([1.0, 2.0, 5.0], N // 3)
    for preconditioner in ("auto", None):
        for A in (np.diag(d), 7.0 * np.eye(N)):
            result = logdet(A, lower=0.9, n_products=N - 1, preconditioner=preconditioner, rng=0)
            assert result.value == pytest.approx(np.log(np.diag(A)).sum(), rel=1e-12)
            assert result.standard_error < 1e-10
            assert_holds(result, np.log(np.diag(A)).sum(), 0.95)


def test_kronecker_operator():
    """log det (A x B) = m log det A + n log det B, by products only."""
    A, B = kernel_matrix(12, 0.5), kernel_matrix(10, 0.5, seed=1)
    least = np.linalg.eigvalsh(A)[0] * np.linalg.eigvalsh(B)[0]
    K = LinearOperator((N, N), matvec=lambda x: (A @ x.reshape(12, 10) @ B).ravel(), dtype=float)
    result = logdet(K, lower=0.99 * least, n_products=N - 1, rng=0)
    assert_holds(result, 10 * exact(A) + 12 * exact(B))


@pytest.mark.parametrize("exponent", [-660, 660])
def test_scales(exponent):
    """1e-198 and 1e198: the errors stay as they are, bit for bit but for the shift."""
    A = kernel_matrix(N, 0.25)
    shift = N * exponent * math.log(2.0)
    scaled, lower = np.ldexp(A, exponent), math.ldexp(0.25, exponent)
    for kind in (np.asarray, sparse.csr_array, aslinearoperator):
        plain = logdet(kind(A), lower=0.25, n_products=60, rng=3)
        result = logdet(kind(scaled), lower=lower, n_products=60, rng=3)
        assert result.value - shift == pytest.approx(plain.value, rel=1e-9)
        assert result.standard_error == pytest.approx(plain.standard_error, rel=1e-9)
        assert_holds(result, exact(A) + shift)
    assert logdet(scaled).value - shift == pytest.approx(exact(A), rel=1e-10)


def test_a_given_preconditioner():
    noise = 0.01
    A = kernel_matrix(N, noise)
    K = randla.pivoted_cholesky(A - noise * np.eye(N), 20, rng=0)
    result = logdet(aslinearoperator(A), lower=noise, n_products=60, preconditioner=K, rng=0)
    plain = logdet(aslinearoperator(A), lower=noise, n_products=60, rng=0)
    assert result.rank == 20
    assert result.standard_error < 0.2 * plain.standard_error
    assert_holds(result, exact(A))
    assert result.confidence_interval(1 - 1e-12)[0] >= K.logdet(noise)[0] - 1e-9


@pytest.mark.parametrize("noise", [1e-1, 1e-2])
def test_a_preconditioner_of_single_precision(noise):
    """E is semidefinite to the roundings of float32 only, and the bound of M allows for that."""
    A = kernel_matrix(N, noise)
    K = randla.pivoted_cholesky((A - noise * np.eye(N)).astype(np.float32), 40, rng=0)
    result = logdet(aslinearoperator(A), lower=noise, n_products=60, preconditioner=K, rng=0)
    assert result.rank == 40
    assert result.standard_error < 0.1
    P = Preconditioner(K.factor.T, noise, K.diagonal_error, is_all=False)
    root = P.inverse_root_times(np.eye(N))
    assert P.least <= np.linalg.eigvalsh(root @ A @ root / P.ridge)[0] < noise / P.ridge
    assert_holds(result, exact(A))
    with pytest.raises(ValueError, match=r"factor of float64 for a lower below .* float32 and low"):
        logdet(aslinearoperator(A), lower=1e-5, preconditioner=K)


@pytest.mark.parametrize(("rows_of_a_step", "method"), [(1, "lanczos"), (60, "cholesky")])
def test_arrays_are_factorized_where_steps_cost_more(rows_of_a_step, method, monkeypatch):
    monkeypatch.setitem(_logdet._SMALL, "array", N - 1)
    monkeypatch.setattr(_logdet, "_ROWS_OF_A_STEP", rows_of_a_step)
    A = kernel_matrix(N, 1e-3)
    result = logdet(A, lower=1e-3, preconditioner=None, rng=0)
    assert result.method == method
    if method == "lanczos":
        assert_holds(result, exact(A))
    else:  # after two steps with eight vectors
        assert result.n_products == 16
        assert result.value == pytest.approx(exact(A), rel=1e-12)
        assert result.confidence_interval() == (result.value, result.value)
    given = logdet(A, lower=1e-3, n_products=40, preconditioner=None, rng=0)
    assert given.method == "lanczos"  # what is asked for


def test_a_lower_that_is_an_eigenvalue():
    """The node makes room for rounding: else half of the vectors have an eigenvalue below it."""
    values = np.r_[np.ones(N - 8), np.geomspace(2.0, 1e6, 8)]
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))[0]
    result = logdet(aslinearoperator(Q * values @ Q.T), lower=1.0, n_products=N - 1, rng=0)
    assert result.quadrature_upper - result.quadrature_lower < 1e-6
    assert_holds(result, np.log(values).sum())


@pytest.mark.parametrize("n", [3000, 5000, 20_000])
def test_a_lower_that_most_eigenvalues_equal(n):
    """Random intercepts: a running sum of equal entries, or an allowance that does not grow with n,
    found an eigenvalue below, or a bracket of no use."""
    Z = sparse.kron(sparse.eye_array(n // 10), np.ones((10, 1)))
    result = logdet((sparse.eye_array(n) + 0.1 * Z @ Z.T).tocsr(), lower=1.0, rng=0)
    assert result.n_products <= 64
    assert_holds(result, n // 10 * math.log(2.0))


def test_two_eigenvalues_leave_rounding_only():
    values = np.where(np.arange(10_000) < 5000, 1.0, 1.5)
    result = logdet(aslinearoperator(sparse.diags_array(values).tocsr()), lower=0.5, rng=0)
    low, high = result.confidence_interval()
    assert low <= 5000 * math.log(1.5) <= high < low + 1e-8


def test_skewness():
    x = np.array([1.0, 2.0, 4.0, 9.0, 30.0])
    assert _skewness(x, 1e-12) == pytest.approx(stats.skew(x, bias=False), rel=1e-12)
    assert _skewness(x, 1e3) == _skewness(x[:2], 0.0) == 0.0
    result = logdet(kernel_matrix(N, 1.0), lower=1.0, n_products=40, preconditioner=None, rng=0)
    assert result._skewness != 0.0
    low, high = replace(result, _skewness=0.0).confidence_interval()
    for skewness in (-1.0, 1.0):
        longer = replace(result, _skewness=skewness).confidence_interval()
        assert (longer[0] < low, longer[1] > high) == (skewness > 0.0, skewness < 0.0)[::-1]


def test_the_interval_ends_at_bounds_without_chance():
    A = kernel_matrix(N, 1.0)
    result = logdet(A, lower=1.0, n_products=16, rng=0)
    low, high = result.confidence_interval(1.0 - 1e-15)
    assert exact(A) - 0.5 < low <= exact(A) <= high < exact(A) + 0.5


@pytest.mark.parametrize("rank", [0, 5, 40])
def test_preconditioner(rank):
    """Its determinant, and the root of its inverse."""
    rng = np.random.default_rng(0)
    rows = 10.0 ** rng.uniform(-4, 2, (rank, 1)) * kernel_matrix(N, 0.0)[:rank]
    rest = rng.random(N)
    P = Preconditioner(rows, 0.5, rest, is_all=True)
    assert 0.5 < P.ridge < 1.5
    matrix = P.ridge * np.eye(N) + rows.T @ rows
    assert P.log_det == pytest.approx(exact(matrix), rel=1e-11)
    assert P.norm == pytest.approx(np.linalg.norm(matrix, 2))
    root = P.inverse_root_times(np.eye(N))
    condition = P.norm / P.ridge
    np.testing.assert_allclose(root @ matrix @ root, P.ridge * np.eye(N), atol=1e-14 * condition)
    least = 0.5 * np.eye(N) + rows.T @ rows  # and the determinant's bounds
    assert exact(least) - 1e-6 < P.bounds[0] <= exact(least)
    assert exact(least + np.diag(rest)) <= P.bounds[1] + 1e-9
    np.testing.assert_allclose(root, root.T, atol=1e-13)


@pytest.mark.parametrize("noise", [1.0, 1e-3])
def test_preconditioner_from_entries_is_below(noise):
    """lower / ridge P <= A, and the bounds hold."""
    A = kernel_matrix(N, noise)
    P = pivoted_preconditioner(A, noise, np.uint64(1))
    root = P.inverse_root_times(np.eye(N))
    values = np.linalg.eigvalsh(root @ A @ root / P.ridge)
    assert values[0] > P.least - _ROUNDING * EPS * P.norm / P.ridge
    assert P.least == noise / P.ridge
    assert P.bounds[0] <= exact(A) <= P.bounds[1]
    assert P.bounds[1] - P.bounds[0] < (0.1 if noise == 1.0 else 40.0)


# What is refused ---------------------------------------------------------------------------------


def operator(A):
    return aslinearoperator(np.asarray(A, dtype=float))


GOOD = kernel_matrix(N, 0.1)
UPPER = np.triu(GOOD)
INDEFINITE = GOOD - 2.0 * np.eye(N)
NAN = LinearOperator((N, N), matvec=lambda x: np.full(N, np.nan), dtype=float)
COMPLEX = LinearOperator((N, N), matvec=lambda x: 1j * x, dtype=complex)
SIGNS = np.where(np.arange(4000) == 7, -3.0, 1.0)
REFUSED = [
    (operator(GOOD), {}, "lower must be given for an operator"),
    (GOOD, {"lower": 0.0}, "lower must be greater than 0"),
    (GOOD, {"lower": -1.0}, "lower must be"),
    (GOOD, {"lower": np.nan}, "lower must be"),
    (GOOD, {"lower": np.inf}, "lower must be finite"),
    (GOOD, {"lower": 0.5, "n_products": 100}, "lower must be below the least eigenvalue of A"),
    (GOOD, {"lower": 2.0, "n_products": 100}, "lower must be below the least eigenvalue of A"),
    (operator(GOOD), {"lower": 0.2, "n_products": 110}, "lower must be below the least eigen.*0.1"),
    (GOOD, {"lower": 2.0}, r"lower must be below .* got lower=2 and .* mean is 0\.\d+: pass a sm"),
    (operator(GOOD), {"lower": 0.2, "n_products": 110}, "got lower=0.2 and one .*: pass a smaller"),
    (operator(GOOD), {"lower": 1e-200, "n_products": 50}, "lower must not be so far below"),
    (GOOD, {"n_products": 3}, "n_products must be at least 4"),
    (GOOD, {"rng": -1}, "rng must"),
    (UPPER, {}, r"A must be symmetric, got A\[i, j\] and .*: pass 0\.5 \* \(A \+ A\.T\)"),
    (UPPER, {"lower": 0.01, "n_products": 50}, "A must be symmetric"),
    (operator(UPPER), {"lower": 0.01, "n_products": 50}, "A must be symmetric"),
    (operator(UPPER), {"n_products": N}, "A must be symmetric"),
    (sparse.csr_array(UPPER), {}, "A must be symmetric"),
    (INDEFINITE, {}, r"positive definite, got one whose leading \d+ x \d+ bl.*: numpy.linalg.slog"),
    (sparse.csr_array((1200, 1200)), {}, "A must be positive definite, got a singular matrix"),
    (sparse.kron(sparse.eye_array(600), [[0.0, 1.0], [1.0, 0.0]]), {}, "a zero pivot in its LDL'"),
    (1e200 * sparse.diags_array(SIGNS), {}, r"positive definite, got a pivot of -3e\+200"),
    (operator(INDEFINITE), {"n_products": N}, "A must be positive definite"),
    (operator(INDEFINITE), {"lower": 0.1, "n_products": 50}, "and one .*A is not positive def"),
    (np.zeros((3, 3)), {}, "A must be positive definite"),
    (np.ones((3, 4)), {}, "A must be square"),
    (np.ones((0, 0)), {}, "A must be square and not empty"),
    (NAN, {"lower": 0.1, "n_products": 50}, "A must be finite"),
    (1e308 * np.eye(80), {"lower": 1e307, "n_products": 40}, r"A must have a trace of at most 1"),
    (GOOD, {"preconditioner": operator(GOOD)}, "preconditioner must be 'auto', None or"),
    (GOOD, {"preconditioner": "jacobi"}, "preconditioner must be 'auto', None or"),
]


@pytest.mark.parametrize(("A", "options", "message"), REFUSED)
def test_refusals(A, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        logdet(A, **options)


def test_other_refusals():
    with pytest.raises(TypeError, match="A must hold real numbers, got complex"):
        logdet(COMPLEX, lower=0.1)
    other = randla.pivoted_cholesky(GOOD[:50, :50], 5, rng=0)
    with pytest.raises(ValueError, match=f"preconditioner must have a factor of {N} rows"):
        logdet(GOOD, lower=0.1, preconditioner=other)
    above = randla.pivoted_cholesky(2.0 * GOOD, 60, rng=0)
    with pytest.raises(ValueError, match=r"lower must be .* and the preconditioner"):
        logdet(operator(GOOD), lower=0.1, n_products=100, preconditioner=above, rng=0)


def test_result():
    A = kernel_matrix(N, 0.1)
    result = logdet(A, lower=0.1, n_products=40, rng=0)
    copy = pickle.loads(pickle.dumps(result))
    assert copy.confidence_interval() == result.confidence_interval()
    assert len(repr(result).splitlines()) <= 10
    low, high = result.confidence_interval(0.5)
    assert result.confidence_interval()[0] <= low <= high <= result.confidence_interval()[1]
    assert result.standard_error > 0.0
    assert result.degrees_of_freedom >= 3

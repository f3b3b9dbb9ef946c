"""`lstsq` where columns depend on one another: rank, the shortest solution, ridges."""

import warnings
from fractions import Fraction

import numpy as np
import pytest

from randla import lstsq
from randla._tall.open import open_operand
from randla.datasets import ill_conditioned
from randla.regression._least_squares.options import LstsqOptions, LstsqWarning
from randla.regression._least_squares.problem import as_problem
from randla.regression._solvers.backward_error import measure_backward_error
from randla.regression._solvers.preconditioner import TriangularPreconditioner
from randla.regression._solvers.refinement import Solution
from tests.data import deficient, dependent, normal
from tests.regression.least_squares_reference import (
    METHODS,
    STABLE,
    U,
    augmented,
    columnwise_backward_error,
    exact_least_sum,
    exact_shortest,
    exact_solution,
    penalized_sum,
)

KINDS = (
    "duplicates",
    "sums",
    "product",
    "zeros",
    "one-hot",
    "centered one-hot",
    "scaled",
    "rank one",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "methods"), [(3000, STABLE), (50, ("auto", "sketch-cholesky")), (8, ("auto",))]
)
def test_minimum_norm(kind, n, methods):
    A, rank = deficient(kind, n)
    B = normal(n, 2, seed=1)
    expected = np.linalg.pinv(A, rcond=1e-13) @ B
    for method in methods:
        result = lstsq(A, B, method=method, rng=0)
        assert result.rank == np.linalg.matrix_rank(A / np.abs(A).max(0, initial=1e-9))
        assert n < 50 or result.rank == rank
        # NumPy's own error grows with the ratio of the columns.
        atol = (1e-8 if kind == "scaled" else 1e-11) * np.abs(expected).max()
        np.testing.assert_allclose(result.x, expected, rtol=0, atol=atol, err_msg=method)
        assert result.backward_error <= 10 * U


def test_minimum_norm_with_columns_of_any_scale():
    # Two columns of one direction: the longer one takes all; a third one alone has its own share.
    v, w, b = normal(3000), normal(3000, seed=1), normal(3000, seed=2)
    A = np.column_stack([1e-120 * v, w, 1e120 * v, 2e120 * v])
    x = lstsq(A, b).x
    free = np.linalg.lstsq(np.column_stack([v, w]), b)[0]
    expected = [
        free[0] / 5 * 1e-240 * 1e-120,
        free[1],
        free[0] / 5 * 1e-120,
        2 * free[0] / 5 * 1e-120,
    ]
    np.testing.assert_allclose(x[1:], expected[1:], rtol=1e-12)
    assert abs(x[0]) <= 1e-130


@pytest.mark.parametrize("method", STABLE)
@pytest.mark.parametrize("decades", [0, 6, 12, 16, 20, 60, 140, 300])
def test_many_null_vectors_on_columns_of_many_scales(decades, method):
    # Three columns of one plane, four times at different scales: the fit is that of the plane.
    base = normal(4000, 8).reshape(4000, 4, 2)
    A = np.concatenate([base, base.sum(axis=2, keepdims=True)], axis=2)
    scale = np.repeat(np.logspace(0.4 * decades, -0.6 * decades, 4), 3)
    b = normal(4000, seed=1)
    free = np.linalg.lstsq(base.reshape(4000, 8), b)[0]
    best = np.linalg.norm(b - base.reshape(4000, 8) @ free)
    # The shortest has 2/3, -1/3; 1/3, 1/3 of the coefficients of a plane, on its own scale.
    shares = np.array([[2.0, -1.0], [-1.0, 2.0], [1.0, 1.0]]) / 3.0
    shortest = (free.reshape(4, 2) @ shares.T).ravel()
    for seed in range(5):
        result = lstsq(A.reshape(4000, 12) * scale, b, method=method, rng=seed)
        assert result.rank == 8
        assert result.backward_error <= 10 * U
        residual = b - A.reshape(4000, 12) @ (scale * result.x)
        assert np.linalg.norm(residual) == pytest.approx(best, rel=1e-12)
        np.testing.assert_allclose(scale * result.x, shortest, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["planes", "copies", "mixtures", "sums"])
@pytest.mark.parametrize("decades", [0, 8, 16, 25, 100])
@pytest.mark.parametrize("n", [3, 9, 40])
def test_the_least_sum_of_squares_with_dependent_columns(kind, decades, n):
    rng = np.random.default_rng([decades, n])
    for k in range(4):
        A, b = dependent(kind, n, decades, rng), rng.integers(-9, 10, n).astype(float)
        weights = np.ones(n) if k % 2 else rng.integers(1, 9, n).astype(float)
        ridge = 0.0 if k < 2 else 2.0 ** (2 * rng.integers(-3.4 * decades - 4, 6))
        best, rank = exact_least_sum(A, b, weights, ridge)
        for method in METHODS if n > A.shape[1] else ("auto", "lapack"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", LstsqWarning)
                    result = lstsq(A, b, weights=weights, ridge=ridge, method=method, rng=k)
            except (LstsqWarning, np.linalg.LinAlgError):
                assert method not in ("auto", "lapack")
                continue
            if ridge == 0.0:
                assert result.rank == rank
                assert result.backward_error <= 40 * U
            least = penalized_sum(A, b, weights, ridge, result.x)
            scale = max(best, Fraction(1e-12) * int(b @ b))  # of consistent problems
            assert least <= best + Fraction(1e-9) * scale, (method, k)


@pytest.mark.parametrize("kind", ["planes", "copies", "sums"])
@pytest.mark.parametrize("decades", [0, 8, 25, 100, 200])
@pytest.mark.parametrize("n", [7, 40])
def test_the_shortest_solution_with_dependent_columns(kind, decades, n):
    rng = np.random.default_rng([decades, n, 1])
    for _ in range(5):
        A, b = dependent(kind, n, decades, rng), rng.integers(-9, 10, n).astype(float)
        expected = exact_shortest(A, b)
        x = lstsq(A, b).x
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize(("kind", "decades"), [("indicators", 2), ("differences", 4)])
@pytest.mark.parametrize("seed", [0, 1, 6, 8])
def test_the_shortest_solution_where_scales_fall_step_by_step(kind, decades, seed):
    """Rows of many scales; null vectors have an entry in each of some hundreds of columns."""
    d = 300
    n, half, rng = 6 * d, d // 2, np.random.default_rng([d, decades, seed])
    if kind == "indicators":  # of two factors, one of them Zipfian, beside a constant
        frequency = np.arange(1.0, half + 1) ** -1.5
        first = rng.choice(half, n, p=frequency / frequency.sum())
        second = rng.integers(half, size=n)
        A = np.hstack([np.ones((n, 1)), np.eye(half)[first], np.eye(half)[second]])
        A = A[:, A.any(axis=0)]
    else:
        A, i = np.zeros((n, d)), rng.integers(d, size=n)
        A[np.arange(n), i], A[np.arange(n), (i + rng.integers(1, d, n)) % d] = 1.0, -1.0
    A *= 10.0 ** rng.uniform(-decades, decades, n)[:, None]
    b = rng.standard_normal(n)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    r = int(np.count_nonzero(s > 1e-12 * s[0]))
    expected = Vt[:r].T @ ((U[:, :r].T @ b) / s[:r])
    for method in ("auto", "lapack"):
        result = lstsq(A, b, method=method)
        assert result.rank == r < A.shape[1]
        assert np.linalg.norm(result.x) <= (1.0 + 2e-6) * np.linalg.norm(expected)
        assert result.residual_norm == pytest.approx(np.linalg.norm(b - A @ expected), rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("n", [500, 1500, 2500])
def test_rounding_errors_of_long_columns_with_few_distinct_entries_are_no_rank(n, offset):
    rng = np.random.default_rng(0)
    for groups in (2, 3, 4):
        first = np.eye(groups)[rng.integers(groups, size=n)]
        second = np.eye(3)[rng.integers(3, size=n)]
        A = np.hstack([first, np.ones((n, 1)), second])
        A += offset * rng.integers(0, 2, A.shape[1])
        b = rng.integers(-9, 10, n).astype(float)
        result = lstsq(A, b)
        span = np.hstack([first, second[:, 1:]])
        best = np.linalg.norm(b - span @ np.linalg.lstsq(span, b)[0])
        assert result.rank == groups + 2
        assert result.residual_norm == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("shape", [(12, 3), (3, 12), (6, 8), (2000, 4), (3000, 20)])
@pytest.mark.parametrize("ridge", [1e12, 1e20, 1e40, 1e150, 1e300])
def test_a_ridge_of_any_size(shape, ridge):
    A, b = normal(*shape) * np.logspace(0, -2, shape[1]), normal(shape[0], seed=1)
    result = lstsq(A, b, ridge=ridge)
    np.testing.assert_allclose(result.x, A.T @ b / ridge, rtol=1e-7)
    if ridge > 1e15:
        np.testing.assert_allclose(result.x, A.T @ b / ridge, rtol=1e-10)
    assert result.backward_error <= U
    assert result.residual_norm == pytest.approx(np.linalg.norm(b), rel=1e-7)


@pytest.mark.parametrize("decades", [3, 6, 30])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_wide_with_nearly_parallel_rows(decades, ridge):
    # Rows that differ by small columns only: errors beside the large ones are errors of those.
    A = normal(4, 12) * np.append(np.full(10, 10.0**-decades), np.ones(2))
    result = lstsq(A, normal(4, seed=1), ridge=ridge * 10.0 ** (-2 * decades))
    assert result.backward_error <= 40 * U


@pytest.mark.parametrize("decades", [0, 60])
@pytest.mark.parametrize("change", [0.0, 1e-10, 1e-4])
def test_the_columnwise_backward_error_in_200_digits(decades, change):
    A = normal(12, 4) @ np.linalg.cholesky(np.full((4, 4), 0.9) + 0.1 * np.eye(4)).T
    A *= np.logspace(0, -decades, 4)
    b = normal(12, seed=1)
    x = lstsq(A, b).x
    x[3] *= 1.0 + change  # of the smallest column
    rows, _ = as_problem(open_operand(A), b, None, LstsqOptions())
    R = np.linalg.qr(A, mode="r")
    solution = Solution(x[:, None], None, TriangularPreconditioner(R), 4, None)
    error = measure_backward_error(rows, solution)
    formula, least = columnwise_backward_error(A, b, x)
    if change == 0.0:
        assert max(error, formula) < 10 * U
    else:
        assert error == pytest.approx(formula, rel=1e-4)
        assert 0.25 * least < error < 2.0 * least  # a norm of all columns, up to sqrt(d) larger
        assert error > 0.05 * change


@pytest.mark.parametrize("n", [2500, 40])
def test_small_columns_count(n):
    A, b = normal(n, 9), normal(n, seed=1)
    A[:, 5:] *= [1e-20, 1e-150, 1.0, 1e-9]
    result = lstsq(A, b)
    assert result.rank == 9
    assert np.linalg.matrix_rank(A) < 9


def test_rank_rule():
    # Well separated rounding errors of the data are dropped, as NumPy does; an ill-conditioned
    # matrix without a gap keeps its rank, or backward stability would be lost.
    v = normal(5000, 3)
    nearly = np.hstack([v, v[:, :1] + 1e-13 * normal(5000, 1, seed=1)])
    assert lstsq(nearly, normal(5000, seed=2)).rank == 3 == np.linalg.matrix_rank(nearly)
    A, b, _ = ill_conditioned(5000, 12, condition=3e13, residual=0.0, rng=0)
    assert np.linalg.matrix_rank(A) < 12
    assert lstsq(A, b, rng=0).rank == 12
    assert lstsq(nearly, normal(5000, seed=2), rcond=1e-15).rank == 4


@pytest.mark.parametrize("method", ["auto", "sketch-cholesky", "lapack"])
def test_rcond(method):
    U_, V = np.linalg.qr(normal(4000, 6))[0], np.linalg.qr(normal(6, 6, seed=1))[0]
    A = U_ * [1.0, 0.5, 0.3, 1e-3, 1e-4, 1e-5] @ V
    b = normal(4000, seed=2)
    scale = np.ldexp(1.0, -np.frexp(np.abs(A).max(axis=0))[1])
    y = np.linalg.lstsq(A * scale, b, rcond=1e-2)[0]
    result = lstsq(A, b, rcond=1e-2, method=method, rng=0)
    assert result.rank == 3
    # Equal fit; ours is the shortest in the columns as they are.
    assert result.residual_norm == pytest.approx(np.linalg.norm(b - A @ (scale * y)), rel=1e-5)
    assert np.linalg.norm(result.x) <= np.linalg.norm(scale * y) * (1 + 1e-12)


@pytest.mark.parametrize("method", ["auto", "lapack", "sketch-cholesky", "iterative", "lsqr"])
@pytest.mark.parametrize(("n", "k"), [(500, None), (4000, 2)])
@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_residual_norm_beside_rcond_is_that_of_x(method, n, k, noise):
    # Prices, and the same rounded, in cents: the shortest x has far more weight on the cents than
    # the one from the singular values that count, and so another residual.
    rng = np.random.default_rng(n)
    price = rng.integers(100, 10_000, n) / 7.0
    A = np.column_stack([np.ones(n), price, 100.0 * np.round(price)])
    b = (3.0 + 2.0 * price)[:, None] + noise * rng.standard_normal((n, k or 1))
    b = b[:, 0] if k is None else b
    result = lstsq(A, b, rcond=1e-3, method=method)
    assert result.rank == 2
    norm = np.linalg.norm(b - A @ result.x, axis=0)
    np.testing.assert_allclose(result.residual_norm, norm, rtol=1e-9)
    estimate = lstsq(A, b, rcond=1e-3, sketch_size=60, rng=0).refine(A, b)
    norm = np.linalg.norm(b - A @ estimate.x, axis=0)
    np.testing.assert_allclose(estimate.residual_norm, norm, rtol=1e-9)


@pytest.mark.parametrize("condition", [1e3, 1e6, 1e12])
@pytest.mark.parametrize("seed", range(3))
def test_rcond_cuts_at_the_singular_values_of_all_rows(condition, seed):
    # Those of a sketch differ by a factor, and its singular vectors by the ratio of two of them.
    Q, V = np.linalg.qr(normal(5000, 8, seed=seed))[0], np.linalg.qr(normal(8, 8, seed=seed + 9))[0]
    A, b = Q * np.geomspace(1.0, 1.0 / condition, 8) @ V, normal(5000, seed=seed + 20)
    largest = np.abs(np.linalg.qr(A, mode="r")).max(axis=0)
    scale = np.ldexp(1.0, -np.frexp(largest)[1])
    U_, s, Vt = np.linalg.svd(A * scale, full_matrices=False)
    for k in range(2, 8):
        result = lstsq(A, b, rcond=np.sqrt(s[k - 1] * s[k]) / s[0])
        assert result.rank == k
        expected = U_[:, :k].T @ b / s[:k]
        error = np.abs(Vt[:k] @ (result.x / scale) - expected)
        assert error.max() <= 1e-14 * condition * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 7), (8, 7), (5, 30), (200, 300), (1, 400)])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_square_and_wide(shape, ridge):
    A, b = normal(*shape), normal(shape[0], seed=1)
    if ridge == 0.0:
        expected, rank = np.linalg.lstsq(A, b)[0], min(shape)
    else:
        expected, rank = np.linalg.lstsq(*augmented(A, b, None, ridge))[0], shape[1]
    result = lstsq(A, b, ridge=ridge)
    np.testing.assert_allclose(result.x, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert result.rank == rank
    assert result.backward_error <= 10 * U


def test_wide_and_deficient():
    A = normal(40, 3) @ normal(3, 90, seed=1)
    b = normal(40, seed=2)
    result = lstsq(A, b)
    assert result.rank == 3
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, b)[0], atol=1e-13)
    with_zeros = np.hstack([A, np.zeros((40, 5))])
    np.testing.assert_allclose(lstsq(with_zeros, b).x[:90], result.x, atol=1e-13)


def test_zero_data():
    A, b = normal(3000, 4), normal(3000, seed=1)
    for n in (3000, 30):
        assert not lstsq(A[:n], 0 * b[:n]).x.any()
        nothing = lstsq(0 * A[:n], b[:n])
        assert not nothing.x.any()
        assert nothing.rank == 0
        assert nothing.residual_norm == pytest.approx(np.linalg.norm(b[:n]))
        assert not lstsq(0 * A[:n], b[:n], sketch_size=20).x.any()
    orthogonal = b - A @ np.linalg.lstsq(A, b)[0]
    assert np.abs(lstsq(A, orthogonal).x).max() < 1e-15


def test_coefficients_that_a_ridge_dominates_beside_dependent_columns():
    rng = np.random.default_rng(0)
    base = rng.integers(-9, 10, (40, 2, 2)).astype(float)
    A = np.concatenate([base, base.sum(axis=2, keepdims=True)], axis=2).reshape(40, 6)
    A[:, 3:] *= 2.0**100
    B = rng.integers(-9, 10, (40, 3)).astype(float)
    ridge = 2.0**58  # large beside the first plane, nothing beside the second
    result = lstsq(A, B, ridge=ridge)
    plane = base[:, 1]
    rest = B - plane @ np.linalg.lstsq(plane, B)[0]
    np.testing.assert_allclose(result.x[:3], A[:, :3].T @ rest / ridge, rtol=1e-9)
    assert result.backward_error <= 10 * U


@pytest.mark.parametrize("gap", [0, 14])
@pytest.mark.parametrize("powers", [0, 40])
@pytest.mark.parametrize(("n", "r"), [(7, 4), (40, 3)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_small_ridge_beside_dependent_columns(gap, powers, n, r, seed):
    """Of them r are independent, two of which differ by 2^-gap of their size."""
    rng = np.random.default_rng(seed)
    base = np.round(rng.standard_normal((n, r)) * 2**20)
    base[:, -1] += 2.0**gap * base[:, 0]
    A = np.hstack([base, base @ rng.integers(-3, 4, (r, r))])
    A, b = np.ldexp(A, rng.permutation(np.linspace(0, powers, 2 * r).astype(int))), normal(n)
    for ridge in 4.0 ** np.array([-24, -10, -4, 2, 10]):
        result = lstsq(A, b, ridge=ridge)
        best, _ = exact_least_sum(A, b, np.ones(n), ridge)
        least = penalized_sum(A, b, np.ones(n), ridge, result.x)
        assert least <= best * (1 + Fraction(1e-9))
        assert result.residual_norm == pytest.approx(float(least) ** 0.5, rel=1e-6)
        assert result.backward_error <= 1e-12
        if gap == powers == 0:
            expected = exact_solution(*augmented(A, b, None, ridge))
            np.testing.assert_allclose(result.x, expected, atol=1e-7 * np.abs(expected).max())

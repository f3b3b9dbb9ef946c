"""Full precision: backward and forward errors, rank, scales, kinds of input, methods."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import qr, solve_triangular
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla import SRHT, CountSketch, _parallel, lstsq
from randla._tall.dense import DenseMatrix
from randla._tall.open import open_operand
from randla._tall.problem import ScaledProblem
from randla.datasets import ill_conditioned
from randla.regression._least_squares import choice, problem
from randla.regression._least_squares.options import LstsqWarning
from randla.regression._least_squares.problem import as_problem
from randla.regression._solvers import cholesky as cholesky_module
from randla.regression._solvers.backward_error import measure_backward_error
from randla.regression._solvers.preconditioner import TriangularPreconditioner
from randla.regression._solvers.refinement import Solution
from tests.regression.least_squares_reference import (
    augmented,
    backward_error,
    columnwise_backward_error,
    exact_least_sum,
    exact_shortest,
    exact_solution,
    penalised_sum,
)

U = 2.0**-53
METHODS = ("auto", "cholesky", "sketch-cholesky", "iterative", "lsqr", "lapack")
STABLE = tuple(m for m in METHODS if m != "cholesky")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def householder(A, b):
    Q, R = qr(A, mode="economic")
    return solve_triangular(R, Q.T @ b)


# Accuracy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [1.0, 1e-3, 0.0])
@pytest.mark.parametrize("condition", [1e0, 1e2, 1e4, 1e6, 1e7, 1e8, 1e10, 1e12, 1e14])
@pytest.mark.parametrize("shape", [(1500, 20), (300, 8), (40, 20)])
def test_backward_error(shape, condition, residual):
    A, b, _ = ill_conditioned(*shape, condition=condition, residual=residual, rng=1)
    result = lstsq(A, b, rng=0)
    assert backward_error(A, b, result.x) <= 10 * U
    assert result.backward_error <= 10 * U
    assert result.rank == shape[1]
    assert result.converged


@pytest.mark.parametrize("method", STABLE)
@pytest.mark.parametrize("condition", [1e2, 1e9, 1e12])
@pytest.mark.parametrize("residual", [1.0, 1e-6])
def test_backward_error_of_each_method(method, condition, residual):
    A, b, _ = ill_conditioned(2000, 25, condition=condition, residual=residual, rng=2)
    result = lstsq(A, b, method=method, rng=0)
    assert backward_error(A, b, result.x) <= 10 * U
    assert result.method == (
        "sketch-cholesky" if method == "auto" and condition > 1e8 else result.method
    )


@pytest.mark.parametrize("residual", [1.0, 1e-5, 0.0])
@pytest.mark.parametrize("condition", [1e1, 1e5, 1e9, 1e12])
def test_forward_error_is_that_of_householder(condition, residual):
    errors = {"peer": 0.0, **dict.fromkeys(STABLE, 0.0)}
    for seed in range(3):
        A, b, _ = ill_conditioned(3000, 7, condition=condition, residual=residual, rng=seed)
        exact = exact_solution(A, b)
        answers = {m: lstsq(A, b, method=m, rng=0).x for m in STABLE}
        for name, x in {"peer": householder(A, b), **answers}.items():
            error = np.linalg.norm(x - exact) / np.linalg.norm(exact)
            errors[name] = max(errors[name], error)
    # Where no digit is left (condition 1e12 and a residual) the sizes of the errors are chance.
    limit = (30 if errors["peer"] > 0.1 else 10) * max(errors["peer"], U)
    assert all(errors[m] <= limit for m in STABLE), errors


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 30.0])
@pytest.mark.parametrize("k", [None, 1, 5])
def test_options_agree_with_the_rows_written_out(method, weighted, ridge, k):
    A, b = normal(1200, 18), normal(1200, *([] if k is None else [k]), seed=1)
    weights = np.random.default_rng(2).exponential(size=1200) if weighted else None
    rows, rhs = augmented(A, b, weights, ridge)
    expected = np.linalg.lstsq(rows, rhs)[0]
    result = lstsq(A, b, method=method, ridge=ridge, weights=weights, rng=0)
    np.testing.assert_allclose(result.x, expected, rtol=0, atol=1e-14)
    norm = np.linalg.norm(rhs - rows @ expected, axis=0)
    np.testing.assert_allclose(result.residual_norm, norm, rtol=1e-12)
    assert result.x.shape == expected.shape
    assert np.shape(result.residual_norm) == (() if k is None else (k,))


def test_several_right_hand_sides_are_solved_one_by_one():
    A, B = normal(2500, 10), normal(2500, 4, seed=1) * [1.0, 1e-200, 1e200, 0.0]
    together = lstsq(A, B).x
    for j in range(4):
        alone = lstsq(A, B[:, j]).x
        scale = max(np.abs(alone).max(), 1e-300)
        np.testing.assert_allclose(together[:, j] / scale, alone / scale, rtol=0, atol=1e-14)


@pytest.mark.parametrize("residual", [1.0, 1e-8, 0.0])
@pytest.mark.parametrize("condition", [1e0, 1e1, 1e2, 1e3, 1e9])
@pytest.mark.parametrize("single_from", [1, 1000])
def test_gram_matrices_in_single_precision(condition, residual, single_from, monkeypatch):
    monkeypatch.setattr(cholesky_module, "SINGLE_FROM", single_from)
    monkeypatch.setattr(choice, "_ITERATIVE_FROM", 1000)
    A, b, _ = ill_conditioned(6000, 7, condition=condition, residual=residual, rng=4)
    result, exact = lstsq(A, b, rng=0), exact_solution(A, b)
    assert backward_error(A, b, result.x) <= 10 * U
    scale = np.linalg.norm(exact)
    peer = np.linalg.norm(householder(A, b) - exact)
    assert np.linalg.norm(result.x - exact) <= 10 * max(peer, U * scale)


def single_precision_is_tried(A, b, monkeypatch):
    """Solve, and whether a Gram matrix in float32 was made."""
    seen, normal_equations = [], DenseMatrix.normal_equations

    def recorded(matrix, B, *, single=False):
        seen.append(single)
        return normal_equations(matrix, B, single=single)

    monkeypatch.setattr(DenseMatrix, "normal_equations", recorded)
    result = lstsq(A, b)
    assert backward_error(A, b, result.x) <= 10 * U
    return sum(seen) == 1


def test_single_precision_where_it_fits(monkeypatch):
    A, b = normal(20_000, 80), normal(20_000, seed=1)
    assert single_precision_is_tried(A, b, monkeypatch)
    assert single_precision_is_tried(A * 1e9, b, monkeypatch)
    for scale in (1e-15, 1e15):
        assert not single_precision_is_tried(A * np.append(np.ones(79), scale), b, monkeypatch)
    assert not single_precision_is_tried(A[:2000], b[:2000], monkeypatch)


@pytest.mark.parametrize("kind", ["overflow", "underflow", "ill-conditioned"])
def test_rows_that_mislead_the_first_look(kind, monkeypatch):
    # It looks at every 125th row.
    A, b = normal(20_000, 80), normal(20_000, seed=1)
    others = np.arange(20_000) % 125 != 0
    if kind == "overflow":
        A[7] *= 1e25
    elif kind == "underflow":
        A[others] *= 1e-30
    else:
        A[others, 0] = A[others, 1] * (1 + 1e-5 * A[others, 0])
        A[~others] *= 1e-5
    assert single_precision_is_tried(A, b, monkeypatch)


# Scales ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2000, 15), (60, 4)])
def test_columns_of_any_scale(method, shape):
    A, b = normal(*shape), normal(shape[0], seed=1)
    scale = 10.0 ** np.random.default_rng(2).uniform(-150, 150, shape[1])
    scale[:2] = 1e150, 1e-150
    result = lstsq(A * scale, b, method=method, rng=0)
    np.testing.assert_allclose(result.x * scale, np.linalg.lstsq(A, b)[0], rtol=1e-11, atol=1e-14)
    assert result.rank == shape[1]


@pytest.mark.parametrize("method", METHODS)
def test_columns_scaled_by_powers_of_two_give_the_same_bits(method):
    A, b = normal(2000, 15), normal(2000, seed=1)
    scale = 2.0 ** np.random.default_rng(2).integers(-40, 40, 15)
    plain = lstsq(A, b, method=method, rng=0).x
    assert np.array_equal(lstsq(A * scale, b, method=method, rng=0).x * scale, plain)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
@pytest.mark.parametrize("shape", [(2000, 15), (60, 4), (4, 9)])
def test_global_scales(shape, scale):
    A, b = normal(*shape), normal(shape[0], seed=1)
    expected = np.linalg.lstsq(A, b)[0]
    np.testing.assert_allclose(lstsq(A * scale, b).x * scale, expected, rtol=1e-12, atol=1e-14)
    scaled = lstsq(A, b * scale)
    np.testing.assert_allclose(scaled.x / scale, expected, rtol=1e-12, atol=1e-14)
    if shape[0] > shape[1]:
        norm = np.linalg.norm(b - A @ expected)
        np.testing.assert_allclose(scaled.residual_norm / scale, norm, rtol=1e-12)
    both = lstsq(A * scale, b * scale)
    np.testing.assert_allclose(both.x, expected, rtol=1e-12, atol=1e-14)


def test_a_ridge_and_weights_scale_with_the_data():
    A, b = normal(500, 4), normal(500, seed=1)
    expected = lstsq(A, b, ridge=7.0).x
    for scale in (1e-150, 1e-60, 1e60, 1e150):
        scaled = lstsq(A * scale, b, ridge=7.0 * scale**2).x * scale
        np.testing.assert_allclose(scaled, expected, rtol=1e-12)
        weighted = lstsq(A, b, ridge=7.0 * scale, weights=np.full(500, scale)).x
        np.testing.assert_allclose(weighted, expected, rtol=1e-12)


def test_a_coefficient_beyond_float64_is_an_error():
    with pytest.raises(ValueError, match="exceed the largest float64"):
        lstsq(normal(50, 2) * 1e-200, normal(50, seed=1) * 1e200)


def test_heavy_and_empty_rows():
    A, b = normal(3000, 12), normal(3000, seed=1)
    A[7] *= 1e8
    A[100:2000] = 0.0
    b[20] = 1e8
    assert backward_error(A, b, lstsq(A, b).x) <= 10 * U


def test_large_weights_ratios():
    A, b = normal(3000, 6), normal(3000, seed=1)
    weights = 10.0 ** np.random.default_rng(2).uniform(-6, 6, 3000)
    rows, rhs = augmented(A, b, weights)
    x = lstsq(A, b, weights=weights).x
    assert backward_error(rows[:3000], rhs[:3000], x) <= 10 * U


def test_rows_of_weight_zero_do_not_count():
    A, b = normal(400, 3), normal(400, seed=1)
    weights = np.repeat([1.0, 0.0], 200)
    x = lstsq(A, b, weights=weights).x
    np.testing.assert_allclose(x, np.linalg.lstsq(A[:200], b[:200])[0], atol=1e-13)


# Rank --------------------------------------------------------------------------------------------


def deficient(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, 6))
    if kind == "duplicates":
        return np.hstack([B, B[:, :2], B[:, :1]]), 6
    if kind == "sums":
        return np.hstack([B, B @ rng.standard_normal((6, 3))]), 6
    if kind == "product":
        return B[:, :4] @ rng.standard_normal((4, 9)), 4
    if kind == "zeros":
        return np.hstack([np.zeros((n, 1)), B, np.zeros((n, 2))]), 6
    if kind == "one-hot":
        A = np.eye(7)[rng.integers(7, size=n)]
        return np.hstack([A, np.ones((n, 1))]), 7
    if kind == "centred one-hot":
        A = np.eye(7)[rng.integers(7, size=n)]
        return A - A.mean(axis=0), 6
    if kind == "scaled":
        return np.hstack([B, B @ rng.standard_normal((6, 2))]) * 10.0 ** np.arange(-4, 4), 6
    return np.outer(rng.standard_normal(n), rng.standard_normal(8)), 1


KINDS = (
    "duplicates",
    "sums",
    "product",
    "zeros",
    "one-hot",
    "centred one-hot",
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


def dependent(kind, n, decades, rng):
    """Small integers times powers of two: columns that depend on one another exactly."""
    span = int(decades * np.log2(10.0))
    if kind == "planes":  # of one scale each
        base = rng.integers(-9, 10, (n, 4, 2))
        A = np.concatenate([base, base.sum(axis=2, keepdims=True)], axis=2).reshape(n, 12)
        exponents = np.repeat(np.linspace(0, -span, 4).astype(int), 3)
    elif kind == "copies":
        A = np.tile(rng.integers(-9, 10, (n, 4)), (1, 3))
        exponents = rng.integers(-span, 1, 12)
    elif kind == "mixtures":  # of columns of any scale
        base = rng.integers(-9, 10, (n, 6))
        A = np.hstack([base, base @ rng.integers(-3, 4, (6, 5))])
        exponents = rng.integers(-span, 1, 11)
    else:  # "sums", of columns of neighbouring scales
        base = rng.integers(-9, 10, (n, 5))
        A = np.hstack([base, base[:, :4] + base[:, 1:]])
        exponents = np.sort(rng.integers(-span, 1, 9))[::-1]
    A, exponents = A[:, A.any(axis=0)], exponents[A.any(axis=0)]
    order = rng.permutation(len(exponents))
    return np.ldexp(A.astype(float), exponents)[:, order]


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
            least = penalised_sum(A, b, weights, ridge, result.x)
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
    rows, _ = as_problem(open_operand(A), b, None, 0.0)
    R = np.linalg.qr(A, mode="r")
    solution = Solution(x[:, None], None, TriangularPreconditioner(R), 4, None, None, 0, "lapack")
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


# Kinds of input ----------------------------------------------------------------------------------


def test_layouts_are_read_as_they_lie():
    A, b = normal(3000, 12), normal(3000, seed=1)
    expected = lstsq(A, b).x
    wide = np.zeros((3000, 36))
    wide[:, ::3] = A
    tall = np.zeros((9000, 12))
    tall[::-3] = A
    for layout in (np.asfortranarray(A), wide[:, ::3], tall[::-3], A[::-1], A[:, ::-1], A.tolist()):
        flipped = layout is not None and np.shares_memory(np.asarray(layout), A)
        for method in ("cholesky", "sketch-cholesky", "lapack"):
            x = lstsq(layout, b, method=method, rng=0).x
            reference = np.linalg.lstsq(np.asarray(layout), b)[0] if flipped else expected
            np.testing.assert_allclose(x, reference, rtol=0, atol=1e-15)


@pytest.mark.compiled
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("method", ["cholesky", "sketch-cholesky", "iterative"])
def test_no_copy_is_made(order, method):
    import tracemalloc

    A = np.asarray(normal(60_000, 20), order=order)
    b = normal(60_000, seed=1)
    for matrix in (A, A.astype(np.float32)):
        lstsq(matrix, b, method=method, rng=0)  # compiles
        tracemalloc.start()
        lstsq(matrix, b, method=method, weights=b * b, ridge=1.0, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.7 * A.nbytes


@pytest.mark.parametrize("condition", [1e2, 1e10])
def test_float32_is_solved_in_double_precision(condition):
    A, b, _ = ill_conditioned(4000, 12, condition=condition, rng=0)
    A = A.astype(np.float32)
    for method in STABLE:
        result = lstsq(A, b, method=method, rng=0)
        assert backward_error(A.astype(float), b, result.x) <= 10 * U
        assert result.x.dtype == np.float64


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("method", METHODS)
def test_sparse(make, method, monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    A = make(sparse.random(3000, 20, density=0.2, random_state=0))
    b, weights = normal(3000, 2, seed=1), np.random.default_rng(2).exponential(size=3000)
    for options in ({}, {"weights": weights, "ridge": 2.0}):
        expected = np.linalg.lstsq(*augmented(A.toarray(), b, **options))[0]
        x = lstsq(A, b, method=method, rng=0, **options).x
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["random", "graded", "fixed effects"])
def test_sparse_with_many_columns(kind, monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    rng = np.random.default_rng(0)
    A = sparse.csr_array(sparse.random(3000, 400, density=0.01, random_state=0))
    if kind == "graded":
        A = sparse.csr_array(A * np.geomspace(1.0, 1e-7, 400))
    elif kind == "fixed effects":  # of two groupings, whose indicators both add up to one
        groups = [np.eye(200)[rng.integers(200, size=3000)] for _ in range(2)]
        A = sparse.csr_array(np.hstack(groups))
    b = normal(3000, 2, seed=1)
    result = lstsq(A, b, rng=0)
    assert result.converged
    assert result.method == ("cholesky" if kind == "graded" else "lsqr")
    expected = np.linalg.pinv(A.toarray(), rcond=1e-12) @ b
    scale = np.abs(A).max(axis=0).toarray() if kind == "graded" else np.ones(400)
    np.testing.assert_allclose(
        result.x * scale[:, None],
        expected * scale[:, None],
        rtol=0,
        atol=1e-8 if kind == "graded" else 1e-12,
    )


@pytest.mark.parametrize("ratio", [1e-6, 1e-10, 1e-20, 1e-200])
@pytest.mark.parametrize("shape", [(3000, 400), (300, 900)])
@pytest.mark.parametrize("make", [sparse.csr_array, aslinearoperator])
def test_products_with_columns_of_two_scales(make, shape, ratio, monkeypatch):
    """LSQR stops at an error relative to the largest columns, and must not overlook the others."""
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    A = sparse.random(*shape, density=0.05, random_state=0, format="csr")
    b = normal(shape[0], seed=1) + A[:, 100:] @ np.ones(shape[1] - 100)
    scale = np.where(np.arange(shape[1]) < 100, 1.0, ratio)
    if make is aslinearoperator and (ratio < 1e-100 or shape[0] > shape[1]):
        return  # columns beyond the range of operators; another method
    result = lstsq(make(sparse.csr_array(A.multiply(scale))), b)
    assert result.converged
    best = np.linalg.norm(b - A @ np.linalg.lstsq(A.toarray(), b)[0])
    residual = np.linalg.norm(b - A @ (scale * result.x))
    assert residual <= best * (1 + 1e-9) + 1e-8 * np.linalg.norm(b)


@pytest.mark.parametrize("scale", [1e-200, 1e-60, 1e60])
def test_lsqr_on_small_and_large_matrices(scale, monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    A = sparse.random(300, 900, density=0.05, random_state=0, format="csr")
    b = normal(300, seed=1)
    x = lstsq(sparse.csr_array(A * scale), b).x
    np.testing.assert_allclose(x * scale, np.linalg.lstsq(A.toarray(), b)[0], atol=1e-12)


@pytest.mark.parametrize("make", [sparse.csr_array, aslinearoperator])
def test_a_ridge_with_lsqr(make, monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    A = sparse.random(300, 900, density=0.05, random_state=0, format="csr")
    b = normal(300, seed=1)
    for ridge in (1e-2, 1.0):
        result = lstsq(make(A), b, ridge=ridge)  # a warning would be an error
        assert result.converged
        expected = np.linalg.lstsq(*augmented(A.toarray(), b, None, ridge))[0]
        np.testing.assert_allclose(result.x, expected, atol=1e-12)


def test_a_large_sparse_matrix_of_zeros():
    result = lstsq(sparse.csr_array((5000, 1000)), normal(5000))
    assert not result.x.any()
    assert result.residual_norm == pytest.approx(np.linalg.norm(normal(5000)))


def test_sparse_that_is_nearly_dense_or_badly_scaled(monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    b = normal(3000, seed=1)
    for A in (
        sparse.random(3000, 20, density=0.01, random_state=0).toarray(),
        normal(3000, 20) * np.append(10.0 ** np.arange(-150, 130, 15), 0.0),
        deficient("one-hot", 3000)[0],
        ill_conditioned(3000, 20, condition=1e11, rng=0)[0],
    ):
        result, dense = lstsq(sparse.csr_array(A), b, rng=0), lstsq(A, b, rng=0)
        assert result.rank == dense.rank
        if result.rank == A.shape[1]:
            assert backward_error(A, b, result.x) <= 10 * U
        else:
            scale = np.abs(A).max(axis=0)
            np.testing.assert_allclose(result.x * scale, dense.x * scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("condition", [1e1, 1e8, 1e12])
@pytest.mark.parametrize("method", ["auto", "lsqr", "iterative"])
def test_operators(condition, method, monkeypatch):
    A, b, _ = ill_conditioned(3000, 20, condition=condition, rng=0)
    for limit in (0, 1 << 22):
        monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", limit)
        result = lstsq(aslinearoperator(A), b, method=method, rng=0)
        assert backward_error(A, b, result.x) <= 10 * U
        assert result.method == ("lsqr" if limit == 0 and method == "auto" else result.method)


def test_operators_with_options(monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    A, b = normal(2000, 12), normal(2000, 3, seed=1)
    A[:, 5] = 0.0
    options = {"weights": np.random.default_rng(2).exponential(size=2000), "ridge": 3.0}
    expected = np.linalg.lstsq(*augmented(A, b, **options))[0]
    for method in ("auto", "sketch-cholesky", "cholesky"):
        x = lstsq(aslinearoperator(A), b, method=method, rng=0, **options).x
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12)
    deficient_answer = lstsq(aslinearoperator(A), b, rng=0)
    assert deficient_answer.rank == 11
    np.testing.assert_allclose(deficient_answer.x, np.linalg.lstsq(A, b)[0], atol=1e-12)


@pytest.mark.parametrize("method", ["sketch-cholesky", "iterative", "lsqr"])
def test_a_preconditioner_of_too_few_rows_is_refused(method):
    """It would give the solution in a subspace, which nothing tells from that of low rank."""
    A, b = normal(500, 3), normal(500, seed=1)
    for options in ({"sketch_size": 2}, {"sketch": SRHT(2, 500, rng=0)}):
        with pytest.raises(ValueError, match="sketch_size must be at least 3"):
            lstsq(A, b, method=method, rng=0, **options)
        with pytest.raises(ValueError, match="sketch_size must be at least 3"):
            lstsq(A[:2], b[:2], method=method, sketch_size=2, ridge=1.0, rng=0)
    wide = normal(4, 9)  # whose rank is 4
    x = lstsq(wide, b[:4], method=method, sketch_size=8, rng=0).x
    np.testing.assert_allclose(x, np.linalg.lstsq(wide, b[:4])[0], rtol=1e-9)
    with pytest.raises(ValueError, match="sketch_size must be at most 128, the padded number"):
        lstsq(normal(100, 3), normal(100), method=method, sketch_size=200)


@pytest.mark.parametrize("sketch", ["gaussian", SRHT(30, 200, rng=0)])
def test_a_sketch_that_is_not_used_warns(sketch):
    A, b = normal(200, 3), normal(200, seed=1)
    for method in ("auto", "cholesky", "lapack"):
        with pytest.warns(LstsqWarning, match="sketch alone asks for no estimate"):
            assert not lstsq(A, b, sketch=sketch, method=method).is_estimate


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
        least = penalised_sum(A, b, np.ones(n), ridge, result.x)
        assert least <= best * (1 + Fraction(1e-9))
        assert result.residual_norm == pytest.approx(float(least) ** 0.5, rel=1e-6)
        assert result.backward_error <= 1e-12
        if gap == powers == 0:
            expected = exact_solution(*augmented(A, b, None, ridge))
            np.testing.assert_allclose(result.x, expected, atol=1e-7 * np.abs(expected).max())


def test_an_operator_that_loses_rank_is_refused_as_a_preconditioner():
    """Two columns of the identity fall together in 25 rows of a CountSketch."""
    A, b = np.zeros((2000, 20)), normal(2000)
    A[:20], A[20:25] = np.eye(20), normal(5, 20, seed=1)
    S = CountSketch(25, 2000, rng=0)
    for operand in (A, sparse.csr_array(A), aslinearoperator(A)):
        for method in ("sketch-cholesky", "iterative", "lsqr"):
            with pytest.raises(np.linalg.LinAlgError, match="loses rank that A has"):
                lstsq(operand, b, sketch=S, method=method)
    hard = A * np.geomspace(1.0, 1e-12, 20) @ normal(20, 20, seed=2)
    for operand in (hard, sparse.csr_array(hard)):
        with pytest.warns(LstsqWarning, match="sketch alone asks for no estimate"):
            result = lstsq(operand, b, sketch=S)
        assert result.rank == 20
        assert backward_error(hard, b, result.x) <= 10 * U


def test_an_operator_of_too_few_rows_is_refused_where_a_preconditioner_is_needed():
    A, b, _ = ill_conditioned(3000, 20, condition=1e12, rng=0)
    with (
        pytest.warns(LstsqWarning, match="sketch alone"),
        pytest.raises(ValueError, match="sketch_size must be at least 20"),
    ):
        lstsq(A, b, sketch=SRHT(10, 3000, rng=0))


@pytest.mark.parametrize("options", [{}, {"method": "iterative"}, {"eps": 0.1}])
def test_an_exact_answer_does_not_depend_on_chance(options):
    A, b, _ = ill_conditioned(3000, 20, condition=1e9, rng=0)
    first, second = lstsq(A, b, **options), lstsq(A, b, **options)
    assert not first.is_estimate
    np.testing.assert_array_equal(first.x, second.x)


@pytest.mark.parametrize("method", ["auto", "sketch-cholesky", "iterative", "lsqr"])
def test_operators_that_are_zero(method):
    result = lstsq(aslinearoperator(np.zeros((300, 4))), normal(300, 2), method=method, rng=0)
    assert not result.x.any()
    assert result.rank == 0
    assert result.converged


@pytest.mark.parametrize("options", [{"method": "lsqr"}, {"sketch_size": 40, "rng": 0}])
def test_operators_without_an_adjoint_are_refused(options):
    A = normal(200, 3)
    operator = LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=float)
    with pytest.raises(TypeError, match="A must have a product with its transpose"):
        lstsq(operator, normal(200, seed=1), **options)
    np.testing.assert_allclose(
        lstsq(operator, normal(200, seed=1)).x, lstsq(A, normal(200, seed=1)).x, rtol=1e-12
    )


def test_operators_that_misbehave(monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    A, b = normal(200, 3), normal(200)
    A[3, 1] = np.nan
    with pytest.raises(ValueError, match="A must be finite"):
        lstsq(aslinearoperator(A), b)
    with pytest.raises(ValueError, match="A must map arrays to real arrays"):
        lstsq(aslinearoperator(normal(200, 3) + 1j), b)
    with pytest.raises(ValueError, match="norms between"):
        lstsq(aslinearoperator(normal(200, 3) * 1e-200), b)


@pytest.mark.parametrize("shape", [(3000, 40), (40, 300)])
def test_lsqr_without_a_preconditioner(shape, monkeypatch):
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    monkeypatch.setattr(choice, "_MAX_GRAM", 0)
    monkeypatch.setattr(choice, "_MAX_SPARSE_FACTOR", 0)
    A, b = normal(*shape), normal(shape[0], 2, seed=1)
    result = lstsq(sparse.csr_array(A), b)
    assert result.method == "lsqr"
    assert result.rank is None
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, b)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{}, {"sketch_size": 40}, {"method": "iterative"}])
@pytest.mark.parametrize("shape", [(40_000, 30), (2000, 15), (90, 4), (4, 9)])
def test_numbers_that_are_not_finite_are_found_on_the_way(shape, options, value):
    if options and shape[0] < 100:
        return
    for i in (0, shape[0] - 1):
        A, b = normal(*shape), normal(shape[0], seed=1)
        A[i, -1] = value
        with pytest.raises(ValueError, match="A must be finite"):
            lstsq(A, b, **options)
        A[i, -1], b[i] = 1.0, value
        with pytest.raises(ValueError, match="b must be finite"):
            lstsq(A, b, **options)
        with pytest.raises(ValueError, match="b must be finite"):
            lstsq(A, np.column_stack([0.0 * A[:, 0], b]), **options)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0)])
def test_empty(shape):
    with pytest.raises(ValueError, match="A must have rows and columns"):
        lstsq(np.zeros(shape), np.zeros(shape[0]))
    with pytest.raises(ValueError, match="b must have at least one column"):
        lstsq(np.ones((5, 2)), np.zeros((5, 0)))


# Methods -----------------------------------------------------------------------------------------


def test_auto_chooses_by_shape_and_conditioning():
    assert lstsq(normal(50, 3), normal(50)).method == "lapack"
    assert lstsq(normal(600, 300), normal(600)).method == "lapack"
    assert lstsq(normal(5000, 20), normal(5000)).method == "cholesky"
    A, b, _ = ill_conditioned(5000, 20, condition=1e9, rng=0)
    result = lstsq(A, b, rng=0)
    assert result.method == "sketch-cholesky"
    assert result.n_passes <= 5


@pytest.mark.parametrize("sketch", ["srht", "block-srht", "gaussian", "sparse-sign", "count"])
@pytest.mark.parametrize("method", ["sketch-cholesky", "iterative", "lsqr"])
def test_every_sketch_preconditions(sketch, method):
    A, b, _ = ill_conditioned(2000, 10, condition=1e10, rng=0)
    result = lstsq(A, b, method=method, sketch=sketch, sketch_size=200, rng=0)
    assert backward_error(A, b, result.x) <= 10 * U
    assert result.sketch_size is None


def test_a_sketch_of_subnormal_numbers_grows_to_all_rows_at_most():
    A, b = np.array([[5e-324, 1e-323, 2e-322]]), np.zeros(1)
    with pytest.raises(np.linalg.LinAlgError, match="loses rank that A has"):
        lstsq(A, b, method="iterative", rng=0)
    assert lstsq(A, b).rank == 1


def test_a_sketch_that_loses_rank_is_drawn_again():
    # CountSketch throws some of the 40 rows together: SA is singular, A is not.
    A = np.vstack([np.eye(40), np.zeros((2000, 40))])
    b = normal(2040)
    result = lstsq(A, b, method="sketch-cholesky", sketch="count", sketch_size=200, rng=0)
    np.testing.assert_allclose(result.x, b[:40], atol=1e-14)
    assert result.rank == 40


def test_progress_is_shown(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    A, b = normal(3000, 5), normal(3000, seed=1)
    quiet = lstsq(A, b, method="cholesky")
    monkeypatch.setattr(_parallel, "WORTH_A_BAR", 0.0)
    np.testing.assert_array_equal(lstsq(A, b, method="cholesky", progress=True).x, quiet.x)
    assert "lstsq: 100%" in capsys.readouterr().err
    lstsq(sparse.csr_array(A), b, method="lsqr", progress=True)
    assert "steps of LSQR" in capsys.readouterr().err
    with pytest.raises(TypeError, match="progress must be True or False, got 1"):
        lstsq(A, b, progress=1)


def test_cholesky_says_when_it_fails():
    A, b, _ = ill_conditioned(2000, 10, condition=1e9, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LstsqWarning)
        with pytest.raises((LstsqWarning, np.linalg.LinAlgError)):
            lstsq(A, b, method="cholesky")
    with pytest.raises(np.linalg.LinAlgError, match="use method='auto'"):
        lstsq(np.hstack([A, A]), b, method="cholesky")


def test_a_method_that_stops_short_warns():
    A, b = normal(60, 50), normal(60, seed=1)
    with pytest.warns(LstsqWarning, match="stopped at a backward error") as caught:
        result = lstsq(A, b, method="iterative", sketch="sparse-sign", sketch_size=52, rng=0)
    assert not result.converged
    assert caught[0].filename == __file__


@pytest.mark.parametrize("shape", [(300_000, 4), (30_000, 40), (6000, 200)])
@pytest.mark.parametrize("condition", [1e2, 1e10])
def test_the_same_for_any_number_of_threads(shape, condition, each_thread_count):
    A = normal(*shape) * np.geomspace(1.0, 1.0 / condition, shape[1])
    A = A @ normal(shape[1], shape[1], seed=1)
    b = normal(shape[0], seed=2)
    first, *others = each_thread_count(lambda: lstsq(A, b, rng=0).x)
    assert all(np.array_equal(first, other) for other in others)


# Parts -------------------------------------------------------------------------------------------


def residual_pass(A, b, x, **options):
    """Gradient and squared residual as the refinement sees them."""
    rows = ScaledProblem(DenseMatrix(A), b[:, None], **options)
    g, squares = rows.residual(x[:, None])
    return g[:, 0], squares[0]


@pytest.mark.parametrize("shape", [(7, 3), (1000, 1), (4097, 9), (130_000, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_gradient_is_summed_with_care(shape, order):
    A, b = np.asarray(normal(*shape), order=order), normal(shape[0], seed=1)
    x = np.linalg.lstsq(A, b)[0]
    r = b - A.astype(np.longdouble) @ x
    g, squares = residual_pass(A, b, x)
    assert squares == pytest.approx(float(r @ r), rel=1e-13, abs=1e-25)
    # The entries nearly cancel. What is left of n roundings is far below sqrt(n) of them.
    exact = (A.T.astype(np.longdouble) @ r).astype(float)
    size = np.linalg.norm(A, axis=0) * float(np.sqrt(r @ r))
    assert np.abs((g - exact) / np.maximum(size, 1e-300)).max() < 0.25 * U or shape[0] < 100


def test_the_carry_of_a_compensated_sum_counts():
    # In each of two runs of 64 rows the sum is 2^53 + 1; plainly the ones are lost.
    A = np.zeros((256, 1))
    A[[0, 64, 128, 192], 0] = 2.0**53, 1.0, 1.0, -(2.0**53)
    g, _ = residual_pass(A, np.ones(256), np.zeros(1))
    assert g[0] == 2.0


@pytest.mark.parametrize("condition", [1e1, 1e6])
@pytest.mark.parametrize("residual", [1.0, 1e-6])
@pytest.mark.parametrize("k", [1, 6])
def test_the_estimate_of_the_backward_error(condition, residual, k):
    A, b, x = ill_conditioned(500, 6, condition=condition, residual=residual, rng=0)
    b, x = 30.0 * b, 30.0 * x
    R = np.linalg.qr(A, mode="r")
    factor = TriangularPreconditioner(R)
    for size in (1e-2, 1e-7):
        X = x[:, None] + size * normal(6, k, seed=1)
        r = b[:, None] - A @ X
        g = A.T @ r
        estimate = factor.backward_error(g, factor.adjoint(g), X, (r**2).sum(axis=0))
        expected = [plain_backward_error(A, b, X[:, j]) for j in range(k)]
        np.testing.assert_allclose(estimate, expected, rtol=0.05)


def plain_backward_error(A, b, x):
    _, s, Vt = np.linalg.svd(A, full_matrices=False)
    r = b - A @ x
    size = np.linalg.norm((Vt @ (A.T @ r)) / np.sqrt(s**2 + (r @ r) / (x @ x)))
    return min(size, np.linalg.norm(r)) / (np.linalg.norm(x) * s[0])

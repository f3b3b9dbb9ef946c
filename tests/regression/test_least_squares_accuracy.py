"""Accuracy of `lstsq`: backward and forward errors, single precision, sums and estimates."""

import numpy as np
import pytest

from randla import lstsq
from randla._tall.dense import DenseMatrix
from randla._tall.problem import ScaledProblem
from randla.datasets import ill_conditioned
from randla.regression._solvers import cholesky
from randla.regression._solvers.preconditioner import TriangularPreconditioner
from tests.data import normal
from tests.regression.least_squares_reference import (
    METHODS,
    STABLE,
    U,
    augmented,
    backward_error,
    exact_solution,
    householder,
)


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
    # A patch, as the exact solution with 64 columns takes minutes.
    monkeypatch.setattr(cholesky, "SINGLE_FROM", single_from)
    A, b, _ = ill_conditioned(6000, 7, condition=condition, residual=residual, rng=4)
    result, exact = lstsq(A, b, rng=0), exact_solution(A, b)
    assert backward_error(A, b, result.x) <= 10 * U
    scale = np.linalg.norm(exact)
    peer = np.linalg.norm(householder(A, b) - exact)
    assert np.linalg.norm(result.x - exact) <= 10 * max(peer, U * scale)


def single_precision_is_tried(A, b, monkeypatch):
    """Solve, and whether a Gram matrix in float32 was made."""
    seen, normal_equations = [], DenseMatrix.normal_equations

    def recorded(matrix, B, P, *, triangular, single):
        seen.append(single and P is None)
        return normal_equations(matrix, B, P, triangular=triangular, single=single)

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

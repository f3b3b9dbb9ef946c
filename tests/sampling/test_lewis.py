"""Lewis weights: the fixed point, its bounds, the rate of the iteration, invariances."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from randla._tall.dense import DenseMatrix
from randla._tall.whitening import whiten
from randla.sampling import leverage_scores, lewis_weights
from randla.sampling._scores.anderson import AndersonAcceleration
from randla.sampling._scores.lewis import log_error, solve_lewis
from randla.sampling._scores.result import NotConvergedWarning
from tests.sampling.matrices import MATRICES
from tests.sampling.reference import lewis_ratio

POWERS = [0.25, 0.5, 1, 1.2, 1.5, 2, 3, 4, 6, 10, 30]
each_matrix = pytest.mark.parametrize("A", MATRICES.values(), ids=MATRICES)


@each_matrix
@pytest.mark.parametrize("p", [0.5, 1, 1.5, 3, 6, 10])
def test_fixed_point(A, p):
    w = lewis_weights(A, p, rtol=1e-9)
    assert np.abs(np.log(lewis_ratio(A, p, w.values))).max() <= w.residual <= 1e-9
    assert abs(w.sum() - A.shape[1]) < 1e-7
    assert w.certified
    assert (w.kind, w.p) == ("lewis", p)


@each_matrix
@pytest.mark.parametrize("p", [0.25, 1, 3, 6, 30])
def test_bounds_enclose_the_weights_at_any_tolerance(A, p):
    if p == 30 and A.shape[1] > 5:
        return
    exact = lewis_weights(A, p, rtol=1e-8)
    for rtol in (0.5, 0.03, 1e-5):
        rough = lewis_weights(A, p, rtol=rtol)
        assert (rough.lower <= exact.upper).all()
        assert (exact.lower <= rough.upper).all()
        assert rough.n_iterations <= exact.n_iterations
    assert (exact.upper <= exact.lower * (1 + 1e-3)).all()


def test_gradient_of_the_convex_function_is_zero():
    A, p = MATRICES["pareto 0.7"], 6
    v = lewis_weights(A, p, rtol=1e-10).values ** (1 - 2 / p)
    g = np.einsum("ij,jk,ik->i", A, np.linalg.inv((A.T * v) @ A), A)
    np.testing.assert_allclose(g, v ** (2 / (p - 2)), rtol=1e-8)


@pytest.mark.parametrize("p", [1, 1.5, 3, 4])
def test_a_few_leverage_computations_are_enough_for_sampling(p):
    for A in MATRICES.values():
        assert lewis_weights(A, p, rtol=0.1).n_iterations <= 5
    assert lewis_weights(MATRICES["gaussian"], p, rtol=0.1).n_iterations <= 1 + p


def test_closed_forms():
    a = np.array([[1.0], [-2.0], [5.0]])
    for p in POWERS:
        share = np.abs(a[:, 0]) ** p / (np.abs(a[:, 0]) ** p).sum()
        np.testing.assert_allclose(lewis_weights(a, p, rtol=1e-10), share, rtol=1e-9)
        np.testing.assert_allclose(
            lewis_weights(np.tile(np.eye(3), (4, 1)), p), np.full(12, 0.25), rtol=1e-6
        )
        own = lewis_weights(MATRICES["own column"], p, rtol=1e-8)
        assert abs(own[7] - 1) < 1e-7
        assert own.upper[7] == 1


def test_leverage_at_two():
    A = MATRICES["positive"]
    np.testing.assert_allclose(lewis_weights(A, 2), leverage_scores(A), rtol=1e-12)
    assert lewis_weights(A, 2).n_iterations == 1


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    p=st.sampled_from([0.5, 1.0, 1.5, 3.0, 5.0]),
    copies=st.integers(2, 5),
)
def test_splitting_a_row_splits_its_weight(seed, p, copies):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((25, 3))
    w = lewis_weights(A, p, rtol=1e-9)
    split = np.vstack([A[1:] @ rng.standard_normal((3, 3)), np.zeros((copies, 3))])
    basis = np.linalg.lstsq(A[1:], split[: len(A) - 1], rcond=None)[0]
    split[len(A) - 1 :] = A[0] @ basis / copies ** (1 / p)
    again = lewis_weights(split, p, rtol=1e-9)
    np.testing.assert_allclose(again[: len(A) - 1], w[1:], rtol=1e-6)
    np.testing.assert_allclose(again[len(A) - 1 :], w[0] / copies, rtol=1e-6)


@pytest.mark.parametrize("p", [0.5, 1, 3, 6])
def test_zero_rows_and_dependent_columns(p):
    A = MATRICES["pareto 2"]
    spoiled = np.insert(np.c_[A, A[:, :2], np.zeros(len(A))], [0, 50], 0.0, axis=0)
    w = lewis_weights(spoiled, p, rtol=1e-9)
    assert w[0] == w[51] == w.upper[0] == 0
    np.testing.assert_allclose(np.delete(w, [0, 51]), lewis_weights(A, p, rtol=1e-9), rtol=1e-7)
    nothing = lewis_weights(np.zeros((4, 2)), p)
    assert (nothing == 0).all()
    assert (nothing.upper == 0).all()


@pytest.mark.parametrize("p", [0.5, 1, 4])
def test_scales_of_columns_do_not_matter(p):
    A = MATRICES["pareto 2"]
    scaled = lewis_weights(A * [1e-100, 1, 1e100, 1e-3], p)
    np.testing.assert_allclose(scaled, lewis_weights(A, p), rtol=1e-5)


@pytest.mark.parametrize("p", [1, 1.5, 3, 6])
def test_rows_of_very_different_size(p):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 4)) * 10.0 ** rng.uniform(-60, 60, (300, 1))
    w = lewis_weights(A, p, rtol=1e-3)
    assert abs(w.sum() - 4) < 1e-2
    assert w.residual <= 1e-3


def test_the_way_back():
    """A step that made things worse is undone, and a plain one taken from the best point."""
    for p, shrinks in ((1.5, [1.0, 1.0]), (6.0, [1.0, 0.5])):
        mixing = AndersonAcceleration(p, 0.1)
        x, good = np.zeros(3), np.array([0.1, -0.2, 0.1])
        mixing.step(x, good, 0.2, 1.0)
        for shrink in shrinks:
            back = mixing.step(x + 5, 10 * good, 2.0, 2.0)
            np.testing.assert_allclose(back, shrink * mixing.eta * good)
    mixing = AndersonAcceleration(6.0, 0.1)
    mixing.step(x, good, 0.2, 1.0)
    mixing.step(x + 5, 10 * good, 2.0, 0.5)  # the convex function fell: go on from there
    assert len(mixing.points) == 2


@each_matrix
@pytest.mark.parametrize("p", [80, 300])
def test_large_powers_converge(A, p):
    """The residual first rises there, only the convex function falls."""
    w = lewis_weights(A, p)
    assert w.certified
    heard = w.values > 1e-200  # light rows fall below the range of doubles
    assert np.abs(np.log(lewis_ratio(A[heard], p, w.values[heard]))).max() <= 1e-6


def test_a_step_too_far_at_a_large_power_is_taken_back_in_silence():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((400, 4)) * rng.pareto(0.7, (400, 1))
    assert lewis_weights(A, 1000, rtol=1e-3).n_iterations < 100  # exp(log w) overflows on the way


def test_all_leverage_computations_are_counted(monkeypatch):
    calls = []

    def counted(*args, **options):
        calls.append(args)
        return whiten(*args, **options)

    for module in ("lewis", "lewis_form"):
        monkeypatch.setattr(f"randla.sampling._scores.{module}.whiten", counted)
    A = np.random.default_rng(0).standard_normal((300, 4))
    with pytest.warns(NotConvergedWarning, match="in 30 iterations"):
        w = lewis_weights(A, 200, max_iterations=30)  # the best residual is that of the start
    assert w.n_iterations == len(calls) == 30
    assert (w.lower <= w.upper).all()


@pytest.mark.parametrize("p", [0.5, 1, 1.99, 2.01, 3.9, 4, 4.1, 10, 30])
def test_error_bound_is_monotone_and_continuous_where_two_rules_meet(p):
    errors = [log_error(p, delta, 10) for delta in (1e-12, 1e-9, 1e-6, 1e-3, 0.1, 1, 10)]
    assert errors == sorted(errors)
    assert errors[0] < 1e-8


def test_error_bound_of_two_powers():
    assert log_error(1.0, 0.1, 5) == pytest.approx(0.1)
    assert np.isinf(log_error(6.0, 1.0, 5))


def test_ending_early_is_said():
    A = MATRICES["pareto 0.7"]
    with pytest.warns(NotConvergedWarning, match="rtol=1e-06"):
        w = lewis_weights(A, 3, max_iterations=2)
    assert not w.certified
    assert w.residual > 1e-6
    exact = lewis_weights(A, 3, rtol=1e-9)
    assert (w.lower <= exact).all()
    assert (exact <= w.upper).all()


def test_state_belongs_to_the_weights():
    A = MATRICES["pareto 2"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = solve_lewis(DenseMatrix(A), 3.0, 1e-8, 50)
    X = A @ state.white.transform
    np.testing.assert_allclose((X.T * state.row_scale**2) @ X, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), state.norms, rtol=1e-12)
    np.testing.assert_allclose(state.first_norms**2, leverage_scores(A), rtol=1e-10)
    ratio = state.row_scale / np.exp(state.log_weights * (1 / 2 - 1 / 3))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


@pytest.mark.parametrize("size", [1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("p", [0.5, 1, 3, 5])
def test_square_matrices_need_no_iteration(size, p):
    for seed in range(5):
        A = np.random.default_rng(seed).standard_normal((4, 4))
        A[:, 1] = A[:, 0] + size * A[:, 1]
        for matrix in (A, np.r_[A, np.zeros((2, 4))]):
            w = lewis_weights(matrix, p)
            assert (w.values[:4] == 1.0).all()
            assert (w.certified, w.residual, w.n_iterations) == (True, 0.0, 1)


def test_an_iteration_ends_where_only_rounding_is_left():
    A = np.random.default_rng(0).standard_normal((50, 4))
    A[:, 1] = A[:, 0] + 1e-11 * A[:, 1]
    with pytest.warns(NotConvergedWarning):
        w = lewis_weights(A, 1, rtol=1e-9)
    assert w.n_iterations < 40

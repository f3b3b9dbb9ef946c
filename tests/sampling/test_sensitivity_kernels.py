"""What the solvers of single rows promise between their steps: floors, searches, selections."""

import numpy as np
import pytest
from scipy.optimize import brentq

from randla._kernels.panels import PANEL, fill
from randla._panels import Panels
from randla._tall.dense import DenseMatrix
from randla.sampling._kernels import sensitivity_max, sensitivity_one, sensitivity_power
from randla.sampling._scores.bounds import sensitivity_bounds


@pytest.mark.parametrize("p", [1.0001, 1.5, 1.99, 2.01, 2.5, 3.0, 4.0, 8.0, 50.0])
def test_the_floor_keeps_weights_within_twelve_orders(p):
    floor = sensitivity_power.floor_of(p)
    assert 0 < floor <= (1e-4 if p < 4 else 0.7)
    assert floor ** abs(p - 2) >= 1e-12


@pytest.mark.parametrize("p", [1.1, 1.5, 3.0, 6.0, 12.0])
@pytest.mark.parametrize("beyond", [0.2, 1.2, 1.5, 3.0])
def test_a_line_search_leaves_two_fifths_of_the_slope(p, beyond):
    """The first trial goes `beyond` times as far as the minimum."""
    floor = sensitivity_power.floor_of(p)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        r, noise = rng.standard_normal((2, PANEL))
        dr = -2 * r * rng.random(PANEL) + 0.2 * noise

        def value(s, r=r, dr=dr):
            return np.linalg.norm(r + s * dr, p)

        def slope(s, r=r, dr=dr):
            """Derivative of the logarithm of the value."""
            x = r + s * dr
            return (np.sign(x) * np.abs(x) ** (p - 1) * dr).sum() / (np.abs(x) ** p).sum()

        least = brentq(slope, 0, 50)
        trial, longest = beyond * least, max(beyond, 1.0) * least
        work = (*np.zeros((2, 1, PANEL)), np.empty((2, PANEL)))
        step, found = sensitivity_power.search(
            p, floor, value(0.0), slope(0.0), trial, longest, r[None], dr[None], -1, *work
        )
        assert found == pytest.approx(value(step), rel=1e-10)
        assert found < value(0.0)
        assert abs(slope(step)) <= 0.4 * abs(slope(0.0))


@pytest.mark.parametrize(
    "a", [[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [1.0, 1e-9, 0.0], [-1.0, 0.0, 1e-12], [0.0, 2.0, -1.0]]
)
def test_the_reflection_of_a_row_onto_the_first_axis(a):
    v, norm = np.empty(3), np.linalg.norm(a)
    sign = sensitivity_one.reflect(np.array(a), norm, v)
    H = np.eye(3) - np.outer(v, v)
    np.testing.assert_allclose(H @ a, [sign * norm, 0.0, 0.0], atol=1e-14 * norm)
    np.testing.assert_allclose(H @ H, np.eye(3), atol=1e-14)


def solve_rows(A, rows, rtol=1e-6):
    """Lower and upper bounds and iterations of rows of A, p = 1."""
    bounds = sensitivity_bounds(DenseMatrix(A), 1.0)
    X = np.ascontiguousarray(A @ bounds.state.white.transform)
    (n, d), k = X.shape, len(rows)
    P = Panels(n, d).fill(X).data
    lower, upper, iterations = np.zeros(k), np.zeros(k), np.zeros(k, np.int64)
    norms = np.linalg.norm(X, axis=1)
    sensitivity_one.bounds_of_rows(
        X[rows], rows, 0, k, X, norms, P, bounds.kappa, rtol, 0.0, lower, upper, iterations
    )
    return lower, upper, iterations


def test_rows_hardly_more_than_columns_are_all_kept():
    A = np.random.default_rng(0).standard_normal((60, 20))
    lower, upper, iterations = solve_rows(A, np.arange(60))
    assert (upper - lower <= 1e-6 * upper).all()
    assert iterations.max() <= 15


@pytest.mark.parametrize("design", ["even rows", "uneven rows"])
def test_a_selection_of_the_rows_needs_few_iterations(design):
    """Rows near the plane relative to their norm are selected, about as many as the last needed.

    Selected by their distance alone, or all of them, uneven rows take twice as many iterations.
    """
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4000, 5))
    if design == "uneven rows":
        A *= np.exp(2 * rng.standard_normal((4000, 1)))
    lower, upper, iterations = solve_rows(A, np.arange(0, 4000, 200))
    assert (upper - lower <= 1e-6 * upper).all()
    assert iterations.mean() <= 18


def test_the_first_selection_of_even_rows_is_large_enough():
    A = np.random.default_rng(0).standard_normal((20_000, 10))
    lower, upper, iterations = solve_rows(A, np.arange(0, 20_000, 4000))
    assert (upper - lower <= 1e-6 * upper).all()
    assert iterations.max() <= 15


@pytest.mark.parametrize("wanted", [10, 50, 100, 255, 511])
def test_a_threshold_leaves_three_quarters_of_the_wanted_number(wanted):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for scores in (np.exp(5 * rng.standard_normal(1000)), np.abs(rng.standard_cauchy(1000))):
            limit = sensitivity_one.threshold(scores, wanted, np.empty(512, np.int64))
            assert 0.75 * wanted <= (scores <= limit).sum() <= wanted


def test_ties_at_zero_are_not_looked_at_again_and_again(monkeypatch):
    rounds = []
    monkeypatch.setattr(sensitivity_one, "fill", lambda *args: rounds.append(fill(*args)))
    scores = np.r_[np.zeros(900), 1.0 + np.arange(100)]
    assert sensitivity_one.threshold.py_func(scores, 255, np.empty(512, np.int64)) == 0.0
    assert rounds == []


@pytest.mark.parametrize("p", [1.05, 3.0, 20.0])
def test_an_optimal_start_is_not_searched_from(p, monkeypatch):
    calls = []
    monkeypatch.setattr(sensitivity_power, "search", lambda *args: calls.append(args))
    groups = np.arange(600) % 3  # each row is one of equal rows: x = a is optimal
    X = np.eye(3)[groups] / np.sqrt(200)
    P = Panels(600, 3).fill(X).data
    low, high, count = np.empty(3), np.empty(3), np.empty(3, np.int64)
    kappa = float(200 ** abs(0.5 - 1 / p) * 3)
    sensitivity_power.bounds_of_rows.py_func(
        X[:3], np.arange(3), 0, 3, X, P, p, kappa, 1e-3, 0.0, low, high, count
    )
    assert calls == []
    np.testing.assert_allclose([low, high], 1 / 200, rtol=1e-3)


@pytest.mark.parametrize("p", [1.5, 3.0])
def test_a_certificate_allows_for_what_the_dual_point_lacks(p):
    """|a'x| <= t |X_- x| with t = norm (|z| + e) / (1 - e norm), so that e norm is
    (t - t_0) / (1 + t) for every e = kappa |a - X_-'z|."""
    X = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 3)))[0]
    P, kappas, shares = Panels(40, 3).fill(X).data, [0.0, 4e12, 8e12, 16e12], []
    for kappa in kappas:
        low, high, count = np.empty(40), np.empty(40), np.empty(40, np.int64)
        sensitivity_power.bounds_of_rows(
            X, np.arange(40), 0, 40, X, P, p, kappa, 0.9, 0.0, low, high, count
        )
        shares.append(high)
    shares = np.array(shares)[:, np.max(shares, axis=0) < 1.0]  # one is the bound without any step
    none, *others = (shares / (1.0 - shares)) ** (1.0 / p)  # t
    lacking = np.array([(t - none) / (1.0 + t) for t in others])
    assert (lacking[0] > 1e-5).sum() > 20
    np.testing.assert_allclose(lacking[1:], [2 * lacking[0], 4 * lacking[0]], rtol=1e-7, atol=1e-14)


def test_a_first_vertex_in_the_direction_of_a_row():
    """After that row, a has nothing left, and any direction in the face leads to a vertex."""
    X = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 4)))[0]
    for rows in (np.tile(np.eye(4), (3, 1)) / np.sqrt(3.0), np.concatenate([X, -X]) / np.sqrt(2.0)):
        norms, n = np.linalg.norm(rows, axis=1), len(rows)
        for a in rows:
            active, signs, r = np.empty(4, np.int64), np.empty(4), np.empty(n)
            work = np.empty(n), np.empty(4), np.empty((4, 4))
            assert sensitivity_max.first_vertex(rows, norms, a, active, signs, r, *work)
            x = np.linalg.solve(rows[active], signs)
            np.testing.assert_allclose(r, rows @ x, atol=1e-12)
            assert np.abs(r).max() < 1.0 + 1e-12

"""Expected sliced plans."""

import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest

from randla import expected_sliced_plan, sliced_wasserstein
from tests.transport.reference import clouds, unit_vectors


def plan_of_direction(x, y, a, b):
    """The monotone plan (n, m) of projections, by the north-west corner rule."""
    i, j, plan = np.argsort(x), np.argsort(y), np.zeros((len(x), len(y)))
    a, b, k, l = a[i].copy(), b[j].copy(), 0, 0
    while k < len(x) and l < len(y):
        mass = min(a[k], b[l])
        plan[i[k], j[l]] += mass
        a[k], b[l] = a[k] - mass, b[l] - mass
        k, l = (k + 1, l) if a[k] <= b[l] else (k, l + 1)
    return plan


@pytest.mark.parametrize("kind", ["equal", "unequal", "weighted"])
def test_plan_means_and_cost_by_their_definitions(kind):
    X, Y = clouds("gauss", 3, 8)
    Y = Y if kind == "equal" else Y[:5]
    a, b = np.ones(len(X)), np.ones(len(Y))
    given = ()
    if kind == "weighted":
        given = a, b = np.arange(8.0), np.arange(5.0, 0.0, -1.0)
    theta = unit_vectors(np.random.default_rng(0), 6, 3)
    a, b = a / a.sum(), b / b.sum()
    plans = np.array([plan_of_direction(X @ t, Y @ t, a, b) for t in theta])
    distances = np.linalg.norm(X[:, None] - Y, axis=2)
    kept = a > 0.0
    for p in (1.0, 2.0, 3.5):
        result = expected_sliced_plan(X, Y, *given, p=p, directions=theta)
        np.testing.assert_allclose(result.plan.toarray(), plans.mean(axis=0), atol=1e-14)
        assert result.cost == pytest.approx((plans.mean(axis=0) * distances**p).sum(), rel=1e-12)
        moved = plans.mean(axis=0)[kept] @ Y / a[kept, None]
        np.testing.assert_allclose(result.barycentric[kept], moved, rtol=1e-11, atol=1e-13)
        assert (result.barycentric[~kept] == X[~kept]).all()
        assert result.standard_error is None
        assert result.cost_standard_error is None


@pytest.mark.parametrize("m", [20, 13])
def test_the_plans_of_pot(m):
    ot = pytest.importorskip("ot")
    X, Y = clouds("gauss", 3, 20)
    theta = unit_vectors(np.random.default_rng(1), 15, 3)
    plan, cost = ot.expected_sliced_plan(X, Y[:m], projections=theta.T)
    result = expected_sliced_plan(X, Y[:m], directions=theta)
    np.testing.assert_allclose(result.plan.toarray(), plan, atol=1e-12)
    assert result.cost == pytest.approx(cost, rel=1e-10)


@pytest.mark.parametrize("d", [2, 5])
def test_errors_are_those_of_blocks(d):
    X, Y = clouds("gauss", d, 9)
    result = expected_sliced_plan(X, Y[:7], n_projections=40, rng=3)
    theta, n_blocks = result.direction_vectors, int(result.degrees_of_freedom) + 1
    assert (result.directions, n_blocks) == (("rqmc", 8) if d == 2 else ("orthogonal", 8))
    blocks = [
        expected_sliced_plan(X, Y[:7], directions=rows) for rows in theta.reshape(n_blocks, -1, d)
    ]
    moved = np.array([block.barycentric for block in blocks])
    np.testing.assert_allclose(result.barycentric, moved.mean(axis=0), rtol=1e-11, atol=1e-13)
    errors = moved.std(axis=0, ddof=1) / np.sqrt(n_blocks)
    np.testing.assert_allclose(result.standard_error, errors, rtol=1e-9, atol=1e-14)
    costs = np.array([block.cost for block in blocks])
    error = costs.std(ddof=1) / np.sqrt(n_blocks)
    assert result.cost_standard_error == pytest.approx(error, rel=1e-9)
    low, high = result.confidence_interval(0.9)
    assert (low < result.barycentric).all()
    assert (high > result.barycentric).all()


def test_the_cost_is_above_the_distance_and_exact_on_the_line():
    X, Y = clouds("gauss", 3, 30)
    assert expected_sliced_plan(X, Y, rng=0).cost > 3 * sliced_wasserstein(X, Y, rng=0).power
    line = expected_sliced_plan(X[:, 0], Y[:, 0])
    assert line.directions == "exact"
    assert line.cost_standard_error == 0.0
    assert line.cost == pytest.approx(sliced_wasserstein(X[:, 0], Y[:, 0]).power, rel=1e-12)
    np.testing.assert_allclose(np.sort(line.barycentric[:, 0]), np.sort(Y[:, 0]), rtol=1e-12)


def test_plans_of_equal_clouds_have_no_error_and_stay_in_the_hull():
    X, Y = clouds("shapes", 3, 40)
    same = expected_sliced_plan(X, X[::-1], n_projections=48, rng=0)
    np.testing.assert_allclose(same.barycentric, X, atol=1e-14)
    assert (same.standard_error < 1e-15).all()
    result = expected_sliced_plan(1e200 * X, 1e200 * Y, n_projections=48, rng=0)
    assert (result.barycentric <= 1e200 * Y.max(axis=0)).all()
    assert (result.barycentric >= 1e200 * Y.min(axis=0)).all()
    np.testing.assert_allclose(np.asarray(result.plan.sum(axis=1)).ravel(), 1 / 40, rtol=1e-12)


@pytest.mark.parametrize("d", [3, 70])
def test_a_plan_is_that_of_the_points_of_the_call(d):
    X, Y = clouds("gauss", d, 12)
    result, again = (expected_sliced_plan(X, Y, n_projections=8, rng=0) for _ in range(2))
    plan = again.plan.toarray()
    X[:], Y[:] = X[::-1].copy(), -Y
    np.testing.assert_array_equal(result.plan.toarray(), plan)
    if d == 70:  # what is kept: X, Y, the means and their errors, and little else
        assert len(pickle.dumps(result)) < 6 * X.nbytes


def test_the_page_for_users_of_pot_has_every_name():
    sliced = pytest.importorskip("ot.sliced")
    page = (Path(__file__).parents[2] / "docs" / "coming_from" / "pot.rst").read_text()
    names = {name for name, value in vars(sliced).items() if inspect.isfunction(value)}
    assert "expected_sliced_plan" in names
    assert not {name for name in names if name not in page}

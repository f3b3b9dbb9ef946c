"""Potentials of projected costs, and the derivatives in points and weights of both clouds."""

import numpy as np
import pytest

from randla.transport import sliced_wasserstein_gradient
from tests.transport.reference import clouds, cost_1d, projected_costs, unit_vectors

RNG = np.random.default_rng(2)
POWERS = [1.0, 1.5, 2.0, 3.0]
SIZES = [(8, 8), (9, 6), (7, 5), (12, 4), (1, 3)]


def matched(x, y, a, b):
    """Pairs (i, j) that the monotone coupling gives mass, from the levels."""
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    levels_x, levels_y = np.cumsum(a[i] / a.sum()), np.cumsum(b[j] / b.sum())
    levels = np.sort(np.concatenate([[0.0], levels_x, levels_y]))
    middle = 0.5 * (levels[1:] + levels[:-1])[np.diff(levels) > 1e-12]
    left = i[np.minimum(np.searchsorted(levels_x, middle), len(x) - 1)]
    return left, j[np.minimum(np.searchsorted(levels_y, middle), len(y) - 1)]


def problems():
    for n, m in SIZES:
        x, y = RNG.standard_normal(n), RNG.standard_normal(m) + 0.5
        for kind in ("equal", "random", "whole"):
            a, b = {
                "equal": (np.ones(n), np.ones(m)),
                "random": (RNG.random(n) + 0.1, RNG.random(m) + 0.1),
                "whole": (RNG.integers(1, 4, n) * 1.0, RNG.integers(1, 4, m) * 1.0),
            }[kind]
            yield x, y, a, b


def potentials(x, y, a, b, p):
    return sliced_wasserstein_gradient(x, y, a, b, p=p, weights=True)


@pytest.mark.parametrize("p", POWERS)
def test_potentials_are_dual(p):
    # phi_i + psi_j = c_ij wherever mass moves; the sum of a phi and b psi is f before both are
    # centered, so that afterwards f is missing on the left
    for x, y, a, b in problems():
        result = potentials(x, y, a, b, p)
        phi, psi = result.weight_gradient, result.weight_gradient_Y
        assert abs(phi @ a) + abs(psi @ b) < 1e-13 * (a.sum() + b.sum())
        i, j = matched(x, y, a, b)
        f = cost_1d(x, y, a, b, p)
        assert result.power == pytest.approx(f, rel=1e-12)
        np.testing.assert_allclose(phi[i] + psi[j] + f, abs(x[i] - y[j]) ** p, atol=1e-12)


@pytest.mark.parametrize("p", POWERS)
def test_finite_differences_in_the_weights(p):
    # at levels that meet the two one-sided derivatives differ, and the mean is taken
    for x, y, a, b in problems():
        result = potentials(x, y, a, b, p)
        a, b = a / a.sum(), b / b.sum()
        step = 1e-6
        for i in range(len(x)):
            slopes = []
            for sign in (1.0, -1.0):
                changed = a * (1.0 - sign * step)
                changed[i] += sign * step
                slopes.append(sign * (cost_1d(x, y, changed, b, p) - cost_1d(x, y, a, b, p)) / step)
            assert result.weight_gradient[i] == pytest.approx(np.mean(slopes), abs=1e-7)
        for j in range(len(y)):
            slopes = []
            for sign in (1.0, -1.0):
                changed = b * (1.0 - sign * step)
                changed[j] += sign * step
                slopes.append(sign * (cost_1d(x, y, a, changed, p) - cost_1d(x, y, a, b, p)) / step)
            assert result.weight_gradient_Y[j] == pytest.approx(np.mean(slopes), abs=1e-7)


@pytest.mark.parametrize("p", [*POWERS, 20.0])
@pytest.mark.parametrize("sizes", [(20, 20), (20, 13)])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_all_derivatives_come_from_one_pass(p, sizes, is_weighted):
    n, m = sizes
    X, Y, theta = RNG.standard_normal((n, 4)), RNG.standard_normal((m, 4)), unit_vectors(RNG, 5, 4)
    a, b = (RNG.random(n), RNG.random(m)) if is_weighted else (None, None)
    how = {"p": p, "directions": theta}
    both = sliced_wasserstein_gradient(X, Y, a, b, wrt="both", weights=True, **how)
    only_x = sliced_wasserstein_gradient(X, Y, a, b, **how)
    only_y = sliced_wasserstein_gradient(X, Y, a, b, wrt="Y", **how)
    swapped = sliced_wasserstein_gradient(Y, X, b, a, weights=True, **how)
    np.testing.assert_array_equal(both.gradient, only_x.gradient)
    np.testing.assert_array_equal(both.gradient_Y, only_y.gradient)
    np.testing.assert_allclose(both.gradient_Y, swapped.gradient, rtol=1e-9, atol=1e-14)
    scale = abs(both.weight_gradient).max()
    np.testing.assert_allclose(
        both.weight_gradient, swapped.weight_gradient_Y, rtol=1e-9, atol=1e-13 * scale
    )
    assert both.power == only_y.power
    assert only_x.gradient_Y is only_x.weight_gradient is both.weight_standard_error is None
    # finite differences along a line in everything at once
    dx, dy = RNG.standard_normal((n, 4)), RNG.standard_normal((m, 4))
    a, b = (np.full(n, 1.0 / n), np.full(m, 1.0 / m)) if a is None else (a / a.sum(), b / b.sum())
    da, db = RNG.standard_normal(n) * a, RNG.standard_normal(m) * b
    da, db = da - a * da.sum(), db - b * db.sum()
    if not is_weighted:
        da, db = 0.0 * da, 0.0 * db  # there all levels meet: see above
    h = 1e-6
    high, low = (
        projected_costs(X + s * dx, Y + s * dy, theta, a + s * da, b + s * db, p).mean()
        for s in (h, -h)
    )
    slope = (both.gradient * dx).sum() + (both.gradient_Y * dy).sum()
    slope += both.weight_gradient @ da + both.weight_gradient_Y @ db
    assert (high - low) / (2.0 * h) == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("design", ["iid", "orthogonal"])
def test_errors_of_weight_gradients_are_those_of_blocks(design):
    X, Y = clouds("mix", 5, 40)
    result = sliced_wasserstein_gradient(
        X, Y[:30], weights=True, directions=design, n_projections=60, rng=1
    )
    block = 1 if design == "iid" else 5
    for name, error, mean in (
        ("weight_gradient", result.weight_standard_error, result.weight_gradient),
        ("weight_gradient_Y", result.weight_standard_error_Y, result.weight_gradient_Y),
    ):
        rows = [
            getattr(sliced_wasserstein_gradient(X, Y[:30], weights=True, directions=theta), name)
            for theta in result.direction_vectors.reshape(-1, block, 5)
        ]
        np.testing.assert_allclose(np.mean(rows, axis=0), mean, rtol=1e-9, atol=1e-13)
        expected = np.std(rows, axis=0, ddof=1) / np.sqrt(len(rows))
        np.testing.assert_allclose(error, expected, rtol=1e-7)


def test_points_without_weight_have_no_derivatives():
    X, Y = clouds("mix", 3, 20)
    a = np.r_[0.0, np.ones(19)]
    some = sliced_wasserstein_gradient(X, Y, a, wrt="both", weights=True, rng=1)
    rest = sliced_wasserstein_gradient(X[1:], Y, wrt="both", weights=True, rng=1)
    np.testing.assert_array_equal(some.weight_gradient, np.r_[0.0, rest.weight_gradient])
    np.testing.assert_array_equal(some.gradient_Y, rest.gradient_Y)


def test_equal_clouds_have_no_derivatives():
    X = RNG.standard_normal((30, 4))
    result = sliced_wasserstein_gradient(X, X[::-1], p=1.5, wrt="both", weights=True, rng=1)
    assert not result.weight_gradient.any()
    assert not result.weight_gradient_Y.any()
    assert not result.gradient_Y.any()

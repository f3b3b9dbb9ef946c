"""Distances of the laws of two samples: the formulas, what is refused, and what warns."""

import pickle

import numpy as np
import pytest

from randla.transport import (
    PopulationWarning,
    sliced_wasserstein,
    sliced_wasserstein_gradient,
)
from tests.transport.reference import clouds, projected_costs, unit_vectors

RNG = np.random.default_rng(3)
quietly = pytest.mark.filterwarnings("ignore::randla.PopulationWarning")  # of few points


def bias_1d(x, y, a, b, p):
    """What sampling adds to the cost on the line, and its noise, from products of spacings."""
    K = int(min(1.0 / (a @ a), 1.0 / (b @ b)) + 1e-9)
    levels = (np.arange(K) + 0.5) / K

    def quantiles(x, a):
        order = np.argsort(x)
        return np.interp(levels, np.cumsum(a[order]) - 0.5 * a[order], x[order])

    u, v = quantiles(x, a), quantiles(y, b)
    du, dv, t = np.diff(u), np.diff(v), np.arange(1, K) / K
    gap = abs(0.5 * (u[1:] + u[:-1]) - 0.5 * (v[1:] + v[:-1]))
    if p < 2:
        gap = np.maximum(gap, 0.25 * (du + dv))
    terms = t * (1 - t) * p * (p - 1) * gap ** (p - 2) * du * dv
    return 0.5 * (a @ a + b @ b) * K * np.array([terms.sum(), np.sqrt((terms**2).sum())])


@quietly
@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("kind", ["equal", "unequal", "weighted", "given", "line"])
def test_the_parts_of_the_error(kind, p):
    X, Y = clouds("gauss", 4, 50)
    Y = Y if kind == "equal" else Y[:30]
    X, Y = (X[:, 0], Y[:, 0]) if kind == "line" else (X, Y)
    a, b = np.full(len(X), 1.0 / len(X)), np.full(len(Y), 1.0 / len(Y))
    if kind == "weighted":
        a, b = (0.5 + RNG.random(len(w)) for w in (a, b))
        a, b = a / a.sum(), b / b.sum()
    weights = (a, b) if kind == "weighted" else ()
    how = {"p": p, "control_variate": None, "population": True, "rng": 1}
    given = unit_vectors(RNG, 9, 4) if kind == "given" else "iid"
    result = sliced_wasserstein(X, Y, *weights, directions=given, **how)
    theta = result.direction_vectors
    U, V = X.reshape(len(X), -1) @ theta.T, Y.reshape(len(Y), -1) @ theta.T
    f = projected_costs(X.reshape(len(X), -1), Y.reshape(len(Y), -1), theta, a, b, p)
    B, T = np.array([bias_1d(u, v, a, b, p) for u, v in zip(U.T, V.T, strict=True)]).T
    is_fixed = kind in ("given", "line")
    halves = [theta, theta] if is_fixed else [theta[::2], theta[1::2]]
    if kind == "line":
        slopes = [sliced_wasserstein_gradient(X, Y, p=p, weights=True)] * 2
    else:
        slopes = [
            sliced_wasserstein_gradient(X, Y, *weights, p=p, weights=True, directions=half)
            for half in halves
        ]
    variance = (a**2 * slopes[0].weight_gradient * slopes[1].weight_gradient).sum()
    variance += (b**2 * slopes[0].weight_gradient_Y * slopes[1].weight_gradient_Y).sum()
    if not is_fixed:
        variance += (f - B).var(ddof=1) / len(f)
    variance += max((B.mean() / 3.0) ** 2, 0.75 * T.mean() ** 2)
    assert result.population_power == pytest.approx((f - B).mean(), rel=1e-9)
    assert result.bias == pytest.approx(B.mean(), rel=1e-9)
    assert result.population_standard_error == pytest.approx(np.sqrt(variance), rel=1e-8)
    assert result.near_equal == ((f - B).mean() <= 2.0 * np.sqrt(variance))
    low, high = result.population_interval(0.9)
    z = 1.6448536269514722
    ends = np.array([result.population_power]) + z * np.array([-1.0, 1.0]) * np.sqrt(variance)
    ends[1] = max(ends[1], z * np.sqrt(variance))
    assert [low, high] == pytest.approx(np.maximum(ends, 0.0) ** (1.0 / p), rel=1e-9)
    assert pickle.loads(pickle.dumps(result)).population_interval(0.9) == (low, high)


@pytest.mark.parametrize("design", ["iid", "orthogonal"])
def test_the_distance_of_the_points_is_what_it_was(design):
    X, Y = clouds("gauss", 5, 60)
    how = {"directions": design, "n_projections": 100, "rng": 1}
    plain, both = (sliced_wasserstein(X, Y, population=flag, **how) for flag in (False, True))
    assert both.value == pytest.approx(plain.value, rel=1e-12)
    assert both.confidence_interval() == pytest.approx(plain.confidence_interval())
    assert plain.population_power is plain.bias is plain.near_equal is None
    with pytest.raises(ValueError, match="population_interval needs"):
        plain.population_interval()
    assert "population_power" in repr(both)
    assert "population_power" not in repr(plain)
    adaptive = sliced_wasserstein(X, Y, rtol=0.01, population=True, **how)
    assert adaptive.converged
    assert adaptive.power - adaptive.bias == pytest.approx(adaptive.population_power)


@quietly
def test_directions_of_populations():
    X, Y = clouds("gauss", 60, 30)
    result = sliced_wasserstein(X, Y, population=True, n_projections=10, rng=1)
    assert (result.directions, result.n_projections) == ("orthogonal", 120)
    result = sliced_wasserstein(X[:, :2], Y[:, :2], population=True, n_projections=10, rng=1)
    assert (result.directions, result.n_projections) == ("rqmc", 104)


@quietly
def test_what_is_refused():
    X, Y = clouds("gauss", 3, 40)
    for p in (1.0, 1.4, 17.0):
        with pytest.raises(ValueError, match=r"population=True needs p from 1\.5 to 16"):
            sliced_wasserstein(X, Y, p=p, population=True)
    with pytest.raises(ValueError, match=r"from 1\.5 to 16, got 17$"):  # nothing of p = 1
        sliced_wasserstein(X, Y, p=17.0, population=True)
    with pytest.raises(ValueError, match="needs Y to have at least 20 points, got 19"):
        sliced_wasserstein(X, Y[:19], population=True)
    with pytest.raises(ValueError, match=r"at least 20 points \(1 / sum of squared"):
        sliced_wasserstein(X, Y, np.r_[20.0, np.ones(39)], population=True)
    sliced_wasserstein(X[:20], Y[:20], population=True, rng=1)


def test_ties_and_gaps_warn():
    lattice = RNG.integers(0, 3, (2, 100, 2))
    with pytest.warns(PopulationWarning, match="sorted projections equal their neighbors"):
        sliced_wasserstein(*lattice, population=True, rng=1)
    point = np.ones((20, 2))
    with pytest.warns(PopulationWarning, match="100% of the sorted projections"):
        result = sliced_wasserstein(point, point, population=True, rng=1)
    assert result.near_equal  # with neither distance nor error
    apart = RNG.standard_normal((2, 100)) + 50.0 * RNG.integers(0, 2, (2, 100))
    with pytest.warns(PopulationWarning, match="the bias of the population distance is not well"):
        sliced_wasserstein(*apart, population=True)

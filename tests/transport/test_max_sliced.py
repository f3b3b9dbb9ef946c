import math

import numpy as np
import pytest

from randla.transport import max_sliced_wasserstein, wasserstein_1d
from tests.transport.reference import circle, clouds, projected_costs


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("kind", ["gauss", "mix"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_maximum_in_the_plane(kind, p, weighted):
    X, Y = clouds(kind, 2, 60)
    a = np.random.default_rng(1).random(60) if weighted else None
    scan = projected_costs(X, Y[:40], circle(3000), a, p=p).max() ** (1 / p)
    result = max_sliced_wasserstein(X, Y[:40], a, p=p, rng=0)
    assert result.value >= scan * (1 - 1e-9)
    assert result.value <= scan * (1 + 1e-4)
    assert result.is_lower_bound
    assert result.converged


@pytest.mark.parametrize("d", [3, 10, 40])
def test_the_value_is_attained_at_the_direction(d):
    X, Y = clouds("mix", d, 50)
    result = max_sliced_wasserstein(X, Y, rng=0)
    assert np.linalg.norm(result.direction) == pytest.approx(1.0)
    attained = wasserstein_1d(X @ result.direction, Y @ result.direction)
    assert result.value == pytest.approx(attained, rel=1e-12)
    directions = np.random.default_rng(2).standard_normal((200, d))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    assert result.value**2 >= projected_costs(X, Y, directions).max()


def test_translation():
    X, _ = clouds("mix", 6, 40)
    shift = np.array([0.0, -3.0, 0.0, 4.0, 0.0, 0.0])
    result = max_sliced_wasserstein(X, X + shift, rng=0)
    assert result.value == pytest.approx(5.0, rel=1e-9)
    np.testing.assert_allclose(result.direction, -shift / 5, atol=1e-6)


def test_a_spike_in_many_dimensions():
    # one coordinate is scaled: the generalized eigenvector finds it at once
    X = np.random.default_rng(3).standard_normal((400, 60))
    Y = X.copy()
    Y[:, 17] *= 4.0
    result = max_sliced_wasserstein(X, Y, rng=0)
    assert result.value >= wasserstein_1d(X[:, 17], Y[:, 17])
    assert abs(result.direction[17]) > 0.99


def test_easy_cases():
    one = max_sliced_wasserstein([1.0, 2.0], [4.0, 5.0])
    assert (one.value, one.is_lower_bound, float(one)) == (3.0, False, 3.0)
    X, _ = clouds("gauss", 4, 20)
    assert max_sliced_wasserstein(X, X[::-1], rng=0).value == 0.0
    assert max_sliced_wasserstein([[0.0, 0.0]], [[3.0, 4.0]]).value == pytest.approx(5.0)
    assert max_sliced_wasserstein(X, X + 1.0, rng=0).value == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize("p", [1.0, 2.0, 5.0])
def test_a_gradient_that_is_rounding_at_the_start(p):
    # f = |theta' (1, 1, 1)|^p: the first start is the maximum
    for seed in range(5):
        result = max_sliced_wasserstein(np.ones((5, 3)), np.zeros((4, 3)), p=p, rng=seed)
        assert result.value == pytest.approx(math.sqrt(3.0), rel=1e-14)
        np.testing.assert_allclose(result.direction, math.sqrt(1 / 3), rtol=1e-7)


@pytest.mark.parametrize("light", [1e-12, 1e-15, 1e-17, 1e-30])
@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize(("d", "n"), [(2, 2), (20, 2), (20, 40)])
def test_one_point_has_all_the_weight(light, offset, d, n):
    rng = np.random.default_rng([d, n])
    X, Y = offset + rng.standard_normal((1, d)), offset + rng.standard_normal((n, d))
    weights = np.full(n, light)
    weights[0] = 1.0
    result = max_sliced_wasserstein(X, Y, None, weights, p=1, rng=0)
    assert result.value == pytest.approx(np.linalg.norm(X[0] - Y[0]), rel=1e-6)

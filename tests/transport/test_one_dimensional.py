import hypothesis.strategies as st
import numpy as np
import ot
import pytest
from hypothesis import given, settings

from randla.transport import sliced_wasserstein, sliced_wasserstein_gradient, wasserstein_1d
from tests.transport.reference import cost_1d, cost_linear_program

numbers = st.integers(-20, 20).map(lambda k: k / 4)
weights = st.integers(0, 6).map(float)


@st.composite
def weighted_pairs(draw):
    n, m = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    x = draw(st.lists(numbers, min_size=n, max_size=n))
    y = draw(st.lists(numbers, min_size=m, max_size=m))
    a = draw(st.lists(weights, min_size=n, max_size=n).filter(any))
    b = draw(st.lists(weights, min_size=m, max_size=m).filter(any))
    return tuple(map(np.array, (x, y, a, b)))


@given(weighted_pairs(), st.sampled_from([1.0, 1.5, 2.0, 3.0]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_equals_the_linear_program(pair, p):
    x, y, a, b = pair
    assert wasserstein_1d(x, y, a, b, p=p) ** p == pytest.approx(
        cost_linear_program(x, y, a, b, p), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 7.3])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 9), (60, 60), (60, 45), (64, 63), (500, 300)])
@pytest.mark.parametrize("kind", ["uniform", "weighted", "ties"])
def test_equals_the_definition(n, m, p, kind):
    rng = np.random.default_rng([n, m])
    x, y = rng.standard_normal((3, n)), 1.5 * rng.standard_normal((3, m)) + 0.3
    a = b = None
    if kind == "ties":
        x, y = np.rint(2 * x), np.rint(2 * y)
    if kind == "weighted":
        a, b = rng.random(n) * (rng.random(n) < 0.8) + 1e-3, rng.random((3, m))
    for k, got in enumerate(wasserstein_1d(x, y, a, b, p=p)):
        weight = None if b is None else b[k]
        assert got**p == pytest.approx(cost_1d(x[k], y[k], a, weight, p), rel=1e-10)


def test_equals_pot():
    rng = np.random.default_rng(2)
    x, y, a, b = rng.random(200), rng.random(130), rng.random(200), rng.random(130)
    expected = ot.emd2_1d(x, y, a / a.sum(), b / b.sum())
    assert wasserstein_1d(x, y, a, b) ** 2 == pytest.approx(expected, rel=1e-12)


def test_leading_axes_broadcast():
    rng = np.random.default_rng(3)
    x, y = rng.random((2, 1, 5)), rng.random((3, 4))
    a, b = rng.random(5), rng.random((3, 4))
    got = wasserstein_1d(x, y, a, b, p=1)
    assert got.shape == (2, 3)
    assert got.dtype == np.float64
    for i, j in np.ndindex(2, 3):
        assert got[i, j] == pytest.approx(cost_1d(x[i, 0], y[j], a, b[j], 1.0), rel=1e-12)
    assert wasserstein_1d(x[0, 0], y[0]).shape == ()
    assert wasserstein_1d(x[:0], y).shape == (0, 3)
    assert wasserstein_1d(np.empty((3, 0, 5)), y[:, None], a, b[:, None]).shape == (3, 0)
    with pytest.raises(ValueError, match="y must hold at least one point along its last axis"):
        wasserstein_1d(x, np.empty((3, 0)))


def test_equal_samples_are_at_distance_zero():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((5, 401)) * 1e3 + 7e5
    assert (wasserstein_1d(x, rng.permuted(x, axis=1)) == 0.0).all()
    a = rng.random(401)
    order = rng.permutation(401)
    np.testing.assert_allclose(wasserstein_1d(x, x[:, order], a, a[order]), 0, atol=1e-9)


@pytest.mark.parametrize("p", [1.0, 2.0, 40.0, 1000.0])
@pytest.mark.parametrize("scale", [1e-310, 1e-300, 1.0, 1e300])
def test_scales_and_powers_stay_in_range(p, scale):
    x, y = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.5, 3.0])
    gaps = np.array([0.0, 0.5, 1.0])
    expected = np.exp(np.log(np.sum(gaps**p) / 3) / p)
    got = wasserstein_1d(x * scale, y * scale, p=p)
    assert got / scale == pytest.approx(expected, rel=1e-12)


def test_nearly_equal_samples_with_a_high_power():
    x = np.random.default_rng(5).random(50)
    assert wasserstein_1d(x, x + 1e-9, p=60) == pytest.approx(1e-9, rel=1e-6)


def test_points_without_weight_do_not_count():
    x, y = [0.0, 1.0, 1e300], [2.0, 3.0]
    assert wasserstein_1d(x, y, [1.0, 1.0, 0.0]) == 2.0
    rows = np.array([x, [1e300, 5.0, 6.0]])
    got = wasserstein_1d(rows, y, np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
    np.testing.assert_array_equal(got, [2.0, 3.0])


def test_far_from_the_origin():
    # steps of 1/16: exact at 1e12, where the common part has 40 bits
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 100, 50) / 16, rng.integers(0, 100, 70) / 16
    assert wasserstein_1d(x + 1e12, y + 1e12) == pytest.approx(wasserstein_1d(x, y), rel=1e-12)


@pytest.mark.parametrize("far", [1e20, -1e17, 1e90])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_point_far_away_in_both_samples_takes_no_digits_from_the_others(far, dtype):
    far = dtype(np.clip(far, -3e38, 3e38)) if dtype == np.float32 else far
    x, y = np.array([0.0, far, 1.0], dtype), np.array([far, 1.5, 0.5], dtype)
    for p in (1.0, 2.0, 3.0):
        expected = 0.5 * (2.0 / 3.0) ** (1.0 / p)
        assert wasserstein_1d(x, y, p=p) == pytest.approx(expected, rel=1e-14)
        assert sliced_wasserstein(x, y, p=p).value == pytest.approx(expected, rel=1e-14)
        weighted = wasserstein_1d(x, y, [1.0, 2.0, 1.0], [2.0, 1.0, 1.0], p=p)
        assert weighted == pytest.approx(0.5 * 0.5 ** (1.0 / p), rel=1e-12)
    assert wasserstein_1d(x, [0.5, 1.5], [1.0, 1e-30, 1.0]) == pytest.approx(0.5)
    few = sliced_wasserstein(x, [0.5, 1.5], [1.0, 1e-30, 1.0])
    assert few.value == pytest.approx(0.5)


def test_float32_is_sorted_as_float32():
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((2, 4, 3000)).astype(np.float32)
    exact = wasserstein_1d(x.astype(float), y.astype(float))
    np.testing.assert_allclose(wasserstein_1d(x, y), exact, rtol=1e-5)


def test_heavy_tails_and_clusters():
    rng = np.random.default_rng(8)
    x = rng.standard_cauchy((2, 3000)) ** 3
    y = rng.choice([-10.0, 10.0], (2, 3000)) + 1e-9 * rng.random((2, 3000))
    expected = [cost_1d(*rows, p=1.0) for rows in zip(x, y, strict=True)]
    np.testing.assert_allclose(wasserstein_1d(x, y, p=1), expected, rtol=1e-12)


@pytest.mark.parametrize("p", [2.0, 8.0, 100.0, 1000.0])
@pytest.mark.parametrize(
    ("counts", "scale"),
    [
        ([1, 2], 1.0),
        ([3, 2, 2, 7], 0.1),
        ([5, 0, 9, 40, 3], 1e-200),
        ([101, 203, 307], 1.0),
        ([1009, 66, 997, 99, 0, 2310], 1.0 / 3.0),
    ],
)
def test_counts_and_repeated_points_are_one_measure(counts, scale, p):
    x = np.arange(len(counts)) ** 2.0
    y, weights = np.repeat(x, counts), scale * np.array(counts)
    for w in (weights, weights / weights.sum()):
        assert wasserstein_1d(x, y, w, p=p) == 0.0
        assert wasserstein_1d(x, y, w, np.full(len(y), 0.3), p=p) == 0.0
        assert wasserstein_1d(x + 1.0, np.tile(y, 3), w, p=p) == pytest.approx(1.0, rel=1e-12)
        assert sliced_wasserstein(x, y, w, p=p).value == 0.0
        assert not sliced_wasserstein_gradient(x, y, w, p=p).gradient.any()


def test_histograms_are_their_samples():
    rng = np.random.default_rng(11)
    for n in (1000, 30_000, 1_000_000):
        counts, edges = np.histogram(rng.standard_normal(n).clip(-1.5, 1.5), bins=9)
        middles = 0.5 * (edges[1:] + edges[:-1])
        for weights in (counts, counts / n, (counts / counts.max()).cumsum()[-1] * counts):
            assert wasserstein_1d(middles, np.repeat(middles, counts), weights, p=8) == 0.0


def test_whole_weights_of_a_large_sum():
    rng = np.random.default_rng(5)
    for total in (1 << 20, (1 << 20) + 1):
        cuts = np.sort(rng.choice(np.arange(1, total), 6, replace=False))
        counts = np.diff(cuts, prepend=0, append=total)
        x, y = np.sort(rng.standard_normal((2, 7)), axis=1)
        assert wasserstein_1d(x, y, counts, 3 * counts, p=4) == pytest.approx(
            np.average(np.abs(x - y) ** 4, weights=counts) ** 0.25, rel=1e-11
        )


@pytest.mark.parametrize("p", [17.0, 60.0, 256.0, 257.0, 1000.0])
@pytest.mark.parametrize("weights", [[0.3, 0.7], [1.0, 1e-15], [1e-15, 1.0], None])
def test_large_powers_of_weights_of_any_size(weights, p):
    # points far apart that do not meet, and a small mass (in units of 2^-62) that alone moves far
    gaps = np.array([1e-7, 1e-3])
    x, y = np.array([0.0, 1e5]), np.array([0.0, 1e5]) + gaps
    m = np.full(2, 0.5) if weights is None else np.array(weights) / np.sum(weights)
    expected = gaps[1] * np.sum(m * (gaps / gaps[1]) ** p) ** (1 / p)
    assert wasserstein_1d(x, y, weights, weights, p=p) == pytest.approx(expected, rel=1e-5)
    result = sliced_wasserstein_gradient(x, y, weights, weights, p=p)
    assert result.value == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(result.value_gradient).all()
    if weights is not None:
        far = wasserstein_1d([0.0, 1.0], [0.0], weights, [1.0], p=p)
        assert far == pytest.approx(m[1] ** (1 / p), rel=1e-5)
        assert sliced_wasserstein([0.0, 1.0], [0.0], weights, p=p).value == pytest.approx(far)


@pytest.mark.parametrize("p", [100.0, 1000.0])
def test_large_powers_of_unequal_sizes(p):
    n = 4000  # n (n - 1) to one are the masses of the plan
    x, y = np.zeros(n), np.zeros(n - 1)
    x[-1] = 1.0
    y[-1] = 1.0
    moved = 1.0 / (n - 1) - 1.0 / n
    assert wasserstein_1d(x, y, p=p) == pytest.approx(moved ** (1 / p), rel=1e-12)
    assert sliced_wasserstein(x, y, p=p).value == pytest.approx(moved ** (1 / p), rel=1e-12)

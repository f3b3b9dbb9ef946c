"""kalman_smoother and hmm_smoother against dense conditioning, brute force and rationals."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from randla import DiscreteHMM, LinearGaussian, datasets, hmm_smoother, kalman_smoother
from tests.smoothing.exact_reference import (
    all_paths,
    central_difference,
    dense_smoother,
    log_space_smoother,
    rational_smoother,
)


def covariance(rng, n, rank):
    root = rng.standard_normal((n, rank))
    return root @ root.T


def random_model(rng, d, k, rank_q, rank_r, rank_0):
    A = 0.3 * np.eye(d) + 0.6 * rng.standard_normal((d, d)) / np.sqrt(d)
    return LinearGaussian(
        A, covariance(rng, d, rank_q), rng.standard_normal((k, d)), covariance(rng, k, rank_r),
        rng.standard_normal(d), covariance(rng, d, rank_0),
    )  # fmt: skip


def series_with_gaps(rng, n_steps, k):
    y = rng.standard_normal((n_steps, k))
    y[2] = np.nan
    y[3, 0] = np.nan
    y[5, -1] = np.nan
    return y


# Dimensions of state and observation; ranks of Q, R and P_0.
SHAPES = [
    (1, 1, 1, 1, 1),
    (1, 1, 0, 1, 1),
    (1, 1, 1, 0, 1),
    (1, 3, 1, 3, 1),
    (2, 1, 2, 1, 2),
    (2, 1, 1, 1, 1),
    (2, 4, 0, 4, 2),
    (3, 3, 3, 0, 3),
    (3, 2, 1, 1, 3),
    (5, 2, 5, 2, 0),
    (4, 2, 0, 2, 2),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_dense_conditioning(shape):
    rng = np.random.default_rng(shape)
    model, y = random_model(rng, *shape), series_with_gaps(rng, 8, shape[1])
    result = kalman_smoother(model, y)
    mean, cov, lag, value = dense_smoother(model, y)
    np.testing.assert_allclose(result.mean, mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.covariance, cov, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.lag_covariance, lag, rtol=0, atol=1e-10)
    assert result.log_likelihood == pytest.approx(value, rel=1e-10, abs=1e-9)
    sums = {
        "state": mean.sum(0),
        "square": (mean**2 + np.einsum("tii->ti", cov)).sum(0),
        "lag_product": (mean[:-1] * mean[1:] + np.einsum("tii->ti", lag)).sum(0),
    }
    for name, expected in sums.items():
        np.testing.assert_allclose(result.expectation(name), expected, rtol=1e-10, atol=1e-9)


def test_many_dimensions():
    rng = np.random.default_rng(0)
    model, y = random_model(rng, 30, 12, 30, 12, 30), series_with_gaps(rng, 6, 12)
    result = kalman_smoother(model, y)
    for got, expected in zip(
        (result.mean, result.covariance, result.lag_covariance, result.log_likelihood),
        dense_smoother(model, y),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_one_and_two_times(n_steps):
    model = LinearGaussian(0.9, 1.0, 1.0, 0.5, 0.3, 2.0)
    y = np.array([0.7, -0.2])[:n_steps]
    result = kalman_smoother(model, y)
    for got, expected in zip(
        (result.mean, result.covariance, result.lag_covariance, result.log_likelihood),
        dense_smoother(model, y),
        strict=True,
    ):
        assert np.shape(got) == np.shape(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_nothing_observed():
    model = LinearGaussian(0.9, 1.0, 1.0, 0.5, 0.3, 2.0)
    result = kalman_smoother(model, [np.nan] * 4)
    assert result.log_likelihood == 0.0
    np.testing.assert_allclose(result.mean[:, 0], 0.3 * 0.9 ** np.arange(4), rtol=1e-14)


@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0] <= 3])
def test_score_is_the_gradient_of_the_log_likelihood(shape):
    rng = np.random.default_rng(shape)
    model, y = random_model(rng, *shape), series_with_gaps(rng, 8, shape[1])
    score = kalman_smoother(model, y).expectation("score")
    assert score.shape == model.theta.shape
    for k, name in enumerate(model.names):

        def value(x, k=k):
            theta = model.theta.copy()
            theta[k] = x
            return kalman_smoother(model.replace(theta), y).log_likelihood

        step = 1e-4 * max(1.0, abs(model.theta[k]))
        if "cov" in name:
            step = 1e-3 * min(np.linalg.eigvalsh(p)[0] for p in covariances(model, name))
        expected = central_difference(value, model.theta[k], step)
        assert score[k] == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.abs(score).max()), name


def covariances(model, name):
    return [getattr(model, name.split("[")[0])]


def test_score_with_singular_noise():
    # Q of rank one is no parameter; the other gradients must not need its inverse.
    model = LinearGaussian([[1.0, 1.0], [0.0, 1.0]], np.diag([0.0, 0.1]), [[1.0, 0.0]], 1.0,
                           [0.0, 0.0], np.eye(2))  # fmt: skip
    assert not any("transition_cov" in name for name in model.names)
    y = np.cumsum(np.random.default_rng(5).standard_normal(10))
    score = kalman_smoother(model, y).expectation("score")
    for k in range(len(score)):

        def value(x, k=k):
            theta = model.theta.copy()
            theta[k] = x
            return kalman_smoother(model.replace(theta), y).log_likelihood

        assert score[k] == pytest.approx(central_difference(value, model.theta[k], 1e-3), rel=1e-6)


@pytest.mark.parametrize("variance", [1e7, 1e12])
@pytest.mark.parametrize(
    ("A", "Q", "B", "R"),
    [
        ([[1.0]], [[1469.1]], [[1.0]], [[15099.0]]),
        ([[1, 1], [0, 1]], [[0.125, 0], [0, 0.03125]], [[1, 0]], [[1.0]]),
        ([[1, 1], [0, 1]], [[0, 0], [0, 0.125]], [[1, 0]], [[1.0]]),
        ([[1, 1], [0, 1]], [[0.125, 0], [0, 0.03125]], [[1, 0]], [[0.0]]),
        ([[1, 1, 0], [0, 1, 1], [0, 0, 1]], np.diag([0, 0, 0.125]), [[1, 0, 0]], [[1.0]]),
    ],
)
def test_nearly_diffuse_start(variance, A, Q, B, R):
    A, Q, B, R = (np.array(M, float) for M in (A, Q, B, R))
    P0 = variance * np.eye(len(A))
    y = np.round(64 * np.cumsum(np.random.default_rng(2).standard_normal(12))) / 64 + 40
    result = kalman_smoother(LinearGaussian(A, Q, B, R, np.zeros(len(A)), P0), y)
    mean, cov, value = rational_smoother(A, Q, B, R, P0, y)
    sd = np.sqrt(np.maximum(np.einsum("tii->ti", cov), 1e-20))
    digits = 1e-13 * np.sqrt(variance)  # 1e-7 at 1e12, where the textbook form has none
    assert np.abs(result.mean - mean).max() < digits * max(1.0, sd.max())
    error = np.abs(result.covariance - cov) / (sd[:, :, None] * sd[:, None, :] + 1e-12)
    assert error.max() < digits
    assert result.log_likelihood == pytest.approx(value, abs=digits)


def test_nile():
    flow = datasets.nile()
    result = kalman_smoother(LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 0.0, 1e12), flow)
    # Durbin and Koopman (2012), section 2.10.3, leave out the first, diffuse, observation.
    diffuse = result.log_likelihood + 0.5 * np.log(2 * np.pi * 1e12)
    assert diffuse == pytest.approx(-632.54, abs=0.01)
    gap = flow.copy()
    gap[20:40] = np.nan
    blanked = kalman_smoother(LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 0.0, 1e12), gap)
    # Inside a gap the smoothed level is a straight line.
    np.testing.assert_allclose(np.diff(blanked.mean[19:41, 0], 2), 0.0, atol=1e-6)
    assert (blanked.covariance[20:40] > result.covariance[20:40]).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_change_of_coordinates(seed):
    # x -> T x leaves the law of y; the smoothed moments are carried along.
    rng = np.random.default_rng(seed)
    model, y = random_model(rng, 3, 2, 3, 2, 3), series_with_gaps(rng, 7, 2)
    T = np.eye(3) + 0.3 * rng.standard_normal((3, 3))
    inverse = np.linalg.inv(T)
    moved = LinearGaussian(
        T @ model.transition_matrix @ inverse, T @ model.transition_cov @ T.T,
        model.observation_matrix @ inverse, model.observation_cov,
        T @ model.initial_mean, T @ model.initial_cov @ T.T,
    )  # fmt: skip
    a, b = kalman_smoother(model, y), kalman_smoother(moved, y)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-7)
    np.testing.assert_allclose(a.mean @ T.T, b.mean, atol=1e-6)
    np.testing.assert_allclose(T @ a.lag_covariance @ T.T, b.lag_covariance, atol=1e-6)


@pytest.mark.parametrize("scale", [2.0**-480, 2.0**480])
def test_extreme_scales(scale):
    y = np.array([1.0, 2.0, np.nan, 0.5])
    one = kalman_smoother(LinearGaussian(0.9, 1.0, 1.0, 0.5, 0.0, 2.0), y)
    model = LinearGaussian(0.9, scale**2, 1.0, 0.5 * scale**2, 0.0, 2.0 * scale**2)
    other = kalman_smoother(model, y * scale)
    np.testing.assert_allclose(other.mean / scale, one.mean, rtol=1e-13)
    np.testing.assert_allclose(other.covariance / scale**2, one.covariance, rtol=1e-13)
    assert other.log_likelihood == pytest.approx(one.log_likelihood - 3 * np.log(scale), abs=1e-9)


def test_components_of_very_different_scale():
    y = np.array([1.0, 2.0, 0.5, 1.5])
    S = np.diag([1e-90, 1e90])
    A, B = np.array([[0.9, 0.2], [0.0, 0.5]]), np.array([[1.0, 0.4]])
    one = kalman_smoother(LinearGaussian(A, np.eye(2), B, 0.5, [0, 0], np.eye(2)), y)
    other = kalman_smoother(
        LinearGaussian(S @ A / np.diag(S), S @ S, B / np.diag(S), 0.5, [0, 0], S @ S), y
    )
    np.testing.assert_allclose(other.mean / np.diag(S), one.mean, rtol=1e-12)
    assert other.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-10)


def test_long_series_stays_accurate():
    # A deterministic state (Q = 0) is estimated by regression: the variance is 1 / (1 + T).
    y = np.random.default_rng(3).standard_normal(20000)
    result = kalman_smoother(LinearGaussian(1.0, 0.0, 1.0, 1.0, 0.0, 1.0), y)
    np.testing.assert_allclose(result.covariance.ravel(), 1 / 20001, rtol=1e-10)
    np.testing.assert_allclose(result.mean.ravel(), y.sum() / 20001, rtol=0, atol=1e-12)


def test_degenerate_observations_are_named():
    model = LinearGaussian(1.0, 0.0, 1.0, 0.0, 0.0, 1.0)
    assert kalman_smoother(model, [0.5]).mean[0, 0] == 0.5
    with pytest.raises(ValueError, match="no density at time 1"):
        kalman_smoother(model, [0.5, 0.5])
    for row in ([0.3, 0.7], [0.0, 1.0]):
        pair = LinearGaussian(
            np.eye(2), np.zeros((2, 2)), [row], 0.0, [0, 0], [[1.1, 0.3], [0.3, 2.3]]
        )
        with pytest.raises(ValueError, match="no density at time 2"):
            kalman_smoother(pair, [0.5, np.nan, 0.5])
    twice = LinearGaussian(0.5, 1.0, [[1.0], [2.0]], np.zeros((2, 2)), 0.0, 1.0)
    with pytest.raises(ValueError, match="no density at time 0"):
        kalman_smoother(twice, [[0.5, 1.0]])
    assert kalman_smoother(twice, [[0.5, np.nan], [np.nan, 2.0]]).mean[1, 0] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no density at time 1"):
        kalman_smoother(model, [0.5, 0.5]).expectation("score")


def test_overflow_is_an_error():
    with pytest.raises(ValueError, match="y must have a finite log-likelihood"):
        kalman_smoother(LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0), [1e200, 1.0])


@pytest.mark.parametrize(
    ("y", "error", "text"),
    [
        ([], ValueError, r"y must have shape \(T,\) or \(T, 1\) with T >= 1, got shape \(0,\)"),
        ([[1.0, 2.0]], ValueError, r"got shape \(1, 2\)"),
        (1.0, ValueError, r"got shape \(\)"),
        ([0.0, np.inf], ValueError, "got inf at time 1"),
        (["a"], TypeError, "y must hold real numbers"),
    ],
)
def test_bad_observations(y, error, text):
    with pytest.raises(error, match=text):
        kalman_smoother(LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0), y)


def test_wrong_models_and_functionals():
    hmm = DiscreteHMM([0.5, 0.5], np.full((2, 2), 0.5), np.full((2, 2), 0.5))
    normal = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
    with pytest.raises(TypeError, match="model must be a LinearGaussian, got DiscreteHMM"):
        kalman_smoother(hmm, [0.0])
    with pytest.raises(TypeError, match="model must be a DiscreteHMM, got LinearGaussian"):
        hmm_smoother(normal, [0.0])
    for result in (kalman_smoother(normal, [0.0]), hmm_smoother(hmm, [0])):
        with pytest.raises(ValueError, match="functional must be one of 'state', 'square'"):
            result.expectation("cube")
        with pytest.raises(TypeError, match="functional"):
            result.expectation(3)
        copy = pickle.loads(pickle.dumps(result))
        np.testing.assert_array_equal(copy.expectation("score"), result.expectation("score"))


# Hidden Markov chains ----------------------------------------------------------------------------


def random_hmm(rng, K, M, zeros=False):
    tables = [rng.dirichlet(np.ones(n), size) for n, size in ((K, None), (K, K), (M, K))]
    if zeros:
        for table in tables:
            if table.shape[-1] > 1:
                table[..., 0] *= rng.uniform(size=table.shape[:-1]) < 0.5
            table /= table.sum(-1, keepdims=True)
    return DiscreteHMM(*tables)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(1, 3), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_equals_the_sum_over_all_paths(seed, K, M, zeros):
    rng = np.random.default_rng(seed)
    model = random_hmm(rng, K, M, zeros)
    y = model.simulate(5, rng=rng)[1]
    y[rng.uniform(size=5) < 0.3] = np.nan
    result = hmm_smoother(model, y)
    paths, weights, value = all_paths(model, y)
    x = paths.astype(float)
    one_hot = paths[:, :, None] == np.arange(K)
    probs = np.einsum("p,pti->ti", weights, one_hot)
    pairs = np.einsum("p,pti,ptj->tij", weights, one_hot[:, :-1], one_hot[:, 1:])
    np.testing.assert_allclose(result.probs, probs, atol=1e-13)
    np.testing.assert_allclose(result.pair_probs, pairs, atol=1e-13)
    assert result.log_likelihood == pytest.approx(value, abs=1e-12)
    sums = {
        "state": x.sum(1),
        "square": (x**2).sum(1),
        "lag_product": (x[:, :-1] * x[:, 1:]).sum(1),
    }
    for name, values in sums.items():
        assert result.expectation(name) == pytest.approx(weights @ values, abs=1e-12)


def test_hmm_score_is_the_gradient():
    rng = np.random.default_rng(1)
    model, y = random_hmm(rng, 3, 4), np.array([0, 3, np.nan, 1, 1, 2, 0])
    score = hmm_smoother(model, y).expectation("score")
    first = 0
    for size in [3] * 4 + [4] * 3:  # the rows that sum to one

        def value(x, i, j):
            theta = model.theta.copy()
            theta[i] += x
            theta[j] -= x
            return hmm_smoother(model.replace(theta), y).log_likelihood

        for k in range(1, size):
            expected = central_difference(
                lambda x, i=first, j=first + k: value(x, i, j), 0.0, 1e-4 * model.theta.min()
            )
            assert score[first] - score[first + k] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        first += size
    assert first == len(score)


@pytest.mark.parametrize("tiny", [1e-5, 1e-106, 1e-180, 1e-300])
def test_probabilities_of_any_size(tiny):
    # Sums that a normalized recursion loses: states of filtered probability 1e-600 that a later
    # observation makes certain.
    stay = np.array([[1 - tiny, tiny, 0], [0, 1 - tiny, tiny], [tiny, 0, 1 - tiny]])
    emit = np.array([[1 - 2 * tiny, tiny, tiny], [tiny, 1 - 2 * tiny, tiny], [0, 0, 1.0]])
    model = DiscreteHMM([1.0, 0.0, 0.0], stay, emit)
    y = np.array([0, 0, 0, 2, 2, 2, 2, 0, 0, 1, 1])
    result = hmm_smoother(model, y)
    probs, pairs, value = log_space_smoother(model, y)
    np.testing.assert_allclose(result.probs, probs, rtol=1e-11, atol=1e-290)
    np.testing.assert_allclose(result.pair_probs, pairs, rtol=1e-11, atol=1e-290)
    assert result.log_likelihood == pytest.approx(value, rel=1e-13)


def test_long_hmm():
    rng = np.random.default_rng(4)
    model = random_hmm(rng, 4, 5)
    y = model.simulate(3000, rng=0)[1]
    result = hmm_smoother(model, y)
    probs, pairs, value = log_space_smoother(model, y)
    np.testing.assert_allclose(result.probs, probs, atol=1e-10)
    np.testing.assert_allclose(result.pair_probs, pairs, atol=1e-10)
    assert result.log_likelihood == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(result.pair_probs.sum(2), result.probs[:-1], atol=1e-12)
    initial, transitions, emissions = result.counts()
    assert initial.sum() == pytest.approx(1)
    assert transitions.sum() == pytest.approx(2999)
    assert emissions.sum() == pytest.approx(3000)


def test_impossible_observations_are_named():
    model = DiscreteHMM([1.0, 0.0], [[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [0.5, 0.5]])
    with pytest.raises(ValueError, match="symbol 1 at time 2 has probability zero"):
        hmm_smoother(model, [0, 0, 1, 0])


@pytest.mark.parametrize(
    ("y", "text"),
    [
        ([0, 2], "y must hold symbols 0..1, or NaN where missing, got 2 at time 1"),
        ([-1, 0], "got -1 at time 0"),
        ([0.5], "got 0.5 at time 0"),
        ([], "y must have shape"),
        ([[0, 1]], "y must have shape"),
    ],
)
def test_bad_symbols(y, text):
    model = DiscreteHMM([0.5, 0.5], np.full((2, 2), 0.5), np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match=text):
        hmm_smoother(model, y)

"""Diffuse starts, time axes and intercepts of linear Gaussian models, in exact arithmetic."""

import pickle

import numpy as np
import pytest

from randla import LinearGaussian, datasets, kalman_smoother, maximum_likelihood
from randla.smoothing._exact.kalman import log_likelihood, system_score
from tests.smoothing.exact_reference import central_difference, dense_smoother, flat_smoother

LOG_2PI = np.log(2 * np.pi)
NILE = datasets.nile()
MOMENTS = ("mean", "covariance", "lag_covariance", "log_likelihood")


def covariance(rng, n, rank):
    root = rng.standard_normal((n, rank))
    return root @ root.T


def random_arguments(rng, d, k, q, n_steps, rank_q, rank_r, rank_0, varying=True):
    """Arguments of a LinearGaussian, all that may have a time axis with one."""
    steps, rows = ((n_steps - 1,), (n_steps,)) if varying else ((), ())
    stack = lambda shape, make: np.array([make() for _ in range(shape[0])]) if shape else make()  # noqa: E731
    arguments = {
        "transition_matrix": stack(steps, lambda: 0.6 * np.eye(d) + 0.3 * rng.normal(size=(d, d))),
        "transition_cov": stack(steps, lambda: covariance(rng, d, rank_q)),
        "observation_matrix": stack(rows, lambda: rng.normal(size=(k, d))),
        "observation_cov": stack(rows, lambda: covariance(rng, k, rank_r)),
        "initial_mean": rng.normal(size=d),
        "initial_cov": covariance(rng, d, rank_0),
        "state_intercept": stack(steps, lambda: rng.normal(size=d)),
        "observation_intercept": stack(rows, lambda: rng.normal(size=k)),
    }
    return arguments | ({"diffuse": rng.normal(size=(d, q))} if q else {})


def require_equal(model, y, tolerance=1e-12):
    result, exact = kalman_smoother(model, y), flat_smoother(model, y)
    scale = np.sqrt(np.abs(exact[1]).max()) + np.abs(exact[0]).max()
    for name, expected, unit in zip(MOMENTS, exact, (scale, scale**2, scale**2, 1.0), strict=True):
        error = np.abs(np.asarray(getattr(result, name)) / unit - np.asarray(expected) / unit)
        assert error.max(initial=0.0) < tolerance * max(1.0, abs(exact[3])), name
    assert log_likelihood(model, model._as_rows(y)) == result.log_likelihood
    return result


# Numbers of states, observed components and diffuse directions, times; ranks of Q, R and P_0.
SHAPES = [
    (1, 1, 1, 6, 1, 1, 0),
    (1, 1, 1, 6, 1, 0, 1),
    (2, 1, 1, 6, 2, 1, 1),
    (2, 1, 2, 7, 0, 1, 0),
    (2, 2, 0, 5, 1, 2, 2),
    (3, 2, 2, 5, 3, 0, 3),
    (3, 2, 2, 5, 0, 2, 0),
    (3, 1, 3, 6, 1, 1, 0),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_exact_conditioning(shape):
    rng = np.random.default_rng(shape)
    d, k, q, n_steps, *ranks = shape
    model = LinearGaussian(**random_arguments(rng, d, k, q, n_steps, *ranks))
    y = rng.normal(size=(n_steps, k))
    y[0, 0] = np.nan
    require_equal(model, y, 1e-11)


def quadratic_trend(variances=(0.0, 0.0, 0.1), noise=None, **options):
    A = [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    R = np.ones(7) if noise is None else np.asarray(noise)
    options = {"diffuse": [True] * 3} | options
    return LinearGaussian(
        A, np.diag(variances), [[1.0, 0.0, 0.0]], R[:, None, None], [0.0] * 3, np.zeros((3, 3)),
        **options,
    )  # fmt: skip


SEVEN = np.array([0.3, -1.1, 0.7, 2.0, 1.4, -0.2, 0.9])


@pytest.mark.parametrize("variances", [(0.0, 0.0, 0.0), (0.0, 0.0, 0.1), (0.1, 0.2, 0.3)])
@pytest.mark.parametrize("exact", [{0: 0.0}, {3: 0.0}, {6: 0.0}, {0: 0.0, 2: 0.0, 5: 0.0},
                                   {3: 1e-8}, {3: 1e-20}, {3: 1e-30}])  # fmt: skip
def test_rows_without_noise(variances, exact):
    noise = np.ones(7)
    noise[list(exact)] = list(exact.values())
    require_equal(quadratic_trend(variances, noise), SEVEN, 1e-14)


def moving_average(diffuse):
    """A sum of MA(1) steps, or an ARMA(1, 1), observed without noise."""
    A = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    shock = np.array([0.0, 1.0, 2.0**-6])
    P0 = np.diag([0.0, 1.0, 0.0]) + np.outer(shock, shock)
    if diffuse:
        options = {"diffuse": [True, False, False]}
        return LinearGaussian(
            A, np.outer(shock, shock), [[1.0, 1.0, 0.0]], 0.0, [0.0] * 3, P0, **options
        )
    A[1, 1] = 0.75
    return LinearGaussian(
        A[1:, 1:], np.outer(shock, shock)[1:, 1:], [[1.0, 0.0]], 0.0, [0.0, 0.0], P0[1:, 1:]
    )


@pytest.mark.parametrize("diffuse", [True, False])
def test_moving_averages_without_noise(diffuse):
    """The filter knows the last shock better and better; backward no error may grow with it."""
    y = np.tile(SEVEN, 3)[:16]
    y[3:5] = np.nan
    model = moving_average(diffuse)
    require_equal(model, y, 1e-12)

    def value(step):
        A = model.transition_matrix.copy()
        A[0, -1] += step
        other = LinearGaussian(
            A, model.transition_cov, model.observation_matrix, 0.0, model.initial_mean,
            model.initial_cov, diffuse=model.diffuse,
        )  # fmt: skip
        return log_likelihood(other, other._as_rows(y))

    slope = system_score(model, model._as_rows(y))[1].A[0, -1]
    assert slope == pytest.approx(central_difference(value, 0.0, 1e-3), rel=1e-8)


@pytest.mark.parametrize(
    "directions",
    [np.diag([1e100, 1.0, 1e-100]), np.diag([1e-50] * 3), [[1, 1, 1], [1, 2, 4], [1, 3, 9]]],
)
def test_any_basis_of_the_same_directions(directions):
    model = quadratic_trend(diffuse=np.array(directions, float))
    result = require_equal(model, SEVEN, 1e-13)
    # The density is relative to the volume of delta.
    shift = np.linalg.slogdet(np.array(directions, float))[1]
    other = kalman_smoother(quadratic_trend(), SEVEN)
    assert result.log_likelihood + shift == pytest.approx(other.log_likelihood, abs=1e-11)


@pytest.mark.parametrize("scale", [2.0**-300, 2.0**300])
def test_extreme_scales(scale):
    one = kalman_smoother(quadratic_trend((0.1, 0.0, 0.1)), SEVEN)
    model = quadratic_trend(np.array([0.1, 0.0, 0.1]) * scale**2, np.full(7, scale**2))
    other = kalman_smoother(model, SEVEN * scale)
    np.testing.assert_allclose(other.mean / scale, one.mean, rtol=1e-13)
    np.testing.assert_allclose(other.covariance / scale**2, one.covariance, rtol=1e-12, atol=1e-15)
    shift = (7 - 3) * np.log(scale)
    assert other.log_likelihood == pytest.approx(one.log_likelihood - shift, abs=1e-9)


def test_what_a_mask_names_has_no_other_law():
    y = SEVEN.copy()
    y[:2] = np.nan
    options = {"diffuse": [True, False]}
    A, Q = [[1.0, 1.0], [0.0, 0.9]], np.eye(2)
    one = LinearGaussian(A, Q, [[1.0, 0.0]], 1.0, [0.0, 1.0], np.diag([0.0, 2.0]), **options)
    two = LinearGaussian(A, Q, [[1.0, 0.0]], 1.0, [9.0, 1.0], [[5.0, 1.0], [1.0, 2.0]], **options)
    a, b = kalman_smoother(one, y), kalman_smoother(two, y)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-13)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-12)
    np.testing.assert_array_equal(two.initial_cov, np.diag([0.0, 2.0]))
    np.testing.assert_array_equal(two.diffuse, [[1.0], [0.0]])


# Published digits ---------------------------------------------------------------------------------


def gap(*rows):
    y = NILE.copy()
    for part in rows:
        y[part] = np.nan
    return y


def blocks(*parts):
    """The blocks (A, Q, B, P_0, diffuse) of components side by side, with the noise of the Nile."""
    sizes = [len(A) for A, *_ in parts]
    ends = np.cumsum(sizes)
    A, Q, P0 = np.zeros((3, ends[-1], ends[-1]))
    for (a, q, _, p, _), end, size in zip(parts, ends, sizes, strict=True):
        own = slice(end - size, end)
        A[own, own], Q[own, own], P0[own, own] = a, q, p
    B = np.concatenate([np.atleast_2d(part[2]) for part in parts], axis=1)
    return A, Q, B, P0, np.concatenate([part[4] for part in parts])


LEVEL = (np.eye(1), np.full((1, 1), 1469.1), [1.0], np.zeros((1, 1)), [True])
TREND = (np.array([[1.0, 1.0], [0.0, 1.0]]), np.diag([1469.1, 10.0]), [1.0, 0.0],
         np.zeros((2, 2)), [True, True])  # fmt: skip
SEASON = (np.array([[-1.0, -1.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
          np.diag([100.0, 0.0, 0.0]), [1.0, 0.0, 0.0], np.zeros((3, 3)), [True] * 3)  # fmt: skip


def autoregression():
    A, Q = np.array([[0.5, 1.0], [-0.3, 0.0]]), np.diag([800.0, 0.0])
    P = np.linalg.solve(np.eye(4) - np.kron(A, A), Q.ravel()).reshape(2, 2)
    return A, Q, [1.0, 0.0], 0.5 * (P + P.T), [False, False]


def cycle(is_diffuse):
    c, s = 0.9 * np.cos(0.6), 0.9 * np.sin(0.6)
    P0 = np.zeros((2, 2)) if is_diffuse else 500.0 / (1.0 - 0.81) * np.eye(2)
    return np.array([[c, s], [-s, c]]), 500.0 * np.eye(2), [1.0, 0.0], P0, [is_diffuse] * 2


def nile(*parts):
    A, Q, B, P0, diffuse = blocks(*parts)
    return LinearGaussian(A, Q, B, 15099.0, np.zeros(len(A)), P0, diffuse=diffuse)


# statsmodels' log-likelihood (0.15) counts k log 2 pi: ours is q/2 log 2 pi above it.
DIGITS = {
    "level": (nile(LEVEL), NILE, 1, -633.4645636488787),
    "trend, gaps": (nile(TREND), gap(slice(5), slice(20, 40)), 2, -472.5947880806465),
    "level, gaps": (nile(LEVEL), gap(slice(3), slice(30, 45)), 1, -514.4179123402714),
    "trend, other gaps": (nile(TREND), gap(slice(3), slice(30, 45)), 2, -514.0277528758612),
    "season": (nile(TREND, SEASON), gap(slice(3), slice(30, 45)), 5, -503.93776609277575),
    "autoregression": (nile(LEVEL, autoregression()), NILE, 1, -633.2343053610953),
    "diffuse cycle": (nile(LEVEL, cycle(True)), NILE, 3, -623.2596619732714),
    "stationary cycle": (nile(LEVEL, cycle(False)), NILE, 1, -632.8276014225),
}


@pytest.mark.parametrize("name", DIGITS)
def test_digits_of_statsmodels(name):
    model, y, q, value = DIGITS[name]
    ours = kalman_smoother(model, y).log_likelihood
    assert ours - 0.5 * q * LOG_2PI == pytest.approx(value, abs=1e-9)


def test_regressors_are_constant_states():
    X = np.random.default_rng(0).standard_normal((100, 2))
    y = NILE + 50 * X[:, 0] - 20 * X[:, 1]
    B = np.concatenate([np.ones((100, 1)), X], axis=1)[:, None]
    model = LinearGaussian(
        np.eye(3), np.diag([1469.1, 0, 0]), B, 15099.0, np.zeros(3), np.zeros((3, 3)),
        diffuse=[True] * 3,
    )  # fmt: skip
    result = kalman_smoother(model, y)
    assert result.log_likelihood - 1.5 * LOG_2PI == pytest.approx(-625.9891779089369, abs=1e-9)
    assert np.ptp(result.mean[:, 1:], axis=0).max() < 1e-9
    # With known coefficients the regressors are an intercept.
    known = LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 0.0, 0.0, diffuse=True,
                           observation_intercept=X @ result.mean[0, 1:])  # fmt: skip
    np.testing.assert_allclose(kalman_smoother(known, y).mean[:, 0], result.mean[:, 0], rtol=1e-10)


def test_moments_of_statsmodels():
    structural = pytest.importorskip("statsmodels.tsa.statespace.structural")
    model, y, _, _ = DIGITS["season"]
    peer = structural.UnobservedComponents(y, "lltrend", seasonal=4, use_exact_diffuse=True)
    theirs = peer.smooth([15099.0, 1469.1, 10.0, 100.0])
    ours = kalman_smoother(model, y)
    np.testing.assert_allclose(ours.mean.T, theirs.smoothed_state, rtol=1e-8, atol=1e-7)
    covariances = theirs.smoothed_state_cov.transpose(2, 0, 1)
    np.testing.assert_allclose(ours.covariance, covariances, rtol=1e-8, atol=1e-5)


def test_maximum_likelihood_of_the_nile():
    start = LinearGaussian(1.0, 1000.0, 1.0, 10000.0, 0.0, 0.0, diffuse=True)
    free = ["transition_cov", "observation_cov"]
    fit = maximum_likelihood(start, NILE, free=free, method="exact", n_steps=50)
    np.testing.assert_allclose(fit.theta, [1469.177, 15098.518], atol=2e-3)
    assert fit.log_likelihood - 0.5 * LOG_2PI == pytest.approx(-633.464563637, abs=1e-8)


# The score ----------------------------------------------------------------------------------------

BLOCKS = ("transition_matrix", "transition_cov", "state_intercept", "observation_matrix",
          "observation_cov", "observation_intercept", "initial_mean", "initial_cov")  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 1, 2, 0, 1), (2, 1, 1, 2, 0),
                                   (3, 2, 2, 1, 1), (2, 2, 0, 0, 2)])  # fmt: skip
def test_score_is_the_gradient_in_every_block(shape):
    d, k, q, rank_q, rank_r = shape
    rng = np.random.default_rng(shape)
    arguments = random_arguments(rng, d, k, q, 10, rank_q, rank_r, d - 1, varying=False)
    y = rng.normal(size=(10, k))
    y[1], y[5, 0] = np.nan, np.nan
    model = LinearGaussian(**arguments)
    _, gradients = system_score(model, model._as_rows(y))
    for name, gradient in zip(BLOCKS, gradients, strict=True):
        change = rng.normal(size=gradient.shape)
        if name.endswith("cov"):
            change = np.outer(change[0], change[0])

        def value(h, name=name, change=change):
            moved = LinearGaussian(**(arguments | {name: arguments[name] + h * change}))
            return log_likelihood(moved, model._as_rows(y))

        if name.endswith("cov"):  # from the edge inwards, error O(h^5)
            h = 1e-4
            weights = [-137 / 60, 5, -5, 10 / 3, -5 / 4, 1 / 5]
            slope = sum(w * value(j * h) for j, w in enumerate(weights)) / h
        else:
            h = 1e-3
            slope = (8 * (value(h) - value(-h)) - value(2 * h) + value(-2 * h)) / (12 * h)
        scale = 1.0 + np.abs(gradient).sum()
        assert (gradient * change).sum() == pytest.approx(slope, abs=2e-6 * scale), name


def test_intercepts_are_parameters():
    model = LinearGaussian(0.5, 1.0, 1.0, 1.0, 0.0, 2.0, state_intercept=0.3,
                           observation_intercept=[-0.5])  # fmt: skip
    assert model.names[-2:] == ("state_intercept", "observation_intercept")
    y = SEVEN
    score = kalman_smoother(model, y).expectation("score")
    for i in (-1, -2):
        step = np.zeros(len(model.theta))
        step[i] = 1e-3
        up, down = (kalman_smoother(model.replace(model.theta + s), y) for s in (step, -step))
        slope = (up.log_likelihood - down.log_likelihood) / 2e-3  # of a parabola
        assert score[i] == pytest.approx(slope, rel=1e-9)
    fit = maximum_likelihood(model, y, free="observation_intercept", method="exact", n_steps=0)
    assert abs(kalman_smoother(fit.model, y).expectation("score")[-1]) < 1e-7


# Time axes ----------------------------------------------------------------------------------------


def test_equal_slices_are_a_constant_bit_for_bit():
    rng = np.random.default_rng(3)
    arguments = random_arguments(rng, 2, 2, 1, 9, 2, 2, 0, varying=False)
    steps = ("transition_matrix", "transition_cov", "state_intercept")
    rows = ("observation_matrix", "observation_cov", "observation_intercept")
    lengths = dict.fromkeys(steps, 8) | dict.fromkeys(rows, 9)
    repeated = {n: np.array([arguments[n]] * length) for n, length in lengths.items()}
    y = rng.normal(size=(9, 2))
    y[4, 1] = np.nan
    one = kalman_smoother(LinearGaussian(**arguments), y)
    for names in (*[[n] for n in lengths], list(lengths)):
        model = LinearGaussian(**(arguments | {n: repeated[n] for n in names}))
        assert not any(n.split("[")[0] in names for n in model.names)
        other = kalman_smoother(pickle.loads(pickle.dumps(model)), y)
        for name in MOMENTS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_time_axes_of_both_kinds_say_the_same_times():
    ones = np.ones
    text = (
        r"observation_cov must vary over the same number of times as transition_matrix \(4 "
        r"entries along its first axis are T - 1 steps, so T = 5\), got .* T = 6\)"
    )
    with pytest.raises(ValueError, match=text):
        LinearGaussian(ones((4, 1, 1)), 1.0, 1.0, ones((6, 1, 1)), 0.0, 1.0)
    model = LinearGaussian(ones((4, 1, 1)), 1.0, 1.0, 1.0, 0.0, 1.0)
    assert kalman_smoother(model, ones(5)).mean.shape == (5, 1)
    for call in (
        lambda: kalman_smoother(model, ones(4)),
        lambda: maximum_likelihood(model, ones(6), method="exact"),
    ):
        with pytest.raises(ValueError, match="y must have as many times as the model"):
            call()
    short = LinearGaussian(1.0, 1.0, 1.0, 1.0, 0.0, 1.0, observation_intercept=[0.5, 1.0, 2.0])
    assert short.observation_intercept.shape == (3, 1)


def test_missing_rows_at_the_end_are_forecasts():
    model, y = DIGITS["level"][0], np.concatenate([NILE, [np.nan] * 3])
    result = kalman_smoother(model, y)
    level = kalman_smoother(model, NILE)
    np.testing.assert_allclose(result.mean[100:, 0], level.mean[-1, 0], rtol=1e-12)
    growth = np.diff(result.covariance[99:, 0, 0])
    np.testing.assert_allclose(growth, 1469.1, rtol=1e-9)
    assert result.log_likelihood == pytest.approx(level.log_likelihood, abs=1e-10)


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"diffuse": [True]}, ValueError, r"diffuse must be a mask of .* got shape \(1,\)"),
        ({"diffuse": [1, 0]}, ValueError, r"diffuse must be a boolean mask \(2,\) or a matrix"),
        ({"diffuse": np.eye(3)}, ValueError, "or a matrix"),
        ({"diffuse": np.ones((2, 2))}, ValueError, "diffuse must have linearly independent"),
        ({"diffuse": [[1.0, 0.0], [1.0, 0.0]]}, ValueError, "diffuse must have linearly"),
        ({"diffuse": np.ones((2, 3))}, ValueError, "diffuse must have linearly independent"),
        ({"diffuse": [[np.nan], [1.0]]}, ValueError, "diffuse must be finite"),
        ({"diffuse": "all"}, TypeError, "diffuse must hold real numbers"),
        ({"state_intercept": [1.0, 2.0, 3.0]}, ValueError, r"state_intercept must have shape \(2,"),
        ({"observation_intercept": np.ones((4, 2))}, ValueError, "observation_intercept must have"),
        ({"transition_matrix": np.ones((4, 2, 3))}, ValueError, "transition_matrix must be square"),
        ({"initial_cov": np.ones((4, 2, 2))}, ValueError, r"initial_cov must have shape \(2, 2\)"),
        ({"transition_cov": [np.eye(2), -np.eye(2)]}, ValueError,
         r"transition_cov\[1\] must be positive semidefinite"),
        ({"transition_cov": np.ones((0, 2, 2))}, ValueError, "transition_cov must have shape"),
    ],
)  # fmt: skip
def test_bad_arguments(options, error, text):
    plain = {"transition_matrix": np.eye(2), "transition_cov": np.eye(2),
             "observation_matrix": [[1.0, 0.0]], "observation_cov": 1.0,
             "initial_mean": np.zeros(2), "initial_cov": np.eye(2)}  # fmt: skip
    with pytest.raises(error, match=text):
        LinearGaussian(**(plain | options))


def test_what_y_does_not_determine_is_named():
    I = np.eye(3)
    model = LinearGaussian(I, I, I, I, np.zeros(3), I, diffuse=[True] * 3)
    y = np.random.default_rng(0).normal(size=(5, 3))
    y[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"some combination of its columns \[1\]"):
        kalman_smoother(model, y)
    with pytest.raises(ValueError, match=r"its columns \[0, 1\]"):  # fewer rows than columns
        kalman_smoother(nile(TREND), [np.nan, 1.0])
    with pytest.raises(ValueError, match=r"its columns \[0\]"):
        kalman_smoother(nile(LEVEL), [np.nan, np.nan])
    same = np.stack([np.ones(100), np.ones(100)], axis=1)[:, None]
    collinear = LinearGaussian(np.eye(2), np.diag([1469.1, 0.0]), same, 15099.0, np.zeros(2),
                               np.zeros((2, 2)), diffuse=[True, True])  # fmt: skip
    with pytest.raises(ValueError, match=r"its columns \[0, 1\]"):
        kalman_smoother(collinear, NILE)
    constant = LinearGaussian(1.0, 0.0, 1.0, 0.0, 0.0, 0.0, diffuse=True)
    assert kalman_smoother(constant, [0.5]).mean[0, 0] == 0.5
    with pytest.raises(ValueError, match="y has no density at time 1"):
        kalman_smoother(constant, [0.5, 0.5])


def test_dense_smoother_is_the_flat_one_without_directions():  # the oracle's own check
    rng = np.random.default_rng(9)
    arguments = random_arguments(rng, 2, 1, 0, 5, 2, 1, 2, varying=False)
    del arguments["state_intercept"], arguments["observation_intercept"]
    model, y = LinearGaussian(**arguments), rng.normal(size=5)
    for a, b in zip(dense_smoother(model, y), flat_smoother(model, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)

"""Structural models against digits, dense conditioning and statsmodels."""

import math
import pickle

import numpy as np
import pytest

from randla import (
    LinearGaussian,
    MaximumLikelihoodWarning,
    components,
    datasets,
    kalman_smoother,
    maximum_likelihood,
    structural,
)
from randla.smoothing._likelihood.structural_scores import StructuralScores

NILE = datasets.nile()
REGRESSORS = np.random.default_rng(0).standard_normal((100, 2))


def _gaps(*rows):
    y = np.array(NILE)
    for first, last in rows:
        y[first : last + 1] = np.nan
    return y


TWO, THREE = _gaps((0, 4), (20, 39)), _gaps((0, 2), (30, 44))
S_LEVEL, S_NOISE = math.sqrt(1469.1), math.sqrt(15099.0)
TREND = [S_LEVEL, math.sqrt(10.0)]

# Options, theta, y, number of diffuse states, log-likelihood of statsmodels 0.15 with
# use_exact_diffuse=True; the stationary cycle was computed by a start with its stationary law.
DIGITS = {
    "level": ({}, [S_LEVEL, S_NOISE], NILE, 1, -633.4645636488787),
    "trend, gaps": ({"level": "trend"}, [*TREND, S_NOISE], TWO, 2, -472.5947880806465),
    "level, gaps": ({}, [S_LEVEL, S_NOISE], THREE, 1, -514.4179123402714),
    "trend, other gaps": ({"level": "trend"}, [*TREND, S_NOISE], THREE, 2, -514.0277528758612),
    "season": (
        {"level": "trend", "seasonal": 4}, [*TREND, 10.0, S_NOISE], THREE, 5, -503.93776609277575,
    ),
    "ar": ({"ar": 2}, [S_LEVEL, 0.5, -0.3, math.sqrt(800.0), S_NOISE], NILE, 1, -633.2343053610953),
    "cycle": (
        {"cycle": "damped"}, [S_LEVEL, 0.6, 0.9, math.sqrt(500.0), S_NOISE], NILE, 1,
        -632.8276014225,
    ),
    "regression": (
        {"regressors": REGRESSORS}, [S_LEVEL, S_NOISE], NILE + REGRESSORS @ [50.0, -20.0], 3,
        -625.9891779089369,
    ),
}  # fmt: skip

# One of everything, with values of the parameters.
OPTIONS = {
    "trend": ({"level": "trend"}, [30.0, 3.0, 100.0]),
    "smooth": ({"level": "smooth trend", "seasonal": (7, 2)}, [3.0, 5.0, 100.0]),
    "harmonics": ({"seasonal": (6, 3), "noise": False}, [30.0, 20.0]),
    "undamped": ({"level": None, "cycle": "undamped", "ar": 1}, [0.7, 20.0, 0.9, 50.0, 90.0]),
    "all": (
        {"level": "trend", "seasonal": 4, "cycle": "damped", "ar": 3, "regressors": REGRESSORS},
        [30.0, 3.0, 9.0, 0.7, 0.8, 20.0, 0.5, -0.3, 0.2, 40.0, 90.0],
    ),
    "long ar": ({"ar": 6}, [30.0, 0.5, -0.3, 0.2, 0.1, -0.2, 0.3, 40.0, 90.0]),
}


@pytest.mark.parametrize("name", DIGITS)
def test_digits_of_statsmodels(name):
    options, theta, y, q, value = DIGITS[name]
    model = structural(**options).replace(theta)
    expected = value + 0.5 * q * math.log(2.0 * math.pi)
    fast, _ = StructuralScores(model, model._as_rows(y)).at(model.theta)
    for found in (kalman_smoother(model, y).log_likelihood, fast):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_digits_of_statsmodels_on_co2():
    """Twenty years by month, 5 missing, and 13 diffuse states."""
    data = pytest.importorskip("statsmodels.datasets").co2.load_pandas().data
    y = data.co2.resample("MS").mean().to_numpy()[:240]
    model = structural(level="trend", seasonal=12).replace(np.sqrt([0.04, 1e-4, 1e-3, 0.05]))
    expected = -92.43573066694489 + 6.5 * math.log(2.0 * math.pi)
    fast, _ = StructuralScores(model, model._as_rows(y)).at(model.theta)
    for found in (kalman_smoother(model, y).log_likelihood, fast):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", OPTIONS)
def test_score_is_the_slope(name):
    options, theta = OPTIONS[name]
    model = structural(**options).replace(theta)
    scores = StructuralScores(model, model._as_rows(THREE))
    value, gradient = scores.at(model.theta)
    result = kalman_smoother(model, THREE)
    np.testing.assert_allclose(value, result.log_likelihood, rtol=1e-12)
    scale = np.abs(gradient) + 1e-3
    np.testing.assert_array_less(np.abs(result.expectation("score") - gradient) / scale, 1e-9)
    for k, step in enumerate(1e-5 * np.maximum(np.abs(theta), 1.0) * np.eye(len(theta))):
        ends = [scores.at(model.theta + s * step)[0] for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2.0 * step[k])
        np.testing.assert_allclose(gradient[k], slope, rtol=1e-5, atol=1e-5)


def test_score_where_standard_deviations_are_zero():
    """It is zero there, and beside it twice sd times the derivative in sd^2."""
    model = structural(level="trend", seasonal=4, cycle="damped")
    theta = np.array([30.0, 0.0, 0.0, 0.7, 0.8, 0.0, 90.0])
    scores = StructuralScores(model, model._as_rows(THREE))
    value, gradient = scores.at(theta)
    np.testing.assert_allclose(gradient[[1, 2, 5]], 0.0, atol=1e-14)
    exact = kalman_smoother(model.replace(theta), THREE)
    np.testing.assert_allclose(exact.log_likelihood, value, rtol=1e-12)
    np.testing.assert_allclose(exact.expectation("score"), gradient, rtol=1e-8, atol=1e-8)
    for k in (1, 2, 5):
        near = np.array(theta)
        near[k] = 1e-6
        slope = scores.at(near)[1][k] / 2e-6  # d log L / d(sd^2) at 0
        near[k] = 0.03
        np.testing.assert_allclose((scores.at(near)[0] - value) / 0.03**2, slope, rtol=0.02)


def _dense(model, y):
    """Smoothed moments by conditioning on y, with an explicit flat delta (generalized LS)."""
    n, d = len(y), len(model.transition_matrix)
    A, Q = model.transition_matrix, model.transition_cov
    powers = [np.linalg.matrix_power(A, t) for t in range(n)]
    C = np.zeros((n, d, n, d))
    V = np.array(model.initial_cov)
    for t in range(n):
        for s in range(t, n):
            C[s, :, t] = powers[s - t] @ V
            C[t, :, s] = C[s, :, t].T
        V = A @ V @ A.T + Q
    C = C.reshape(n * d, n * d)
    D = np.concatenate([p @ model.diffuse for p in powers])
    B = np.zeros((n, n * d))
    for t, row in enumerate(np.broadcast_to(model.observation_matrix, (n, 1, d))):
        B[t, t * d : (t + 1) * d] = row
    seen = ~np.isnan(y)
    B = B[seen]
    S = B @ C @ B.T + model.observation_cov[0, 0] * np.eye(len(B))
    gain = np.linalg.solve(S, B @ C).T
    X = B @ D
    spread = np.linalg.inv(X.T @ np.linalg.solve(S, X))
    delta = spread @ X.T @ np.linalg.solve(S, y[seen])
    rest = D - gain @ X
    mean = D @ delta + gain @ (y[seen] - X @ delta)
    return mean.reshape(n, d), C - gain @ B @ C + rest @ spread @ rest.T


def test_components_by_dense_conditioning():
    options, theta = OPTIONS["all"]
    model = structural(**options).replace(theta)
    mean, covariance = _dense(model, THREE)
    parts = components(kalman_smoother(model, THREE))
    assert list(parts) == [
        "level", "slope", "seasonal", "regression", "coefficient[0]", "coefficient[1]", "cycle",
        "ar", "noise",
    ]  # fmt: skip
    d, total = mean.shape[1], np.zeros(100)
    states = {"level": 0, "slope": 1, "seasonal": 2, "coefficient[1]": 6, "cycle": 7, "ar": 9}
    for name, k in states.items():
        np.testing.assert_allclose(parts[name].mean, mean[:, k], rtol=1e-8, atol=1e-8)
        variance = np.diag(covariance)[k::d]
        np.testing.assert_allclose(parts[name].standard_error, np.sqrt(variance), rtol=1e-8)
    np.testing.assert_allclose(
        parts["regression"].mean, (REGRESSORS * mean[:, 5:7]).sum(1), rtol=1e-8, atol=1e-8
    )
    at_9 = covariance.reshape(100, d, 100, d)[9, 5:7, 9, 5:7]
    error = math.sqrt(REGRESSORS[9] @ at_9 @ REGRESSORS[9])
    np.testing.assert_allclose(parts["regression"].standard_error[9], error, rtol=1e-8)
    for name in ("level", "seasonal", "regression", "cycle", "ar", "noise"):
        total += parts[name].mean
    seen = ~np.isnan(THREE)
    np.testing.assert_allclose(total[seen], THREE[seen], rtol=1e-10)
    assert (parts["noise"].mean[~seen] == 0.0).all()
    assert (parts["noise"].standard_error[~seen] == 90.0).all()
    low, high = parts["level"].confidence_interval(0.9)
    np.testing.assert_allclose(high - low, 2 * 1.6448536 * parts["level"].standard_error)


@pytest.mark.parametrize("seasonal", [4, (4, 1)])
def test_components_of_statsmodels(seasonal):
    statsmodels = pytest.importorskip("statsmodels.api")
    season = {"seasonal": 4} if seasonal == 4 else {
        "freq_seasonal": [{"period": 4, "harmonics": 1}]
    }  # fmt: skip
    peer = statsmodels.tsa.UnobservedComponents(
        THREE, "lltrend", autoregressive=1, use_exact_diffuse=True, **season
    )
    smoothed = peer.smooth([15099.0, 1469.1, 10.0, 100.0, 800.0, 0.5])
    model = structural(level="trend", seasonal=seasonal, ar=1)
    theta = np.sqrt([1469.1, 10.0, 100.0, 0.25, 800.0, 15099.0])
    parts = components(kalman_smoother(model.replace(theta), THREE))
    season = smoothed.seasonal if seasonal == 4 else smoothed.freq_seasonal[0]
    pairs = {
        "level": smoothed.level,
        "slope": smoothed.trend,
        "seasonal": season,
        "ar": smoothed.autoregressive,
    }
    for name, other in pairs.items():
        np.testing.assert_allclose(parts[name].mean, other.smoothed, rtol=1e-8, atol=1e-8)
        error = np.sqrt(other.smoothed_cov)
        np.testing.assert_allclose(parts[name].standard_error, error, rtol=1e-8, atol=1e-8)


def test_names_and_matrices():
    model = structural(level="trend", seasonal=3, cycle="undamped", ar=2)
    assert model.names == (
        "sd_level", "sd_slope", "sd_seasonal", "cycle_frequency", "sd_cycle", "ar[1]", "ar[2]",
        "sd_ar", "sd_noise",
    )  # fmt: skip
    assert isinstance(model, LinearGaussian)
    model = model.replace([1.0, 2.0, -3.0, 0.5, 4.0, 0.5, 0.2, 5.0, 6.0])
    c, s = math.cos(0.5), math.sin(0.5)
    blocks = {
        0: [[1.0, 1.0], [0.0, 1.0]], 2: [[-1.0, -1.0], [1.0, 0.0]], 4: [[c, s], [-s, c]],
        6: [[0.5, 0.2], [1.0, 0.0]],
    }  # fmt: skip
    A = np.zeros((8, 8))
    for first, block in blocks.items():
        A[first : first + 2, first : first + 2] = block
    np.testing.assert_allclose(model.transition_matrix, A)
    np.testing.assert_allclose(
        model.transition_cov, np.diag([1.0, 4.0, 9.0, 0.0, 16.0, 16.0, 25.0, 0.0])
    )
    np.testing.assert_allclose(model.observation_matrix, [[1, 0, 1, 0, 1, 0, 1, 0]])
    assert model.observation_cov == 36.0
    np.testing.assert_allclose(model.diffuse, np.eye(8)[:, :6])
    P = model.initial_cov[6:, 6:]
    np.testing.assert_allclose(P, A[6:, 6:] @ P @ A[6:, 6:].T + np.diag([25.0, 0.0]))
    again = pickle.loads(pickle.dumps(model))
    y = NILE[:20]
    assert kalman_smoother(again, y).log_likelihood == kalman_smoother(model, y).log_likelihood


def test_harmonics_of_all_frequencies_span_the_dummies():
    """With constant seasons both are any pattern that sums to zero: the same likelihood."""
    values = []
    for seasonal in (6, (6, 3)):
        model = structural(seasonal=seasonal).replace([30.0, 0.0, 90.0])
        assert model.dim == 6
        result = kalman_smoother(model, THREE)
        values.append((components(result)["seasonal"].mean, components(result)["level"].mean))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-8)


def test_forecast_with_future_regressors():
    """Rows of y that are missing at the end are the forecast."""
    short = structural(regressors=REGRESSORS[:90]).replace([30.0, 90.0])
    end = kalman_smoother(short, NILE[:90])
    y = np.append(NILE[:90], np.full(10, np.nan))
    later = kalman_smoother(structural(regressors=REGRESSORS).replace([30.0, 90.0]), y)
    np.testing.assert_allclose(later.mean[90:], np.tile(end.mean[-1], (10, 1)), rtol=1e-9)
    var = components(later)["level"].standard_error[[89, 99]] ** 2
    np.testing.assert_allclose(var[1] - var[0], 10 * 900.0, rtol=1e-9)


def test_columns_name_the_coefficients():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"price": REGRESSORS[:, 0], "rain": REGRESSORS[:, 1]})
    model = structural(regressors=X).replace([30.0, 90.0])
    parts = components(kalman_smoother(model, NILE))
    assert list(parts) == [
        "level", "regression", "coefficient[price]", "coefficient[rain]", "noise"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"level": "walk"}, ValueError, "level must be one of 'level', 'trend'"),
        ({"level": None}, ValueError, "must name a component"),
        ({"seasonal": 1}, ValueError, "seasonal must be at least 2"),
        ({"seasonal": 12.0}, TypeError, "seasonal must be an integer"),
        ({"seasonal": (12, 7)}, ValueError, "harmonics must be at least 1 and at most 6"),
        ({"seasonal": (12, 0)}, ValueError, "harmonics must be at least 1"),
        ({"seasonal": (12, 2, 3)}, ValueError, r"seasonal must be s or \(s, harmonics\)"),
        ({"cycle": "wet"}, ValueError, "cycle must be one of 'damped'"),
        ({"ar": -1}, ValueError, "ar must be at least 0"),
        ({"ar": True}, TypeError, "ar must be an integer"),
        ({"regressors": [1.0, np.nan]}, ValueError, "regressors must be finite, got NaN"),
        ({"regressors": np.ones((3, 2, 2))}, ValueError, "regressors must have shape"),
        ({"noise": 1}, TypeError, "noise must be True or False"),
    ],
)
def test_bad_options(options, error, text):
    with pytest.raises(error, match=text):
        structural(**options)


def test_bad_values():
    with pytest.raises(ValueError, match=r"cycle_frequency .* between 0 and 3.14"):
        structural(cycle="damped").replace([1.0, 3.2, 0.5, 1.0, 1.0])
    with pytest.raises(ValueError, match="stationary autoregression"):
        structural(ar=2).replace([1.0, 1.5, -0.4, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"up to 1e\+154, .* larger one for sd_noise"):
        structural().replace([1.0, 1e200])
    with pytest.raises(ValueError, match=r"y must have as many times .* 100 rows"):
        kalman_smoother(structural(regressors=REGRESSORS), NILE[:50])
    with pytest.raises(ValueError, match="as many times as the season, 12, got 10"):
        kalman_smoother(structural(seasonal=12), NILE[:10])
    collinear = structural(regressors=np.ones(100)).replace([1.0, 1.0])
    for call in (kalman_smoother, lambda m, y: maximum_likelihood(m, y, method="exact")):
        with pytest.raises(ValueError, match=r"that y determines, .* of level, coefficient\[0\]:"):
            call(collinear, NILE)
    with pytest.raises(TypeError, match="result must be of a model of `structural`"):
        components(kalman_smoother(LinearGaussian(0.5, 1, 1, 1, 0, 1), NILE))
    with pytest.raises(TypeError, match="result must be a KalmanSmootherResult, got dict"):
        components({})


def test_picture():
    pytest.importorskip("matplotlib").use("Agg")
    parts = components(kalman_smoother(structural(regressors=REGRESSORS), NILE))
    axes = parts.plot()
    assert [ax.get_ylabel() for ax in axes] == ["level", "regression", "noise"]
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), parts["level"].mean)
    with pytest.raises(ValueError, match="axes must have one entry for each of"):
        parts.plot(axes[:2])


# Maximum likelihood ------------------------------------------------------------------------------


def _fit(y=NILE, options=(), **settings):
    return maximum_likelihood(structural(**dict(options)), y, method="exact", **settings)


def test_maximum_of_the_nile():
    fit = _fit()
    assert fit.names == ("sd_level", "sd_noise")
    np.testing.assert_allclose(fit.theta**2, [1469.177, 15098.518], rtol=1e-6)
    # Statistical errors: inverse of minus the second differences of the log-likelihood.
    scores = StructuralScores(fit.model, fit.model._as_rows(NILE))
    steps = 1e-2 * np.eye(2)
    H = [(scores.at(fit.theta + h)[1] - scores.at(fit.theta - h)[1]) / 2e-2 for h in steps]
    errors = np.sqrt(np.diag(np.linalg.inv(-np.array(H))))
    np.testing.assert_allclose(fit.parameter_standard_error, errors, rtol=1e-4)
    np.testing.assert_allclose(
        fit.log_likelihood, kalman_smoother(fit.model, NILE).log_likelihood, rtol=1e-13
    )
    assert fit.converged
    assert not fit.at_boundary.any()
    assert (fit.monte_carlo_error == 0.0).all()
    again = _fit(1e6 * NILE + 1e9)  # neither units nor an origin matter
    np.testing.assert_allclose(again.theta, 1e6 * fit.theta, rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-300, 1e-100, 1e100, 1e150])
def test_units_far_from_one(unit):
    fit, far = _fit(options={"ar": 1}), _fit(unit * NILE, {"ar": 1})
    units = np.array([unit, 1.0, unit, unit])
    np.testing.assert_allclose(far.theta / units, fit.theta, rtol=1e-6)
    errors = far.parameter_standard_error / units
    np.testing.assert_allclose(errors, fit.parameter_standard_error, rtol=1e-5)
    np.testing.assert_allclose(
        far.log_likelihood + 99 * math.log(unit), fit.log_likelihood, rtol=1e-9
    )
    assert far.trace.shape[1] == 4
    given = maximum_likelihood(far.model, unit * NILE, method="exact")  # from where it is
    np.testing.assert_allclose(given.theta, far.theta, rtol=1e-6)


def test_a_standard_deviation_of_zero_is_told():
    fit = _fit(options={"level": "trend"})
    assert fit.at_boundary.tolist() == [False, True, False]
    assert fit.theta[1] == 0.0
    assert np.isnan(fit.parameter_standard_error).tolist() == [False, True, False]
    low, high = fit.confidence_interval()
    assert np.isnan([low[1], high[1]]).all()
    half = 1.959964 * fit.parameter_standard_error / fit.theta  # of the logarithm
    np.testing.assert_allclose(low[[0, 2]], (fit.theta * np.exp(-half))[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(high[[0, 2]], (fit.theta * np.exp(half))[[0, 2]], rtol=1e-6)
    for sd in (1e-3, 1.0, 5.0):  # no better value nearby
        theta = [fit.theta[0], sd, fit.theta[2]]
        assert kalman_smoother(fit.model.replace(theta), NILE).log_likelihood < fit.log_likelihood


def test_a_flat_likelihood_is_told():
    """Of a step nothing is noise, and the likelihood hardly changes with a little of it."""
    step = np.repeat([0.0, 1.0], 20)
    fit = _fit(step)
    assert fit.at_boundary.tolist() == [False, True]
    np.testing.assert_allclose(fit.theta, [39**-0.5, 0.0])
    assert np.isnan(fit.parameter_standard_error).tolist() == [False, True]
    with pytest.warns(MaximumLikelihoodWarning, match="hardly determined"):
        fit = _fit(step, {"level": "trend"})
    assert fit.parameter_standard_error[2] > 10 * fit.theta[2] > 0.0


def test_steady_state_is_left_where_a_row_is_missing():
    """After many times gains are kept; a gap changes them."""
    y = np.tile(NILE, 3)
    y[[150, 151, 240]] = np.nan
    model = structural(ar=1).replace([60.0, 0.5, 60.0, 90.0])
    scores = StructuralScores(model, model._as_rows(y))
    value, gradient = scores.at(model.theta)
    result = kalman_smoother(model, y)
    np.testing.assert_allclose(value, result.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(result.expectation("score"), gradient, rtol=1e-9, atol=1e-9)
    same = scores.past[-1]
    assert same[[149, 239, 299]].all()
    assert not same[[150, 151, 152, 240, 241]].any()


def test_an_autoregression_beside_noise_has_several_maxima():
    """Without noise here, where all but one start end at a maximum with noise, .19 lower."""
    rng = np.random.default_rng(11)
    for i in range(3):
        n = int(rng.integers(40, 120))
        y = np.cumsum(rng.standard_normal(n) * 0.5) + rng.standard_normal(n)
        y += 2 * np.sin(np.arange(n) * 0.7) * (i % 2)
    fit = _fit(y, {"level": None, "ar": 3})
    assert fit.log_likelihood > -102.6374 - 1e-3  # what statsmodels finds


@pytest.mark.filterwarnings("ignore::randla.MaximumLikelihoodWarning")
def test_an_autoregression_at_the_edge_is_quiet():
    fit = _fit((-1.0) ** np.arange(30), {"level": "trend", "ar": 1})
    assert fit.theta[2] == pytest.approx(-1.0, abs=1e-6)


def test_parameters_that_are_not_free_stay():
    model = structural(level="trend").replace([20.0, 2.0, 150.0])
    fit = maximum_likelihood(model, NILE, method="exact", free=["sd_level", "sd_noise"])
    assert fit.names == ("sd_level", "sd_noise")
    assert fit.model.theta[1] == 2.0
    np.testing.assert_allclose(fit.trace[0], [20.0, 150.0], rtol=1e-14)  # the user's start
    other = _fit(options={"level": "trend"}, free="sd_level")
    assert other.model.theta[1:].tolist() == [1.0, 1.0]


def test_only_whole_autoregressions_are_free():
    with pytest.raises(ValueError, match="free must name all of ar or none, got 1 of 2"):
        _fit(options={"ar": 2}, free="ar[1]")


def test_zero_is_left_where_it_is_no_maximum():
    """sd = 0 is stationary, so a search that gets there has to be sent away from it."""
    start = structural().replace([1e-9 * NILE.std(), 120.0])
    fit = maximum_likelihood(start, NILE, method="exact")
    np.testing.assert_allclose(fit.theta**2, [1469.177, 15098.518], rtol=1e-5)


def test_several_series():
    y = [NILE[:60], THREE, np.full(5, np.nan)]
    fit = _fit(y)
    assert fit.n_parameters == 4  # each series with an observation has its own diffuse level
    result = kalman_smoother(fit.model, y[:2])
    np.testing.assert_allclose(fit.log_likelihood, result.log_likelihood, rtol=1e-12)
    score = result.expectation("score") * fit.parameter_standard_error
    np.testing.assert_allclose(score, 0.0, atol=1e-4)
    assert not np.allclose(fit.theta, _fit(y[:1]).theta, rtol=0.01)
    np.testing.assert_array_equal(_fit(y[1:2]).theta, _fit(y[1]).theta)
    with pytest.raises(ValueError, match="result must be of one series"):
        components(result)
    with pytest.raises(ValueError, match="inputs must be None"):
        _fit(inputs=NILE)


def test_constant_and_tiny_series():
    with pytest.raises(ValueError, match="y must contain different values"):
        _fit(np.ones(10))
    with pytest.raises(ValueError, match="the likelihood has no maximum"):
        _fit(np.arange(9.0), {"level": "trend"})
    with pytest.warns(MaximumLikelihoodWarning, match="hardly determined"):
        fit = _fit(np.array([1.0, 2.0]))  # two numbers, two parameters
    assert np.isfinite(fit.theta).all()

"""Expectation maximization against the textbook, numerical maximization and the definition."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from randla import (
    DiscreteHMM,
    LinearGaussian,
    StochasticVolatility,
    kalman_smoother,
    maximum_likelihood,
)
from randla.smoothing import MaximumLikelihoodWarning
from randla.smoothing._likelihood.em import em_family
from randla.smoothing._likelihood.parametrization import Parametrization
from tests.smoothing.exact_reference import log_space_smoother
from tests.smoothing.likelihood_cases import (
    AR1,
    HMM,
    HMM_START,
    PLANE,
    PLANE_SERIES,
    SERIES,
    SYMBOLS,
)

QUICK = {"n_steps": 40, "n_particles": 20, "n_final": 30}


def test_em_is_baum_welch():
    # The textbook reestimation formulas, on the series without the gap.
    y = np.delete(SYMBOLS, 50).astype(int)
    model, free = HMM_START, ["initial_probs", "transition_matrix", "emission_probs"]
    result = maximum_likelihood(
        model, y, free=free, method="exact", optimizer="em", n_steps=5, n_final=0
    )
    for step in range(5):
        probs, pairs, _ = log_space_smoother(model, y)
        emission = np.array([probs[y == m].sum(0) for m in range(3)]).T
        model = DiscreteHMM(
            probs[0],
            pairs.sum(0) / pairs.sum((0, 2))[:, None],
            emission / emission.sum(1, keepdims=True),
        )
        np.testing.assert_allclose(result.trace[step + 1], model.theta, rtol=1e-10)


@pytest.mark.parametrize(
    "free",
    [
        ["transition_matrix", "observation_matrix", "observation_cov", "initial_mean"],
        ["transition_cov", "observation_cov"],  # with what they are the residuals of fixed
    ],
)
def test_linear_gaussian_em_climbs_to_the_maximum(free):
    model = LinearGaussian(0.8, 0.5, 0.8, 0.2, 0.0, 2.75)
    result = maximum_likelihood(
        model, SERIES, free=free, method="exact", optimizer="em", n_steps=300, n_final=0
    )
    names = list(result.names)
    values = []
    for row in result.trace:
        theta = model.theta.copy()
        theta[[model.names.index(n) for n in names]] = row
        values.append(kalman_smoother(model.replace(theta), SERIES).log_likelihood)
    assert (np.diff(values) > -1e-9).all()
    best = maximum_likelihood(model, SERIES, free=free, method="exact").log_likelihood
    assert values[-1] == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("sizes", [[40], [3, 5, 12]])
def test_volatility_maximizer(sizes):
    # The M step against numerical maximization of the expected complete-data likelihood.
    model = StochasticVolatility(0.5, 0.8, 1.3)
    draws = [StochasticVolatility(0.9, 0.4, 0.6).simulate(n, rng=k) for k, n in enumerate(sizes)]
    xs, ys = [x[:, 0] for x, _ in draws], [y for _, y in draws]
    ys[-1][2] = np.nan
    statistics = np.sum(
        [
            [x[0] ** 2, (x[:-1] ** 2).sum(), x[:-1] @ x[1:], (x[1:] ** 2).sum(),
             np.nansum(y**2 * np.exp(-x))]
            for x, y in zip(xs, ys, strict=True)
        ],
        axis=0,
    )  # fmt: skip

    def loss(theta):
        phi, sigma, beta = np.tanh(theta[0]), np.exp(theta[1]), np.exp(theta[2])
        value = 0.0
        for x, y in zip(xs, ys, strict=True):
            value += stats.norm(0, sigma / np.sqrt(1 - phi**2)).logpdf(x[0])
            value += stats.norm(phi * x[:-1], sigma).logpdf(x[1:]).sum()
            value += np.nansum(stats.norm(0, beta * np.exp(x / 2)).logpdf(y))
        return -value

    for free in (None, ["phi"], ["sigma"], ["phi", "beta"]):
        parameters = Parametrization(model, free)
        got = em_family(model, ys, parameters).maximize(model, statistics)
        base = np.array([np.arctanh(0.5), np.log(0.8), np.log(1.3)])

        def part(v, parameters=parameters, base=base):
            theta = base.copy()
            theta[parameters.free] = v
            return loss(theta)

        best = minimize(part, base[parameters.free], options={"gtol": 1e-8}).x
        z = base.copy()
        z[parameters.free] = best
        expected = [np.tanh(z[0]), np.exp(z[1]), np.exp(z[2])]
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_particle_em_of_a_chain():
    start = DiscreteHMM([0.5, 0.5], HMM_START.transition_matrix, HMM.emission_probs)
    free = "transition_matrix"
    exact = maximum_likelihood(start, SYMBOLS, free=free, method="exact")
    result = maximum_likelihood(start, SYMBOLS, free=free, optimizer="em", rng=0, **QUICK)
    error = np.abs(result.theta - exact.theta) / exact.parameter_standard_error
    assert error.max() < 0.3


@pytest.mark.parametrize("model", [AR1, PLANE], ids=["scalar", "vector"])
def test_statistics_of_a_path(model):
    # The compiled functional along a path against the definition, with rows partly missing.
    x, y = model.simulate(7, rng=4)
    y[2] = np.nan
    y[4].flat[0] = np.nan
    parameters = Parametrization(model, "transition_matrix")
    functional = em_family(model, [y], parameters).functional
    total = np.zeros(functional.n_out)
    state = x[:, 0] if model.dim is None else x
    for t in range(7):
        out = np.empty_like(total)
        if t == 0:
            functional.initial(state[0], y[0], model._arguments, out)
        else:
            functional.step(t - 1, state[t - 1], state[t], y[t], model._arguments, out)
        total += out
    low, Y = np.tril_indices(x.shape[1]), y.reshape(7, -1)
    seen = ~np.isnan(Y).any(1)
    squares = np.einsum("ti,tj->tij", x, x)
    expected = [
        x[0], squares[0][low], squares[:-1].sum(0)[low], squares[1:].sum(0)[low],
        (x[1:].T @ x[:-1]).ravel(), squares[seen].sum(0)[low], (Y[seen].T @ x[seen]).ravel(),
    ]  # fmt: skip
    np.testing.assert_allclose(total, np.concatenate(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore::randla.smoothing.MaximumLikelihoodWarning")
@pytest.mark.parametrize("method", ["exact", "ppg"])
@pytest.mark.parametrize("emission", [[0.3, 0.3, 0.4], [0.4, 0.4, 0.2]])
def test_em_where_a_symbol_is_not_used(method, emission):
    model = DiscreteHMM([0.5, 0.5], [[0.8, 0.2], [0.3, 0.7]], [emission, [0.2, 0.3, 0.5]])
    y = np.minimum(model.simulate(300, rng=0)[1], 1.0)
    options = {"n_steps": 40, "n_final": 20, "n_particles": 20, "rng": 0}
    result = maximum_likelihood(model, y, optimizer="em", method=method, **options)
    assert result.theta[[6, 9]].tolist() == [0.0, 0.0]
    assert (result.parameter_standard_error[:6] > 0).all()
    if method == "exact":
        other = maximum_likelihood(model, y, method="exact")
        assert result.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-6)
    low, high = result.confidence_interval()
    assert low[6] == high[6] == 0.0
    with pytest.warns(MaximumLikelihoodWarning, match="edge of its range"):
        one = maximum_likelihood(
            model, 0.0 * y, free="emission_probs", optimizer="em", method=method, **options
        )
    assert one.theta.tolist() == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert one.parameter_standard_error.tolist() == [0.0] * 6


@pytest.mark.parametrize(
    ("model", "y", "text"),
    [
        (AR1, np.full(9, np.nan), "y must contain an observation to learn from"),
        (HMM, np.full(9, np.nan), "y must contain an observation to learn from"),
        (StochasticVolatility(0.9, 0.3, 0.6), [np.nan], "y must contain an observation"),
        (AR1, [1.0], "y must have at least two times .* transition_cov, got 1"),
    ],
)
def test_em_names_observations_that_are_too_few(model, y, text):
    with pytest.raises(ValueError, match=text):
        maximum_likelihood(model, y, optimizer="em", n_steps=5, n_final=5)


def test_em_refuses_rows_that_are_missing_in_part():
    y = PLANE_SERIES.copy()
    y[3, 0] = np.nan
    with pytest.raises(ValueError, match="partly missing"):
        maximum_likelihood(PLANE, y, optimizer="em", method="exact")
    result = maximum_likelihood(
        PLANE, y, free="transition_matrix", optimizer="em", method="exact", n_steps=20
    )
    assert result.converged

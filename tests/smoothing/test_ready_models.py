"""The ready models' functions against SciPy's densities, differences and simulated moments."""

import math
import pickle
import re

import numpy as np
import pytest
from scipy import stats

import randla
from randla import (
    ChaoticRNN,
    DiscreteHMM,
    LinearGaussian,
    StochasticVolatility,
    hmm_smoother,
    kalman_smoother,
    particle_filter,
)
from randla._random import new_stream, normal
from randla.smoothing._model.functions import ARGUMENTS
from randla.smoothing._models.ready import INITIAL_PROPOSAL, PROPOSAL, ReadyModel
from tests.smoothing.exact_reference import central_difference
from tests.statistical import chi_square_pvalue, claim

pytestmark = pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning")
RNG = np.random.default_rng(0)


def covariance(n, shift=0.5):
    root = RNG.standard_normal((n, n))
    return root @ root.T + shift * np.eye(n)


def linear_gaussian(d, k):
    return LinearGaussian(
        0.4 * RNG.standard_normal((d, d)), covariance(d), RNG.standard_normal((k, d)),
        covariance(k), RNG.standard_normal(d), covariance(d),
    )  # fmt: skip


MODELS = {
    "scalar": LinearGaussian(0.8, 0.7, 1.3, 0.6, 0.2, 1.5),
    "one state": linear_gaussian(1, 3),
    "one observed": linear_gaussian(2, 1),
    "vector": linear_gaussian(3, 2),
    "singular start": LinearGaussian(0.8 * np.eye(2), covariance(2), np.eye(2), covariance(2),
                                     [1.0, 2.0], np.zeros((2, 2))),
    "volatility": StochasticVolatility(0.9, 0.4, 0.7),
    "student network": ChaoticRNN(0.5 * RNG.standard_normal((3, 3)), time_step=0.01,
                                  process_sd=0.3, observation_scale=0.4, df=3.0),
    "normal network": ChaoticRNN(0.5 * RNG.standard_normal((2, 2)), time_step=0.01,
                                 process_sd=0.3, observation_scale=0.4, df=np.inf),
    "hmm": DiscreteHMM(*(RNG.dirichlet(np.ones(n), s) for n, s in ((3, None), (3, 3), (4, 3)))),
}  # fmt: skip
each_model = pytest.mark.parametrize("name", MODELS)
GAUSSIAN = ["scalar", "one state", "one observed", "vector", "singular start"]


def draw(model, gap=False):
    """Two states and an observation, as the functions get them."""
    (x, xn), (y, _) = model.simulate(2, rng=1)
    if gap:
        y = np.array([np.nan, *y[1:]])
    return (x[0], xn[0], y) if model.dim is None else (x, xn, y)


def log_densities(model, gap=False):
    """The four log densities that the model's functions give, and those of SciPy."""
    x, xn, y = draw(model, gap)
    theta = model._arguments
    got = [model.log_transition(0, x, xn, theta), model.log_potential(1, xn, y, theta)]
    got.append(model.log_initial(x, theta) if model.log_initial is not None else None)
    x, xn, y = np.atleast_1d(x), np.atleast_1d(xn), np.atleast_1d(y)
    seen = ~np.isnan(y)
    if isinstance(model, LinearGaussian):
        normal = stats.multivariate_normal
        B, R = model.observation_matrix[seen], model.observation_cov[np.ix_(seen, seen)]
        expected = [
            normal(model.transition_matrix @ x, model.transition_cov).logpdf(xn),
            normal(B @ xn, R).logpdf(y[seen]),
            normal(model.initial_mean, model.initial_cov, allow_singular=True).logpdf(x),
        ]
    elif isinstance(model, StochasticVolatility):
        phi, sigma, beta = model.theta
        expected = [
            stats.norm(phi * x, sigma).logpdf(xn).sum(),
            stats.norm(0, beta * np.exp(xn / 2)).logpdf(y).sum(),
            stats.norm(0, sigma / np.sqrt(1 - phi**2)).logpdf(x).sum(),
        ]
    elif isinstance(model, ChaoticRNN):
        gain, sd, scale = model.theta[-3:]
        flow = x + model.time_step / model.time_constant * (-x + gain * model.weights @ np.tanh(x))
        expected = [
            stats.norm(flow, sd).logpdf(xn).sum(),
            stats.t(model.df, xn, scale).logpdf(y)[seen].sum(),
            stats.norm(0, model.initial_sd).logpdf(x).sum(),
        ]
    elif isinstance(model, DiscreteHMM):
        i, j, m = int(x[0]), int(xn[0]), int(y[0])
        expected = np.log(
            [model.transition_matrix[i, j], model.emission_probs[j, m], model.initial_probs[i]]
        )
    else:
        pytest.fail(f"log_densities has no branch for {type(model).__name__}")
    return got, expected


def test_every_ready_model_is_here():
    public = [getattr(randla.smoothing, name) for name in randla.smoothing.__all__]
    ready = {c for c in public if isinstance(c, type) and issubclass(c, ReadyModel)}
    missing = ready - {type(model) for model in MODELS.values()}
    assert not missing, f"MODELS lacks {missing}"
    optional = {*PROPOSAL, *INITIAL_PROPOSAL, "log_transition", "log_initial"}  # not for all laws
    for name, model in MODELS.items():
        bare = [f for f in ARGUMENTS if f not in optional and getattr(model, f) is None]
        assert not bare, f"the functions of {name!r} lack {bare}"


@each_model
def test_densities(name):
    for gap in (False, True):
        if gap and MODELS[name].observation_dim is None:
            continue
        for got, expected in zip(*log_densities(MODELS[name], gap), strict=True):
            if got is not None:
                assert got == pytest.approx(expected, abs=1e-11)


def test_noise_of_many_degrees_of_freedom_is_normal():
    weights, x, y = MODELS["normal network"].weights, np.zeros(2), np.array([0.3, -0.1])
    student, normal = (ChaoticRNN(weights, df=df) for df in (1e16, np.inf))
    values = [m.log_potential(0, x, y, m._arguments) for m in (student, normal)]
    assert values[0] == pytest.approx(values[1], abs=1e-12)


@each_model
def test_bound_is_reached(name):
    model, theta = MODELS[name], MODELS[name]._arguments
    bound = model.log_transition_bound(0, theta)
    if isinstance(model, DiscreteHMM):
        assert bound == np.log(model.transition_matrix.max())
        return
    x, xn, _ = draw(model)
    mode = central_mode(model, x)
    assert model.log_transition(0, x, mode, theta) == pytest.approx(bound, abs=1e-12)
    assert model.log_transition(0, x, xn, theta) < bound


def central_mode(model, x):
    if isinstance(model, ChaoticRNN):
        rate = model.time_step / model.time_constant
        return x + rate * (-x + model.theta[-3] * model.weights @ np.tanh(x))
    if isinstance(model, StochasticVolatility):
        return model.theta[0] * x
    if isinstance(model, LinearGaussian):
        mode = model.transition_matrix @ np.atleast_1d(x)
        return mode[0] if model.dim is None else mode
    return pytest.fail(f"central_mode has no branch for {type(model).__name__}")


@each_model
def test_scores_are_gradients(name):
    model = MODELS[name]
    for gap in (False, True):
        if gap and isinstance(model, DiscreteHMM):
            continue  # its probabilities are no free parameters: see below
        x, xn, y = draw(model)
        if gap and model.observation_dim is None:
            y = np.nan
        elif gap:
            y = np.array([np.nan, *y[1:]])
        missing = np.isnan(y).all()
        first, step = np.empty(model.theta.size), np.empty(model.theta.size)
        model.score_initial(x, y, model._arguments, first)
        model.score_step(0, x, xn, y, model._arguments, step)
        if isinstance(model, DiscreteHMM):
            check_hmm_scores(model, x, xn, y, first, step)
            continue
        rng = np.random.default_rng(5)
        for _ in range(3):  # along random directions
            direction = rng.standard_normal(model.theta.size) * np.maximum(0.1, abs(model.theta))

            def value(h, which, direction=direction, x=x, xn=xn, y=y, missing=missing):
                packed = model.replace(model.theta + h * direction)._arguments
                state = x if which == 0 else xn
                g = 0.0 if missing else model.log_potential(which, state, y, packed)
                if which == 1:
                    return g + model.log_transition(0, x, xn, packed)
                return g + model.log_initial(x, packed) if model.log_initial is not None else g

            for which, score in enumerate((first, step)):
                expected = central_difference(lambda h, w=which: value(h, w), 0.0, 1e-3)
                assert score @ direction == pytest.approx(expected, rel=1e-6, abs=1e-6)


def check_hmm_scores(model, x, xn, y, first, step):
    labels = dict(zip(model.names, range(model.theta.size), strict=True))
    used = {
        f"initial_probs[{x:.0f}]": first,
        f"transition_matrix[{x:.0f},{xn:.0f}]": step,
        f"emission_probs[{x:.0f},{y:.0f}]": first,
        f"emission_probs[{xn:.0f},{y:.0f}]": step,
    }
    for label, score in used.items():
        assert score[labels[label]] == pytest.approx(1 / model.theta[labels[label]])
        assert (score != 0).sum() == 2


@pytest.mark.parametrize("name", [*GAUSSIAN, "normal network"])
def test_proposals_are_optimal(name):
    # With the optimal proposal the weight q g / m does not depend on the new state.
    model, theta = MODELS[name], MODELS[name]._arguments
    x, _, y = draw(model)
    stream = np.array([1, 2, 3, 4], np.uint64)
    weights, first = [], []
    for _ in range(3):
        if model.dim is None:
            xn = model.proposal(stream, 0, x, y, theta)
        else:
            xn = np.empty(model.dim)
            model.proposal(stream, 0, x, y, theta, xn)
        weights.append(
            model.log_transition(0, x, xn, theta) + model.log_potential(1, xn, y, theta)
            - model.log_proposal(0, x, xn, y, theta)
        )  # fmt: skip
        if model.initial_proposal is not None:
            first.append(
                model.log_initial(xn, theta) + model.log_potential(0, xn, y, theta)
                - model.log_initial_proposal(xn, y, theta)
            )  # fmt: skip
    np.testing.assert_allclose(weights, weights[0], rtol=1e-9)
    np.testing.assert_allclose(first, first[:1] * len(first), rtol=1e-9)
    assert (model.initial_proposal is None) == (name == "singular start")
    if model.dim is not None:  # without an observation it is the transition, constants and all
        missing = np.nan * y
        assert model.log_proposal(0, x, xn, missing, theta) == pytest.approx(
            model.log_transition(0, x, xn, theta), rel=1e-9
        )
        if model.initial_proposal is not None:
            assert model.log_initial_proposal(xn, missing, theta) == pytest.approx(
                model.log_initial(xn, theta), rel=1e-9
            )


def test_proposals_of_the_network_are_the_formula_number_by_number():
    """Mean plus spread times the next normal numbers of the stream, in NumPy."""
    model, theta = MODELS["normal network"], MODELS["normal network"]._arguments
    x, _, y = draw(model)
    rate = model.time_step / model.time_constant
    gain, process_sd, scale = model.theta[-3:]
    flow = x + rate * (gain * model.weights @ np.tanh(x) - x)
    for seen in (np.array([True, True]), np.array([False, True])):
        given = np.where(seen, y, np.nan)
        for mean, sd, proposal, args in (
            (flow, process_sd, model.proposal, (0, x, given, theta)),
            (np.zeros(2), model.initial_sd, model.initial_proposal, (given, theta)),
        ):
            stream, out = new_stream(np.uint64(3)), np.empty(2)
            proposal(stream.copy(), *args, out)
            share = np.where(seen, sd**2 / (sd**2 + scale**2), 0.0)
            center = mean + share * np.where(seen, y - mean, 0.0)
            z = np.array([normal(stream) for _ in out])
            np.testing.assert_allclose(out, center + np.sqrt(1 - share) * sd * z, rtol=1e-12)


@each_model
@claim(
    null="simulated paths have the moments of the model",
    test="z-tests of means of x_0, x_1, y_1 and products, Bonferroni over 5 d",
    replicates=4000,
    false_alarm=1e-7,
)
def test_simulated_moments(name, trial):
    model, n = MODELS[name], trial.replicates
    if isinstance(model, DiscreteHMM):
        return  # see below
    d = model.dim or 1
    rng = trial.rng()
    x, y = (np.array(v) for v in zip(*(model.simulate(2, rng=rng) for _ in range(n)), strict=True))
    y = y.reshape(n, 2, -1)
    columns, expected = [x[:, 0], x[:, 0] ** 2], []
    if isinstance(model, LinearGaussian):
        A, B = model.transition_matrix, model.observation_matrix
        m, P = model.initial_mean, model.initial_cov
        columns += [x[:, 1], x[:, 1, :1] * x[:, 1], y[:, 1], y[:, 1, :1] * y[:, 1]]
        V = A @ P @ A.T + model.transition_cov + np.outer(A @ m, A @ m)
        S = B @ V @ B.T + model.observation_cov
        expected = [m, np.diag(P) + m**2, A @ m, V[0], B @ A @ m, S[0]]
    elif isinstance(model, StochasticVolatility):
        phi, sigma, beta = model.theta
        v = sigma**2 / (1 - phi**2)
        columns += [x[:, 0] * x[:, 1], x[:, 1] ** 2, y[:, 1] ** 2, y[:, 1] ** 2 * np.exp(-x[:, 1])]
        expected = [0, v, phi * v, v, beta**2 * np.exp(v / 2), beta**2]
    elif isinstance(model, ChaoticRNN):
        gain, sd, scale = model.theta[-3:]
        rate = model.time_step / model.time_constant
        move = x[:, 0] + rate * (-x[:, 0] + gain * np.tanh(x[:, 0]) @ model.weights.T)
        e, r = (x[:, 1] - move) / sd, (y[:, 1] - x[:, 1]) / scale
        columns += [e, e**2, np.tanh(r)]
        expected = [np.zeros(d), np.ones(d), np.zeros(d), np.ones(d), np.zeros(d)]
    else:
        pytest.fail(f"test_simulated_moments has no branch for {type(model).__name__}")
    trial.assert_mean(
        np.concatenate(columns, axis=1), np.concatenate([np.atleast_1d(e) for e in expected])
    )


@claim(
    null="pairs of successive states and symbols of a simulated HMM have their exact law",
    test="chi-square of 3 x 3 x 4 cells",
    replicates=4000,
    false_alarm=1e-7,
)
def test_simulated_hmm(trial):
    model, rng, n = MODELS["hmm"], trial.rng(), trial.replicates
    x, y = zip(*(model.simulate(2, rng=rng) for _ in range(n)), strict=True)
    x, y = np.array(x)[:, :, 0].astype(int), np.array(y).astype(int)
    counts = np.zeros((3, 3, 4))
    np.add.at(counts, (x[:, 0], x[:, 1], y[:, 1]), 1)
    law = model.initial_probs[:, None] * model.transition_matrix
    trial.assert_pvalue(chi_square_pvalue(counts, n * law[:, :, None] * model.emission_probs))


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("scalar", "bootstrap"),
        pytest.param("vector", "guided", marks=pytest.mark.slow),
        ("hmm", "bootstrap"),
    ],
)
@claim(
    null="the particle filter's likelihood is unbiased, with rows missing wholly and in part",
    test="z-test of one mean",
    replicates=400,
    false_alarm=1e-7,
)
def test_filter_agrees_with_the_exact_likelihood(name, proposal, trial):
    model = MODELS[name]
    y = np.array(model.simulate(8, rng=3)[1])
    y[3] = np.nan
    if y.ndim == 2:
        y[5, 0] = np.nan
    exact = hmm_smoother if name == "hmm" else kalman_smoother
    truth = exact(model, y).log_likelihood
    draws = [
        particle_filter(model, y, n_particles=100, proposal=proposal, rng=rng).log_likelihood
        for rng in trial.rngs()
    ]
    trial.assert_mean(np.exp(np.array(draws) - truth), 1.0)


@each_model
def test_replace_and_pickle(name):
    model = MODELS[name]
    copy = pickle.loads(pickle.dumps(model))
    assert not copy._arguments.flags.writeable
    np.testing.assert_array_equal(copy._arguments, model._arguments)
    assert copy.names == model.names
    same = model.replace(model.theta)
    np.testing.assert_array_equal(same._arguments, model._arguments)
    np.testing.assert_array_equal(same.simulate(5, rng=0)[1], model.simulate(5, rng=0)[1])
    np.testing.assert_array_equal(copy.simulate(5, rng=0)[1], model.simulate(5, rng=0)[1])
    np.testing.assert_array_equal(model._arguments[: model.theta.size], model.theta)


def test_replace_changes_the_matrices():
    model = MODELS["vector"]
    theta = model.theta.copy()
    theta[model.names.index("transition_cov[2,0]")] += 0.125
    other = model.replace(theta)
    change = other.transition_cov - model.transition_cov
    assert change[2, 0] == change[0, 2] == pytest.approx(0.125)
    assert np.count_nonzero(change) == 2
    theta[model.names.index("transition_cov[2,0]")] = 100.0
    with pytest.raises(ValueError, match="transition_cov must be positive semidefinite"):
        model.replace(theta)
    theta[0] = -1.0
    with pytest.raises(ValueError, match=r"theta \(initial_probs\) must be non-negative"):
        MODELS["hmm"].replace(theta[: MODELS["hmm"].theta.size])


@pytest.mark.parametrize("name", MODELS)
def test_a_model_does_not_change(name):
    public = [n for n in vars(MODELS[name]) if not n.startswith("_")]
    assert {"theta", "names"} < set(public)
    for attribute in public:
        with pytest.raises(
            AttributeError,
            match=f"a model is immutable: use replace instead of setting {attribute}",
        ):
            setattr(MODELS[name], attribute, getattr(MODELS[name], attribute))


def test_names():
    assert MODELS["scalar"].names == (
        "transition_matrix", "transition_cov", "observation_matrix", "observation_cov",
        "initial_mean", "initial_cov",
    )  # fmt: skip
    assert MODELS["one observed"].names[:9] == (
        "transition_matrix[0,0]", "transition_matrix[0,1]", "transition_matrix[1,0]",
        "transition_matrix[1,1]", "transition_cov[0,0]", "transition_cov[1,0]",
        "transition_cov[1,1]", "observation_matrix[0,0]", "observation_matrix[0,1]",
    )  # fmt: skip
    assert "initial_mean[0]" not in MODELS["singular start"].names
    assert MODELS["hmm"].names[3] == "transition_matrix[0,0]"
    assert MODELS["student network"].names[-4:] == (
        "weights[2,2]", "gain", "process_sd", "observation_scale",
    )  # fmt: skip


def test_singular_noise_leaves_out_the_density():
    model = LinearGaussian(np.eye(2), np.diag([0.0, 1.0]), np.eye(2), np.eye(2), [0, 0], np.eye(2))
    assert model.log_transition is None
    assert model.proposal is None
    exact = LinearGaussian(1.0, 1.0, 1.0, 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="t = 0"):
        particle_filter(exact, [0.5, 0.2], n_particles=50, rng=0)


def test_observations_that_are_no_symbols_are_impossible():
    model = MODELS["hmm"]
    for y in (4.0, -1.0, 0.5):
        assert model.log_potential(0, 1.0, y, model._arguments) == -math.inf


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.ones((2, 3)), 1.0, 1.0, 1.0, 0.0, 1.0), ValueError, "transition_matrix must be"),
        ((0.9, 1.0, np.ones((1, 2)), 1.0, 0.0, 1.0), ValueError, r"must have shape \(k, 1\)"),
        ((0.9, [[1.0, 0], [0, 1]], 1.0, 1.0, 0.0, 1.0), ValueError, "transition_cov must have"),
        ((0.9, -1.0, 1.0, 1.0, 0.0, 1.0), ValueError, "transition_cov must be positive semidef"),
        ((0.9, 1.0, 1.0, np.inf, 0.0, 1.0), ValueError, "observation_cov must be finite"),
        ((0.9, 1.0, 1.0, 1.0, [0.0, 1.0], 1.0), ValueError, r"initial_mean must have shape \(1,\)"),
        ((0.9, 1.0, 1.0, 1.0, 0.0, "a"), TypeError, "initial_cov must hold real numbers"),
        ((np.eye(2), [[1, 0.5], [0.2, 1]], np.eye(2), np.eye(2), [0, 0], np.eye(2)), ValueError,
         "transition_cov must be symmetric"),
        ((np.eye(2), [[1, 2], [2, 1]], np.eye(2), np.eye(2), [0, 0], np.eye(2)), ValueError,
         "transition_cov must be positive semidefinite"),
        ((np.eye(2), [[0, 1], [1, 0]], np.eye(2), np.eye(2), [0, 0], np.eye(2)), ValueError,
         "transition_cov must be positive semidefinite"),
        ((np.eye(2), [[0, 1e-6], [1e-6, 1e6]], np.eye(2), np.eye(2), [0, 0], np.eye(2)), ValueError,
         "transition_cov must be positive semidefinite"),
    ],
)  # fmt: skip
def test_bad_linear_gaussian(arguments, error, text):
    with pytest.raises(error, match=text):
        LinearGaussian(*arguments)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: StochasticVolatility(1.0, 0.1, 1.0), ValueError, r"phi must be in \(-1, 1\)"),
        (lambda: StochasticVolatility(0.9, 0.0, 1.0), ValueError, "sigma must be greater than 0"),
        (lambda: StochasticVolatility(0.9, 0.1, "b"), TypeError, "beta must be a real number"),
        (lambda: ChaoticRNN(np.ones((2, 3))), ValueError, "weights must be square"),
        (lambda: ChaoticRNN(np.eye(2), df=0.0), ValueError, "df must be"),
        (lambda: LinearGaussian(None, 1, 1, 1, 0, 1), TypeError, "transition_matrix must hold"),
        (lambda: ChaoticRNN(np.eye(2), process_sd=0), ValueError, "process_sd must be greater"),
        (lambda: DiscreteHMM([0.5, 0.6], np.eye(2), np.eye(2)), ValueError, "initial_probs must"),
        (lambda: DiscreteHMM([1.5, -0.5], np.eye(2), np.eye(2)), ValueError, "non-negative"),
        (lambda: DiscreteHMM([0.5, 0.5], np.eye(3), np.eye(2)), ValueError, "transition_matrix"),
        (lambda: DiscreteHMM([0.5, 0.5], np.eye(2), np.eye(3)), ValueError, "emission_probs"),
        (lambda: DiscreteHMM([], np.eye(2), np.eye(2)), ValueError, "initial_probs"),
        (
            lambda: particle_filter(MODELS["hmm"], [0.0, np.nan, 5.0], n_particles=5),
            ValueError,
            r"y must hold symbols 0\.\.\d, .* got 5 at time 2",
        ),
    ],
)
def test_bad_models(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("state", [2.0, -1.0, 0.5, 1e300])
def test_a_chain_goes_on_from_its_own_states_only(state):
    model = randla.DiscreteHMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    with pytest.raises(ValueError, match=re.escape(f"states must be numbers 0..1, got {state:g}")):
        model.forecast([1.0, state], 3, rng=0)
    model.forecast([[0], [1]], 3, rng=0)

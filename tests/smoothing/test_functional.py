"""Additive functionals: those with a name, the score, and a user's mistakes."""

import math

import numba
import numpy as np
import pytest

from randla import AdditiveFunctional, StateSpaceModel, ffbs, maximum_likelihood, paris, ppg
from randla.smoothing._kernels.particles import functionals
from tests.smoothing import models, reference

# Few particles, so that the tests are quick.
pytestmark = pytest.mark.filterwarnings("ignore::randla.BiasWarning")

Y = models.walk.simulate(12, rng=5)[1]
Y[4] = np.nan
OPTIONS = {"n_particles": 40, "n_paths": 30, "n_chains": 2, "rng": 0}


def paths_and_estimates(functional, model=models.walk, y=Y):
    result = ffbs(model, y, functional, **OPTIONS)
    return result.paths, result.per_chain


def test_names():
    x, state = paths_and_estimates("state")
    x = x[..., 0]
    np.testing.assert_allclose(state[:, 0], x.sum(2).mean(1))
    np.testing.assert_allclose(paths_and_estimates("square")[1][:, 0], (x**2).sum(2).mean(1))
    lag = (x[:, :, 1:] * x[:, :, :-1]).sum(2).mean(1)
    np.testing.assert_allclose(paths_and_estimates("lag_product")[1][:, 0], lag)


def test_names_of_vector_models():
    y = models.SYMBOLS[:, None]
    x, state = paths_and_estimates("state", models.vector_chain, y)
    np.testing.assert_allclose(state, x.sum(2).mean(1))
    square = paths_and_estimates("square", models.vector_chain, y)[1]
    np.testing.assert_allclose(square, (x**2).sum(2).mean(1))
    lag = paths_and_estimates("lag_product", models.vector_chain, y)[1]
    np.testing.assert_allclose(lag, (x[:, :, 1:] * x[:, :, :-1]).sum(2).mean(1))


def test_named_functionals_take_the_same_steps_as_others():
    """They have loops of their own, which evaluate a step again instead of keeping it."""
    model, y = models.vector_chain, models.SYMBOLS[:, None]
    named = model._compiled.functional("lag_product")
    own = AdditiveFunctional(named.n_out, initial=named.initial, step=named.step)
    options = {"n_particles": 20, "n_chains": 2, "rng": 0}
    got, expected = (paris(model, y, f, **options).per_chain for f in ("lag_product", own))
    assert got.shape == (2, 2)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def walk_score(x):
    """Gradient of the complete log-likelihood of the walk in (coefficient, step, noise)."""
    a, step, noise = models.walk.theta
    residual, error = x[1:] - a * x[:-1], (Y - x)[~np.isnan(Y)]
    return np.array([
        (residual * x[:-1]).sum() / step**2,
        (residual**2).sum() / step**3 - len(residual) / step,
        (error**2).sum() / noise**3 - len(error) / noise,
    ])  # fmt: skip


def test_score_by_differences():
    x, score = paths_and_estimates("score")
    expected = [np.mean([walk_score(path[:, 0]) for path in chain], axis=0) for chain in x]
    np.testing.assert_allclose(score, expected, rtol=1e-7, atol=1e-7)


@numba.njit
def stationary_log_initial(x, theta):
    V = theta[1] ** 2 / (1.0 - theta[0] ** 2)
    return -0.5 * x * x / V - 0.5 * math.log(V)


stationary_walk = StateSpaceModel(**{**models.WALK, "log_initial": stationary_log_initial})


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e-8, 1e-12, 1e8])
@pytest.mark.parametrize("a", [0.3, 0.999995])
def test_score_by_differences_knows_the_support(unit, a):
    theta = np.array([a, 0.5 * unit, 2.0 * unit])
    model = stationary_walk.replace(theta)
    first, then, y = 0.8 * unit, -0.3 * unit, 1.7 * unit
    score = model._compiled.functional("score")
    got, out = [], np.zeros(6)
    score.initial(first, y, theta, out)
    got.append(out[:3].copy())
    score.step(0, first, then, y, theta, out)
    got.append(out[:3].copy())
    (a, step, noise), residual = theta, then - a * first
    gap = (1.0 - a) * (1.0 + a)
    expected = [
        [a * (first / step) ** 2 - a / gap, gap * first**2 / step**3 - 1.0 / step,
         (y - first) ** 2 / noise**3 - 1.0 / noise],
        [residual * first / step**2, residual**2 / step**3 - 1.0 / step,
         (y - then) ** 2 / noise**3 - 1.0 / noise],
    ]  # fmt: skip
    scale = model.slope(theta)
    np.testing.assert_allclose(got * scale, expected * scale, rtol=1e-4, atol=1e-9)


def test_score_by_differences_of_a_parameter_without_a_bound():
    unbounded = StateSpaceModel(**{**models.WALK, "support": ["real"] * 3})
    for unit in (1.0, 1e-4, 1e-8, 0.0):
        theta = np.array([unit, 0.5 * (unit or 1.0), 1.0])
        model = unbounded.replace(theta)
        out, x, xn = np.zeros(6), 0.8, 0.3 * (unit or 1.0)
        model._compiled.functional("score").step(0, x, xn, 0.0, theta, out)
        expected = (xn - theta[0] * x) * x / theta[1] ** 2
        assert out[0] == pytest.approx(expected, rel=1e-3), unit


def test_score_is_the_gradient_of_the_likelihood():
    theta, h = models.walk.theta, 1e-5
    exact = [
        (
            reference.walk_smoother(Y, theta + h * e)[2]
            - reference.walk_smoother(Y, theta - h * e)[2]
        )
        / (2 * h)
        for e in np.eye(3)
    ]
    result = ppg(
        models.walk, Y, "score", n_particles=50, n_iterations=60, burn_in=10, n_chains=8, rng=1
    )
    assert (np.abs(result.estimate - exact) < 6 * result.standard_error).all()
    assert (result.standard_error < 0.5).all()


def test_score_of_the_users_functions():
    def score_initial(x, y, theta, out):
        out[0], out[1], out[2] = 0.0, 0.0, 0.0
        if not math.isnan(y):
            out[2] = (y - x) ** 2 / theta[2] ** 3 - 1 / theta[2]

    def score_step(t, x, xn, y, theta, out):
        r = xn - theta[0] * x
        out[0], out[1], out[2] = r * x / theta[1] ** 2, r * r / theta[1] ** 3 - 1 / theta[1], 0.0
        if not math.isnan(y):
            out[2] = (y - xn) ** 2 / theta[2] ** 3 - 1 / theta[2]

    model = StateSpaceModel(**models.WALK, score_initial=score_initial, score_step=score_step)
    np.testing.assert_allclose(
        paths_and_estimates("score", model)[1], paths_and_estimates("score")[1], rtol=1e-6
    )


@pytest.mark.parametrize("unconstrained", [-30.0, -3.0, 0.0, 0.4, 3.0, 15.0])
def test_steps_of_the_score_stay_inside_bounded_ranges(unconstrained):
    """A step is a small multiple of the derivative by the unconstrained parameter."""
    u = unconstrained
    steps = {
        functionals.LOG: (math.exp(u), math.exp(u)),
        functionals.LOGIT: (1 / (1 + math.exp(-u)), 1 / (2 + math.exp(u) + math.exp(-u))),
        functionals.TANH: (math.tanh(u / 4), 1 / math.cosh(u / 4) ** 2),
    }
    for kind, (value, derivative) in steps.items():
        step = functionals.difference_step(value, kind)
        assert step == pytest.approx(functionals._STEP * derivative, rel=1e-6)


def test_score_needs_densities():
    with pytest.raises(ValueError, match="theta of size 0"):
        ffbs(models.chain, models.SYMBOLS, "score", **OPTIONS)
    model = StateSpaceModel(**{**models.WALK, "log_initial": None})
    with pytest.raises(ValueError, match="log_initial=None: give them to StateSpaceModel"):
        ffbs(model, Y, "score", **OPTIONS)
    with pytest.raises(ValueError, match=r"must have its log densities .* without log_initial"):
        maximum_likelihood(model, Y)


def zero(x, y, theta, out):
    out[0] = 0.0


def test_wrong_shapes_and_numbers_are_found():
    for n_out, text in [
        (2, r"initial of functional must .* in out\[2\]"),  # three components are written
        (4, "functional must be finite, got NaN or inf at t = 0"),
    ]:
        functional = AdditiveFunctional(n_out, initial=models.sums_first, step=models.sums_next)
        with pytest.raises(ValueError, match=text):
            ffbs(models.walk, Y, functional, **OPTIONS)
        with pytest.raises(ValueError, match=text):
            ppg(models.walk, Y, functional, n_particles=5, n_iterations=5)

    def seldom(t, x, xn, y, theta, out):
        out[0] = 0.0
        if t == 3:
            out[1] = 0.0

    functional = AdditiveFunctional(1, initial=zero, step=seldom)
    with pytest.raises(ValueError, match=r"step of functional must .* at t = 3 .* in out\[1\]"):
        ffbs(models.walk, np.zeros(6), functional, **OPTIONS)

    def bad_step(t, x, xn, y, theta, out):
        out[0] = np.nan if t == 3 else 0.0

    functional = AdditiveFunctional(1, initial=zero, step=bad_step)
    with pytest.raises(ValueError, match=r"functional must be finite, .* at t = 4"):
        ffbs(models.walk, Y, functional, **OPTIONS)
    for options, error, text in [
        ({"n_out": 0}, ValueError, "n_out must be at least 1"),
        ({"n_out": 1.5}, TypeError, "n_out must be an integer"),
        ({"initial": bad_step}, ValueError, r"initial must take \(x, y, theta, out\)"),
        ({"step": "sum"}, TypeError, "step must be a function"),
    ]:
        with pytest.raises(error, match=text):
            AdditiveFunctional(**{"n_out": 1, "initial": zero, "step": bad_step, **options})


# The steps at which `careless` writes its sum, chosen by theta: one compilation for all tests.
ALWAYS, EVERY_FOURTH, BELOW_ZERO_OR_EARLY = 1.0, 2.0, 3.0


@numba.njit
def careless_first(x, y, theta, out):
    if theta[1] != ALWAYS or x < y:
        out[0] = x


@numba.njit
def careless_next(t, x, xn, y, theta, out):
    if theta[1] == ALWAYS or (t % 4 == 0 if theta[1] == EVERY_FOURTH else t < 3 or xn < 0.0):
        out[0] = xn


careless = AdditiveFunctional(1, initial=careless_first, step=careless_next)


@pytest.mark.parametrize("written", [EVERY_FOURTH, BELOW_ZERO_OR_EARLY])
@pytest.mark.parametrize(
    ("smoother", "options"), [(paris, {}), (paris, {"n_backward": None}), (ffbs, {})]
)
def test_what_a_step_does_not_write_is_not_that_of_the_step_before(smoother, options, written):
    model = models.walk.replace([0.9, written, 1.0])
    options = {"n_particles": 20, "n_chains": 1, "rng": 0, **options}
    with pytest.raises(ValueError, match="an entry of out that it does not write is NaN"):
        smoother(model, Y, careless, **options)


@pytest.mark.parametrize("smoother", [paris, ffbs])
@pytest.mark.parametrize("seed", range(2))
def test_what_a_start_does_not_write_is_not_that_of_another_particle(smoother, seed):
    model = models.walk.replace([0.9, ALWAYS, 1.0])
    with pytest.raises(ValueError, match="NaN or inf at t = 0"):
        smoother(model, Y, careless, n_particles=20, n_chains=1, rng=seed)

"""Models: drawing from them, parameters and transforms, and how mistakes are named."""

import pickle
import warnings

import numba
import numpy as np
import pytest

import randla
from randla import (
    AdditiveFunctional,
    ChaoticRNN,
    StateSpaceModel,
    ffbs,
    paris,
    particle_filter,
    particle_gibbs,
    ppg,
    random,
)
from tests.smoothing import models
from tests.statistical import claim

# Few particles, so that the tests are quick.
pytestmark = [
    pytest.mark.filterwarnings("ignore::randla.BiasWarning"),
    pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning"),
]


@claim(
    null="the walk has the mean and the covariances that its definition gives",
    test="z-tests of first and second moments, Bonferroni",
    replicates=4000,
    false_alarm=1e-7,
)
def test_simulated_moments(trial):
    a, step, noise = models.walk.theta
    draws = [models.walk.simulate(3, rng=rng) for rng in trial.rngs()]
    x = np.array([states[:, 0] for states, _ in draws])
    y = np.array([observations for _, observations in draws])
    V1, V2 = a * a + step**2, a * a * (a * a + step**2) + step**2
    columns = np.c_[x, y, x[:, 0] ** 2, x[:, 1] ** 2, x[:, 2] ** 2, x[:, 0] * x[:, 2],
                    (y - x)[:, 1] ** 2, y[:, 1] * x[:, 1]]  # fmt: skip
    trial.assert_mean(columns, [0] * 6 + [1.0, V1, V2, a * a, noise**2, V1])


@claim(
    null="forecast paths go on from their starts",
    test="z-tests of mean and mean square, Bonferroni",
    replicates=5000,
    false_alarm=1e-7,
)
def test_forecast_moments(trial):
    a, step, noise = models.walk.theta
    start = np.linspace(-2, 2, trial.replicates)
    states, observations = models.walk.forecast(start, 2, rng=trial.rng())
    assert states.shape == (trial.replicates, 2, 1)
    assert observations.shape == (trial.replicates, 2)
    residuals = states[:, 1, 0] - a * a * start
    columns = np.c_[states[:, 0, 0] - a * start, residuals, residuals**2,
                    (observations[:, 1] - states[:, 1, 0]) ** 2]  # fmt: skip
    trial.assert_mean(columns, [0, 0, (1 + a * a) * step**2, noise**2])


def test_forecast_takes_the_ends_of_the_paths_of_chains():
    ends = np.random.default_rng(0).standard_normal((2, 3, 1))
    flat = models.walk.forecast(ends.ravel(), 4, rng=1)
    for got, expected in zip(models.walk.forecast(ends, 4, rng=1), flat, strict=True):
        np.testing.assert_array_equal(got, expected.reshape(2, 3, *expected.shape[1:]))
    vector = ChaoticRNN(np.eye(2))
    ends = np.random.default_rng(0).standard_normal((2, 3, 2))
    states, observations = vector.forecast(ends, 4, rng=1)
    assert states.shape == observations.shape == (2, 3, 4, 2)
    one = vector.forecast(ends[0, 0], 4, rng=1)
    np.testing.assert_array_equal(one[0], states[0, 0])
    np.testing.assert_array_equal(one[1], observations[0, 0])


def test_times_are_counted():
    def drift(rng, t, x, theta):
        return x + t

    def observe(rng, t, x, theta, out):
        out[0], out[1] = t, x

    model = StateSpaceModel(
        initial=models.walk_initial,
        transition=drift,
        log_potential=models.walk_log_potential,
        observe=observe,
        observation_dim=2,
    )
    x, y = model.simulate(4, rng=0)
    np.testing.assert_allclose(np.diff(x[:, 0]), [0, 1, 2])
    np.testing.assert_allclose(y, np.c_[np.arange(4), x])
    x, y = model.forecast([[5.0]], 3, start_time=10)
    assert x.tolist() == [[[15.0], [26.0], [38.0]]]
    assert y[0, :, 0].tolist() == [11.0, 12.0, 13.0]


def test_draws_repeat_and_vectors_work():
    assert models.walk.simulate(5, rng=3)[1].tolist() == models.walk.simulate(5, rng=3)[1].tolist()
    longer = models.walk.simulate(9, rng=3)[1]
    assert longer[:5].tolist() == models.walk.simulate(5, rng=3)[1].tolist()

    @numba.njit
    def observe(rng, t, x, theta, out):
        out[0] = x[0] + random.uniform(rng)

    x, y = StateSpaceModel(**models.VECTOR_CHAIN, observe=observe).simulate(50, rng=0)
    assert x.shape == (50, 2)
    assert y.shape == (50,)
    assert (x[:, 0] == -x[:, 1]).all()
    assert set(x[:, 0]) == {0.0, 1.0, 2.0}


def test_the_size_of_an_observation_is_what_observe_writes():
    def three(rng, t, x, theta, out):
        for k in range(3):
            out[k] = x + k

    def all_of_out(rng, t, x, theta, out):
        out[:] = x

    x, y = StateSpaceModel(**{**models.WALK, "observe": three}).simulate(4, rng=0)
    np.testing.assert_allclose(y, x + np.arange(3))
    model = StateSpaceModel(**{**models.WALK, "observe": all_of_out})
    x, y = model.simulate(4, rng=0)
    assert y.tolist() == x[:, 0].tolist()
    assert model.forecast(x, 2, rng=0)[1].shape == (4, 2)


def starts_in_part(rng, theta, out):
    for k in range(int(theta[0])):
        out[k] = random.normal(rng)


def moves_in_part(rng, t, x, theta, out):
    for k in range(int(theta[1])):
        out[k] = 0.9 * x[k] + random.normal(rng)


OF_TWO = StateSpaceModel(
    initial=starts_in_part,
    transition=moves_in_part,
    log_potential=lambda t, x, y, theta: -0.5 * (y - x[0]) ** 2,
    log_transition=lambda t, x, xn, theta: -0.5 * (xn[0] - 0.9 * x[0]) ** 2,
    dim=2,
    theta=[2.0, 2.0],
)
SMOOTHERS = {
    "particle_filter": particle_filter,
    "ffbs": lambda *a, **k: ffbs(*a, "state", **k),
    "paris": lambda *a, **k: paris(*a, "state", **k),
    "ppg": lambda *a, **k: ppg(*a, "state", n_iterations=3, **k),
    "particle_gibbs": lambda *a, **k: particle_gibbs(*a, "state", n_iterations=3, **k),
}


@pytest.mark.parametrize("written", [(1, 2), (2, 1)])
@pytest.mark.parametrize("smoother", SMOOTHERS)
def test_what_a_draw_does_not_write_is_not_what_the_memory_held(smoother, written):
    options = {"n_particles": 50, "rng": 0}
    SMOOTHERS[smoother](OF_TWO, np.zeros(12), **options)
    with pytest.raises(ValueError, match=r"an entry of out that (it does|they do) not write"):
        SMOOTHERS[smoother](OF_TWO.replace(written), np.zeros(12), **options)


def test_what_observe_does_not_write_is_missing():
    def sometimes(rng, t, x, theta, out):
        if t % 2 == 0:
            out[0] = x

    model = StateSpaceModel(**{**models.WALK, "observe": sometimes}, observation_dim=2)
    for y in (model.simulate(5, rng=0)[1], model.forecast([[0.0]], 5, start_time=9, rng=0)[1][0]):
        assert np.isnan(y).tolist() == [[t % 2 == 1, True] for t in range(5)]


def row_potential(t, x, y, theta):
    return models.walk_log_potential(t, x, y[0], theta)


def vector_float_potential(t, x, y, theta):
    return models.LOG_EMISSION[int(x[0]), int(y)]


def sums_of_rows(x, y, theta, out):
    out[0] = y[0]


def steps_of_rows(t, x, xn, y, theta, out):
    out[0] = y[0]


@pytest.mark.compiled
def test_single_observations_come_as_the_potential_takes_them():
    _, y = models.walk.simulate(10, rng=0)
    y[3] = np.nan
    scalar = models.walk, StateSpaceModel(**{**models.WALK, "log_potential": row_potential})
    vector = (
        models.vector_chain,
        StateSpaceModel(**{**models.VECTOR_CHAIN, "log_potential": vector_float_potential}),
    )
    for pair, observations in ((scalar, y), (vector, models.SYMBOLS)):
        shapes = observations, observations[:, None]
        values = {
            particle_filter(m, given, n_particles=50, rng=1).log_likelihood
            for m in pair
            for given in shapes
        }
        assert len(values) == 1
        with pytest.raises(ValueError, match=r"y must have shape \(T,\), since log_potential"):
            particle_filter(pair[pair is vector], np.c_[observations, observations], n_particles=9)
    functional = AdditiveFunctional(1, initial=sums_of_rows, step=steps_of_rows)
    total = paris(vector[0], models.SYMBOLS, functional, n_particles=5, n_chains=1, rng=0)
    assert total.estimate == [models.SYMBOLS.sum()]


def test_parameters():
    model = models.walk
    assert model.names == ("coefficient", "step", "noise")
    other = model.replace([0.5, 2.0, 3.0])
    assert other.theta.tolist() == [0.5, 2.0, 3.0]
    assert model.theta.tolist() == [0.9, 1.0, 1.0]
    assert not other.theta.flags.writeable
    _, y = model.simulate(10, rng=0)
    a, b = (particle_filter(m, y, n_particles=50, rng=1).log_likelihood for m in (model, other))
    assert a != b
    fresh = StateSpaceModel(**{**models.WALK, "theta": [0.5, 2.0, 3.0]})
    assert particle_filter(fresh, y, n_particles=50, rng=1).log_likelihood == b
    with pytest.raises(AttributeError, match="replace"):
        model.theta = np.zeros(3)
    with pytest.raises(ValueError, match="support: coefficient"):
        model.replace([1.5, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"theta must be of shape \(3,\)"):
        model.replace([0.5])


def test_transforms():
    model = StateSpaceModel(
        **{
            **models.WALK,
            "theta": [0.3, -2.0, 0.25, 4.0],
            "names": ["a", "b", "c", "d"],
            "support": ["tanh", "real", "logit", "log"],
        }
    )
    z = model.transform(model.theta)
    np.testing.assert_allclose(z, [np.arctanh(0.3), -2.0, np.log(1 / 3), np.log(4.0)])
    np.testing.assert_allclose(model.inverse(z), model.theta, rtol=1e-14)
    h = 1e-6
    for k in range(4):
        shift = h * np.eye(4)[k]
        slope = (model.inverse(z + shift) - model.inverse(z - shift))[k] / (2 * h)
        assert model.slope(model.theta)[k] == pytest.approx(slope, rel=1e-8)
    assert np.isfinite(model.inverse([-800.0, 0.0, -800.0, -800.0])).all()


def test_pickling_keeps_the_answer():
    copy = pickle.loads(pickle.dumps(models.guided_walk))
    _, y = models.walk.simulate(10, rng=0)
    results = [particle_filter(m, y, n_particles=50, rng=1) for m in (models.guided_walk, copy)]
    assert results[0].log_likelihood == results[1].log_likelihood
    assert "coefficient=0.9" in repr(copy)


def test_the_table_for_notebooks_shows_a_parameter_of_any_name():
    table = StateSpaceModel(**{**models.WALK, "names": ["state", "b", "c"]})._repr_html_()
    assert "scalar" in table
    assert "0.9" in table


def too_short(rng, theta):
    return 0.0


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"transition": too_short}, ValueError, r"transition must take \(rng, t, x, theta\), got"),
        ({"dim": 2}, ValueError, r"initial must take \(rng, theta, out\)"),
        ({"dim": 0}, ValueError, "dim must be at least 1"),
        ({"initial": None}, TypeError, "initial must be a function"),
        ({"log_transition": "density"}, TypeError, "log_transition must be a function"),
        ({"observe": np.sin}, TypeError, "observe must be a function"),
        ({"proposal": models.best_proposal}, ValueError, "log_proposal must be given together"),
        (
            {"initial_proposal": models.uniform_initial, "log_initial": None},
            ValueError,
            "log_initial_proposal must be given",
        ),
        ({"score_step": models.sums_next}, ValueError, "score_initial must be given together"),
        ({"theta": [[0.9, 1.0, 1.0]]}, ValueError, "theta must be 1-D"),
        ({"theta": [0.9, np.nan, 1.0]}, ValueError, "theta must be finite"),
        ({"theta": [0.9, -1.0, 1.0]}, ValueError, "theta must lie in its support: step"),
        ({"names": ["a", "b"]}, ValueError, "names must have one entry for each of 3"),
        ({"names": ["a", "a", "b"]}, ValueError, "names must differ"),
        ({"names": "abc"}, TypeError, "names must be a sequence"),
        ({"support": ["real", "log", "sqrt"]}, ValueError, "support must be one of"),
        ({"observation_dim": 0}, ValueError, "observation_dim"),
    ],
)
def test_mistakes_are_named(changes, error, text):
    with pytest.raises(error, match=text):
        StateSpaceModel(**{**models.WALK, **changes})


def undefined(rng, theta):
    return no_such_name  # noqa: F821


def numpy_draw(rng, theta):
    return rng.normal()


def without_return(rng, t, x, theta):
    x + 1.0


def no_potential(t, x, y, theta):
    x + y


def imports(rng, t, x, theta):
    import math

    return math.sin(x)


def uses_getattr(rng, t, x, theta):
    return getattr(np, "random").normal()  # noqa: B009


def two_indices(t, x, y, theta):
    return y[0, 1] - x


def importing(t, x, y, theta):
    import math

    return math.log(x * y)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"log_potential": importing}, "log_potential must compile.*unsupported opcode"),
        ({"initial": undefined}, "initial must compile under Numba: NameError.*no_such_name"),
        ({"initial": numpy_draw}, r"Unknown attribute 'normal'.*functions of randla\.random"),
        ({"transition": without_return}, "transition must return a number, got none"),
        ({"log_potential": no_potential}, "log_potential must return a number, got none"),
        ({"transition": imports}, "transition must compile under Numba: .*IMPORT_NAME"),
        ({"transition": uses_getattr}, "transition must compile under Numba"),
        ({"log_potential": two_indices}, r"log_potential must compile.*getitem\(float64"),
    ],
)
@pytest.mark.compiled
def test_functions_that_do_not_compile_are_named(changes, text):
    model = StateSpaceModel(**{**models.WALK, **changes})
    with pytest.raises(TypeError, match=text) as caught:
        particle_filter(model, [1.0, 2.0], n_particles=5)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.compiled
def test_functionals_that_do_not_compile_say_so():
    functional = AdditiveFunctional(3, initial=lambda x, y, theta, out: x[3], step=models.sums_next)
    with pytest.raises(TypeError, match="initial of functional must compile"):
        ffbs(models.walk, [1.0, 2.0], functional, n_particles=5)


def sum_of_parts(t, x, y, theta):  # takes the row as an array; typed only by a whole compilation
    return sum([-0.5 * (value - x) ** 2 for value in y])


@pytest.mark.compiled
def test_a_potential_with_a_list_takes_rows_as_arrays():
    model = StateSpaceModel(**{**models.WALK, "log_potential": sum_of_parts})
    y = np.array([1.0, 2.0, 0.5])
    results = [particle_filter(model, rows, n_particles=9, rng=0) for rows in (y, y[:, None])]
    assert results[0].log_likelihood == results[1].log_likelihood


def test_drawing_needs_its_functions():
    with pytest.raises(ValueError, match="observe must be given"):
        models.chain.simulate(3)
    with pytest.raises(ValueError, match=r"states must have shape \(n,\) or \(\.\.\., 1\)"):
        models.walk.forecast(np.zeros((2, 2)), 3)
    with pytest.raises(ValueError, match=r"states must have shape \(\.\.\., 2\)"):
        ChaoticRNN(np.eye(2)).forecast(np.zeros((4, 3)), 3)
    with pytest.raises(ValueError, match=r"states must have shape \(n,\) or \(\.\.\., 1\)"):
        models.walk.forecast([], 3)
    with pytest.raises(ValueError, match="n_steps must be at least 1"):
        models.walk.simulate(0)


@pytest.mark.slow
@pytest.mark.compiled
def test_a_model_keeps_the_values_that_it_first_ran_with():
    """In all algorithms: the particles of one would else be weighed by the densities of another."""
    y, scope = [0.1, 0.4, -0.2], {"C": 1.0, "D": 1.0, "TABLE": np.ones(3), "numba": numba}
    exec("@numba.njit\ndef helper():\n    return D", scope)
    how = "C * helper() * TABLE[t]"  # a global, one of a helper, an entry of a table
    exec(f"def density(t, x, xn, theta):\n    return -0.5 * {how} * (xn - x) ** 2", scope)
    exec(f"def potential(t, x, y, theta):\n    return -0.5 * {how} * (y - x) ** 2", scope)
    exec(f"def first(x, y, theta, out):\n    t = 0\n    out[0] = {how}", scope)
    exec(f"def step(t, x, xn, y, theta, out):\n    out[0] = {how}", scope)
    functions = {"log_transition": scope["density"], "log_potential": scope["potential"]}

    def results(model):
        functional = randla.AdditiveFunctional(1, initial=scope["first"], step=scope["step"])
        options = {"n_particles": 10, "n_chains": 2, "rng": 0}
        yield randla.particle_filter(model, y, n_particles=10, rng=0).log_likelihood
        yield randla.paris(model, y, "state", backward="exact", **options).estimate[0]
        yield randla.ffbs(model, y, "state", backward="exact", **options).estimate[0]
        yield randla.paris(model, y, functional, **options).estimate[0]

    def make():
        return StateSpaceModel(**{**models.WALK, **functions})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", randla.RandlaWarning)
        expected = list(results(make()))
        old = make()
        likelihood = next(results(old))
        scope["C"], scope["D"], scope["TABLE"][:] = 3.0, 5.0, 7.0
        kept = list(results(old))
        new = next(results(make()))
    assert kept[:3] == expected[:3]
    assert kept[0] == likelihood != new
    # The functional is new, but not a helper that it shares with the model.
    assert kept[3] == pytest.approx(len(y) * 3.0 * 1.0 * 7.0)

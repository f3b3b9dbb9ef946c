import numpy as np
import pytest
from scipy import stats

from randla.transport import (
    sliced_wasserstein,
    sliced_wasserstein_barycenter,
    sliced_wasserstein_flow,
    wasserstein_1d,
)
from tests.statistical import claim
from tests.transport.reference import clouds


@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_a_translation_is_undone_in_one_step(d):
    X = np.random.default_rng(1).standard_normal((30, d))
    Y = X + np.arange(1.0, d + 1)
    flow = sliced_wasserstein_flow(X, Y, n_steps=2, rng=0)
    np.testing.assert_allclose(flow.points, Y, atol=1e-12)
    distance = np.linalg.norm(Y[0] - X[0]) / np.sqrt(d)
    assert abs(flow.trace[0] - distance) < 7 * flow.trace_standard_error[0] + 1e-12
    assert flow.trace[1] < 1e-12


def test_one_dimension_arrives_in_one_step():
    x, y = np.random.default_rng(2).standard_normal((2, 40))
    flow = sliced_wasserstein_flow(x, y, n_steps=1)
    assert wasserstein_1d(flow.points[:, 0], y) < 1e-14
    assert flow.trace_standard_error == [0.0]


@pytest.mark.parametrize("m", [200, 150])
def test_the_distance_falls(m):
    X, Y = clouds("shapes", 3, 200)
    flow = sliced_wasserstein_flow(X, Y[:m], n_steps=40, rng=0)
    assert flow.trace[-1] < 0.15 * flow.trace[0]
    before = sliced_wasserstein(X, Y[:m], rng=1)
    assert abs(flow.trace[0] - before.value) < 6 * flow.trace_standard_error[0]


@claim(
    null="nominal 95% intervals of the trace cover between 94 and 97%",
    test="one-sided normal limits around the bounds",
    replicates=3000,
    false_alarm=1e-6,
)
def test_intervals_of_the_trace_cover(trial):
    """With few blocks of directions a step: seven degrees of freedom, not a normal law."""
    X, Y = clouds("gauss", 20, 40)
    truth = sliced_wasserstein(X, Y, n_projections=50_000, control_variate="full", rng=0).value
    runs = [sliced_wasserstein_flow(X, Y, n_steps=1, rng=rng) for rng in trial.rngs()]
    low, high = np.array([r.confidence_interval() for r in runs])[:, :, 0].T
    trial.assert_between((low <= truth) & (truth <= high), 0.94, 0.97)


def test_intervals_of_the_trace():
    X, Y = clouds("gauss", 5, 40)
    flow = sliced_wasserstein_flow(X, Y, n_steps=4, rng=0)
    for level in (0.5, 0.99):
        low, high = flow.confidence_interval(level)
        half = stats.t(flow.degrees_of_freedom).ppf(0.5 + level / 2) * flow.trace_standard_error
        np.testing.assert_allclose(low, np.maximum(flow.trace - half, 0.0), rtol=1e-12)
        np.testing.assert_allclose(high, flow.trace + half, rtol=1e-12)
    with pytest.raises(ValueError, match="level must be in"):
        flow.confidence_interval(95)
    exact = sliced_wasserstein_flow(X[:, 0], Y[:, 0], n_steps=2)
    np.testing.assert_array_equal(exact.confidence_interval(), [exact.trace, exact.trace])


def test_weighted_points_move_and_others_stay():
    X, Y = clouds("gauss", 3, 60)
    a = np.random.default_rng(3).random(60) + 0.1
    a[4] = 0.0
    flow = sliced_wasserstein_flow(X, Y, a, n_steps=30, rng=0)
    assert (flow.points[4] == X[4]).all()
    assert flow.trace[-1] < 0.4 * flow.trace[0]


def test_a_small_step_follows_the_gradient():
    X, Y = clouds("mix", 4, 50)
    short = sliced_wasserstein_flow(X, Y, n_steps=1, step=0.1, rng=0).points
    full = sliced_wasserstein_flow(X, Y, n_steps=1, step=1.0, rng=0).points
    np.testing.assert_allclose(short - X, 0.1 * (full - X), atol=1e-12)


def test_the_barycenter_of_translates():
    Y = np.random.default_rng(4).standard_normal((80, 3))
    shift = np.array([6.0, 0.0, 3.0])
    result = sliced_wasserstein_barycenter([Y, Y + shift], [2.0, 1.0], n_steps=150, rng=0)
    middle = Y + shift / 3
    np.testing.assert_allclose(result.points.mean(axis=0), middle.mean(axis=0), atol=1e-10)
    assert sliced_wasserstein(result.points, middle, rng=0).value < 0.02
    # the optimal value: 2/3 |s/3|^2 + 1/3 |2 s/3|^2, over d
    error = result.trace[-1] - np.sqrt(2 / 9 * (shift @ shift) / 3)
    assert abs(error) < 7 * result.trace_standard_error[-1]


def test_the_barycenter_on_the_line_averages_quantiles():
    x, y = np.random.default_rng(5).standard_normal((2, 30))
    result = sliced_wasserstein_barycenter([x, y], [1.0, 3.0], n_steps=2, rng=0)
    expected = 0.25 * np.sort(x) + 0.75 * np.sort(y)
    np.testing.assert_allclose(np.sort(result.points[:, 0]), expected, atol=1e-12)


def test_start_and_sizes_of_a_barycenter():
    X, Y = clouds("gauss", 3, 40)
    assert sliced_wasserstein_barycenter([X, Y[:10]], n_steps=1, rng=0).points.shape == (40, 3)
    assert sliced_wasserstein_barycenter([X], n_points=7, n_steps=1, rng=0).points.shape == (7, 3)
    start = X[:5].copy()
    result = sliced_wasserstein_barycenter([X, Y], start=start, n_steps=1, rng=0)
    assert result.points.shape == (5, 3)
    assert (start == X[:5]).all()
    # Gaussian start: the moments of the result are near the weighted means from the beginning
    result = sliced_wasserstein_barycenter([X + 1e6, Y + 1e6], n_points=2000, n_steps=1, rng=0)
    middle = 1e6 + 0.5 * (X.mean(0) + Y.mean(0))
    np.testing.assert_allclose(result.points.mean(axis=0), middle, rtol=0, atol=1e-6)


def test_clouds_must_be_a_sequence():
    for bad, error in (
        (3, TypeError),
        ("ab", TypeError),
        ({0: [[1.0]]}, TypeError),
        ([], ValueError),
    ):
        with pytest.raises(error, match="clouds must"):
            sliced_wasserstein_barycenter(bad)
    with pytest.raises(ValueError, match=r"clouds\[1\] must have points of dimension 3"):
        sliced_wasserstein_barycenter([np.ones((4, 3)), np.ones((4, 2))])


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    X, Y = clouds("gauss", 3, 20)
    flow = sliced_wasserstein_flow(X, Y, n_steps=3, rng=0)
    ax = flow.plot()
    assert ax.get_xlabel() == "step"
    assert flow.plot(ax=ax) is ax
    later = sliced_wasserstein_flow(X, Y, n_steps=3, first_step=10, rng=0).plot()
    assert later.lines[0].get_xdata().tolist() == [10, 11, 12]
    plt.close("all")


@pytest.mark.parametrize("scale", [1e-155, 1e-160, 1e-300])
def test_a_tiny_cloud_flows_like_a_point(scale):
    X, Y = np.random.default_rng(0).standard_normal((2, 12, 4))
    flow = sliced_wasserstein_flow(scale * X, Y, n_steps=3, rng=0)
    expected = sliced_wasserstein_flow(1e-100 * X, Y, n_steps=3, rng=0)
    np.testing.assert_allclose(flow.points, expected.points, rtol=1e-9)


# One step at a time ------------------------------------------------------------------------------


def steps_of_one_call(descend, start):
    """The points after each of five steps taken by one call."""
    seen = []
    descend(start, n_steps=5, rng=3, callback=lambda step, points, *power: seen.append(points))
    return seen


@pytest.mark.parametrize("kind", ["flow", "barycenter"])
def test_one_call_takes_the_same_steps_as_several(kind):
    X, Y = clouds("gauss", 3, 24)
    a = np.arange(1.0, 25.0)

    def descend(start, **options):
        if kind == "flow":
            return sliced_wasserstein_flow(start, Y[:9], a, n_projections=16, **options)
        options |= {"start": start, "point_weights": a, "n_projections": 16}
        return sliced_wasserstein_barycenter([X, Y[:9]], [1.0, 2.0], **options)

    points, seen = X, steps_of_one_call(descend, X)
    trace = descend(X, n_steps=5, rng=3).trace
    for t in range(5):  # a seed, with the number of the step
        flow = descend(points, n_steps=1, rng=3, first_step=t)
        points = flow.points
        assert (points == seen[t]).all()
        assert flow.trace == trace[t]
    rng, points = np.random.default_rng(3), X
    for k in (2, 3):  # a Generator moves on
        points = descend(points, n_steps=k, rng=rng).points
    assert (points == seen[-1]).all()


def test_a_start_that_is_drawn_is_part_of_the_first_step():
    X, Y = clouds("gauss", 3, 24)
    options = {"n_projections": 16, "n_points": 7}
    once = sliced_wasserstein_barycenter([X, Y], n_steps=3, rng=1, **options).points
    first = sliced_wasserstein_barycenter([X, Y], n_steps=1, rng=1, **options).points
    options |= {"start": first, "first_step": 1}
    assert (sliced_wasserstein_barycenter([X, Y], n_steps=2, rng=1, **options).points == once).all()
    with pytest.raises(ValueError, match="start must be given for first_step = 2"):
        sliced_wasserstein_barycenter([X, Y], first_step=2)


def test_callbacks_see_the_trace_and_stop():
    X, Y = clouds("gauss", 3, 24)
    calls = []

    def watch(step, points, power, error):
        calls.append((step, points, power, error))
        assert not points.flags.writeable
        return step >= 13

    options = {"n_projections": 16, "rng": 0, "first_step": 10}
    flow = sliced_wasserstein_flow(X, Y, n_steps=9, callback=watch, every=2, **options)
    steps, points, powers, errors = zip(*calls, strict=True)
    assert steps == (11, 13)
    np.testing.assert_allclose(np.sqrt(powers), flow.trace[[1, 3]], rtol=1e-12)
    slope = np.array(errors) / (2.0 * flow.trace[[1, 3]])  # d root / d power
    np.testing.assert_allclose(slope, flow.trace_standard_error[[1, 3]], rtol=1e-12)
    assert len(flow.trace) == 4
    assert (points[1] == flow.points).all()
    assert (points[0] != points[1]).any()  # its own copy
    whole = sliced_wasserstein_flow(X, Y, n_steps=4, **options)
    assert (flow.points == whole.points).all()


def test_snapshots_from_the_start_to_the_end():
    X, Y = clouds("gauss", 3, 24)
    options = {"n_projections": 16, "rng": 0, "snapshots": 4}
    flow = sliced_wasserstein_flow(X, Y, n_steps=6, first_step=2, **options)
    assert flow.snapshot_steps.tolist() == [2, 4, 6, 8]
    assert flow.snapshots.shape == (4, 24, 3)
    assert (flow.snapshots[0] == X).all()
    assert (flow.snapshots[-1] == flow.points).all()
    stopped = sliced_wasserstein_flow(
        X, Y, n_steps=6, first_step=2, callback=lambda step, *_: step == 4, **options
    )
    assert stopped.snapshot_steps.tolist() == [2, 4]
    assert (stopped.snapshots == flow.snapshots[:2]).all()
    assert sliced_wasserstein_flow(X, Y, n_steps=1, n_projections=16).snapshots is None


def test_weights_of_the_points_of_a_barycenter():
    """One point of weight two stands for two of weight one; one of weight zero stays."""
    X, Y = clouds("gauss", 3, 24)
    options = {"n_steps": 2, "n_projections": 16, "rng": 0}
    twice = sliced_wasserstein_barycenter([X, Y[:9]], start=X[[0, 0, 1, 2]], **options)
    weighted = sliced_wasserstein_barycenter(
        [X, Y[:9]], start=X[[0, 1, 5, 2]], point_weights=[2, 1, 0, 1], **options
    )
    np.testing.assert_allclose(weighted.trace[0], twice.trace[0], rtol=1e-12)
    assert (weighted.points[2] == X[5]).all()
    drawn = sliced_wasserstein_barycenter([X, Y], point_weights=[1.0, 3.0], **options)
    assert drawn.points.shape == (2, 3)

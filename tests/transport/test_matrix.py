import numpy as np
import pytest

from randla.transport import sliced_wasserstein, sliced_wasserstein_matrix, wasserstein_1d
from tests.transport.reference import clouds

RNG = np.random.default_rng(1)
CLOUDS = [s * RNG.standard_normal((n, 4)) for n, s in ((50, 1), (50, 2), (40, 1), (33, 0.5))]
WEIGHTS = [None, RNG.random(50), None, RNG.random(33)]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(("design", "n"), [("iid", 256), ("orthogonal", 256), ("rqmc", 256)])
@pytest.mark.parametrize("control", [None, "lower", "full"])
def test_equals_one_pair_at_a_time(weights, design, n, control):
    result = sliced_wasserstein_matrix(
        CLOUDS, weights, n_projections=n, directions=design, control_variate=control, rng=1
    )
    masses = [None] * 4 if weights is None else weights
    for i, j in ((0, 1), (1, 3), (0, 2)):
        pair = sliced_wasserstein(
            CLOUDS[i],
            CLOUDS[j],
            masses[i],
            masses[j],
            n_projections=n,
            directions=design,
            control_variate=control,
            rng=1,
        )
        assert result.values[i, j] == result.values[j, i]
        assert result.values[i, j] == pytest.approx(pair.value, rel=1e-10)
        assert result.standard_errors[i, j] == pytest.approx(pair.standard_error, rel=1e-6)
        assert result.powers[i, j] == pytest.approx(pair.power, rel=1e-10)
    assert (np.diag(result.values) == 0).all()
    assert (np.diag(result.standard_errors) == 0).all()


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_powers_are_conditionally_negative_definite(p):
    many = [RNG.standard_normal((20, 3)) + RNG.standard_normal(3) for _ in range(12)]
    powers = sliced_wasserstein_matrix(many, p=p, n_projections=16, directions="iid", rng=0).powers
    center = np.eye(12) - 1 / 12
    assert np.linalg.eigvalsh(-center @ powers @ center).min() > -1e-12


def test_one_dimension_and_one_cloud():
    rows = RNG.standard_normal((3, 25))
    result = sliced_wasserstein_matrix(list(rows), p=1)
    expected = [[wasserstein_1d(x, y, p=1) for y in rows] for x in rows]
    np.testing.assert_allclose(result.values, expected, rtol=1e-12)
    assert (result.directions, result.degrees_of_freedom) == ("exact", np.inf)
    assert (result.standard_errors == 0).all()
    assert sliced_wasserstein_matrix(CLOUDS[:1], rng=0).values.tolist() == [[0.0]]


def test_given_directions_have_no_error():
    theta = np.eye(4)
    result = sliced_wasserstein_matrix(CLOUDS, directions=theta)
    assert result.standard_errors is result.power_standard_errors is None
    expected = sliced_wasserstein(CLOUDS[0], CLOUDS[3], directions=theta).value
    assert result.values[0, 3] == pytest.approx(expected, rel=1e-12)


def test_rounds_do_not_change_the_values(monkeypatch):
    # A patch, as the costs of a round take 16 MB: 200,000 directions.
    whole = sliced_wasserstein_matrix(CLOUDS, rng=1)
    monkeypatch.setattr("randla.transport._matrix._ROUND_COSTS", 100)
    parts = sliced_wasserstein_matrix(CLOUDS, rng=1)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-12)
    np.testing.assert_allclose(parts.standard_errors, whole.standard_errors, rtol=1e-9)


def test_float32_only_if_all_are():
    small = [x.astype(np.float32) for x in CLOUDS]
    exact = sliced_wasserstein_matrix([x.astype(float) for x in small], rng=0).values
    mixed = sliced_wasserstein_matrix([small[0].astype(float), *small[1:]], rng=0).values
    np.testing.assert_allclose(mixed, exact, rtol=1e-12)
    np.testing.assert_allclose(sliced_wasserstein_matrix(small, rng=0).values, exact, rtol=1e-5)


def test_equal_clouds():
    X, _ = clouds("gauss", 3, 30)
    result = sliced_wasserstein_matrix([X, X[::-1], X + 1], rng=0, control_variate="quadratic")
    assert result.values[0, 1] == result.standard_errors[0, 1] == 0.0
    assert result.values[0, 2] == pytest.approx(1.0)


@pytest.mark.parametrize("d", [3, 4])
def test_clouds_that_nearly_agree(d):
    X = np.random.default_rng(2).standard_normal((80, d))
    near = X + 1e-3 * np.random.default_rng(3).standard_normal(X.shape)
    plain = sliced_wasserstein_matrix([X, near], directions="iid", rng=0)
    full = sliced_wasserstein_matrix([X, near], directions="iid", control_variate="full", rng=0)
    assert full.power_standard_errors[0, 1] <= 2.0 * plain.power_standard_errors[0, 1]


@pytest.mark.parametrize(("p", "scale"), [(2.0, 1.0), (1.0, 1e-300), (3.0, 1e300)])
def test_intervals_equal_those_of_pairs(p, scale):
    options = {"p": p, "control_variate": "quadratic", "directions": "iid", "rng": 1}
    many = [scale * x for x in CLOUDS]
    result = sliced_wasserstein_matrix(many, n_projections=100, **options)
    pair = sliced_wasserstein(many[1], many[3], n_projections=100, **options)
    for level in (0.5, 0.99):
        low, high = result.confidence_interval(level)
        for ends, end in zip((low, high), pair.confidence_interval(level), strict=True):
            assert ends[1, 3] == pytest.approx(end, rel=1e-8)
            np.testing.assert_array_equal(ends, ends.T)
            np.testing.assert_array_equal(np.diag(ends), 0.0)
        assert (low <= result.values).all()
        assert (result.values <= high).all()


def test_no_intervals_for_given_directions_and_exact_ones_on_the_line():
    given = sliced_wasserstein_matrix(CLOUDS, directions=np.eye(4))
    with pytest.raises(ValueError, match="confidence_interval needs random directions"):
        given.confidence_interval()
    exact = sliced_wasserstein_matrix([x[:, 0] for x in CLOUDS])
    np.testing.assert_array_equal(exact.confidence_interval(), [exact.values] * 2)
    with pytest.raises(ValueError, match="level must be in"):
        exact.confidence_interval(1.5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"directions": "iid", "n_projections": 40}, "quartic"),
        ({"directions": "iid", "n_projections": 21, "p": 1.0}, None),
        ({"directions": "iid", "n_projections": 22, "p": 1.0}, "quadratic"),
        ({"directions": "iid", "p": 6.0}, None),
        ({"directions": np.eye(4)}, None),
    ],
)
def test_auto_is_that_of_one_pair(options, expected):
    result = sliced_wasserstein_matrix(CLOUDS, WEIGHTS, control_variate="auto", rng=1, **options)
    pair = sliced_wasserstein(CLOUDS[1], CLOUDS[3], WEIGHTS[1], WEIGHTS[3], rng=1, **options)
    assert result.control_variate == pair.control_variate == expected
    assert result.values[1, 3] == pytest.approx(pair.value, rel=1e-10)
    if result.standard_errors is not None:
        assert result.standard_errors[1, 3] == pytest.approx(pair.standard_error, rel=1e-6)


def test_auto_takes_the_root_where_its_means_are_cheap():
    auto = sliced_wasserstein_matrix(CLOUDS[:2], control_variate="auto", rng=1)
    assert auto.control_variate == "full"
    many = [CLOUDS[0] + k for k in range(40)]  # 780 means for costs of a few milliseconds
    assert (
        sliced_wasserstein_matrix(many, control_variate="auto", rng=1).control_variate == "quartic"
    )


@pytest.mark.parametrize("d", [3, 4, 10])
@pytest.mark.parametrize("directions", ["auto", "iid"])
def test_auto_is_never_much_worse_than_no_controls(d, directions):
    X = np.random.default_rng(2).standard_normal((80, d))
    noise = np.random.default_rng(3).standard_normal(X.shape)
    many = [X, X + 1e-5 * noise, X + 1.0]
    plain = sliced_wasserstein_matrix(many, directions=directions, rng=0)
    auto = sliced_wasserstein_matrix(many, directions=directions, control_variate="auto", rng=0)
    assert (auto.power_standard_errors <= 2.0 * plain.power_standard_errors + 1e-15).all()
    assert auto.power_standard_errors[0, 2] < 1e-3 * plain.power_standard_errors[0, 2] + 1e-15


def test_a_pair_of_functions_serves_all_pairs():
    calls = []

    def squares(theta):
        calls.append(len(theta))
        return theta[:, :3] ** 2

    options = {"control_variate": (squares, np.full(3, 0.25)), "directions": "iid", "rng": 1}
    result = sliced_wasserstein_matrix(CLOUDS, **options)
    assert calls == [256]
    assert result.control_variate == "custom"
    for i, j in ((0, 1), (1, 3)):
        pair = sliced_wasserstein(CLOUDS[i], CLOUDS[j], **options)
        assert result.values[i, j] == pytest.approx(pair.value, rel=1e-10)
        assert result.standard_errors[i, j] == pytest.approx(pair.standard_error, rel=1e-8)


@pytest.mark.parametrize("control", [None, "quadratic"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("p", "scale", "offset"),
    [(2, 1, 1e9), (1, 1, 1e15), (2, 1e80, 0), (2, 1e200, 0), (1, 1e200, 1e200), (4, 1e60, 0),
     (16, 1e10, 0), (16, 1e40, 0), (2, 1e6, 1e7)],
)  # fmt: skip
def test_another_cloud_that_is_far_or_large_changes_nothing(p, scale, offset, place, control):
    rng = np.random.default_rng(3)
    X, Y, other = rng.standard_normal((3, 40, 3))
    near = [X, Y[:30] + 1.0]
    options = {"p": p, "n_projections": 60, "directions": "iid", "control_variate": control}
    alone = sliced_wasserstein_matrix(near, rng=1, **options)
    clouds = [*near[:place], other * scale + offset, *near[place:]]
    i, j = (k for k in range(3) if k != place)
    result = sliced_wasserstein_matrix(clouds, rng=1, **options)
    for name in ("values", "powers", "standard_errors", "power_standard_errors"):
        got, expected = getattr(result, name), getattr(alone, name)
        assert got[i, j] == got[j, i] == pytest.approx(expected[0, 1], rel=1e-9), name
    for got, expected in zip(
        result.confidence_interval(), alone.confidence_interval(), strict=True
    ):
        assert got[i, j] == pytest.approx(expected[0, 1], rel=1e-9)
    pair = sliced_wasserstein(clouds[0], clouds[-1], rng=1, **options)
    assert result.values[0, 2] == pytest.approx(pair.value, rel=1e-9)


def test_groups_of_clouds_at_many_scales():
    rng = np.random.default_rng(4)
    scales = (1e-90, 1.0, 1e-90, 1e30, 1.0, 1e30, 1e-20)
    clouds = [scale * (rng.standard_normal((20, 3)) + k) for k, scale in enumerate(scales)]
    result = sliced_wasserstein_matrix(clouds, p=3, n_projections=40, directions="iid", rng=2)
    for i, j in zip(*np.triu_indices(len(clouds), 1), strict=True):
        pair = sliced_wasserstein(
            clouds[i], clouds[j], p=3, n_projections=40, directions="iid", rng=2,
            control_variate=None,
        )  # fmt: skip
        assert result.values[i, j] == pytest.approx(pair.value, rel=1e-9)
        assert result.standard_errors[i, j] == pytest.approx(pair.standard_error, rel=1e-7)


def test_a_table_or_a_matrix_is_clouds_of_numbers():
    x = RNG.standard_normal((4, 6))
    expected = sliced_wasserstein_matrix(list(x)).values
    np.testing.assert_array_equal(sliced_wasserstein_matrix(x).values, expected)
    with pytest.raises(TypeError, match="clouds must be a sequence of clouds, got set"):
        sliced_wasserstein_matrix({1.0, 2.0})
    pandas = pytest.importorskip("pandas")
    for columns in (None, list("uvwxyz")):
        table = pandas.DataFrame(x, columns=columns)
        np.testing.assert_array_equal(sliced_wasserstein_matrix(table).values, expected)
    column = pandas.Series(list(x), index=list("abcd"))
    np.testing.assert_array_equal(sliced_wasserstein_matrix(column).values, expected)


def test_controls_of_many_dimensions_are_those_of_a_pair():
    rng = np.random.default_rng(5)
    sets = [rng.standard_normal((n, 70)) + 0.1 * n for n in (12, 20, 15)]
    options = {"n_projections": 40, "directions": "iid", "control_variate": "quadratic", "rng": 1}
    matrix = sliced_wasserstein_matrix(sets, [None, rng.random(20), None], **options)
    pair = sliced_wasserstein(sets[0], sets[2], **options)
    assert matrix.powers[0, 2] == pytest.approx(pair.power, rel=1e-10)
    assert matrix.power_standard_errors[0, 2] == pytest.approx(pair.power_standard_error, rel=1e-6)

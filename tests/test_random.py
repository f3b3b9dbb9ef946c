"""The generators: known answers, then the laws."""

import numba
import numpy as np
import pytest
from scipy import stats

from randla import _random, random
from tests.statistical import chi_square_pvalue, claim

KEY = np.uint64(20230201)


@numba.njit
def draw_many(function, state, out):
    for i in range(out.size):
        out[i] = function(state)


@numba.njit
def draw_many_1(function, state, parameter, out):
    for i in range(out.size):
        out[i] = function(state, parameter)


def sample(function, n, *parameter, stream=0):
    out = np.empty(n)
    state = _random.new_stream(KEY, stream)
    (draw_many_1 if parameter else draw_many)(function, state, *parameter, out)
    return out


def test_splitmix64_known_answers():
    # The published sequence for seed 1234567.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [int(_random.counter_hash(np.uint64(1234567), i)) for i in range(5)] == expected


def test_xoshiro256_known_answers():
    # The published sequence of xoshiro256++ from the state (1, 2, 3, 4).
    expected = [
        41943041,
        58720359,
        3588806011781223,
        3591011842654386,
        9228616714210784205,
        9973669472204895162,
        14011001112246962877,
        12406186145184390807,
        15849039046786891736,
        10450023813501588000,
    ]
    state = np.array([1, 2, 3, 4], np.uint64)
    assert [int(_random.next_bits(state)) for _ in range(10)] == expected


def test_draws_are_pinned():
    """Streams are part of what a seed promises: a change here is a change of every result."""
    state = _random.new_stream(np.uint64(1), 2)
    first = [int(_random.next_bits(state)) for _ in range(2)]
    assert first == [10419376991146600071, 12011363651403626505]
    got = _random.normal_rows(np.uint64(1), 5, 7, 2)
    np.testing.assert_allclose(
        got, [[0.64556521, -0.13257484], [-0.22745573, -0.50874687]], atol=1e-8
    )


def test_xoshiro_equals_a_plain_python_twin():
    mask = 2**64 - 1

    def rotate(x, k):
        return ((x << k) | (x >> (64 - k))) & mask

    def twin(s):
        result = (rotate((s[0] + s[3]) & mask, 23) + s[0]) & mask
        t = (s[1] << 17) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
        return result

    state = _random.new_stream(KEY, 3)
    words = [int(w) for w in state]
    for _ in range(1000):
        assert int(_random.next_bits(state)) == twin(words)


def test_rows_do_not_depend_on_blocks():
    whole = _random.normal_rows(KEY, 0, 30, 4)
    np.testing.assert_array_equal(whole[7:19], _random.normal_rows(KEY, 7, 19, 4))


@pytest.mark.parametrize(
    ("function", "law"),
    [
        (random.uniform, stats.uniform),
        (random.normal, stats.norm),
        (random.exponential, stats.expon),
    ],
)
@claim(null="a draw has its law", test="Kolmogorov-Smirnov", replicates=200_000, false_alarm=1e-8)
def test_law(function, law, trial):
    trial.assert_pvalue(stats.kstest(sample(function, trial.replicates), law.cdf).pvalue)


@claim(
    null="normals beyond the ziggurat's edge have the normal tail",
    test="Kolmogorov-Smirnov on draws above 3.654",
    replicates=3_000_000,
    false_alarm=1e-8,
)
def test_normal_tail(trial):
    edge = _random._NORMAL_TAIL
    tail = np.abs(sample(random.normal, trial.replicates))
    tail = tail[tail > edge]
    trial.assert_pvalue(
        stats.binomtest(len(tail), trial.replicates, 2 * stats.norm.sf(edge)).pvalue, share=0.5
    )
    conditional = stats.uniform.cdf(stats.norm.sf(tail) / stats.norm.sf(edge))
    trial.assert_pvalue(stats.kstest(conditional, "uniform").pvalue, share=0.5)


@pytest.mark.parametrize("shape", [0.05, 0.5, 1.0, 2.5, 80.0])
@claim(null="gamma draws", test="Kolmogorov-Smirnov", replicates=100_000, false_alarm=1e-8)
def test_gamma(shape, trial):
    draws = sample(random.gamma, trial.replicates, shape)
    trial.assert_pvalue(stats.kstest(draws, stats.gamma(shape).cdf).pvalue)


@pytest.mark.parametrize("shape", [1.0, 2.5, 80.0])
def test_few_proposals_of_a_gamma_number_are_refused(shape):
    """At most one in 20: about two words of the stream a number, and a few for rare cases."""
    n = 4000
    end, state = _random.new_stream(KEY), _random.new_stream(KEY)
    draw_many_1(random.gamma, end, shape, np.empty(n))
    words = 0
    while not np.array_equal(state, end):
        _random.next_bits(state)
        words += 1
        assert words <= 2.25 * n
    assert words >= 2 * n


@pytest.mark.parametrize("df", [0.7, 2.0, 30.0, np.inf])
@claim(null="Student t draws", test="Kolmogorov-Smirnov", replicates=100_000, false_alarm=1e-8)
def test_student_t(df, trial):
    law = stats.norm if np.isinf(df) else stats.t(df)
    trial.assert_pvalue(
        stats.kstest(sample(random.student_t, trial.replicates, df), law.cdf).pvalue
    )


@pytest.mark.parametrize("mean", [0.0, 0.3, 9.5, 10.0, 45.0, 3000.0])
@claim(null="Poisson draws", test="chi-square", replicates=200_000, false_alarm=1e-8)
def test_poisson(mean, trial):
    draws = sample(random.poisson, trial.replicates, mean).astype(int)
    if mean == 0.0:
        assert (draws == 0).all()
        return
    top = int(mean + 12 * np.sqrt(mean) + 12)
    expected = stats.poisson(mean).pmf(np.arange(top)) * len(draws)
    trial.assert_pvalue(chi_square_pvalue(np.bincount(draws, minlength=top), expected))


@pytest.mark.parametrize("mean", [1e5, 9.9e7, 1e8, 1e12, 8e15])
@claim(
    null="Poisson counts of large mean have its moments",
    test="z-test of the first four moments, Bonferroni's bound for the largest",
    replicates=200_000,
    false_alarm=1e-8,
)
def test_large_poisson_counts(mean, trial):
    z = (sample(random.poisson, trial.replicates, mean) - mean) / np.sqrt(mean)
    trial.assert_mean(
        np.column_stack([z, z**2, z**3, z**4]),
        [0.0, 1.0, mean**-0.5, 3.0 + 1.0 / mean],
        share=0.5,
    )
    assert trial.replicates * 2 * stats.norm.sf(abs(z).max()) > 0.5e-8


@claim(null="categorical draws", test="chi-square", replicates=100_000, false_alarm=1e-8)
def test_categorical(trial):
    weights = np.array([0.0, 2.0, 0.0, 1.0, 5.0, 0.0])
    draws = sample(random.categorical, trial.replicates, weights).astype(int)
    expected = weights / weights.sum() * len(draws)
    trial.assert_pvalue(chi_square_pvalue(np.bincount(draws, minlength=6), expected))


@claim(
    null="signs, buckets and units of consecutive counters are independent and uniform",
    test="chi-square on 2 x 50 x 10 cells, and on pairs of neighbors",
    replicates=200_000,
    false_alarm=1e-8,
)
def test_counters(trial):
    @numba.njit
    def draw(key, bits, buckets):
        for i in range(bits.size):
            bits[i] = _random.counter_hash(key, i)
            buckets[i] = _random.hash_to_range(bits[i], 50)

    n = trial.replicates
    bits, buckets = np.empty(n, np.uint64), np.empty(n, np.int64)
    draw(KEY, bits, buckets)
    is_negative, units = bits >> np.uint64(63), (bits >> np.uint64(11)) * 2.0**-53
    assert buckets.min() == 0
    assert buckets.max() == 49
    # The sign is the top bit, which is also the top bit of the unit number.
    half = (2 * units % 1.0 * 10).astype(int)
    cell = (is_negative == 0) * 500 + buckets * 10 + half
    expected = np.full(1000, n / 1000)
    trial.assert_pvalue(chi_square_pvalue(np.bincount(cell, minlength=1000), expected), share=0.5)
    pairs = buckets[:-1:2] * 50 + buckets[1::2]
    expected = np.full(2500, len(pairs) / 2500)
    trial.assert_pvalue(chi_square_pvalue(np.bincount(pairs, minlength=2500), expected), share=0.5)


@claim(
    null="neighboring streams of one key are independent",
    test="z-test of the correlations at lags -3..3",
    replicates=100_000,
    false_alarm=1e-8,
)
def test_streams_are_independent(trial):
    x, y = (sample(random.normal, trial.replicates + 6, stream=k) for k in (0, 1))
    n = trial.replicates
    products = np.column_stack([x[3 : 3 + n] * y[3 + lag : 3 + lag + n] for lag in range(-3, 4)])
    trial.assert_mean(products, 0.0)


def test_bad_parameters_give_nan_or_minus_one():
    state = _random.new_stream(KEY)
    for bad in (-1.0, 0.0, np.nan):
        assert np.isnan(random.gamma(state, bad))
        assert np.isnan(random.student_t(state, bad))
    for bad in (-1.0, np.nan, np.inf, 1e300):
        assert random.poisson(state, bad) == -1
    for bad in (
        [0.0, 0.0],
        [np.nan, 1.0],
        [np.inf, 1.0],
        [-1.0, 2.0],
        [3.0, -1e-9],
        [1e308, 1e308],
    ):
        assert random.categorical(state, np.array(bad)) == -1
    rounded = np.array([1.0, 1.0 - 0.9 - 0.1, 0.0])  # -2.8e-17
    assert {int(random.categorical(state, rounded)) for _ in range(20)} == {0}


def test_rng_follows_spec_7():
    key = _random.draw_key(5)
    assert key == _random.draw_key(5) == _random.draw_key(np.random.default_rng(5))
    assert key == _random.draw_key(np.random.SeedSequence(5)) != _random.draw_key(6)
    generator = np.random.default_rng(5)
    assert _random.draw_key(generator) != _random.draw_key(generator)
    assert _random.draw_key(None) != _random.draw_key(None)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (-1, ValueError, "rng must be a non-negative integer, got -1"),
        (1.5, TypeError, "rng must be None, an int, a SeedSequence or a Generator, got float"),
        ("a", TypeError, "got str"),
        (True, TypeError, "got bool"),
        (object(), TypeError, "got object"),
    ],
)
def test_bad_rng_is_named(bad, error, message):
    with pytest.raises(error, match=message):
        _random.draw_key(bad)

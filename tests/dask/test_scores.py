"""Scores of Dask arrays are lazy, bounded, and those of the arrays in memory."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

import randla
from tests.dask.cases import N, cut, cut_sparse, da
from tests.dask.data import A, weights

TALL = np.random.default_rng(3).standard_normal((N, 40))


def assert_same(scores, expected, rtol=1e-9):
    for field in ("values", "lower", "upper"):
        lazy = getattr(scores, field)
        assert isinstance(lazy, da.Array)
        np.testing.assert_allclose(lazy.compute(), getattr(expected, field), rtol=rtol, atol=1e-300)
    for field in ("kind", "p", "certified"):
        assert getattr(scores, field) == getattr(expected, field)


LEVERAGE = {
    "plain": (A, {}),
    "weights": (A, {"weights": weights}),
    "ridge": (A, {"ridge": 3.0, "weights": weights}),
    "sketch": (TALL, {"method": "sketch", "rng": 1}),
    "sketch, ridge": (TALL, {"method": "sketch", "rng": 1, "ridge": 3.0, "weights": weights}),
    "rank": (np.column_stack([A, A[:, 0] - A[:, 1], np.zeros(N)]), {}),
    "tiny": (A * 1e-200, {}),
    "zero": (A * 0.0, {}),
}


@pytest.mark.parametrize(("matrix", "options"), LEVERAGE.values(), ids=LEVERAGE)
def test_leverage_scores_are_those_in_memory(matrix, options, rows):
    scores = randla.leverage_scores(cut(matrix, rows), **options)
    assert scores.values.chunks == cut(matrix, rows)[:, 0].chunks
    assert_same(scores, randla.leverage_scores(matrix, **options))


def test_the_order_of_lazy_scores():
    scores = randla.leverage_scores(cut(A))
    np.testing.assert_array_equal(scores.argsort(), np.argsort(scores.values.compute()))
    np.testing.assert_array_equal(np.argsort(scores), scores.argsort())


def test_scores_on_each_scheduler(scheduler, rows):
    assert_same(randla.leverage_scores(cut(A, rows)), randla.leverage_scores(A))
    lewis = randla.lewis_weights(cut(A, rows), 1, rtol=1e-3)
    np.testing.assert_allclose(lewis.values.compute(), randla.lewis_weights(A, 1), rtol=2e-3)


def test_ill_conditioned_columns_keep_their_error_estimate():
    vander = np.vander(np.linspace(0.0, 1.0, N), 13)
    scores = randla.leverage_scores(cut(vander))
    expected = randla.leverage_scores(vander)
    assert scores.residual == pytest.approx(expected.residual, rel=0.1)
    np.testing.assert_allclose(scores.values.compute(), expected.values, rtol=4 * scores.residual)


def test_sparse_chunks():
    thin = np.where(np.abs(A) > 0.1, A, 0.0)
    assert_same(randla.leverage_scores(cut_sparse(thin)), randla.leverage_scores(csr_array(thin)))


@pytest.mark.parametrize("p", [0.5, 1, 1.7, 2, 3.5, 6, 15, 40])
def test_lewis_weights_fulfill_their_equation(p):
    scores = randla.lewis_weights(cut(A), p, rtol=1e-5)
    w = scores.values.compute()
    alive = w > 0.0
    assert alive.sum() == N - 1
    scale = np.zeros(N)
    scale[alive] = w[alive] ** (0.5 - 1.0 / p)
    leverage = randla.leverage_scores(scale[:, None] * A).values
    np.testing.assert_allclose(w[alive], leverage[alive], rtol=1.1e-5)
    assert scores.certified
    assert scores.residual <= 1e-5
    exact = randla.lewis_weights(A, p, rtol=1e-10).values
    assert (scores.lower.compute() <= exact * (1 + 1e-9)).all()
    assert (exact <= scores.upper.compute() * (1 + 1e-9)).all()


def test_lewis_weights_of_deficient_rank_and_of_zeros():
    deficient = np.column_stack([A, A[:, 0] - A[:, 1]])
    scores = randla.lewis_weights(cut(deficient), 1)
    np.testing.assert_allclose(scores.values.compute(), randla.lewis_weights(A, 1), rtol=1e-5)
    assert not randla.lewis_weights(cut(0 * A), 1).values.compute().any()


LONG = {"one": A.copy(), "parallel": A.copy(), "levels": A.copy(), "float32": A.astype("f4")}
LONG["one"][3] *= 1e16
LONG["parallel"][[3, 900]] = [[1e16], [3e16]]
LONG["levels"][[3, 900]] *= [[1e16], [1e40]]
LONG["float32"][3] *= 1e16


@pytest.mark.parametrize("matrix", LONG.values(), ids=LONG)
def test_long_rows_are_those_in_memory(matrix):
    scores, expected = randla.leverage_scores(cut(matrix)), randla.leverage_scores(matrix)
    np.testing.assert_allclose(scores.values.compute(), expected, rtol=1e-6, atol=1e-20)
    np.testing.assert_allclose(scores.upper.compute(), expected.upper, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scores.lower.compute(), expected.lower, rtol=1e-6, atol=1e-9)
    assert scores.certified == expected.certified
    lewis, expected = (randla.lewis_weights(x, 1, rtol=0.1) for x in (cut(matrix), matrix))
    np.testing.assert_allclose(lewis.values.compute(), expected, rtol=0.2)
    assert lewis.certified == expected.certified
    bound = randla.lp_sensitivities(cut(matrix), 1, method="bound")
    exact = randla.lp_sensitivities(matrix, 1, rows=[3, 7])
    assert not bound.certified
    assert (bound.values.compute()[[3, 7]] >= exact.values * (1 - 1e-3)).all()
    assert (bound.lower.compute() == 0.0).all()
    assert (bound.upper.compute()[np.asarray(bound) > 0] == 1.0).all()


def test_steps_of_lewis_weights_are_as_few_as_their_rate_says():
    # The residual falls by (p - 2)/(p + 2) a step; it starts at no more than log n.
    steps = np.log(1e-5 / np.log(N)) / np.log(8.0 / 12.0)
    assert randla.lewis_weights(cut(A), 10, rtol=1e-5).n_iterations < steps + 4


@pytest.mark.parametrize("p", [1, 6])
def test_lewis_weights_from_one_leverage_computation(p):
    with pytest.warns(randla.sampling.NotConvergedWarning, match="in 1 iterations"):
        scores = randla.lewis_weights(cut(A), p, max_iterations=1)
    assert scores.n_iterations == 1
    exact = randla.lewis_weights(A, p, rtol=1e-10).values
    assert (scores.lower.compute() <= exact * (1 + 1e-9)).all()
    assert (exact <= scores.upper.compute() * (1 + 1e-9)).all()


def test_lewis_weights_warn_when_they_end_early():
    message = "not rtol=1e-09, in 3 iterations"
    with pytest.warns(randla.sampling.NotConvergedWarning, match=message) as caught:
        scores = randla.lewis_weights(cut(A), 1, rtol=1e-9, max_iterations=3)
    assert caught[0].filename == __file__
    exact = randla.lewis_weights(A, 1, rtol=1e-10).values
    assert not scores.certified
    assert (scores.lower.compute() <= exact * (1 + 1e-9)).all()
    assert (exact <= scores.upper.compute() * (1 + 1e-9)).all()


@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_sensitivities_lie_between_their_bounds(p, rows):
    some = np.flatnonzero(np.arange(N) % 40 == 17)
    exact = randla.lp_sensitivities(A, p, rows=some, rtol=1e-3)
    bound = randla.lp_sensitivities(cut(A, rows), p, method="bound")
    assert bound.certified
    for scores in (bound, randla.lp_sensitivities(cut(A, rows), p, method="sketch", rng=0)):
        low, high = scores.lower.compute()[some], scores.upper.compute()[some]
        assert (low <= exact.upper * (1 + 1e-9)).all()
        assert (exact.lower <= high * (1 + 1e-9)).all()
        gap = (scores.upper - scores.lower).compute() / np.maximum(scores.upper.compute(), 1e-300)
        assert scores.residual == pytest.approx(gap.max())
    # An estimate beside 200 rows of 1200: within a factor of two for all, as in memory.
    values = scores.values.compute()[some][1:]
    assert (values < 2 * exact.values[1:]).all()
    assert (values > 0.5 * exact.values[1:]).all()


def test_sensitivities_at_two_and_infinity_and_of_some_rows():
    for p in (2, np.inf):
        assert_same(
            randla.lp_sensitivities(cut(A), p, method="bound"),
            randla.lp_sensitivities(A, p, method="bound"),
        )
    some = [5, 900, 3]
    few = randla.lp_sensitivities(cut(A), 2, rows=some)
    np.testing.assert_allclose(few.values.compute(), randla.leverage_scores(A)[some], rtol=1e-9)
    assert few.lower.shape == (3,)


def test_sensitivities_on_each_scheduler(scheduler):
    scores = randla.lp_sensitivities(cut(A), 1, method="sketch", rng=0)
    found.append(scores.values.compute())
    np.testing.assert_allclose(found[-1], found[0], rtol=1e-9)


found: list = []


def test_exact_sensitivities_are_refused():
    with pytest.raises(ValueError, match=r"method must be .* got 'exact': use A.compute\(\)"):
        randla.lp_sensitivities(cut(A), 1, method="exact")
    with pytest.raises(ValueError, match="method must be 'bound' for p=inf"):
        randla.lp_sensitivities(cut(A), np.inf, method="sketch")


def test_scores_behave_as_their_lazy_values():
    scores = pickle.loads(pickle.dumps(randla.leverage_scores(cut(A))))
    assert isinstance(np.sqrt(scores), da.Array)
    assert isinstance(scores[:7], da.Array)
    assert len(scores) == scores.size == N
    assert float(scores.sum()) == pytest.approx(5.0)
    np.testing.assert_array_equal(np.asarray(scores), scores.values.compute())
    assert "leverage" in repr(scores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float((2 * scores).max()) <= 2.0

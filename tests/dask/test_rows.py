"""Sampled rows of Dask arrays are those of the arrays in memory."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import randla
from tests.dask.cases import N, cut, cut_sparse
from tests.dask.data import A, b, weights

SCORES = {
    "auto": {"p": 2},
    "leverage": {"p": 1.5, "scores": "leverage"},
    "root-leverage": {"p": 1, "scores": "root-leverage"},
    "uniform": {"p": 1, "scores": "uniform"},
    "array": {"p": 1, "scores": weights},
    "Scores": {"scores": randla.leverage_scores(A)},
}


def assert_same(sample, expected):
    np.testing.assert_array_equal(sample.indices, expected.indices)
    np.testing.assert_allclose(sample.weights, expected.weights, rtol=1e-9)
    np.testing.assert_allclose(sample.probabilities, expected.probabilities, rtol=1e-9)


@pytest.mark.parametrize("options", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("scheme", ["poisson", "fixed", "replacement"])
def test_same_rows_as_in_memory(scheme, options, rows):
    sample = randla.sample_rows(cut(A, rows), 150, scheme=scheme, rng=3, **options)
    assert_same(sample, randla.sample_rows(A, 150, scheme=scheme, rng=3, **options))


def test_same_rows_on_each_scheduler(scheduler, rows):
    sample = randla.sample_rows(cut(A, rows), 150, p=2, rng=3)
    assert_same(sample, randla.sample_rows(A, 150, p=2, rng=3))
    lewis = randla.sample_rows(cut(A, rows), 150, p=1, rng=3)  # another iteration than in memory
    found.append(lewis.indices)
    np.testing.assert_array_equal(lewis.indices, found[0])


found: list = []


@pytest.mark.parametrize("scores", ["lewis", "sensitivity", "sensitivity+leverage"])
def test_scores_that_are_solved_roughly(scores):
    sample = randla.sample_rows(cut(A), 300, p=1, scores=scores, rng=3)
    expected = randla.sample_rows(A, 300, p=1, scores=scores, rng=3)
    assert abs(len(sample) - len(expected)) <= 40
    by_eps = randla.sample_rows(cut(A), p=1, eps=0.6, scores=scores, rng=3)
    size = len(randla.sample_rows(A, p=1, eps=0.6, scores=scores, rng=3))
    assert abs(len(by_eps) - size) < 0.2 * size


def test_dask_scores_are_taken_as_they_are():
    for scores in (randla.leverage_scores(cut(A, 300)), cut(weights, 700)):
        sample = randla.sample_rows(cut(A), 150, p=2, scores=scores, rng=3)
        assert_same(sample, randla.sample_rows(A, 150, p=2, scores=np.asarray(scores), rng=3))


def test_few_positive_scores_are_all_taken():
    few = np.zeros(N)
    few[[3, 500, 1100]] = 1.0, 1e-9, 2.0
    sample = randla.sample_rows(cut(A), 10, p=1, scores=few, rng=0)
    assert sample.indices.tolist() == [3, 500, 1100]
    assert (sample.weights == 1.0).all()


def test_apply_touches_only_the_blocks_that_it_needs():
    sample = randla.sample_rows(A, 150, p=2, rng=3)
    np.testing.assert_array_equal(sample.apply(cut(A)), sample.apply(A))
    np.testing.assert_array_equal(sample.apply(cut(b, 300)), sample.apply(b))
    single = sample.apply(cut(A.astype(np.float32)))
    assert single.dtype == np.float32
    thin = np.where(np.abs(A) > 0.5, A, 0.0)
    rows = sample.apply(cut_sparse(thin))
    np.testing.assert_allclose(rows.toarray(), sample.apply(csr_array(thin)).toarray())
    touched = []
    source = cut(A).map_blocks(lambda x: (touched.append(1), x)[1], dtype=float, meta=A[:0])
    one = np.zeros(N)
    one[700] = 1.0
    randla.sample_rows(A, 1, p=1, scores=one).apply(source)
    assert len(touched) == 1


def test_bad_scores_are_named():
    with pytest.raises(ValueError, match="scores must have a positive sum, got only zeros"):
        randla.sample_rows(cut(A), 10, p=1, scores=0 * weights)
    with pytest.raises(ValueError, match="scores must be non-negative"):
        randla.sample_rows(cut(A), 10, p=1, scores=-weights)
    with pytest.raises(ValueError, match="size must be at least 1 and at most 1200"):
        randla.sample_rows(cut(A), N + 1, p=1)
    with pytest.raises(ValueError, match="A must have 1200 rows"):
        randla.sample_rows(A, 10, p=2).apply(cut(A)[:700])

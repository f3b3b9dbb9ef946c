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


def assert_same(sample, expected, rtol=1e-9):
    np.testing.assert_array_equal(sample.indices, expected.indices)
    np.testing.assert_allclose(sample.weights, expected.weights, rtol=rtol)
    np.testing.assert_allclose(sample.probabilities, expected.probabilities, rtol=rtol)


@pytest.mark.parametrize("options", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("scheme", ["poisson", "fixed", "replacement"])
def test_same_rows_as_in_memory(scheme, options, rows):
    sample = randla.sample_rows(cut(A, rows), 150, scheme=scheme, rng=3, **options)
    assert_same(sample, randla.sample_rows(A, 150, scheme=scheme, rng=3, **options))


def test_same_rows_on_each_scheduler(scheduler, rows):
    sample = randla.sample_rows(cut(A, rows), 150, p=2, rng=3)
    assert_same(sample, randla.sample_rows(A, 150, p=2, rng=3))
    for scores in ("lewis", "sensitivity"):
        sample = randla.sample_rows(cut(A, rows), 150, p=4, scores=scores, rng=3)
        assert_same(sample, randla.sample_rows(A, 150, p=4, scores=scores, rng=3), rtol=1e-5)


_rng = np.random.default_rng(11)
MATRICES = {
    "graded": A,
    "heavy": _rng.standard_t(1, (N, 5)),
    "deficient": np.column_stack([A, A[:, 0] - A[:, 1], np.zeros(N)]),
    "wide": _rng.standard_normal((N, 24)),
    "groups": np.column_stack([np.ones(N), np.eye(6)[_rng.integers(0, 6, N)]]),
    "float32": _rng.standard_normal((N, 6)).astype(np.float32),
    "scales": _rng.standard_normal((N, 4)) * 10.0 ** np.array([-120, -30, 50, 140]),
    "polynomials": np.vander(np.linspace(0.0, 1.0, N), 8),
}
CUTS = ((500, 1, 399, 300), 97)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize(
    "p",
    [
        1,
        pytest.param(1.05, marks=pytest.mark.slow),
        1.5,
        pytest.param(3, marks=pytest.mark.slow),
        4,
        6,
    ],
)
def test_scores_that_are_solved_roughly_are_those_in_memory(name, p):
    """Every kind and scheme, with other seeds and chunks; also all rows solved, for `eps`."""
    matrix = MATRICES[name]
    schemes = ("poisson", "fixed", "replacement")
    for i, scores in enumerate(("lewis", "sensitivity", "sensitivity+leverage")):
        for seed, scheme in enumerate(schemes if i < 2 else schemes[:1]):
            options = {"p": p, "scores": scores, "scheme": scheme, "rng": seed}
            sample = randla.sample_rows(cut(matrix, CUTS[(i + seed) % 2]), 150, **options)
            assert_same(sample, randla.sample_rows(matrix, 150, **options), rtol=1e-5)
    if matrix.shape[1] <= 6:
        options = {"p": p, "eps": 0.6, "scores": "sensitivity", "rng": 3}
        sample = randla.sample_rows(cut(matrix, CUTS[0]), **options)
        assert_same(sample, randla.sample_rows(matrix, **options), rtol=1e-3)


def test_sketched_leverage_scores_follow_the_seed(monkeypatch):
    monkeypatch.setattr("randla.sampling._scores.leverage._EXACT_WORK", 0.0)  # is minutes of work
    tall = np.random.default_rng(2).standard_normal((N, 40))
    for scores in ("leverage", "sensitivity", "sensitivity+leverage"):
        expected = randla.sample_rows(tall, 150, p=2, scores=scores, rng=5)
        for matrix in (tall, cut(tall, 97)):
            assert_same(randla.sample_rows(matrix, 150, p=2, scores=scores, rng=5), expected)


def test_scores_of_any_size_are_drawn_as_in_memory():
    u = np.full(N, 1e-300)
    u[[5, 700]] = 1e300, 1e250
    for few in (u, np.where(np.arange(N) % 400 == 5, u, 0.0)):
        for rng in range(3):
            sample = randla.sample_rows(cut(A, 300), 40, p=1, scores=few, rng=rng)
            assert_same(sample, randla.sample_rows(A, 40, p=1, scores=few, rng=rng))


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
    with pytest.raises(ValueError, match=r"A must have shape \(1200,\)"):
        randla.sample_rows(A, 10, p=2).apply(cut(A)[:700])


@pytest.mark.parametrize("d", [11, 13])
def test_rounding_does_not_choose_among_columns(d, rows):
    """Of columns that depend up to rounding of float32, the same ones are kept."""
    V = np.vander(np.linspace(0, 1, N), d).astype(np.float32)
    for p in (1.5, 2):
        sample = randla.sample_rows(cut(V, rows), 150, p=p, scheme="fixed", rng=0)
        assert_same(sample, randla.sample_rows(V, 150, p=p, scheme="fixed", rng=0), rtol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_rounding_does_not_decide_about_a_size(seed, rows):
    """The sum of the scores is the rank, so that the size for 30% is an integer but for it."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, 4))
    X[:, 3] = X[:, 0] + 1e-9 * rng.standard_normal(N)
    options = {"p": 2, "eps": 0.3, "scores": "sensitivity", "scheme": "fixed", "rng": 0}
    sample = randla.sample_rows(cut(X, rows), **options)
    assert len(sample) == len(randla.sample_rows(X, **options))

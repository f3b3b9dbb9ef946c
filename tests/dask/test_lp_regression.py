"""l_p and quantile regression of Dask arrays, with certificates that hold for all rows."""

import dask
import numpy as np
import pytest
from scipy.sparse import csr_array

import randla
from randla._tall import dask_arrays
from tests.dask.cases import cut, cut_sparse

_rng = np.random.default_rng(11)
N = 9000
A = np.column_stack([np.ones(N), _rng.standard_normal((N, 3)) * _rng.pareto(3.0, (N, 1))])
b = A @ [1.0, -2.0, 0.5, 3.0] + _rng.standard_t(2, N)
weights = _rng.random(N)
weights[:5] = 0.0
CHUNKS = 2500


def conjugate_norm(z, p, w):
    """The norm of a dual point, which a certificate keeps at most one."""
    q = np.inf if p == 1 else (1.0 if p == np.inf else p / (p - 1.0))
    scaled = np.abs(z[w > 0]) / w[w > 0]
    if p in (1, np.inf):
        return scaled.max() if p == 1 else scaled.sum()
    return (w[w > 0] * scaled**q).sum() ** (1.0 / q)


@pytest.mark.parametrize("p", [1, 1.2, 2, 3, np.inf])
@pytest.mark.parametrize("w", [None, weights], ids=["plain", "weights"])
def test_solution_and_certificate(p, w):
    fit = randla.lp_regression(cut(A, CHUNKS), cut(b, 4000), p, weights=w, rng=0)
    exact = randla.lp_regression(A, b, p, weights=w)
    assert fit.converged
    assert fit.value == pytest.approx(exact.value, rel=2e-8)
    assert -1e-12 * fit.value <= fit.gap <= 1e-8 * fit.value
    z, w = fit.dual.compute(), np.ones(N) if w is None else w
    assert fit.dual.chunks == cut(A, CHUNKS)[:, 0].chunks
    assert abs(b @ z - fit.lower_bound) <= 1e-10 * fit.value
    assert np.abs(A.T @ z).max() <= 1e-10 * np.abs(A).max() * np.abs(z).sum()
    assert conjugate_norm(z, p, w) <= 1 + 1e-10


@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_a_sample_is_certified_on_all_rows(p):
    fit = randla.lp_regression(cut(A, CHUNKS), b, p, method="sample", rng=0)
    exact = randla.lp_regression(A, b, p)
    assert fit.method == "sample"
    assert fit.n_rows_used < N / 10
    assert fit.lower_bound <= exact.value * (1 + 1e-9)
    assert exact.value <= fit.value * (1 + 1e-9)
    assert fit.value == pytest.approx(np.linalg.norm(A @ fit.x - b, p), rel=1e-9)
    assert 0.0 < fit.gap < 0.1 * fit.value


def test_quantiles_with_a_penalty():
    taus = [0.1, 0.5, 0.95]
    for l1 in (0.0, [0.0, 5.0, 40.0, 0.0]):
        fit = randla.lp_regression(cut(A, CHUNKS), b, tau=taus, l1=l1, rng=0)
        exact = randla.lp_regression(A, b, tau=taus, l1=l1)
        np.testing.assert_allclose(fit.value, exact.value, rtol=1e-9)
        np.testing.assert_allclose(fit.x, exact.x, atol=1e-6)
        assert (fit.gap <= 1e-8 * fit.value).all()
        z = fit.dual.compute()
        assert z.shape == (N, 3)
        assert (z >= np.array(taus) - 1 - 1e-12).all()
        assert (z <= np.array(taus) + 1e-12).all()
        np.testing.assert_allclose(b @ z, fit.lower_bound, rtol=1e-9)


@pytest.mark.parametrize("options", [{"l1": 1.0}, {"l1": [0, 0.3, 9.0, 2.0], "tau": [0.2, 0.5]}])
def test_a_penalty_on_an_exact_fit(options):
    rhs = A @ [1.0, -2.0, 0.5, 3.0]
    exact = randla.lp_regression(A, rhs, **options)
    fit = randla.lp_regression(cut(A, CHUNKS), rhs, rng=0, **options)
    assert fit.converged
    np.testing.assert_allclose([fit.value, fit.lower_bound], [exact.value] * 2, rtol=1e-8)


@pytest.mark.parametrize("zeros", [0.6, 0.995])
def test_rows_of_weight_zero_stay_where_they_are(zeros):
    w = np.where(_rng.random(N) < zeros, 0.0, _rng.integers(1, 4, N))
    live = w > 0
    for options in ({"tau": 0.2}, {"p": 1.5}, {"p": np.inf}, {"method": "sample"}):
        fit = randla.lp_regression(cut(A, CHUNKS), np.round(8 * b), weights=w, rng=0, **options)
        exact = randla.lp_regression(A[live], np.round(8 * b)[live], weights=w[live], **options)
        assert (fit.dual.compute()[~live] == 0.0).all()
        assert fit.n_rows_used <= live.sum()
        if "method" in options:  # as good as that of a sample of the other rows
            assert fit.gap <= 0.15 * fit.value
        else:
            assert fit.value == pytest.approx(exact.value, rel=2e-8)


def test_the_same_on_each_scheduler(scheduler):
    for rows in (CHUNKS, (1, 4000, 4999), N) if scheduler == "threads" else ((4000, 1, 4999),):
        for options in ({"tau": 0.3}, {"p": 3}):
            fit = randla.lp_regression(cut(A, rows), b, rng=0, **options)
            first = found.setdefault(str(options), fit)
            np.testing.assert_allclose(fit.x, first.x, rtol=1e-5)
            assert fit.n_rows_used == first.n_rows_used


found: dict = {}


def test_sparse_chunks_and_float32():
    thin = np.where(np.abs(A) > 0.3, A, 0.0)
    for p in (1, 1.5, np.inf):
        fit = randla.lp_regression(cut_sparse(thin, CHUNKS), b, p, rng=0)
        exact = randla.lp_regression(csr_array(thin), b, p)
        assert fit.value == pytest.approx(exact.value, rel=2e-8)
    single = A.astype(np.float32)
    fit = randla.lp_regression(cut(single, CHUNKS), b, rng=0)
    assert fit.value == pytest.approx(randla.lp_regression(single, b).value, rel=1e-8)


AWKWARD = {
    "exact fit": (A, A @ [1.0, 2.0, 3.0, 4.0]),
    "zero b": (A, 0 * b),
    "zero A": (0 * A, b),
    "integers": (np.round(A), np.round(b)),
    "rank": (np.column_stack([A, A[:, 1] + A[:, 2]]), b),
    "tiny": (A * 1e-200, b),
    "huge": (A * 1e200, b),
}


@pytest.mark.parametrize("p", [1, 1.5, 3, np.inf])
@pytest.mark.parametrize("case", AWKWARD.values(), ids=AWKWARD)
def test_awkward_problems(case, p):
    matrix, right = case
    fit = randla.lp_regression(cut(matrix, CHUNKS), right, p, rng=0)
    exact = randla.lp_regression(matrix, right, p)
    assert fit.value == pytest.approx(exact.value, rel=2e-8, abs=1e-9)
    assert fit.converged


@pytest.mark.parametrize("options", [{"tau": [0.2, 0.7]}, {"p": 1.5}, {"p": 3}, {"p": np.inf}])
@pytest.mark.parametrize("method", ["auto", "sample"])
def test_the_shortest_of_many_solutions(options, method):
    if method == "sample" and options.get("p") == np.inf:
        return
    for matrix in (np.column_stack([A, A[:, 1]]), np.column_stack([A, 1e3 * A[:, 1] - A[:, 2]])):
        fit = randla.lp_regression(cut(matrix, CHUNKS), b, method=method, rng=0, **options)
        assert fit.rank == 4
        pinv = np.linalg.pinv(matrix, rcond=1e-12)
        np.testing.assert_allclose(fit.x, pinv @ (matrix @ fit.x), rtol=1e-9, atol=1e-9)
    fit = randla.lp_regression(cut(A[:3], 2), b[:3], method=method, rng=0, **options)
    np.testing.assert_allclose(
        A[:3] @ fit.x - b[:3].reshape(3, *[1] * (fit.x.ndim - 1)), 0, atol=1e-12
    )


@pytest.mark.parametrize("p", [2.5, 4, 8])
def test_groups_of_few_rows_at_large_powers(p):
    # A row that alone carries a column is met, so that its loss has no curvature.
    for seed in range(8):
        rng = np.random.default_rng(seed)
        group = np.where(rng.random(3000) < 0.002, rng.integers(1, 6, 3000), 0)
        group[rng.choice(3000, 6, replace=False)] = np.arange(6)
        matrix = np.column_stack(
            [np.ones(3000), np.eye(6)[group][:, 1:], rng.standard_normal(3000)]
        )
        rhs = rng.poisson(2.0, 3000) if seed % 2 else rng.standard_t(3, 3000)
        fit = randla.lp_regression(cut(matrix, 1000), rhs, p, rng=seed)
        assert fit.converged
        assert fit.value <= randla.lp_regression(matrix, rhs, p).value * (1 + 2e-8)


def test_overflow_is_told():
    with pytest.raises(ValueError, match="so large that the objective overflows"):
        randla.lp_regression(cut(A, CHUNKS), 1e305 * b)
    fit = randla.lp_regression(cut(A, CHUNKS), 1e297 * b)
    assert fit.value == pytest.approx(1e297 * randla.lp_regression(A, b).value, rel=1e-7)


@pytest.mark.parametrize("options", [{}, {"p": 1.5}, {"p": np.inf}, {"method": "sample"}])
@pytest.mark.parametrize(("value", "shown"), [(np.nan, "NaN"), (-np.inf, "inf")])
def test_the_operand_that_is_not_finite_is_named(options, value, shown):
    few, right = A[:1000], b[:1000].copy()
    right[700] = value
    with pytest.raises(ValueError, match=f"b must be finite, got {shown}"):
        randla.lp_regression(cut(few, 300), right, rng=0, **options)
    matrix = few.copy()
    matrix[700, 2] = value
    with pytest.raises(ValueError, match=f"A must be finite, got {shown}"):
        randla.lp_regression(cut(matrix, 300), b[:1000], rng=0, **options)


def test_options_are_checked():
    for options, message in (
        ({"method": "full"}, r"for p = 1 or quantiles of a Dask array, got 'full'"),
        ({"method": "preprocess", "p": 3}, "method='preprocess' is for p = 1"),
        ({"method": "sample", "p": np.inf}, "needs p < inf"),
        ({"size": 30}, "size needs method='sample'"),
        ({"size": N + 1, "method": "sample"}, "size must be at least 1 and at most 9000"),
        ({"tau": 1.0}, "tau must be"),
        ({"p": 0.5}, "p must be at least 1"),
        ({"l1": [1.0]}, "l1 must be"),
    ):
        with pytest.raises(ValueError, match=message):
            randla.lp_regression(cut(A, CHUNKS), b, **options)
    with pytest.raises(ValueError, match=r"b must have shape .*, got shape \(9000, 2\)"):
        randla.lp_regression(cut(A, CHUNKS), np.stack([b, b], axis=1))


def test_a_column_as_right_hand_side_and_no_chance_in_exact_solutions():
    for p in (1, 3):
        fit = randla.lp_regression(cut(A, CHUNKS), b, p)
        for rhs in (b[:, None], cut(b[:, None], 4000)):
            column = randla.lp_regression(cut(A, CHUNKS), rhs, p)
            np.testing.assert_array_equal(column.x, fit.x[:, None])
            np.testing.assert_array_equal(column.dual.compute(), fit.dual.compute()[:, None])
    with pytest.raises(ValueError, match=r"b must have shape \(9000,\) or \(9000, 1\)"):
        randla.lp_regression(cut(A, CHUNKS), cut(np.ones((N, 2)), CHUNKS))


@pytest.mark.parametrize("p", [1, 1.5, np.inf])
def test_a_step_reads_the_table_of_both_operands_once(p, monkeypatch):
    reads, counts = [], []

    def reading(X):
        reads.append(len(X))
        return X

    source = cut(np.c_[A, b], CHUNKS).map_blocks(reading, dtype=float, meta=A[:0])

    def counted(compute):
        def run(*lazy):
            before = sum(reads)
            found = compute(*lazy)
            counts.append((sum(reads) - before) / N)
            return found

        return run

    monkeypatch.setattr(dask_arrays, "compute", counted(dask_arrays.compute))
    monkeypatch.setattr(dask_arrays, "run", counted(dask_arrays.run))
    with dask.config.set(scheduler="synchronous"):
        randla.lp_regression(source[:, :-1], source[:, -1], p, rng=0)
    assert max(counts) == 1.0


@pytest.mark.parametrize(("seed", "row"), [(374, 0), (480, 4), (797, 4), (1168, 4)])
def test_an_answer_that_cancels_wildly_is_not_converged(seed, row):
    """As in memory: weights over 20 decades are more than the solver takes, and it says so."""
    b = np.random.default_rng(seed).standard_normal(5)
    A, w, b = np.column_stack([np.ones(5), np.arange(5) == row]), np.exp(20.0 * b), 1e9 + b
    with pytest.warns(randla.NotConvergedWarning):
        fit = randla.lp_regression(cut(A, 2), b, tau=0.5, weights=w, rng=0)
    assert fit.lower_bound <= 0.5 * float(w @ np.abs(b - A @ [1e9, 0.0]))
    assert not fit.converged

"""Sketches and least squares of Dask arrays are those of the arrays in memory."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

import randla
from randla._tall.open import open_operand
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._least_squares.problem import as_problem
from tests.dask.cases import N, cut, cut_sparse, da, dask
from tests.dask.data import A, B, b, weights

SKETCHES = {
    "SRHT": randla.SRHT(60, N, rng=1),
    "BlockSRHT": randla.BlockSRHT(60, rng=1),
    "Gaussian": randla.GaussianSketch(60, N, rng=1),
    "SparseSign": randla.SparseSignSketch(60, N, rng=1),
    "Count": randla.CountSketch(60, N, rng=1),
    "Kronecker": randla.KroneckerSRHT(60, (30, 40), rng=1),
    "columns": randla.SRHT(60, N + 900, rng=1).columns(500, N + 500),
}
FIELDS = ("x", "standard_error", "linf_bound", "residual_norm", "degrees_of_freedom", "rank")


@pytest.fixture(params=SKETCHES)
def S(request):
    return SKETCHES[request.param]


def assert_same(result, expected, rtol=1e-9):
    for field in FIELDS:
        np.testing.assert_allclose(
            getattr(result, field), getattr(expected, field), rtol=rtol, err_msg=field
        )


def test_sketch_is_lazy_and_equal(S, rows, scheduler):
    lazy = S @ cut(A, rows)
    assert isinstance(lazy, da.Array)
    assert lazy.shape == (60, 5)
    assert lazy.numblocks == (1, 1)
    expected = S @ A
    np.testing.assert_allclose(lazy.compute(), expected, rtol=0, atol=1e-13 * abs(expected).max())


def test_sketch_of_vectors_float32_and_sparse(S):
    np.testing.assert_allclose((S @ cut(b)).compute(), S @ b, rtol=0, atol=1e-11)
    np.testing.assert_allclose((cut(A).T @ S.T).compute(), A.T @ S.T, rtol=0, atol=1e-9)
    single = S @ cut(A.astype(np.float32))
    assert single.dtype == single.compute().dtype == np.float32
    np.testing.assert_allclose(single.compute(), S @ A, rtol=0, atol=2e-5 * abs(A).max() * 10)
    counts = S @ cut(np.arange(N)[:, None])
    assert counts.dtype == np.float64
    thin = np.where(np.abs(A) > 1.0, A, 0.0)
    np.testing.assert_allclose((S @ cut_sparse(thin)).compute(), S @ thin, rtol=0, atol=1e-9)


def test_the_same_expression_has_the_same_name(S):
    assert (S @ cut(A)).name == (S @ cut(A)).name
    other = randla.SRHT(60, N, rng=2)
    assert (other @ cut(A)).name != (S @ cut(A)).name


def test_one_pass_computes_no_chunk_twice():
    reads = []
    source = cut(A).map_blocks(lambda x: (reads.append(len(x)), x)[1], dtype=float, meta=A[:0])
    with dask.config.set(scheduler="synchronous"):
        result = randla.lstsq(source, source[:, 0] + 1.0, sketch_size=50, rng=0)
    assert result.n_passes == 1
    assert sum(reads) == N


METHODS = {
    "one sketch": {"sketch_size": 100},
    "eps": {"eps": 3.0},
    "exact": {},
    "sketched Cholesky": {"method": "sketch-cholesky"},
    "iterative": {"method": "iterative"},
    "ridge": {"ridge": 2.0},
    "sketch and ridge": {"ridge": 2.0, "sketch_size": 100},
    "block sketch": {"sketch": "block-srht", "sketch_size": 100},
}


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_lstsq_is_that_in_memory(options, rows):
    for right in (b, B):
        result = randla.lstsq(cut(A, rows), cut(right, 333), rng=5, **options)
        expected = randla.lstsq(A, right, rng=5, **options)
        assert_same(result, expected)
        assert result.converged
        assert expected.method in (result.method, "lapack")


@pytest.mark.parametrize("options", [{"sketch_size": 100}, {}])
def test_lstsq_on_each_scheduler(options, scheduler, rows):
    result = randla.lstsq(cut(A, rows), b, weights=cut(weights, 400), rng=5, **options)
    expected = randla.lstsq(A, b, weights=weights, rng=5, **options)
    assert_same(result, expected)


def test_lstsq_refines_and_pickles():
    first = pickle.loads(pickle.dumps(randla.lstsq(cut(A), b, sketch_size=100, rng=1)))
    full = first.refine(cut(A), b)
    np.testing.assert_allclose(full.x, randla.lstsq(A, b).x, rtol=1e-10)
    assert full.n_passes == 1 + 2
    with pytest.raises(ValueError, match=r"A must have shape \(1200, 5\) as before"):
        first.refine(cut(A)[:, :4], b)


REFINED = {
    "weights": (A, {"weights": weights}),
    "large weights": (A, {"weights": 1e9 * weights}),
    "small weights and ridge": (A, {"weights": 1e-9 * weights, "ridge": 1e-8}),
    "a zero column": (np.column_stack([A, np.zeros(N)]), {"weights": 1e9 * weights}),
    "ill-conditioned": (np.vander(np.linspace(0.0, 1.0, N), 17), {"weights": 1e9 * weights}),
}


@pytest.mark.parametrize(("matrix", "options"), REFINED.values(), ids=REFINED)
def test_lstsq_is_refined_across_memory_and_dask(matrix, options):
    kinds = {"memory": matrix, "Dask": cut(matrix), "other chunks": cut(matrix, 333)}
    exact = randla.lstsq(matrix, b, **options)
    for sketched in kinds.values():
        first = randla.lstsq(sketched, b, sketch_size=100, rng=1, **options)
        for data in kinds.values():
            full = first.refine(data, b)
            assert full.converged
            assert full.rank == exact.rank
            assert full.residual_norm == pytest.approx(exact.residual_norm, rel=1e-7)
            if exact.rank == 5:
                np.testing.assert_allclose(full.x, exact.x, rtol=1e-9)


@pytest.mark.parametrize("name", ["large weights", "a zero column"])
def test_the_factor_of_a_sketch_fits_the_scales_of_the_other_kind(name):
    matrix, options = REFINED[name]
    state = randla.lstsq(cut(matrix), b, sketch_size=100, rng=1, **options)._refinement
    rows, _ = as_problem(open_operand(matrix), b, np.sqrt(options["weights"]), LstsqOptions())
    factor = state.factor_for(rows)
    P = np.ldexp(1.0, factor.exponents)[:, None] * factor.inverse()
    s = np.linalg.eigvalsh(rows.gram(P)[0])  # near 1
    assert 0.2 < s[0] <= s[-1] < 5.0


def test_refinement_finds_the_rank_that_a_sketch_has_lost():
    """Columns of the identity fall together in few rows of a CountSketch."""
    tall = np.zeros((N, 20))
    tall[:20], tall[20:25] = np.eye(20), np.random.default_rng(0).standard_normal((5, 20))
    first = randla.lstsq(cut(tall), b, sketch="count", sketch_size=25, rng=0)
    assert first.rank < 20
    for operand in (tall, cut(tall)):
        result = first.refine(operand, b)
        assert result.rank == 20
        np.testing.assert_allclose(result.x, np.linalg.lstsq(tall, b)[0], rtol=1e-9)


def test_progress_is_shown_by_dask(monkeypatch, capsys):
    from randla._tall import dask_arrays

    monkeypatch.setattr(dask_arrays, "WORTH_A_BAR", 0.0)
    with dask.config.set(scheduler="threads"):
        randla.lstsq(cut(A), b, progress=True)
        assert "Completed" in capsys.readouterr().err
        randla.lp_sensitivities(cut(A), 1, progress=True)
        assert "Completed" in capsys.readouterr().err
        randla.lstsq(cut(A), b)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("options", [{"sketch_size": 100}, {}, {"weights": weights}])
def test_lstsq_of_sparse_chunks_and_float32(options):
    thin = np.where(np.abs(A) > 0.1, A, 0.0)
    result = randla.lstsq(cut_sparse(thin), b, rng=5, **options)
    assert_same(result, randla.lstsq(csr_array(thin), b, rng=5, **options))
    result = randla.lstsq(cut(A.astype(np.float32)), b, rng=5, **options)
    assert_same(result, randla.lstsq(A.astype(np.float32), b, rng=5, **options))


@pytest.mark.parametrize("options", [{"sketch_size": 100}, {}, {"method": "iterative"}])
@pytest.mark.parametrize("exponents", [(-250, 20), (250, -20), (0, -290), (0, 290), (-290, 0)])
def test_lstsq_at_the_ends_of_the_range(options, exponents):
    scale_A, scale_b = (10.0**e for e in exponents)
    result = randla.lstsq(cut(A * scale_A), b * scale_b, rng=5, **options)
    assert_same(result, randla.lstsq(A * scale_A, b * scale_b, rng=5, **options))


def test_lstsq_of_deficient_rank():
    deficient = np.column_stack([A, A[:, 0] + A[:, 1], np.zeros(N)])
    for options in ({"sketch_size": 100}, {}):
        result = randla.lstsq(cut(deficient), b, rng=5, **options)
        assert result.rank == 5
        assert_same(result, randla.lstsq(deficient, b, rng=5, **options), rtol=1e-8)
    for zero in (randla.lstsq(cut(0 * A), b), randla.lstsq(cut(0 * A), b, sketch_size=50)):
        assert not zero.x.any()
        assert zero.residual_norm == pytest.approx(np.linalg.norm(b))


def test_lstsq_of_ill_conditioned_columns():
    vander = np.vander(np.linspace(0.0, 1.0, N), 13)
    result = randla.lstsq(cut(vander), b)
    assert result.method == "sketch-cholesky"
    assert result.backward_error < 1e-15
    assert result.residual_norm == pytest.approx(randla.lstsq(vander, b).residual_norm, rel=1e-9)


def test_lstsq_refuses_what_needs_all_rows_at_once():
    for method in ("lapack", "lsqr"):
        with pytest.raises(ValueError, match=f"method must be one of .* got '{method}'"):
            randla.lstsq(cut(A), b, method=method)
    with pytest.raises(ValueError, match=r"at least as many rows as columns .* A.compute\(\)"):
        randla.lstsq(cut(A[:3]), b[:3])


@pytest.mark.parametrize("method", ["auto", "sketch-cholesky", "iterative"])
def test_residual_norm_beside_rcond_is_that_of_x(method):
    price = np.random.default_rng(0).integers(100, 10_000, 500) / 7.0
    A = np.column_stack([np.ones(500), price, 100.0 * np.round(price)])
    cost = 3.0 + 2.0 * price
    exact = randla.lstsq(da.from_array(A, chunks=(130, 3)), cost, rcond=1e-3, method=method)
    assert exact.rank == 2
    assert exact.residual_norm == pytest.approx(np.linalg.norm(A @ exact.x - cost), rel=1e-9)

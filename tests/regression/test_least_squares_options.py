"""Methods, sketches and kinds of input of `lstsq`."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from randla import SRHT, CountSketch, lstsq
from randla.datasets import ill_conditioned
from randla.regression._least_squares.options import SKETCHES, LstsqWarning
from tests.data import normal
from tests.regression.least_squares_reference import STABLE, U, backward_error


@pytest.mark.compiled
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("method", ["cholesky", "sketch-cholesky", "iterative"])
def test_no_copy_is_made(order, method):
    import tracemalloc

    A = np.asarray(normal(60_000, 20), order=order)
    b = normal(60_000, seed=1)
    for matrix in (A, A.astype(np.float32)):
        lstsq(matrix, b, method=method, rng=0)  # compiles
        tracemalloc.start()
        lstsq(matrix, b, method=method, weights=b * b, ridge=1.0, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.7 * A.nbytes


@pytest.mark.parametrize("condition", [1e2, 1e10])
def test_float32_is_solved_in_double_precision(condition):
    A, b, _ = ill_conditioned(4000, 12, condition=condition, rng=0)
    A = A.astype(np.float32)
    for method in STABLE:
        result = lstsq(A, b, method=method, rng=0)
        assert backward_error(A.astype(float), b, result.x) <= 10 * U
        assert result.x.dtype == np.float64


@pytest.mark.parametrize("method", ["sketch-cholesky", "iterative", "lsqr"])
def test_a_preconditioner_of_too_few_rows_is_refused(method):
    """It would give the solution in a subspace, which nothing tells from that of low rank."""
    A, b = normal(500, 3), normal(500, seed=1)
    for options in ({"sketch_size": 2}, {"sketch": SRHT(2, 500, rng=0)}):
        with pytest.raises(ValueError, match="sketch_size must be at least 3"):
            lstsq(A, b, method=method, rng=0, **options)
        with pytest.raises(ValueError, match="sketch_size must be at least 3"):
            lstsq(A[:2], b[:2], method=method, sketch_size=2, ridge=1.0, rng=0)
    wide = normal(4, 9)  # whose rank is 4
    x = lstsq(wide, b[:4], method=method, sketch_size=8, rng=0).x
    np.testing.assert_allclose(x, np.linalg.lstsq(wide, b[:4])[0], rtol=1e-9)
    with pytest.raises(ValueError, match="sketch_size must be at most 128, the padded number"):
        lstsq(normal(100, 3), normal(100), method=method, sketch_size=200)


@pytest.mark.parametrize("method", ["auto", "cholesky", "lapack"])
@pytest.mark.parametrize("sketch", ["gaussian", SRHT(30, 200, rng=0)])
def test_a_sketch_that_is_not_used_warns(method, sketch):
    A, b = normal(200, 3), normal(200, seed=1)
    with pytest.warns(LstsqWarning, match="sketch alone does not request an estimate"):
        assert not lstsq(A, b, sketch=sketch, method=method).is_estimate


def test_an_operator_that_loses_rank_is_refused_as_a_preconditioner():
    """Two columns of the identity fall together in 25 rows of a CountSketch."""
    A, b = np.zeros((2000, 20)), normal(2000)
    A[:20], A[20:25] = np.eye(20), normal(5, 20, seed=1)
    S = CountSketch(25, 2000, rng=0)
    for operand in (A, sparse.csr_array(A), aslinearoperator(A)):
        for method in ("sketch-cholesky", "iterative", "lsqr"):
            with pytest.raises(np.linalg.LinAlgError, match="loses rank that A has"):
                lstsq(operand, b, sketch=S, method=method)
    hard = A * np.geomspace(1.0, 1e-12, 20) @ normal(20, 20, seed=2)
    for operand in (hard, sparse.csr_array(hard)):
        with pytest.warns(LstsqWarning, match="sketch alone does not request an estimate"):
            result = lstsq(operand, b, sketch=S)
        assert result.rank == 20
        assert backward_error(hard, b, result.x) <= 10 * U


def test_an_operator_of_too_few_rows_is_refused_where_a_preconditioner_is_needed():
    A, b, _ = ill_conditioned(3000, 20, condition=1e12, rng=0)
    with (
        pytest.warns(LstsqWarning, match="sketch alone"),
        pytest.raises(ValueError, match="sketch_size must be at least 20"),
    ):
        lstsq(A, b, sketch=SRHT(10, 3000, rng=0))


@pytest.mark.parametrize("options", [{}, {"method": "iterative"}, {"eps": 0.1}])
def test_an_exact_answer_does_not_depend_on_chance(options):
    A, b, _ = ill_conditioned(3000, 20, condition=1e9, rng=0)
    first, second = lstsq(A, b, **options), lstsq(A, b, **options)
    assert not first.is_estimate
    np.testing.assert_array_equal(first.x, second.x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{}, {"sketch_size": 40}, {"method": "iterative"}])
@pytest.mark.parametrize("shape", [(40_000, 30), (2000, 15), (90, 4), (4, 9)])
def test_numbers_that_are_not_finite_are_found_on_the_way(shape, options, value):
    if options and shape[0] < 100:
        return
    for i in (0, shape[0] - 1):
        A, b = normal(*shape), normal(shape[0], seed=1)
        A[i, -1] = value
        with pytest.raises(ValueError, match="A must be finite"):
            lstsq(A, b, **options)
        A[i, -1], b[i] = 1.0, value
        with pytest.raises(ValueError, match="b must be finite"):
            lstsq(A, b, **options)
        with pytest.raises(ValueError, match="b must be finite"):
            lstsq(A, np.column_stack([0.0 * A[:, 0], b]), **options)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0)])
def test_empty(shape):
    with pytest.raises(ValueError, match="A must have rows and columns"):
        lstsq(np.zeros(shape), np.zeros(shape[0]))
    with pytest.raises(ValueError, match="b must have at least one column"):
        lstsq(np.ones((5, 2)), np.zeros((5, 0)))


def test_auto_chooses_by_shape_and_conditioning():
    assert lstsq(normal(50, 3), normal(50)).method == "lapack"
    assert lstsq(normal(600, 300), normal(600)).method == "lapack"
    assert lstsq(normal(5000, 20), normal(5000)).method == "cholesky"
    A, b, _ = ill_conditioned(5000, 20, condition=1e9, rng=0)
    result = lstsq(A, b, rng=0)
    assert result.method == "sketch-cholesky"
    assert result.n_passes <= 5


def test_every_sketch_is_documented_by_its_name():
    missing = [name for name in SKETCHES if f'"{name}"' not in lstsq.__doc__]
    assert not missing, f"the docstring of lstsq lacks {missing}"


@pytest.mark.parametrize("sketch", SKETCHES)
@pytest.mark.parametrize("method", ["sketch-cholesky", "iterative", "lsqr"])
def test_every_sketch_preconditions(sketch, method):
    A, b, _ = ill_conditioned(2000, 10, condition=1e10, rng=0)
    result = lstsq(A, b, method=method, sketch=sketch, sketch_size=200, rng=0)
    assert backward_error(A, b, result.x) <= 10 * U
    assert result.sketch_size is None


def test_a_sketch_of_subnormal_numbers_grows_to_all_rows_at_most():
    A, b = np.array([[5e-324, 1e-323, 2e-322]]), np.zeros(1)
    with pytest.raises(np.linalg.LinAlgError, match="loses rank that A has"):
        lstsq(A, b, method="iterative", rng=0)
    assert lstsq(A, b).rank == 1


def test_a_sketch_that_loses_rank_is_drawn_again():
    # CountSketch throws some of the 40 rows together: SA is singular, A is not.
    A = np.vstack([np.eye(40), np.zeros((2000, 40))])
    b = normal(2040)
    result = lstsq(A, b, method="sketch-cholesky", sketch="count", sketch_size=200, rng=0)
    np.testing.assert_allclose(result.x, b[:40], atol=1e-14)
    assert result.rank == 40


def test_steps_of_lsqr_are_shown(capsys):
    pytest.importorskip("tqdm")
    lstsq(sparse.csr_array(normal(300, 5)), normal(300, seed=1), method="lsqr", progress=True)
    assert "steps of LSQR" in capsys.readouterr().err


def test_cholesky_says_when_it_fails():
    A, b, _ = ill_conditioned(2000, 10, condition=1e9, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LstsqWarning)
        with pytest.raises((LstsqWarning, np.linalg.LinAlgError)):
            lstsq(A, b, method="cholesky")
    with pytest.raises(np.linalg.LinAlgError, match="use method='auto'"):
        lstsq(np.hstack([A, A]), b, method="cholesky")


def test_a_method_that_stops_short_warns():
    A, b = normal(60, 50), normal(60, seed=1)
    with pytest.warns(LstsqWarning, match="stopped at a backward error") as caught:
        result = lstsq(A, b, method="iterative", sketch="sparse-sign", sketch_size=52, rng=0)
    assert not result.converged
    assert caught[0].filename == __file__

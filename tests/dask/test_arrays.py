"""What is accepted as a Dask array, what is refused with advice, and how blocks are run."""

import re

import numpy as np
import pytest

import randla
from randla._parallel import thread_count
from tests.dask.cases import N, cut, da, dask
from tests.dask.data import A, X, b, weights

FUNCTIONS = {
    "sketch": lambda A: randla.SRHT(20, N, rng=0) @ A,
    "lstsq": lambda A: randla.lstsq(A, b),
    "leverage_scores": lambda A: randla.leverage_scores(A),
    "lewis_weights": lambda A: randla.lewis_weights(A, 1),
    "lp_sensitivities": lambda A: randla.lp_sensitivities(A, 1, rows=[0, 901]),
    "sample_rows": lambda A: randla.sample_rows(A, 50, p=2),
    "apply": lambda A: randla.sample_rows(np.ones((N, 1)), 50, p=2, rng=0).apply(A),
    "lp_regression": lambda A: randla.lp_regression(A, b),
}


@pytest.mark.parametrize("call", FUNCTIONS.values(), ids=FUNCTIONS)
class TestEachFunction:
    def test_refuses_unknown_chunk_sizes_and_names_the_remedy(self, call):
        unknown = cut(A)[cut(A)[:, 0] > -np.inf]
        with pytest.raises(ValueError, match=r"A must have known chunk sizes.*compute_chunk_sizes"):
            call(unknown)
        unknown.compute_chunk_sizes()
        call(unknown)

    def test_refuses_what_is_no_real_matrix(self, call):
        with pytest.raises(TypeError, match="A must hold real numbers, got complex"):
            call(cut(A + 1j))
        with pytest.raises(TypeError, match="A must hold real numbers, got dtype"):
            call(cut(A.astype(str)))
        with pytest.raises(ValueError, match=r"A must be .*2-D.*, got shape \(1200, 5, 1\)"):
            call(cut(A[:, :, None]))
        with pytest.raises(ValueError, match="A must have rows and columns, got shape"):
            call(cut(A[:, :0]))

    def test_refuses_too_large_blocks_of_whole_rows(self, call):
        wide = da.zeros((N, 100_000), chunks=(600, 1000))
        with pytest.raises(ValueError, match=re.escape("A.rechunk({0: 'auto', 1: -1})")):
            call(wide)


@pytest.mark.parametrize(
    "call",
    [call for name, call in FUNCTIONS.items() if name != "apply"],
    ids=[name for name in FUNCTIONS if name != "apply"],
)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_refused_as_in_memory(call, bad):
    spoilt = A.copy()
    spoilt[901, 2] = bad
    with pytest.raises(ValueError, match=f"A must be finite, got {'NaN' if bad != bad else 'inf'}"):
        dask.compute(call(cut(spoilt)))  # a sketch is lazy


def test_columns_are_put_together():
    whole = randla.SRHT(20, N, rng=0) @ A
    both = cut(A).rechunk((300, 2))
    np.testing.assert_allclose((randla.SRHT(20, N, rng=0) @ both).compute(), whole, rtol=1e-12)


def test_empty_chunks_are_left_out():
    keep = (np.arange(N) < 256) | (np.arange(N) >= 512)
    holes = cut(A)[da.from_array(keep, chunks=256)].compute_chunk_sizes()
    assert 0 in holes.chunks[0]
    np.testing.assert_allclose(
        randla.lstsq(holes, b[keep]).x, randla.lstsq(A[keep], b[keep]).x, rtol=1e-9
    )


def test_other_operands_must_fit():
    with pytest.raises(ValueError, match=r"b must have shape \(1200,\) or \(1200, k\).*\(7,\)"):
        randla.lstsq(cut(A), b[:7])
    with pytest.raises(ValueError, match=r"b must have shape .* got shape \(256,\)"):
        randla.lstsq(cut(A), cut(b)[:256])
    with pytest.raises(ValueError, match=r"must be of shape \(1200,\), .*got shape \(1200, 1"):
        randla.lstsq(cut(A), b, weights=weights[:, None])
    with pytest.raises(ValueError, match=r"weights must be of shape \(1200,\), .*got shape \(7,\)"):
        randla.lstsq(cut(A), b, weights=weights[:7])
    with pytest.raises(ValueError, match=r"b must have known chunk sizes"):
        randla.lstsq(cut(A), cut(b)[cut(b) > -np.inf])
    with pytest.raises(ValueError, match=r"A must have 1200 rows, got shape \(600, 5\)"):
        randla.SRHT(20, N, rng=0) @ cut(A)[:600]
    with pytest.raises(ValueError, match="b must be finite, got NaN"):
        randla.lstsq(cut(A), np.where(b > 0, np.nan, b))
    for function in (randla.lstsq, randla.lp_regression):
        with pytest.raises(ValueError, match="weights must be non-negative, got -"):
            function(cut(A), b, weights=-weights)
        with pytest.raises(ValueError, match="weights must have a positive sum, got only zeros"):
            function(cut(A), b, weights=0 * weights)


def test_functions_without_a_way_say_so():
    refused = {
        "A": [
            lambda: randla.total_sensitivity(cut(A), 1),
            lambda: randla.max_sensitivity(cut(A), 1),
        ],
        "X": [lambda: randla.sliced_wasserstein_gradient(cut(X), X)],
        "b": [lambda: randla.lstsq(A, cut(b))],
    }
    for name, calls in refused.items():
        for call in calls:
            with pytest.raises(TypeError, match=rf"{name} must be in memory.*{name}.compute\(\)"):
                call()


def test_a_block_runs_on_one_thread(scheduler):
    from randla._tall import dask_arrays

    counts = dask_arrays.gather(_threads, cut(A))
    assert counts == [1] * len(cut(A).chunks[0])


def _threads(first, block):
    return thread_count()


def test_blocks_know_their_first_row(scheduler, rows):
    from randla._tall import dask_arrays

    numbers = dask_arrays.map_rows(_numbers, cut(A, rows), width=None)
    np.testing.assert_array_equal(numbers.compute(), np.arange(N))


def _numbers(first, block):
    return first + np.arange(len(block), dtype=float)


def test_results_do_not_enter_the_input(scheduler):
    before = A.copy()
    randla.lstsq(cut(A), b, weights=weights, sketch_size=50, rng=0)
    randla.lewis_weights(cut(A), 1, rtol=0.1).values.compute()
    np.testing.assert_array_equal(A, before)

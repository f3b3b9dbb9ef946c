"""Traces, diagonals, log-determinants and singular values of Dask arrays are those in memory."""

import numpy as np
import pytest

import randla
from tests.dask.cases import cut, cut_sparse, da

_rng = np.random.default_rng(3)
SQUARE = _rng.standard_normal((90, 90)) / np.arange(1, 91)
KERNEL = np.eye(90) + np.exp(-0.1 * np.subtract.outer(np.arange(90), np.arange(90)) ** 2)
CUTS = {
    "blocks of rows": lambda A: cut(A, 40),
    "one row in a block": lambda A: cut(A, (1, 50, 39)),
    "blocks of rows and columns": lambda A: da.from_array(A, chunks=(40, 30)),
    "sparse blocks": lambda A: cut_sparse(A, 40),
}
each_cut = pytest.mark.parametrize("cut_up", CUTS.values(), ids=CUTS)


def assert_same(result, expected, rtol=1e-9):
    np.testing.assert_allclose(result.value, expected.value, rtol=rtol)
    np.testing.assert_allclose(result.standard_error, expected.standard_error, rtol=1e-6)
    assert (result.method, result.n_products) == (expected.method, expected.n_products)


@each_cut
def test_entries_are_read(cut_up):
    """The trace and the diagonal are exact, in one pass and without a product."""
    assert_same(randla.trace(cut_up(SQUARE)), randla.trace(SQUARE), rtol=0)
    assert_same(randla.diagonal(cut_up(SQUARE)), randla.diagonal(SQUARE), rtol=0)
    with pytest.raises(ValueError, match="A must be positive semidefinite with psd=True"):
        randla.trace(cut_up(-KERNEL), psd=True)


@each_cut
def test_estimates_by_products(cut_up):
    for method in ("xtrace", "hutch++", "hutchinson"):
        options = {"n_products": 60, "method": method, "rng": 1}
        assert_same(randla.trace(cut_up(SQUARE), **options), randla.trace(SQUARE, **options))
    for method in ("xdiag", "hutchinson"):
        options = {"n_products": 40, "method": method, "rng": 1}
        assert_same(randla.diagonal(cut_up(SQUARE), **options), randla.diagonal(SQUARE, **options))


@each_cut
def test_log_determinants(cut_up):
    options = {"lower": 0.9, "n_products": 24, "preconditioner": None, "rng": 0}
    assert_same(randla.logdet(cut_up(KERNEL), **options), randla.logdet(KERNEL, **options))


def test_on_each_scheduler(scheduler):
    D = cut(KERNEL, 40)
    assert randla.trace(D).value == randla.trace(KERNEL).value
    np.testing.assert_array_equal(randla.diagonal(D).value, KERNEL.diagonal())
    np.testing.assert_allclose(randla.svd(D, 3).s, randla.svd(KERNEL, 3).s, rtol=1e-12)


def test_what_is_not_finite_is_refused():
    bad = KERNEL.copy()
    bad[70, 70] = np.nan
    for call in (randla.trace, randla.diagonal):
        with pytest.raises(ValueError, match="A must be finite"):
            call(cut(bad, 40))
    with pytest.raises(ValueError, match="A must be square"):
        randla.trace(cut(KERNEL[:50], 40))

"""Sparse signs and CountSketch: buckets, and sparse operands."""

import numpy as np
import pytest
from scipy import sparse

from randla import CountSketch, SparseSignSketch
from tests.statistical import chi_square_pvalue, claim


@pytest.mark.parametrize(("m", "zeta"), [(1, 1), (8, 8), (9, 8), (40, 8), (500, 3)])
def test_each_column_has_its_entries(m, zeta):
    E = SparseSignSketch(m, 300, nonzeros=zeta, rng=1).toarray()
    assert ((E != 0).sum(0) == zeta).all()
    np.testing.assert_allclose(np.abs(E[E != 0]), 1 / np.sqrt(zeta), rtol=1e-15)


def test_countsketch_is_the_case_of_one_entry():
    A = np.random.default_rng(2).standard_normal((500, 3))
    S = CountSketch(40, 500, rng=3)
    assert S.nonzeros == 1
    np.testing.assert_array_equal(S @ A, SparseSignSketch(40, 500, nonzeros=1, rng=3) @ A)
    assert not S.has_linf_guarantee
    assert S.population is None


@claim(
    null="sets of rows are uniform, signs are fair and independent of them",
    test="chi-square over all sets with their signs",
    replicates=1,
)
def test_sets_of_rows_are_uniform(trial):
    m, zeta, n = 4, 2, 20_000 * trial.replicates
    E = SparseSignSketch(m, n, nonzeros=zeta, rng=trial.rng()).toarray()
    code = (np.sign(E).astype(int) + 1).T @ 3 ** np.arange(m)
    values, counts = np.unique(code, return_counts=True)
    assert len(values) == 6 * 4
    trial.assert_pvalue(chi_square_pvalue(counts, np.full(24, n / 24)))


def test_work_is_that_of_the_stored_entries():
    """A matrix of 10^6 columns would take 8 GB if it were made dense."""
    A = sparse.random_array((2000, 10**6), density=1e-6, rng=np.random.default_rng(4), format="csr")
    SA = CountSketch(3, 2000, rng=5) @ A[:, :20000]
    assert SA.shape == (3, 20000)
    part = A[:, :20000].toarray()
    np.testing.assert_allclose(SA, CountSketch(3, 2000, rng=5) @ part, atol=1e-14)

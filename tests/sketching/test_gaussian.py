"""The Gaussian sketch: the law of its entries."""

import numpy as np
from scipy.stats import kstest

from randla import GaussianSketch
from tests.statistical import claim


@claim(
    null="entries are independent N(0, 1/m)",
    test="Kolmogorov-Smirnov of the entries; z-tests of products of neighbors in rows and columns",
    replicates=1,
)
def test_entries_are_normal(trial):
    m, n = 50, 800 * trial.replicates
    E = GaussianSketch(m, n, rng=trial.rng()).toarray() * np.sqrt(m)
    trial.assert_pvalue(kstest(E.ravel(), "norm").pvalue, share=0.5)
    products = np.stack([E[1:, 1:] * E[:-1, 1:], E[1:, 1:] * E[1:, :-1]], axis=-1)
    trial.assert_mean(products.reshape(-1, 2), 0.0, share=0.5)


def test_blocks_are_made_alone():
    S = GaussianSketch(9, 5000, rng=1)
    np.testing.assert_array_equal(S.columns(4000, 4003).toarray(), S.toarray()[:, 4000:4003])
    assert S.has_linf_guarantee
    assert S.population is None

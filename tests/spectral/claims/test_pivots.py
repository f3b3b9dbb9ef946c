"""Pivots by rejection have the law of one draw at a time."""

import numpy as np
from scipy.stats import chi2

from randla import pivoted_cholesky
from tests.statistical import claim


def law_of_pivots(K, n_pivots):
    """Probability of each ordered choice, from the definition: draw, eliminate, draw again."""
    if n_pivots == 0:
        return {(): 1.0}
    law = {}
    for i, d in enumerate(np.diag(K)):
        if d > 1e-12:
            left = K - np.outer(K[i], K[i]) / d
            for rest, probability in law_of_pivots(left, n_pivots - 1).items():
                law[(i, *rest)] = probability * d / np.trace(K)
    return law


@claim(
    null="pivots are drawn in proportion to the residual diagonal, one after the other",
    test="chi-square over all ordered triples of a 5 x 5 matrix",
    replicates=4000,
    false_alarm=1e-7,
)
def test_law_of_the_pivots(trial):
    F = np.random.default_rng(2).standard_normal((5, 5))
    K = F @ F.T + 0.3 * np.eye(5)
    law = law_of_pivots(K, 3)
    assert len(law) == 60
    counts = dict.fromkeys(law, 0)
    for rng in trial.rngs():
        counts[tuple(pivoted_cholesky(K, 3, rng=rng).pivots)] += 1
    observed = np.array(list(counts.values()))
    expected = trial.replicates * np.array(list(law.values()))
    statistic = ((observed - expected) ** 2 / expected).sum()
    trial.assert_pvalue(chi2.sf(statistic, len(law) - 1))

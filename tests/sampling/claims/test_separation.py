"""Which scores need more rows: the separations of the theory, on the matrices that show them."""

import numpy as np

from randla.datasets import gaussian_blocks, unequal_groups
from randla.sampling import leverage_scores, lewis_weights, lp_sensitivities, sample_rows
from tests.sampling.distortion import Distortion
from tests.statistical import claim

POWERS = (1, 1.5, 3, 4)


def mean_distortions(A, size, p, wanted, rngs):
    """Kind of scores -> mean distortion of samples."""
    s, tau = np.asarray(lp_sensitivities(A, p, rtol=0.05)), np.asarray(leverage_scores(A))
    scores = {
        "uniform": np.ones(len(A)),
        "root": tau ** (p / 2),
        "lewis": lewis_weights(A, p, rtol=0.1),
        "sensitivity": s,
        "sum": s + tau,
    }
    distortion = Distortion(A, p, n_random=100, n_rows=60, n_polished=1)
    return {
        kind: np.mean(
            [distortion(sample_rows(A, size, p=p, scores=scores[kind], rng=rng)) for rng in rngs]
        )
        for kind in wanted
    }


@claim(
    null="plain sensitivities distort more than Lewis weights for p < 2, and less for p > 2; "
    "sensitivities + leverage are good at both, root leverage is bad at p = 4",
    test="differences of means of 60 samples for four p; effects of at least 5.5 standard errors",
    replicates=60,
    false_alarm=1e-7,
)
def test_separation_of_the_scores(trial):
    A = gaussian_blocks(1200, 12, 36, 16, rng=0)
    for p in POWERS:
        wanted = ("lewis", "sum", "sensitivity") if p < 2 else ("lewis", "sum")
        mean = mean_distortions(A, 12 * A.shape[1], p, wanted, list(trial.rngs()))
        if p < 2:  # about 0.48 against 0.37
            assert mean["sensitivity"] > mean["lewis"]
            assert mean["sum"] < mean["lewis"] + 0.15
        else:  # 0.69 against 0.50 at 3, 0.90 against 0.58 at 4
            assert mean["lewis"] > mean["sum"] + 0.05
        if p == 4:  # 2.7 against 0.9
            root = mean_distortions(A, 12 * A.shape[1], p, ("root",), list(trial.rngs(12)))["root"]
            assert root > 2 * mean["lewis"]


@claim(
    null="where groups differ uniform samples distort more than those by sensitivities + leverage",
    test="differences of means of 40 samples for four p; effects of at least 6 standard errors",
    replicates=40,
    false_alarm=1e-7,
)
def test_uniform_samples_fail_on_unequal_groups(trial):
    A = np.c_[np.ones(1000), unequal_groups(1000, 8, rng=0)[:, 1:]]
    for p in POWERS:
        mean = mean_distortions(A, 12 * A.shape[1], p, ("uniform", "sum"), list(trial.rngs()))
        assert mean["uniform"] > mean["sum"] + 0.2  # about 1.33 against 0.38

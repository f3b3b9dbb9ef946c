"""Which scores need more rows: the separations of the theory, on the matrix that shows them."""

import numpy as np

from randla.datasets import gaussian_blocks
from randla.sampling import leverage_scores, lewis_weights, lp_sensitivities, sample_rows
from tests.sampling.distortion import Distortion
from tests.statistical import claim


@claim(
    null="plain sensitivities distort more than Lewis weights at p = 1, and less at p = 4; "
    "sensitivities + leverage are good at both, root leverage is bad at p = 4",
    test="differences of means of 60 samples; the effects are at least 6 standard errors",
    replicates=60,
    false_alarm=1e-7,
)
def test_separation_of_the_scores(trial):
    A = gaussian_blocks(1200, 12, 36, 16, rng=0)
    size, tau = 12 * A.shape[1], np.asarray(leverage_scores(A))
    mean = {}
    for p in (1, 4):
        s = np.asarray(lp_sensitivities(A, p))
        distortion = Distortion(A, p, n_random=100, n_rows=60, n_polished=1)
        named = {"lewis": lewis_weights(A, p, rtol=0.1), "sum": s + tau}
        named |= {"sensitivity": s} if p == 1 else {"root": tau ** (p / 2)}
        for name, u in named.items():
            rngs = trial.rngs() if name != "root" else trial.rngs(12)
            samples = (sample_rows(A, size, p=p, scores=u, rng=rng) for rng in rngs)
            mean[p, name] = np.mean([distortion(sample) for sample in samples])
    assert mean[1, "sensitivity"] > mean[1, "lewis"]  # about 0.49 against 0.36
    assert mean[1, "sum"] < mean[1, "lewis"] + 0.1
    assert mean[4, "lewis"] > mean[4, "sum"] + 0.1  # 0.87 against 0.57
    assert mean[4, "root"] > 2 * mean[4, "lewis"]  # 2.5

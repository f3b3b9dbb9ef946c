"""Claims about sliced distances on the sphere."""

import numpy as np

from randla import sliced_wasserstein_sphere
from randla._random import draw_key
from randla.transport._directions.frames import Frames
from randla.transport._sphere import _as_sphere, _CircleCosts
from tests.statistical import claim
from tests.transport.test_sphere import on_sphere


@claim(
    null="means of the forms and of their products over random planes are the exact ones",
    test="two-sided normal limits, union over 2 x 20 means",
    replicates=4000,
    false_alarm=1e-6,
)
def test_means_of_the_controls(trial):
    for d, kind in ((3, "iid"), (6, "orthogonal")):
        x, y = (_as_sphere(on_sphere(k, 6, d), "X", None, "a") for k in (0, 1))
        costs = _CircleCosts(x, y, 2.0)
        design = Frames(kind, d, 3 * trial.replicates, draw_key(trial.rng()))
        forms = costs.with_forms(design.rows(0, design.n))[1]
        i, j = np.triu_indices(5)
        values = np.column_stack([forms, forms[:, i] * forms[:, j]])
        means = np.concatenate([costs.form_means(), costs.product_means()[i, j]])
        blocks = values.reshape(-1, design.block, 20).mean(axis=1)
        trial.assert_mean(blocks, means, share=0.5)


@claim(
    null="nominal 90% intervals cover between 87 and 95%",
    test="one-sided normal limits around the bounds",
    replicates=600,
    false_alarm=1e-6,
)
def test_intervals_cover(trial):
    X, Y = on_sphere(0, 20, 5), on_sphere(1, 15, 5, 0.0)
    truth = sliced_wasserstein_sphere(X, Y, n_projections=60_000, rng=0).power
    low, high = np.array(
        [
            sliced_wasserstein_sphere(X, Y, n_projections=100, rng=rng).confidence_interval(0.9)
            for rng in trial.rngs()
        ]
    ).T
    trial.assert_between((low**2 <= truth) & (truth <= high**2), 0.87, 0.95)

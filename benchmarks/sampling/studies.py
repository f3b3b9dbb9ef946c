"""Coverage of the intervals of `total_sensitivity`, for `python -m benchmarks.calibration`."""

import numpy as np

from benchmarks.calibration import Study, shares
from randla import datasets, lp_sensitivities, total_sensitivity


def coverage(A, p, n_draws):
    """Function of a number of draws for a `Study`."""

    def cover(draws):
        exact = float(np.sum(lp_sensitivities(A, p, rtol=1e-7)))
        results = (total_sensitivity(A, p, n_draws=n_draws, rng=seed) for seed in range(draws))
        return [shares(result, exact) for result in results]

    return cover


def studies():
    rng = np.random.default_rng(0)
    data = {
        "normal rows": rng.standard_normal((400, 4)),
        "heavy-tailed rows": datasets.heavy_tailed_rows(400, 4, rng=1),
        "groups of unequal rows": datasets.unequal_groups(400, 8, rng=1),
    }
    for name, A in data.items():
        for p in (1.0, 3.0, 20.0):
            for n_draws in (20, 100):
                yield Study(
                    f"total_sensitivity, p = {p:g}",
                    f"{name}, {n_draws} draws",
                    2000,
                    coverage(A, p, n_draws),
                )

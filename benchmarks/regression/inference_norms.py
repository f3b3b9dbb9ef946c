"""Coverage of the intervals of fits in a p-norm, for `python -m benchmarks.calibration`.

Errors are symmetric, so that every p has the same coefficients. A row is that of the coefficient
that is covered least at 95%.
"""

import numpy as np

from benchmarks.calibration import LEVELS, Study
from randla import lp_regression

DRAWS = 2000


def lowest(n, p, spreads):
    """Function of a number of draws for a `Study`."""

    def cover(draws):
        held = []
        for seed in range(draws):
            rng = np.random.default_rng([seed, n])
            A = np.column_stack([np.ones(n), rng.exponential(size=n), rng.standard_normal(n)])
            b = (0.3 + A[:, 1] if spreads else 1.0) * rng.standard_normal(n)  # coefficients are 0
            result = lp_regression(A, b, p).inference(A, b)
            low, high = np.moveaxis(np.array([result.confidence_interval(q) for q in LEVELS]), 1, 0)
            held.append((low <= 0.0) & (high >= 0.0))
        held = np.array(held)  # (draws, levels, coefficients)
        return held[..., held[:, 1].mean(axis=0).argmin()]

    return cover


def studies():
    for p in (1.5, 2.0, 3.0):
        for spreads, data in ((False, "equal variances"), (True, "scale 0.3 + x")):
            for n in (100, 1000):
                cover = lowest(n, p, spreads)
                yield Study(f"lp_regression, robust, p = {p:g}", f"{data}, n = {n}", DRAWS, cover)

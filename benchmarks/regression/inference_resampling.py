"""Coverage of rank intervals and of the bootstrap, for `python -m benchmarks.calibration`.

Quantiles: the lowest of the coefficients, that is the share of the one that is covered least at
95%, on designs of `inference_quantiles`. Least squares and l_p: all coefficients. Some two hours
on one core.
"""

import numpy as np

from benchmarks.calibration import Study, shares
from benchmarks.regression import inference_quantiles as quantiles
from randla import lp_regression, lstsq

DESIGNS = (
    "normal errors, n = 100",
    "scale 0.3 + x, n = 100",
    "scale 0.3 + x, log-normal x, n = 100",
    "scale 0.3 + x, log-normal x, n = 500",
    "ten columns, unequal scales, n = 100",
    "ten columns, unequal scales, n = 500",
)
#: Draws for the kinds of quantile fits.
DRAWS = {"rank": 2000, "bootstrap": 2000}
NORMS = (1.2, 1.5, 2.0, 3.0)


def of_norm(p, n):
    """The bootstrap of a fit in the norm l_p (least squares at 2), normal errors, scale 0.3 + x."""

    def cover(draws):
        out = []
        for seed in range(draws):
            rng = np.random.default_rng([seed, n])
            A, b, _ = quantiles.three_columns(n, rng, quantiles.exponential, quantiles.linear)
            fit = lstsq(A, b) if p == 2.0 else lp_regression(A, b, p)
            result = fit.inference(
                A, b, kind="bootstrap", n_replicates=quantiles.N_REPLICATES, rng=seed
            )
            out.append(shares(result, np.ones(3)))
        return out

    return cover


def of_groups(draws):
    """The bootstrap of least squares with one weight for each of 20 groups with a common error."""
    groups, out = np.repeat(np.arange(20), 8), []
    for seed in range(draws):
        rng = np.random.default_rng([seed, 20])
        A = np.column_stack([np.ones(160), rng.standard_normal(20)[groups], rng.random(160)])
        b = A.sum(axis=1) + rng.standard_normal(20)[groups] + rng.standard_normal(160)
        result = lstsq(A, b).inference(
            A, b, kind="bootstrap", groups=groups, n_replicates=quantiles.N_REPLICATES, rng=seed
        )
        out.append(shares(result, np.ones(3)))
    return out


def studies():
    for name in DESIGNS:
        for kind, draws in DRAWS.items():
            for k, tau in enumerate(quantiles.TAUS):
                interval = f"lp_regression, {kind}, tau = {tau}"
                yield Study(interval, name, draws, quantiles.lowest(name, kind, k))
    for p in NORMS:
        fit = "lstsq" if p == 2.0 else f"lp_regression, p = {p}"
        for n in (100, 500):
            data = f"scale 0.3 + x, n = {n}"
            yield Study(f"{fit}, bootstrap", data, 2000, of_norm(p, n))
    yield Study("lstsq, bootstrap of groups", "20 groups of 8 rows", 2000, of_groups)

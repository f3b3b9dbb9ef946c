"""Coverage of rank intervals and of the bootstrap, for `python -m benchmarks.calibration`.

Quantiles: the lowest of the coefficients, that is the share of the one that is covered least at
95 %, on designs of `inference_quantiles`. Least squares and l_p: all coefficients. Some two hours
on one core.
"""

from functools import lru_cache

import numpy as np

from benchmarks.calibration import LEVELS, Study, shares
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
#: Draws for the kinds of quantile fits, and replicates of a bootstrap.
DRAWS, N_REPLICATES = {"rank": 1000, "bootstrap": 400}, 200
NORMS = (1.2, 1.5, 2.0, 3.0)


@lru_cache(maxsize=1)
def held(name, kind, draws):
    """Which intervals held the truth: (draws, levels, d, taus)."""
    n, make = next((n, make) for label, n, make in quantiles.designs() if label == name)
    out = []
    for seed in range(draws):
        A, b, truth = make(n, np.random.default_rng([seed, n]))
        exact = np.stack([truth(tau) for tau in quantiles.TAUS], axis=1)
        fit = lp_regression(A, b, tau=quantiles.TAUS)
        options = {"n_replicates": N_REPLICATES, "rng": seed} if kind == "bootstrap" else {}
        result = fit.inference(A, b, kind=kind, **options)
        intervals = [result.confidence_interval(level) for level in LEVELS]
        out.append([(low <= exact) & (exact <= high) for low, high in intervals])
    return np.array(out)


def lowest(name, kind, k):
    """Function of a number of draws for a `Study`: the coefficient that is covered least."""

    def cover(draws):
        of_tau = held(name, kind, draws)[..., k]
        return of_tau[..., of_tau[:, 1].mean(axis=0).argmin()]

    return cover


def of_norm(p, n):
    """The bootstrap of a fit in the norm l_p (least squares at 2), normal errors, scale 0.3 + x."""

    def cover(draws):
        out = []
        for seed in range(draws):
            rng = np.random.default_rng([seed, n])
            A, b, _ = quantiles.three_columns(n, rng, quantiles.exponential, quantiles.linear)
            fit = lstsq(A, b) if p == 2.0 else lp_regression(A, b, p)
            result = fit.inference(A, b, kind="bootstrap", n_replicates=N_REPLICATES, rng=seed)
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
            A, b, kind="bootstrap", groups=groups, n_replicates=N_REPLICATES, rng=seed
        )
        out.append(shares(result, np.ones(3)))
    return out


def studies():
    for name in DESIGNS:
        for kind, draws in DRAWS.items():
            for k, tau in enumerate(quantiles.TAUS):
                interval = f"lp_regression, {kind}, tau = {tau}"
                yield Study(interval, name, draws, lowest(name, kind, k))
    for p in NORMS:
        fit = "lstsq" if p == 2.0 else f"lp_regression, p = {p}"
        for n in (100, 500):
            data = f"scale 0.3 + x, n = {n}"
            yield Study(f"{fit}, bootstrap", data, 1000, of_norm(p, n))
    yield Study("lstsq, bootstrap of groups", "20 groups of 8 rows", 1000, of_groups)

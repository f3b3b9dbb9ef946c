"""Coverage of the intervals of quantile coefficients, for `python -m benchmarks.calibration`.

The rows of ``lp_regression(tau=...).inference`` are the lowest of the coefficients: the share of
the one that is covered least at 95%. The designs are those on which the shrunk density was chosen,
then two on which it was not. An interval that is not given (NaN) counts as one that misses. All of
them take some two hours on one core.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

from benchmarks.calibration import LEVELS, Study
from randla import lp_regression

TAUS = (0.1, 0.5, 0.9, 0.95)
DRAWS = 2000
N_REPLICATES = 200  # of a bootstrap


def three_columns(n, rng, x, scale, errors=stats.norm):
    """A constant, x, a normal column; the coefficients of the quantiles."""
    A = np.column_stack([np.ones(n), x(rng, n), rng.standard_normal(n)])
    sigma = scale(A[:, 1])
    b = A.sum(axis=1) + sigma * errors.rvs(size=n, random_state=rng)
    low, slope = scale(0.0), scale(1.0) - scale(0.0)  # of a linear scale
    return A, b, lambda tau: np.array([1.0, 1.0, 1.0]) + errors.ppf(tau) * np.array([low, slope, 0])


def ten_columns(n, rng, heteroskedastic):
    """Four correlated normals, four indicators, a rare indicator and a constant."""
    Z = rng.standard_normal((n, 4)) @ np.linalg.cholesky(0.5 * np.eye(4) + 0.5).T
    groups = rng.random((n, 4)) < [0.5, 0.4, 0.3, 0.2]
    rare = np.zeros(n)
    rare[rng.permutation(n)[: max(10, n // 50)]] = 1.0
    A = np.column_stack([np.ones(n), Z, groups, rare])
    sd = np.array([1.0, *np.zeros(4), 0.5, *np.zeros(3), 0.8]) * heteroskedastic  # of its columns
    sd[0] = 1.0
    b = A.sum(axis=1) + (A @ sd) * rng.standard_normal(n)
    return A, b, lambda tau: 1.0 + stats.norm.ppf(tau) * sd


def rounded(n, rng):
    """Normal errors, b rounded to half a standard deviation."""
    A, b, truth = three_columns(n, rng, normal, constant)
    return A, np.round(2.0 * b) / 2.0, truth


def interaction(n, rng):
    """Gamma x, an indicator, their product, a normal column; skewed errors, a linear scale."""
    x, g = rng.gamma(2.0, size=n), rng.random(n) < 0.4
    A = np.column_stack([np.ones(n), x, g, x * g, rng.standard_normal(n)])
    errors = stats.chi2(3)
    b = A.sum(axis=1) + (0.5 + 0.5 * x) * errors.rvs(size=n, random_state=rng)
    return A, b, lambda tau: 1.0 + errors.ppf(tau) * np.array([0.5, 0.5, 0.0, 0.0, 0.0])


def normal(rng, n):
    """A standard normal column."""
    return rng.standard_normal(n)


def exponential(rng, n):
    """A standard exponential column."""
    return rng.exponential(size=n)


def lognormal(rng, n):
    """A log-normal column."""
    return rng.lognormal(size=n)


def pareto(rng, n):
    """A column of Pareto's law with three moments."""
    return 1.0 + rng.pareto(3.0, size=n)


def constant(x):
    """The same scale for all rows."""
    return 1.0 + 0.0 * x


def linear(x):
    """A scale that grows with x."""
    return 0.3 + x


def designs():
    """Name -> (rows, function of rows and a generator)."""
    of_three = {
        "normal errors, n = 100": (100, normal, constant),
        "scale 0.3 + x, n = 100": (100, exponential, linear),
        "scale 0.3 + x, n = 500": (500, exponential, linear),
        "scale 0.3 + x, log-normal x, n = 100": (100, lognormal, linear),
        "scale 0.3 + x, log-normal x, n = 500": (500, lognormal, linear),
        "normal errors, log-normal x, n = 500": (500, lognormal, constant),
        "scale 0.3 + x, Pareto x, n = 500": (500, pareto, linear),
    }
    for name, (n, x, scale) in of_three.items():
        yield name, n, lambda n, rng, x=x, scale=scale: three_columns(n, rng, x, scale)
    for n in (100, 500):
        yield (
            f"log-normal errors, n = {n}",
            n,
            lambda n, rng: three_columns(n, rng, normal, constant, stats.lognorm(1.0)),
        )
    yield "normal errors, b rounded to sd/2, n = 100", 100, rounded
    for law, n in (("equal", 100), ("unequal", 100), ("unequal", 500), ("unequal", 2000)):
        yield (
            f"ten columns, {law} scales, n = {n}",
            n,
            lambda n, rng, law=law: ten_columns(n, rng, law == "unequal"),
        )
    for n in (100, 500):
        yield f"interaction, chi-square errors, n = {n}", n, interaction


@lru_cache(maxsize=1)
def held(name, kind, draws):
    """Which intervals held the truth: (draws, levels, d, taus)."""
    n, make = next((n, make) for label, n, make in designs() if label == name)
    out = []
    for seed in range(draws):
        A, b, truth = make(n, np.random.default_rng([seed, n]))
        exact = np.stack([truth(tau) for tau in TAUS], axis=1)
        options = {"n_replicates": N_REPLICATES, "rng": seed} if kind == "bootstrap" else {}
        result = lp_regression(A, b, tau=TAUS).inference(A, b, kind=kind, **options)
        intervals = [result.confidence_interval(level) for level in LEVELS]
        out.append([(low <= exact) & (exact <= high) for low, high in intervals])
    return np.array(out)


def lowest(name, kind, k):
    """Function of a number of draws for a `Study`: the coefficient that is covered least."""

    def cover(draws):
        of_tau = held(name, kind, draws)[..., k]
        return of_tau[..., of_tau[:, 1].mean(axis=0).argmin()]

    return cover


def studies():
    for name, _, _ in designs():
        for kind in ("robust", "nid", "iid", "powell"):
            for k, tau in enumerate(TAUS):
                interval = f"lp_regression, {kind}, tau = {tau}"
                yield Study(interval, name, DRAWS, lowest(name, kind, k))

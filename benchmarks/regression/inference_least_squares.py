"""Coverage of the intervals of least-squares coefficients, for `python -m benchmarks.calibration`.

A row of ``lstsq.inference`` is that of the slope which is covered least at 95%. The designs are
those on which the degrees of freedom of "robust" were chosen, at 20, 50 and 200 rows; a kind per
design takes some seconds.
"""

from functools import lru_cache

import numpy as np

from benchmarks.calibration import LEVELS, Study
from randla import lstsq

KINDS = ("iid", "HC0", "HC1", "HC2", "HC3", "robust")
ROWS = (20, 50, 200)
DRAWS = 2000


def skewed(n, rng, law, scale, errors=None):
    """A constant, a column of some law and a normal one; errors of a scale that x decides."""
    A = np.column_stack([np.ones(n), law(rng, n), rng.standard_normal(n)])
    errors = rng.standard_normal(n) if errors is None else errors(rng, n)
    return A, scale(A[:, 1]) * errors


def constant(x):
    """The same scale for all rows."""
    return 1.0


def linear(x):
    """A scale that grows with x."""
    return 0.3 + x


def four_treated(n, rng):
    """Four rows have an indicator, and errors of twice the standard deviation."""
    treated = np.arange(n) < 4
    A = np.column_stack([np.ones(n), treated, rng.standard_normal(n)])
    return A, (1.0 + treated) * rng.standard_normal(n)


def designs():
    """Name -> function of the number of rows and a generator: A, errors."""
    laws = {
        "normal": lambda rng, n: rng.standard_normal(n),
        "exponential": lambda rng, n: rng.exponential(size=n),
        "log-normal": lambda rng, n: rng.lognormal(0.0, 1.2, n),
    }
    t3 = {"errors": lambda rng, n: rng.standard_t(3, n)}
    return {
        "equal variances": lambda n, rng: skewed(n, rng, laws["normal"], constant),
        "equal variances, t3 errors": lambda n, rng: skewed(n, rng, laws["normal"], constant, **t3),
        "scale 0.3 + x, exponential x": lambda n, rng: skewed(n, rng, laws["exponential"], linear),
        "scale 0.3 + x, log-normal x": lambda n, rng: skewed(n, rng, laws["log-normal"], linear),
        "four treated rows": four_treated,
    }


@lru_cache(maxsize=1)
def held(name, n, draws):
    """Which intervals held the truth: (draws, kinds, levels, slopes)."""
    make, out = designs()[name], []
    for seed in range(draws):
        A, b = make(n, np.random.default_rng([seed, n]))  # the coefficients are 0
        fit = lstsq(A, b)
        results = [fit.inference(A, b, kind=kind) for kind in KINDS]
        intervals = [[r.confidence_interval(level) for level in LEVELS] for r in results]
        low, high = np.moveaxis(np.array(intervals)[..., 1:], 2, 0)
        out.append((low <= 0.0) & (high >= 0.0))
    return np.array(out)


def lowest(name, n, kind):
    """Function of a number of draws for a `Study`: the slope that is covered least."""

    def cover(draws):
        of_kind = held(name, n, draws)[:, KINDS.index(kind)]
        return of_kind[..., of_kind[:, 1].mean(axis=0).argmin()]

    return cover


def studies():
    for name in designs():
        for n in ROWS:
            for kind in KINDS:
                yield Study(f"lstsq, {kind}", f"{name}, n = {n}", DRAWS, lowest(name, n, kind))

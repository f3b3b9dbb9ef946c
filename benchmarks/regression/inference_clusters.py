"""Coverage of the errors of groups of rows and of single sketches, for `benchmarks.calibration`.

Intervals are for the coefficients of the population. The worst coefficient of a design is a row of
its own: the mean over coefficients hides it.
"""

import numpy as np
from scipy.special import ndtri

from benchmarks.calibration import Study, shares, t_shares
from randla import lp_regression, lstsq

DRAWS = 2000
TAUS = (0.1, 0.5, 0.95)
COEFFICIENTS = ("constant", "of the group", "of the row")


def panel(rng, name):
    """Sizes of groups, the column that is constant in each, by the name of the design."""
    n_groups, n_treated = {
        "10 equal groups": (10, None),
        "25 uneven groups": (25, None),
        "25 groups, 3 treated": (25, 3),
        "60 groups, 7 treated": (60, 7),
    }[name]
    sizes = np.full(n_groups, 20)
    if n_groups > 10:
        sizes = 5 + rng.exponential(15, n_groups).astype(int)
        sizes[-1] = 60
    z = rng.standard_normal(n_groups)
    if n_treated is not None:
        z = (np.arange(n_groups) < n_treated).astype(float)
    groups = np.repeat(np.arange(n_groups), sizes)
    return groups, z[groups]


def random_slopes(name, kind):
    """Least squares with a random effect of the group and a random slope; coefficients are 0."""

    def cover(draws):
        held = []
        for rng in map(np.random.default_rng, range(draws)):
            groups, z = panel(rng, name)
            n, m = len(groups), groups[-1] + 1
            x = rng.standard_normal(n) + 0.5 * rng.standard_normal(m)[groups]
            A = np.column_stack([np.ones(n), z, x])
            b = rng.standard_normal(m)[groups] + 0.5 * rng.standard_normal(m)[groups] * x
            b += rng.standard_normal(n)
            result = lstsq(A, b).inference(A, b, kind=kind, groups=groups)
            held.append([shares(result, np.zeros(3), which=j) for j in range(3)])
        return np.swapaxes(held, 0, 1)  # (coefficients, draws, levels)

    return cover


def random_effects(n_groups, scale, kind):
    """Quantiles with a random effect of the group, whose scale may grow with a column."""

    def cover(draws):
        held = []
        for rng in map(np.random.default_rng, range(draws)):
            groups = np.repeat(np.arange(n_groups), 20)
            n = len(groups)
            z, x = rng.standard_normal(n_groups)[groups], rng.exponential(size=n)
            A = np.column_stack([np.ones(n), z, x])
            error = 0.7 * rng.standard_normal(n_groups)[groups] + rng.standard_normal(n)
            b = A.sum(axis=1) + (0.3 + x if scale else 1.0) * error
            truth = np.ones((3, len(TAUS)))
            quantiles = np.sqrt(1.49) * ndtri(TAUS)
            truth[0] += (0.3 if scale else 1.0) * quantiles
            truth[2] += (1.0 if scale else 0.0) * quantiles
            result = lp_regression(A, b, tau=TAUS).inference(A, b, kind=kind, groups=groups)
            held.append([shares(result, truth, which=np.s_[:, j]) for j in range(len(TAUS))])
        return np.swapaxes(held, 0, 1)

    return cover


def sketched(sketch, m, kind, *, with_data=False, scale=True):
    """One sketch of 400 rows; the worst coefficient is that of the column the scale hangs on."""

    def cover(draws):
        held = []
        for rng in map(np.random.default_rng, range(draws)):
            A = rng.standard_normal((400, 4))
            A[:, 0], A[:, 1] = 1.0, rng.exponential(size=400)
            b = A.sum(axis=1) + (0.3 + A[:, 1] if scale else 1.0) * rng.standard_normal(400)
            fit = lstsq(A, b, sketch_size=m, sketch=sketch, rng=rng)
            if kind == "algorithmic":
                error, df = fit.standard_error[1], fit.degrees_of_freedom
                held.append(t_shares(fit.x[1], error, df, 1.0))
            else:
                result = fit.inference(*((A, b) if with_data else ()), kind=kind)
                held.append(shares(result, 1.0, which=1))
        return held

    return cover


class Several:
    """Coverage of several numbers by one run, each a study of its own."""

    def __init__(self, cover):
        self.cover, self.found = cover, {}

    def part(self, j):
        def cover(draws):
            if draws not in self.found:
                self.found[draws] = self.cover(draws)
            return self.found[draws][j]

        return cover


def studies():
    for kind in ("CR1", "CR2", "cluster"):
        for name in (
            "10 equal groups", "25 uneven groups", "25 groups, 3 treated", "60 groups, 7 treated",
        ):  # fmt: skip
            several = Several(random_slopes(name, kind))
            for j, coefficient in enumerate(COEFFICIENTS):
                interval = f"lstsq, inference, kind={kind!r}"
                yield Study(interval, f"{name}: {coefficient}", DRAWS, several.part(j))
    for n_groups, scale in ((10, False), (20, False), (50, False), (20, True), (50, True)):
        data = f"{n_groups} groups" + (", scale 0.3 + x" if scale else "")
        for kind in ("CR1", "cluster"):
            several = Several(random_effects(n_groups, scale, kind))
            for j, tau in enumerate(TAUS):
                interval = f"lp_regression, inference, kind={kind!r}"
                yield Study(interval, f"{data}: tau = {tau}", DRAWS, several.part(j))
    for sketch in ("gaussian", "srht", "sparse-sign"):
        for m in (40, 100, 300):
            for interval, scale, options in (
                ("iid, one variance", False, {"kind": "iid"}),
                ("iid, scale 0.3 + x", True, {"kind": "iid"}),
                ("robust, second pass, scale 0.3 + x", True, {"kind": "robust", "with_data": True}),
                ("robust, kept rows, scale 0.3 + x", True, {"kind": "robust"}),
                ("of the sketch alone, scale 0.3 + x", True, {"kind": "algorithmic"}),
            ):
                cover = sketched(sketch, m, scale=scale, **options)
                yield Study(f"lstsq, one sketch: {interval}", f"{sketch}, m = {m}", DRAWS, cover)

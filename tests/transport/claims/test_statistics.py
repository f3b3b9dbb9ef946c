"""What the estimator promises on average: no bias, honest intervals, less variance."""

import numpy as np
import pytest

from randla import datasets
from randla._random import draw_key
from randla._results import t_of_tail
from randla.transport import sliced_wasserstein
from randla.transport._clouds import as_pair
from randla.transport._controls.control_variates import make_controls
from randla.transport._controls.regression import fit
from randla.transport._directions.designs import Directions
from randla.transport._projections.costs import ProjectedCosts
from tests.statistical import claim
from tests.transport.reference import clouds

PLAIN = "plain"
FAMILIES = ("lower", "upper", "quadratic", "quartic", "bures", "full")


class Instance:
    """A pair of clouds with a long run for the truth, and replicates of short ones."""

    def __init__(self, X, Y):
        self.pair, self.d = as_pair(X, Y, None, None), X.shape[1]
        d = self.d
        self.costs = ProjectedCosts(*self.pair.items, 2.0)
        self._made = {}
        block = 4000 if d == 3 else d
        design = Directions("rqmc" if d == 3 else "orthogonal", d, 32_000, draw_key(99))
        theta = design.rows(0, design.n // block * block)
        f, columns = self.costs(theta), self.controls("full").evaluate(theta)
        result = fit(f, columns.centered, columns.sizes, block=block)
        self.truth, self.truth_error = result.estimate, result.standard_error
        self.variance = f.var()

    def controls(self, name):
        if name not in self._made:
            self._made[name] = make_controls(name, *self.pair.items, 2.0)
        return self._made[name]

    def replicates(self, trial, L, kind="iid"):
        design = Directions(kind, self.d, L, draw_key(trial.seed))
        R = trial.replicates
        self.theta = design.rows(0, R * design.n)
        self.f, self.block = self.costs(self.theta).reshape(R, design.n), design.block
        return design.n

    def fits(self, name, cross_fit=None):
        R, n = self.f.shape
        if name == PLAIN:
            table, sizes = np.empty((R, n, 0)), np.empty(0)
        else:
            columns = self.controls(name).evaluate(self.theta)
            table, sizes = columns.centered.reshape(R, n, -1), columns.sizes
        options = {"block": self.block, "family": name}
        results = [
            fit(f, C, sizes, cross_fit=cross_fit, **options)
            for f, C in zip(self.f, table, strict=True)
        ]
        keys = ("estimate", "standard_error", "degrees_of_freedom")
        return np.array([[getattr(r, key) for key in keys] for r in results]).T


_CACHE = {}


def instance(kind, d):
    if (kind, d) not in _CACHE:
        _CACHE[kind, d] = Instance(*clouds(kind, d, 120))
    return _CACHE[kind, d]


def images_of(first, second):
    if (first, second) not in _CACHE:
        images, labels = datasets.digits()
        _CACHE[first, second] = Instance(*(images[labels == digit] for digit in (first, second)))
    return _CACHE[first, second]


@pytest.mark.parametrize("name", ["upper", "quadratic"])
@claim(
    null="cross-fitting removes the bias of coefficients from the same directions",
    test="z-test of the mean; without it the bias of the paper's upper control is detected",
    replicates=4000,
    false_alarm=1e-7,
)
def test_cross_fitting_is_unbiased(trial, name):
    clouds3 = instance("shapes", 3)
    clouds3.replicates(trial, 12 if name == "upper" else 20)
    estimates, *_ = clouds3.fits(name, cross_fit=True)
    trial.assert_mean(estimates, clouds3.truth, se_floor=1e-4 * clouds3.truth)
    if name == "upper":
        biased, *_ = clouds3.fits(name)
        z = (biased.mean() - clouds3.truth) / (biased.std() / np.sqrt(len(biased)))
        assert abs(z) > 5  # some per cent of the power


@pytest.mark.parametrize(
    ("kind", "d", "design"),
    [
        ("shapes", 3, "iid"),
        ("shapes", 3, "orthogonal"),
        ("shapes", 3, "rqmc"),
        ("gauss", 10, "iid"),
        ("mix", 10, "orthogonal"),
    ],
)
@claim(
    null="nominal 90 and 95% intervals cover between 4 points less and 5 points more",
    test="one-sided normal limits around the bounds, Bonferroni over families and levels",
    replicates=300,
    false_alarm=1e-7,
)
def test_intervals_cover(trial, kind, d, design):
    problem = instance(kind, d)
    problem.replicates(trial, 60, design)
    names = (PLAIN, *FAMILIES)
    for name in names:
        estimate, error, freedom = problem.fits(name)
        for level in (0.90, 0.95):
            inside = abs(estimate - problem.truth) <= t_of_tail(0.5 - 0.5 * level, freedom) * error
            share = 0.5 / len(names)
            trial.assert_between(inside, level - 0.04, min(level + 0.05, 1.0), share=share)


@pytest.mark.parametrize("design", ["iid", "orthogonal"])
@claim(
    null="of quadratic on images with 20 directions nominal 90% intervals cover in 85, unbiased",
    test="z-tests of the mean and one-sided normal limits for each pair",
    replicates=4000,
    false_alarm=1e-7,
)
def test_few_directions_on_images(trial, design):
    for pair in ((5, 7), (2, 5), (5, 9)):
        problem = images_of(*pair)
        problem.replicates(trial, 20, design)
        estimate, error, freedom = problem.fits("quadratic")
        floor = 2.0 * problem.truth_error
        trial.assert_mean(estimate, problem.truth, share=0.1, se_floor=floor)
        covered = abs(estimate - problem.truth) <= t_of_tail(0.05, freedom) * error
        trial.assert_between(covered, 0.85, 0.95, share=0.2)


@pytest.mark.parametrize(
    ("control", "design", "rtol"),
    [
        (None, "iid", 0.03),
        ("full", "iid", 0.004),
        (None, "orthogonal", 0.02),
        ("auto", "auto", 0.003),
    ],
)
@claim(
    null="runs that stop at a tolerance are within it, and their intervals cover, in 9 of 10 cases",
    test="one-sided normal limits around 0.9",
    replicates=150,
    false_alarm=1e-7,
)
def test_tolerances_stop_honestly(trial, control, design, rtol):
    X, Y = clouds("mix", 3, 120)
    truth = instance("mix", 3).truth ** 0.5 * 2.0 ** instance("mix", 3).pair.exponent
    options = {"rtol": rtol, "control_variate": control, "directions": design}
    results = [sliced_wasserstein(X, Y, rng=rng, **options) for rng in trial.rngs()]
    assert all(result.converged for result in results)
    within = np.array([abs(result.value - truth) <= rtol * truth for result in results])
    ends = np.array([result.confidence_interval() for result in results])
    covers = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    trial.assert_between(within, 0.9, 1.0, share=0.5)
    trial.assert_between(covers, 0.9, 1.0, share=0.5)


@pytest.mark.parametrize(
    ("kind", "d", "L", "quartic", "bures"),
    [
        ("gauss", 3, 120, 17, 1400),
        ("mix", 3, 120, 160, 90),
        ("shapes", 3, 120, 33, 48),
        ("gauss", 10, 240, 38, 520),
        ("mix", 10, 240, 61, 130),
    ],
)
@claim(
    null="the controls reduce the variance as they did when this was written, within 2",
    test="mean squared errors; a factor of 2 is 8 of their standard errors",
    replicates=250,
    false_alarm=1e-7,
)
def test_variance_reduction(trial, kind, d, L, quartic, bures):
    problem = instance(kind, d)
    n = problem.replicates(trial, L)
    plain = problem.variance / n
    gain = {
        name: plain / np.mean((problem.fits(name)[0] - problem.truth) ** 2)
        for name in ("lower", "quadratic", "quartic", "full", "bures")
    }
    assert quartic / 2 < gain["quartic"] < quartic * 2, gain
    assert bures / 2 < gain["bures"] < bures * 2, gain
    assert gain["lower"] < 1.2 * gain["quadratic"] < 1.4 * gain["quartic"], gain
    assert gain["full"] > 0.7 * max(gain["quartic"], gain["bures"])

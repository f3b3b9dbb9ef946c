"""Certificates on small hostile matrices, checked by exact rational arithmetic.

More of them: ``pytest tests/sampling/claims/test_rational.py --statistical=long``.
"""

import warnings
from fractions import Fraction

import numpy as np
import pytest

from randla.regression import lp_regression
from randla.sampling import leverage_scores, lewis_weights, lp_sensitivities
from tests.sampling import rational


def matrices(first, number):
    """Seeds, matrices, and their independent columns as rationals."""
    for seed in range(first, first + number):
        A = rational.hostile(np.random.default_rng(seed))
        columns = rational.basis(rational.exact(A)) if A.any() else [[]]
        if columns[0]:
            yield seed, A, columns


def assert_enclosed(scores, exact, seed):
    low, high = rational.exact(scores.lower), rational.exact(scores.upper)
    assert all(x <= s <= y for x, s, y in zip(low, exact, high, strict=True)), seed


def hostile_rhs(A, seed):
    rng = np.random.default_rng([7, seed])
    n, d = A.shape
    return [
        rng.standard_normal(n),
        1e6 + rng.standard_normal(n),
        A @ rng.standard_normal(d) + 1e-3 * rng.standard_normal(n),
        rng.integers(-3, 4, n).astype(float),
    ][rng.integers(4)]


@pytest.fixture
def more(request):
    """How many times as many matrices are looked at."""
    return 10 if request.config.getoption("--statistical") == "long" else 1


@pytest.fixture(autouse=True)
def tolerances_may_be_missed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_leverage(more):
    certified = 0
    for seed, A, columns in matrices(0, 200 * more):
        scores = leverage_scores(A)
        assert_enclosed(scores, rational.forms(columns, [Fraction(1)] * len(A)), seed)
        certified += scores.certified
    assert certified >= 180 * more


@pytest.mark.parametrize("p", [1, 3, 4])
def test_lewis(p, more):
    for seed, A, columns in matrices(1000, 12 * more):
        assert_enclosed(lewis_weights(A, p), rational.lewis(columns, p), seed)


@pytest.mark.parametrize("p", [1, np.inf])
def test_sensitivities(p, more):
    for seed, A, columns in matrices(2000, 60 * more):
        exact = [rational.sensitivity(columns, i, p) for i in range(len(A))]
        for method in ("exact", "bound"):
            assert_enclosed(lp_sensitivities(A, p, method=method), exact, seed)


def test_sensitivities_of_a_power(more):
    for seed, A, columns in matrices(3000, 20 * more):
        # Newton's method shows what a score is at least.
        least = [rational.sensitivity(columns, i, 4) for i in range(len(A))]
        for method in ("exact", "bound"):
            upper = rational.exact(lp_sensitivities(A, 4, method=method).upper)
            assert all(map(Fraction.__le__, least, upper)), seed


LOSSES = [{"p": 1}, {"tau": 0.1}, {"tau": 0.99}, {"p": 2}, {"p": 4}]


@pytest.mark.parametrize(
    ("options", "method"),
    [(loss, method) for loss in LOSSES for method in ("auto", "sample")]
    + [({"p": np.inf}, "auto")],
    ids=str,
)
def test_no_coefficients_are_below_the_lower_bound(options, method, more):
    p, tau = options.get("p", 1), options.get("tau")
    certified = converged = total = 0
    for seed, A, columns in matrices(4000, (10 if p == 4 else 40) * more):
        b = hostile_rhs(A, seed)
        result = lp_regression(A, b, method=method, rng=0, **options)
        bound, rhs = Fraction(float(result.lower_bound)), rational.exact(b)
        if p == np.inf:
            assert bound <= rational.least_max(columns, rhs), seed
        elif p > 1:
            assert bound < 0 or bound**p <= rational.least_power(columns, rhs, p), seed
        else:
            assert bound <= rational.least_one(columns, rhs, tau), seed
        assert result.rank == len(columns[0]) or not result.certified, seed
        certified, total = certified + result.certified, total + 1
        converged += result.converged
    assert certified >= 0.85 * total
    assert method == "sample" or converged >= 0.85 * total


@pytest.mark.parametrize("d", [5, 8])
@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_vandermonde(d, p):
    A = np.vander(np.linspace(-1.0, 1.0, d + 2), d)
    for seed in range(3):
        b = np.random.default_rng(seed).standard_normal(d + 2)
        columns, rhs = rational.exact(A), rational.exact(b)
        result = lp_regression(A, b, p)
        if p == 2:
            least = rational.least_power(columns, rhs, 2)
            assert Fraction(result.lower_bound) ** 2 <= least
        else:
            least = (rational.least_one if p == 1 else rational.least_max)(columns, rhs)
            assert Fraction(result.lower_bound) <= least
        assert (result.rank, result.certified, result.converged) == (d, True, True)
        assert result.gap <= 1e-8 * result.value

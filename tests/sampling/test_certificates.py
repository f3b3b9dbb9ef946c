"""Certificates of `lp_regression` on small hostile problems: ties, lost rank, wild scales."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from randla.sampling import lp_regression
from randla.sampling._scores import NotConvergedWarning
from tests.sampling.lp_regression_reference import (
    assert_certified,
    dual_norm,
    highs_minimax,
    highs_quantile,
    objective,
)

FORMS = (np.asarray, np.asfortranarray, sparse.csr_array, sparse.csc_array, sparse.coo_array)


def hostile(seed):
    """A, b and options."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.choice([1, 2, 3, 5, 8, 20, 60])), int(rng.choice([1, 2, 3, 4, 6]))
    kind = rng.integers(5)
    if kind == 0:
        A = rng.standard_normal((n, d))
    elif kind == 1:
        A = rng.integers(-2, 3, (n, d)).astype(float)
    elif kind == 2:
        A = np.eye(d)[rng.integers(0, d, n)]
    elif kind == 3:
        A = rng.standard_cauchy((n, d))
    else:
        A = rng.lognormal(0, 2, (n, d))
    if rng.random() < 0.3:
        A = A[rng.integers(0, n, n)]  # equal rows
    if rng.random() < 0.3 and d > 1:
        A[:, rng.integers(d)] = A @ rng.integers(-2, 3, d)  # a dependent column
    if rng.random() < 0.3:
        A[rng.random(n) < 0.3] = 0.0
    if rng.random() < 0.3:
        A = A * 10.0 ** rng.integers(-6, 7, d)
    if rng.random() < 0.15:
        A = A * 10.0 ** rng.integers(-4, 5, (n, 1))
    if rng.random() < 0.1:
        A = A * 10.0 ** float(rng.choice([-290, -150, 150]))
    kind = rng.integers(5)
    if kind == 0:
        b = rng.standard_normal(n)
    elif kind == 1:
        b = rng.integers(-3, 4, n).astype(float)
    elif kind == 2:
        b = A @ rng.integers(-2, 3, d)
    elif kind == 3:
        b = np.full(n, 3.0)
    else:
        b = np.where(rng.random(n) < 0.2, 1e9, 1.0) * rng.standard_normal(n)
    options = {}
    kind = rng.integers(3)
    if kind == 0:
        options["tau"] = float(rng.choice([0.001, 0.1, 0.25, 0.5, 0.9, 0.999]))
    elif kind == 1:
        options["p"] = float(rng.choice([1, 1.0001, 1.05, 1.5, 2, 3, 10, 50, 1000, np.inf]))
    else:
        options["l1"] = rng.choice([0.0, 1e-3, 1.0, 1e5], d)
    if rng.random() < 0.3:
        w = rng.choice([0.0, 1.0, 2.0, 1e-8, 1e8], n)
        options["weights"] = w if w.any() else np.ones(n)
    return A, b, options, FORMS[rng.integers(len(FORMS))]


@pytest.mark.parametrize("block", range(10))
def test_hostile_problems_have_valid_certificates(block):
    late = 0
    for seed in range(100 * block, 100 * block + 100):
        A, b, options, form = hostile(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", NotConvergedWarning)
            result = lp_regression(form(A), b, **options)
        x, z = result.x, result.dual
        p, tau = options.get("p", 1), options.get("tau")
        w = options.get("weights", np.ones(len(b)))
        l1 = np.broadcast_to(options.get("l1", 0.0), x.shape)
        late += not result.converged
        value = objective(A, b, x, p, tau, options.get("weights"), l1)
        reach = np.abs(b) + np.abs(A) @ np.abs(x)
        noise = 1e-12 * objective(np.zeros_like(A), reach, x, p, None, options.get("weights"), l1)
        assert abs(result.value - value) <= 1e-12 * value + noise, seed
        assert result.gap >= 0.0, seed
        off = np.abs(A.T @ z) - l1
        largest = np.abs(A).T @ (np.abs(z) + 1e-2 * w * np.abs(z[w > 0] / w[w > 0]).max(initial=0))
        assert (off <= 2e-10 * (largest + l1)).all(), seed
        if tau is None:
            assert dual_norm(z, p, w) <= 1.0 + 1e-12, seed
        else:
            assert (z <= tau * w * (1 + 1e-12)).all(), seed
            assert (z >= (tau - 1) * w * (1 + 1e-12)).all(), seed
        assert abs(result.lower_bound - b @ z) <= 1e-9 * (np.abs(b) @ np.abs(z)) + noise, seed
        mild = not options.get("weights", np.zeros(1)).any() and (1e-6 < np.abs(A[A != 0])).all()
        if mild and np.abs(A).max(initial=0) < 1e6 and np.abs(b).max() < 1e6:
            if p == np.inf:
                assert result.lower_bound <= highs_minimax(A, b) * (1 + 1e-6) + 1e-6, seed
            elif p == 1 and not l1.any():
                exact = highs_quantile(A, b, 0.5 if tau is None else tau)
                exact *= 2 if tau is None else 1
                assert result.lower_bound <= exact * (1 + 1e-6) + 1e-6, seed
    assert late <= 3  # of 100, at powers and weights that are far apart


def test_far_outliers_do_not_widen_the_gap():
    # What is left between a dual value and its bound is multiplied by the residual of its row.
    rng = np.random.default_rng(0)
    for tau in (0.1, 0.5, 0.9):
        A = rng.lognormal(0, 2, (150, 2))
        b = np.where(rng.random(150) < 0.2, 1e10, 1.0) * rng.standard_normal(150)
        for options in ({}, {"weights": rng.choice([1.0, 3.0], 150)}, {"l1": 1.0}):
            result = lp_regression(A, b, tau=tau, rtol=1e-9, **options)
            assert result.converged


@pytest.mark.parametrize("size", [1e8, 1e9, 1e10, 1e12, 1e14])
def test_one_gross_error_in_a_group(size):
    # The rows of its group end far from where least squares put them, the others do not.
    for seed in (5, 18, 26, 75, 127, 151, 181, 280):
        rng = np.random.default_rng(seed)
        A = np.column_stack([np.eye(4)[rng.integers(4, size=60)], rng.standard_normal(60)])
        b = rng.standard_normal(60)
        b[-1] = size
        result = lp_regression(A, b, tau=0.9)
        assert result.converged, seed
        assert abs(result.value - highs_quantile(A, b, 0.9)) <= 1e-8 * result.value


@pytest.mark.parametrize(("seed", "n_gross", "size"), [(15, 5, 1e12), (1822, 1, 1e9)])
def test_a_solve_from_far_is_repeated_from_near(seed, n_gross, size):
    for offset in range(0, 3000, 100):
        rng = np.random.default_rng(seed + offset)
        n, groups = int(rng.integers(20, 120)), int(rng.integers(2, 7))
        A = np.column_stack([np.eye(groups)[rng.integers(groups, size=n)], rng.standard_normal(n)])
        b = A @ rng.standard_normal(groups + 1) + rng.standard_normal(n)
        b[-n_gross:] = size * rng.choice([-1.0, 1.0], n_gross) * rng.uniform(0.5, 1.0, n_gross)
        for tau in (0.05, 0.3, 0.9):
            result = lp_regression(A, b, tau=tau)
            assert result.converged, (offset, tau)
            assert abs(result.value - highs_quantile(A, b, tau)) <= 1e-8 * result.value


@pytest.mark.parametrize("p", [3, 10, 30, 100])
def test_rows_of_different_sizes_at_large_powers(p):
    rng = np.random.default_rng(1)
    for _ in range(10):
        A = rng.standard_normal((40, 3)) * 10.0 ** rng.integers(-4, 5, (40, 1))
        result = lp_regression(A, rng.standard_normal(40), p)
        assert result.converged
        assert result.n_iterations <= 60


@pytest.mark.parametrize("size", [1e6, 1e8, 1e9, 1e10, 1e12])
def test_one_long_row_keeps_the_certificate_of_minimax(size):
    # Its dual value is that many times smaller than those of the other rows at the vertex.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((50, 4))
        A[0] *= size
        b = A @ np.ones(4) + rng.standard_normal(50)
        result = lp_regression(A, b, np.inf)
        assert_certified(A, b, result, np.inf)
        assert 0.0 < result.gap + result.lower_bound <= result.lower_bound + 1e-15 * size
        wide = size ** rng.random(50)
        assert_certified(A, b, lp_regression(A, b, np.inf, weights=wide), np.inf, weights=wide)


@pytest.mark.parametrize("options", [{"tau": 0.5}, *({"p": p} for p in (1, 1.5, 2, 4, np.inf))])
def test_the_bound_of_columns_that_depend_up_to_rounding(options):
    # Rank 19 or 20? A dual bounds the objective of any y by b'z - y'A'z, and A'z is rounding.
    A = np.vander(np.linspace(0, 1, 200), 20)
    b = np.random.default_rng(0).standard_normal(200)
    result, exact = lp_regression(A, b, **options), A.astype(np.longdouble)
    left = np.abs(exact.T @ result.dual)
    assert (left <= 1e-13 * np.abs(A).T @ np.abs(result.dual)).all()
    for rcond in (1e-8, 1e-12, 1e-16):
        y = np.linalg.lstsq(A, b, rcond=rcond)[0]
        value = objective(exact, b, y, **options)
        assert value >= result.lower_bound * (1 - 1e-12) - left @ np.abs(y)

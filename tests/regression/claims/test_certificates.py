"""Certificates of `lp_regression` on small hostile problems: ties, lost rank, wild scales."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from randla.regression import lp_regression
from randla.sampling._scores.result import NotConvergedWarning
from tests.regression.lp_regression_reference import (
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


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_far_outliers_do_not_widen_the_gap(tau):
    # What is left between a dual value and its bound is multiplied by the residual of its row.
    rng = np.random.default_rng(int(10 * tau))
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
@pytest.mark.parametrize("d", [20, 30, 41])
def test_a_rank_in_doubt_proves_nothing(options, d):
    # Monomials leave out columns that are more than rounding errors; Chebyshev polynomials do not.
    t = np.linspace(-1, 1, 201) if d == 41 else np.linspace(0, 1, 200)
    b = np.abs(t) if d == 41 else np.random.default_rng(d).standard_normal(200)
    with pytest.warns(NotConvergedWarning, match=f"of {d} columns"):
        result = lp_regression(np.vander(t, d), b, **options)
    same = lp_regression(np.polynomial.chebyshev.chebvander(2 * t - 1 if d < 41 else t, d - 1), b,
                         **options)  # fmt: skip
    assert result.rank < d
    assert (result.certified, result.converged, result.lower_bound) == (False, False, 0.0)
    assert (same.rank, same.certified, same.converged) == (d, True, True)
    assert result.value >= same.lower_bound


@pytest.mark.parametrize("options", [{"tau": 0.3}, *({"p": p} for p in (1, 1.5, 2, 4, np.inf))])
@pytest.mark.parametrize("method", ["auto", "sample"])
def test_the_rank_that_is_reported(options, method):
    if options.get("p") == np.inf:
        method = "auto"
    rng = np.random.default_rng(3)
    A, b = rng.standard_normal((300, 4)), rng.standard_normal(300)
    groups = np.eye(3)[rng.integers(3, size=300)]
    exact = {
        4: A,
        6: np.c_[A, A[:, 0], A[:, 1] - A[:, 1], groups[:, :2]],  # twice the same, and zeros
        3: np.c_[np.ones(300), groups],
    }
    exact[5] = np.c_[exact[3], np.rint(4 * A[:, :2])]
    exact[5] = np.c_[exact[5], exact[5] @ [1.0, 0.0, -2.0, 0.5, 4.0, 1.0]]
    for rank, matrix in exact.items():
        result = lp_regression(matrix, b, method=method, rng=0, **options)
        assert (result.rank, result.certified) == (rank, True)
    sums = lp_regression(np.c_[A, A[:, 0] + A[:, 1]], b, method=method, rng=0, **options)
    assert (sums.rank, sums.certified) == (4, False)  # equal up to rounding only
    assert sums.lower_bound >= 0.7 * sums.value
    tilted = lp_regression(np.c_[A, A[:, 0] + 1e-11 * A[:, 1] ** 2], b, **options)
    assert (tilted.rank, tilted.certified) == (5, True)


@pytest.mark.parametrize("size", [1e4, 1e6, 1e8])
@pytest.mark.parametrize("shape", [(60, 8), (300, 5), (40, 20)])
def test_minimax_beside_a_large_response(size, shape):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        A, e = rng.standard_normal(shape), rng.standard_normal(shape[0])
        for b in (size + e, size * A.sum(axis=1) + e):
            result = lp_regression(A, b, np.inf)
            o = np.ones((len(b), 1))
            found = linprog(
                np.append(np.zeros(shape[1]), 1.0),
                A_ub=np.vstack([np.hstack([-A, -o]), np.hstack([A, -o])]),
                b_ub=np.append(-b, b),
                bounds=[(None, None)] * shape[1] + [(0, None)],
                method="highs",
            )
            rounding = 2e-16 * np.abs(A).sum(axis=1).max() * np.abs(result.x).max()
            assert result.value <= np.abs(b - A @ found.x[:-1]).max() * (1 + 1e-12) + rounding
            assert result.converged
            assert result.gap <= 1e-8 * result.value + rounding


@pytest.mark.parametrize("tau", [1e-4, 1e-3, 1 - 1e-4])
def test_a_penalty_far_above_the_losses_gives_zeros(tau):
    rng = np.random.default_rng(0)
    for _ in range(100):
        n, d = rng.integers(1, 3), rng.integers(1, 4)
        A, b = (10.0 ** rng.integers(-2, 3) * rng.standard_normal(k) for k in ((n, d), n))
        result = lp_regression(A, b, tau=tau, l1=rng.uniform(15, 25))
        assert result.converged
        low = np.minimum(tau, 1 - tau)
        if (np.abs(A).sum(axis=0) < 15).all():
            assert (result.x == 0.0).all(), low

"""Least absolute deviations behind l_1 sensitivities: Mehrotra's method at the median."""

import numpy as np
import pytest

from randla._kernels.interior_point import DUAL, FIELDS, RESIDUAL, Part
from randla._panels import PANEL, Panels
from randla.sampling._kernels import sensitivity_one as kernels
from tests.regression.lp_regression_reference import highs_quantile


def problem(m, e, noise="standard_normal"):
    """A (m, e), r (m,), and both as a part without a start."""
    rng = np.random.default_rng(0)
    A, r = rng.standard_normal((m, e)), getattr(rng, noise)(m)
    P = Panels(m, e).fill(A, r)
    w, state = P.data.shape[1], np.full((len(P.data), FIELDS, PANEL), np.nan)
    state[:, RESIDUAL] = P.rhs
    work = np.empty((2, PANEL)), np.empty((2, PANEL)), np.zeros((2, w)), np.empty((w, w))
    return A, r, Part(P.data, m, state, *work)


def solve(part, e, tol=1e-9, enough=np.inf):
    y = np.empty(e)
    count = kernels.least_absolute(part, 0.0, tol, enough, np.zeros(e), np.arange(0), y)
    m = part.n
    return y, count, *(part.state[:, k].ravel()[:m] for k in (RESIDUAL, DUAL))


@pytest.mark.parametrize("noise", ["standard_normal", "standard_cauchy"])
@pytest.mark.parametrize("shape", [(30, 1), (200, 3), (257, 8), (900, 5)])
def test_least_absolute_deviations_in_at_most_15_iterations(shape, noise):
    m, e = shape
    A, r, part = problem(m, e, noise)
    y, count, residual, dual = solve(part, e)
    np.testing.assert_allclose(residual, r - A @ y, rtol=1e-9, atol=1e-9)
    exact = 2 * highs_quantile(A, r, 0.5)
    assert np.abs(residual).sum() == pytest.approx(exact, rel=2e-9)
    assert r @ (2 * dual - 1) == pytest.approx(exact, rel=2e-9)
    assert np.abs(A.T @ (2 * dual - 1)).max() <= 1e-12 * m  # feasible from the start on
    assert count <= 15


def test_it_ends_at_a_dual_value_that_is_enough():
    A, r, part = problem(300, 3)
    exact = 2 * highs_quantile(A, r, 0.5)
    *_, dual = solve(part, 3, enough=0.8 * exact)
    assert 0.8 * exact < r @ (2 * dual - 1) < 0.9999 * exact


def test_residuals_of_zero_are_left_at_once():
    _, _, part = problem(40, 2)
    part.state[:, RESIDUAL] = 0.0
    assert solve(part, 2)[1] == 0

"""Smoothed Newton steps: the pass is its definition, and fits are as good as their sample."""

import numpy as np
import pytest

from randla._panels import PANEL, Panels
from randla.regression import lp_regression
from randla.regression._kernels.smoothed import smoothed_pass
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.smoothed import SampleFits
from tests.regression.lp_regression_reference import pinball


@pytest.mark.parametrize("shape", [(1, 1), (300, 3), (513, 4)])
def test_a_pass_is_its_definition(shape):
    n, d = shape
    rng = np.random.default_rng(0)
    A, b, x = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal(d)
    size, tau, width = rng.random(n) + 0.5, 0.3, 0.8
    P = Panels(n, d).fill(A, b)
    w = P.data.shape[1]
    residuals, g, G = np.zeros_like(P.rhs), np.empty((2, w)), np.empty((w, w))
    work = np.empty((4, PANEL))
    inverse = P.lines(1.0 / size)
    smoothed_pass(P.data, P.rhs, inverse, n, P.pad(x), tau, width, residuals, work, g, G)
    r = b - A @ x
    v = r / (width * size)
    z = np.clip(tau - 0.5 + 0.5 * v, tau - 1.0, tau)
    band = np.where(np.abs(v) < 1.0, 1.0 / size, 0.0)
    np.testing.assert_allclose(residuals.ravel()[:n], r, atol=1e-13)
    np.testing.assert_allclose(g[0, :d], A.T @ z, atol=1e-12)
    np.testing.assert_allclose(g[1, :d], A.T @ np.where(r > 0, tau, tau - 1.0), atol=1e-12)
    np.testing.assert_allclose(np.tril(G[:d, :d]), np.tril(A.T @ (band[:, None] * A)), atol=1e-12)


@pytest.mark.parametrize("tau", [0.05, 0.5, 0.8])
@pytest.mark.parametrize("noise", ["normal", "t3", "exponential"])
def test_fits_are_nearly_those_of_all_rows(tau, noise):
    rng = np.random.default_rng(1)
    n, d = 20_000, 4
    A = np.column_stack([np.ones(n), rng.standard_normal((n, d - 1))])
    e = {"normal": rng.standard_normal, "exponential": rng.standard_exponential}.get(
        noise, lambda n: rng.standard_t(3, n)
    )(n)
    b = A.sum(axis=1) + e
    P = Panels(n, d).fill(A, b)
    factor = Cholesky(P.gram())
    sizes = P.norms(factor.whitener()).ravel()[:n]
    np.testing.assert_allclose(sizes, np.linalg.norm(np.linalg.qr(A)[0], axis=1), rtol=1e-10)
    found = SampleFits(P, factor, sizes).fit(tau)
    assert found.n_rows > 0.8 * n  # the Newton steps were accepted, with a small derivative left
    np.testing.assert_allclose(found.residuals.ravel()[:n], b - A @ found.x, atol=1e-12)
    best = lp_regression(A, b, tau=tau, method="full").value
    # The excess of the fit of the population is some d / n of the value.
    assert pinball(b - A @ found.x, tau).sum() <= best * (1 + 2e-4)


def test_fits_of_bad_data_fall_back():
    rng = np.random.default_rng(2)
    n, d = 6000, 3
    A = np.column_stack([np.ones(n), rng.standard_cauchy((n, d - 1))])
    b = A.sum(axis=1) + rng.standard_cauchy(n)
    P = Panels(n, d).fill(A, b)
    factor = Cholesky(P.gram())
    found = SampleFits(P, factor, P.norms(factor.whitener()).ravel()[:n]).fit(0.98)
    assert found.n_rows >= n // 3
    best = lp_regression(A, b, tau=0.98, method="full").value
    assert pinball(b - A @ found.x, 0.98).sum() <= 1.5 * best

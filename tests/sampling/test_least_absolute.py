"""The interior point method behind l_1 sensitivities, against NumPy and its Newton equations."""

import numpy as np
import pytest

from randla._kernels import least_absolute as kernels
from randla._kernels.columns import LANES, fill_blocks
from tests.regression.lp_regression_reference import highs_quantile


def problem(m, e, seed=0, noise="standard_normal"):
    """B (m, e) and r (m,), and both in blocks."""
    rng = np.random.default_rng(seed)
    X, b = rng.standard_normal((m, e)), getattr(rng, noise)(m)
    B, r = np.empty((-(-m // LANES), e, LANES)), np.zeros((-(-m // LANES), LANES))
    fill_blocks(X, B)
    r.ravel()[:m] = b
    return X, b, B, r


def lines(m, *arrays):
    return (a.ravel()[:m].copy() for a in arrays)


def test_the_start_is_positive_and_has_the_residual():
    m = 300
    _, b, _, r = problem(m, 2)
    zm, zp, u, v = (np.zeros_like(r) for _ in range(4))
    kernels.start(m, r, zm, zp, u, v)
    margin = 0.1 * np.abs(b).mean()
    np.testing.assert_allclose(u, np.maximum(r, 0) + margin)
    np.testing.assert_allclose(v, np.maximum(-r, 0) + margin)
    assert (zm == 1).all()
    assert (zp == 1).all()


@pytest.mark.parametrize("m", [40, 256, 300])
def test_an_iteration_solves_the_newton_equations(m):
    X, b, _, R = problem(m, 3)
    rng = np.random.default_rng(1)
    lanes = np.empty((2, LANES))
    blank = [np.full_like(R, np.nan) for _ in range(11)]
    ZM, ZP, U, V, Q, QR, DR, CENTER, SECOND, CU, CV = blank
    z = rng.uniform(-0.9, 0.9, m)
    slack = rng.exponential(0.3, m)
    zm, zp, u, v = 1 - z, 1 + z, np.maximum(b, 0) + slack, np.maximum(-b, 0) + slack
    for blocks, values in ((ZM, zm), (ZP, zp), (U, u), (V, v)):
        blocks.ravel()[:m] = values

    value, dual, products = kernels.measure(m, R, ZM, ZP, U, V, Q, QR)
    q, qr = lines(m, Q, QR)
    np.testing.assert_allclose([value, dual, products], [np.abs(b).sum(), b @ z, u @ zm + v @ zp])
    np.testing.assert_allclose(q, 1 / (u / zm + v / zp))
    np.testing.assert_allclose(qr, q * b)
    assert not Q.ravel()[m:].any()
    assert not QR.ravel()[m:].any()

    G = X.T @ (q[:, None] * X)
    off = X.T @ z  # the steps make the dual feasible
    dr = X @ np.linalg.solve(G, -X.T @ qr - off)
    DR.ravel()[:m] = dr
    args = (m, R, ZM, ZP, U, V, Q, DR, CENTER, SECOND, CU, CV, lanes)
    rate_z, rate_uv, by_primal, by_dual, by_both = kernels.affine(*args)
    dz = q * (dr + b)
    du, dv = u * (dz / zm - 1), -v * (dz / zp + 1)
    np.testing.assert_allclose(X.T @ dz, -off, atol=1e-12)
    np.testing.assert_allclose(rate_z, max((dz / zm).max(), (-dz / zp).max()))
    np.testing.assert_allclose(rate_uv, max((-du / u).max(), (-dv / v).max()))
    for p, d in ((1.0, 0.0), (0.0, 1.0), (0.3, 0.6)):
        moved = (u + p * du) @ (zm - d * dz) + (v + p * dv) @ (zp + d * dz)
        change = p * by_primal + d * by_dual + p * d * by_both
        np.testing.assert_allclose(products + change, moved)
    center, second = lines(m, CENTER, SECOND)
    np.testing.assert_allclose(center, q * (1 / zm - 1 / zp))
    np.testing.assert_allclose(second, q * dz * (du / zm + dv / zp))
    assert not CENTER.ravel()[m:].any()
    assert not SECOND.ravel()[m:].any()

    level = 0.07
    dr = X @ np.linalg.solve(G, level * X.T @ center + X.T @ second - X.T @ qr - off)
    DR.ravel()[:m] = dr
    first = dz, du, dv
    rates = kernels.corrector(m, level, R, ZM, ZP, U, V, Q, DR, CENTER, CU, CV, lanes)
    dz, du, dv = lines(m, CENTER, CU, CV)
    np.testing.assert_allclose(zm * du - u * dz, level - u * zm + first[1] * first[0])
    np.testing.assert_allclose(zp * dv + v * dz, level - v * zp - first[2] * first[0])
    np.testing.assert_allclose(du - dv, dr - (u - v - b), atol=1e-12)
    np.testing.assert_allclose(X.T @ dz, -off, atol=1e-12)
    np.testing.assert_allclose(rates[0], max((dz / zm).max(), (-dz / zp).max()))
    np.testing.assert_allclose(rates[1], max((-du / u).max(), (-dv / v).max()))

    kernels.move(m, 0.2, 0.4, R, ZM, ZP, U, V, DR, CENTER, CU, CV)
    moved = (zm - 0.2 * dz, zp + 0.2 * dz, u + 0.4 * du, v + 0.4 * dv, b + 0.4 * dr)
    for found, expected in zip(lines(m, ZM, ZP, U, V, R), moved, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("noise", ["standard_normal", "standard_cauchy"])
@pytest.mark.parametrize("shape", [(30, 1), (200, 3), (257, 8), (900, 5)])
def test_least_absolute_deviations_in_at_most_15_iterations(shape, noise):
    m, e = shape
    X, b, B, r = problem(m, e, noise=noise)
    state = (r, *(np.empty_like(r) for _ in range(10)))
    y, V, G, L = np.empty(e), np.empty((5, e)), np.empty((e + 1, e + 1)), np.empty((e + 1, e + 1))
    args = (y, state, np.empty((2, LANES)), V, G, L)
    count = kernels.interior_point(B, m, 0.0, 1e-9, np.inf, *args)
    residual, zm, zp = lines(m, r, state[1], state[2])
    np.testing.assert_allclose(residual, b + X @ y, rtol=1e-9, atol=1e-9)
    exact = 2 * highs_quantile(-X, b, 0.5)
    assert np.abs(residual).sum() == pytest.approx(exact, rel=2e-9)
    assert b @ (zp - zm) / 2 == pytest.approx(exact, rel=2e-9)
    assert count <= 15

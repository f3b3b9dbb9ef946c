"""The kernels on blocks of rows, against NumPy."""

import numpy as np
import pytest

from randla._kernels import cholesky, panels
from randla._kernels.interior_point import DUAL, FIELDS, RESIDUAL, Part
from randla._panels import PANEL, Panels
from randla._random import counter_uniforms
from randla._tall._kernels.tiles import invert_lower, row_norms
from randla._tall.memory import add_gram
from randla.sampling._kernels import sensitivity_one, sensitivity_power


@pytest.mark.parametrize("shape", [(1, 1), (255, 2), (256, 3), (257, 8), (600, 5)])
def test_products(shape):
    n, d = shape
    rng = np.random.default_rng(n)
    X, x = rng.standard_normal(shape), rng.standard_normal(d)
    P = Panels(n, d).fill(X).data
    w, out, q = P.shape[1], np.full((len(P), PANEL), np.nan), np.zeros((len(P), PANEL))
    q.ravel()[:n] = rng.random(n)
    padded = np.pad(x, (0, w - d))
    panels.product(P, padded, out)
    np.testing.assert_allclose(out.ravel()[:n], X @ x, atol=1e-13)
    assert (out.ravel()[n:] == 0).all()
    panels.subtract_product(P, padded, out)
    np.testing.assert_allclose(out, 0, atol=1e-13)
    back = np.full(w, np.nan)
    panels.adjoint(P, q, back)
    np.testing.assert_allclose(back[:d], X.T @ q.ravel()[:n], atol=1e-12)
    G, L, y = np.full((w, w), np.nan), np.zeros((d, d)), np.zeros(d)
    panels.weighted_gram(P, q, np.empty((2, PANEL)), G)
    G = G[:d, :d]
    np.testing.assert_allclose(np.tril(G), np.tril((X.T * q.ravel()[:n]) @ X), atol=1e-11)
    if n > d:
        G = np.tril(G) + np.tril(G, -1).T
        assert cholesky.factor(G, d, L)
        np.testing.assert_allclose(np.tril(L), np.linalg.cholesky(G), rtol=1e-9, atol=1e-12)
        assert cholesky.solve(L, d, x, y)
        np.testing.assert_allclose(G @ y, x, rtol=1e-9, atol=1e-12)


def test_factor_of_what_has_none():
    L = np.zeros((2, 2))
    assert not cholesky.factor(np.zeros((2, 2)), 2, L)
    assert not cholesky.factor(np.full((2, 2), np.nan), 2, L)
    assert cholesky.factor(np.ones((2, 2)), 2, L)  # singular: a pivot of the size of rounding
    assert L[1, 1] == pytest.approx(np.sqrt(1e-15), rel=1e-6)
    assert cholesky.factor(np.diag([0.0, 3.0]), 2, L)


def test_refinement_of_a_dual_point():
    """A z with X'z near a is brought to X'z = a by the factor of X'WX."""
    rng = np.random.default_rng(0)
    n, d = 300, 4
    X, a = rng.standard_normal((n, d)), rng.standard_normal(d)
    P, W = Panels(n, d).fill(X).data, np.zeros((2, PANEL))
    W.ravel()[:n] = np.exp(3 * rng.standard_normal(n))
    G, L = np.empty((d, d)), np.zeros((d, d))
    panels.weighted_gram(P, W, np.empty((2, PANEL)), G)
    cholesky.factor(G, d, L)
    z, rho, y, work = W * rng.standard_normal(W.shape), np.empty(d), np.empty(d), np.empty(W.shape)
    before = sensitivity_power.infeasibility(P, a, z, rho)
    np.testing.assert_allclose(rho, a - X.T @ z.ravel()[:n], rtol=1e-10)
    assert before == pytest.approx(np.linalg.norm(rho))
    sensitivity_power.refine(P, W, L, rho, y, z, work)
    assert sensitivity_power.infeasibility(P, a, z, rho) < 1e-10 * before


def test_largest():
    lanes = np.random.default_rng(0).random(PANEL)
    assert panels.largest(lanes.copy()) == lanes.max()


@pytest.mark.parametrize("kind", ["uniform", "heavy", "ties", "inf", "zeros"])
def test_threshold(kind):
    rng = np.random.default_rng(1)
    scores = {
        "uniform": rng.random(1000),
        "heavy": np.exp(20 * rng.standard_normal(1000)),
        "ties": rng.integers(0, 30, 1000).astype(float),
        "inf": np.where(np.arange(1000) % 3 == 0, np.inf, rng.random(1000)),
        "zeros": np.r_[np.zeros(600), rng.random(400)],
    }[kind]
    for wanted in (10, 100, 255, 511, 2000):
        limit = sensitivity_one.threshold(scores, wanted, np.empty(512, np.int64))
        below = (scores[np.isfinite(scores)] <= limit).sum()
        available = np.isfinite(scores).sum()
        if kind == "zeros" and wanted < 600:
            assert limit == 0 or below >= 600  # ties cannot be told apart; the caller stops in time
        elif kind != "ties":
            assert 0.5 * min(wanted, available) - 2 <= below <= wanted + 1


def test_norms_of_rows_of_any_size():
    X = np.random.default_rng(0).standard_normal((40, 5))
    X[3] = 0
    for scale in (1e-300, 1e-200, 1.0, 1e200, 1e300):
        out = np.empty(40)
        row_norms(scale * X, out)
        np.testing.assert_allclose(out / scale, np.linalg.norm(X, axis=1), rtol=1e-14)
        assert out[3] == 0


@pytest.mark.parametrize("d", [1, 2, 7])
def test_inverse_of_a_triangle(d):
    L = np.tril(np.random.default_rng(d).standard_normal((d, d))) + 3 * np.eye(d)
    out = np.full((d, d), np.nan)
    invert_lower(L, out)
    np.testing.assert_allclose(out @ L, np.eye(d), atol=1e-12)
    assert (np.triu(out, 1) == 0).all()


def test_uniform_numbers_belong_to_rows():
    whole, part = np.empty(1000), np.empty(300)
    counter_uniforms(np.uint64(7), 0, whole)
    counter_uniforms(np.uint64(7), 500, part)
    np.testing.assert_array_equal(whole[500:800], part)
    assert 0 <= whole.min() < 0.01
    assert 0.99 < whole.max() < 1
    assert abs(whole.mean() - 0.5) < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (50, 3), (257, 32), (70, 33)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_gram_of_a_tile(shape, order):
    X = np.asarray(np.random.default_rng(5).standard_normal(shape), order=order)
    total = np.ones((shape[1], shape[1]))
    add_gram(X, total)
    np.testing.assert_allclose(total, 1 + X.T @ X, atol=1e-12)


def test_dual_bound_with_a_residual():
    """The dual value where X'z is not zero, against the formula."""
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((2, 4, PANEL)), rng.standard_normal(4)
    state, rho, work = rng.random((2, FIELDS, PANEL)), np.empty(4), np.empty((2, PANEL))
    state[:, RESIDUAL] += 9.0
    state[:, DUAL] = 0.9 + 0.1 * state[:, DUAL]
    norm, kappa = 0.1, 1e-3
    part = Part(A, 512, state, work, work, np.empty((2, 4)), np.empty((4, 4)))
    bound = sensitivity_one.dual_bound(part, norm, kappa, y, rho)
    z = 2.0 * state[:, DUAL] - 1.0
    remainder = np.einsum("kjl,kl->j", A, z)
    error = kappa * np.linalg.norm(remainder)
    value = np.sum(state[:, RESIDUAL] * z) + remainder @ y
    assert bound == pytest.approx((value - error * norm) / (1.0 + error), rel=1e-12)

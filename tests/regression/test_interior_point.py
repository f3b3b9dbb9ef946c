"""The interior point kernels against NumPy twins, and the Newton equations they solve."""

import numpy as np
import pytest

from randla._kernels import cholesky, interior_point as kernels, mehrotra
from randla._panels import PANEL, Panels, fill_lines
from randla.regression import lp_regression
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.heavy_tails import solve_pinball
from randla.regression._quantile.interior_point import InteriorPoint
from tests.regression.lp_regression_reference import highs_quantile, pinball

SHAPES = [(1, 1), (5, 2), (255, 3), (256, 4), (257, 5), (1000, 7)]


def panels(n, d, seed=0):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((n, d)), rng.standard_normal(n)
    return A, b, Panels(n, d).fill(A, b)


@pytest.mark.parametrize("shape", SHAPES)
def test_panels_hold_the_rows(shape):
    A, b, P = panels(*shape)
    n, d = shape
    np.testing.assert_array_equal(P.rows(np.arange(n)), A)
    np.testing.assert_array_equal(P.rhs.ravel()[:n], b)
    assert not P.rhs.ravel()[n:].any()
    assert not P.data[:, d:].any()
    for array in (np.asfortranarray(A), np.repeat(A, 2, axis=1)[:, ::2], A[::-1][::-1]):
        out = np.zeros_like(P.data)
        fill_lines(out[:, :d], array)
        np.testing.assert_array_equal(out, P.data)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_over_panels(shape):
    A, b, P = panels(*shape)
    rng = np.random.default_rng(1)
    n, d = shape
    q, x = rng.random(n), rng.standard_normal(d)
    lower = np.tril(A.T @ (q[:, None] * A))
    np.testing.assert_allclose(np.tril(P.gram(P.lines(q))), lower, atol=1e-12)
    np.testing.assert_allclose(np.tril(P.gram()), np.tril(A.T @ A), atol=1e-12)
    np.testing.assert_allclose(P.residuals(x).ravel()[:n], b - A @ x, atol=1e-13)
    np.testing.assert_allclose(P.transposed_product(P.lines(q)), A.T @ q, atol=1e-12)
    np.testing.assert_allclose(P.column_sums(), np.abs(A).sum(axis=0), atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 3), (300, 4), (257, 2)])
@pytest.mark.parametrize("far", [False, True])
def test_an_iteration_solves_the_newton_equations(shape, far):
    n, d = shape
    A, b, P = panels(n, d)
    signs = P.lines(np.where(np.abs(b) > 1.5, np.sign(b), 0.0)) if far else None
    ip = InteriorPoint(P, P.rhs, 0.3, signs)
    lines = ip.state.transpose(1, 0, 2).reshape(kernels.FIELDS, -1)[:, :n]
    ip._form(0.0, 0.0)
    gradient, level = ip._total(ip._g)
    lines = ip.state.transpose(1, 0, 2).reshape(kernels.FIELDS, -1)[:, :n].copy()
    r, a, s, u, v, q = lines[:6]
    np.testing.assert_allclose(r, b)
    np.testing.assert_allclose(a + s, 1.0)
    np.testing.assert_allclose(u - v, r)
    np.testing.assert_allclose(q, 1 / (v / a + u / s))
    np.testing.assert_allclose(ip.mu, a @ v + s @ u)
    np.testing.assert_allclose(ip.value, pinball(r, 0.3).sum())
    np.testing.assert_allclose(ip.gap, (pinball(r, 0.3) - (a - 0.7) * r).sum())
    np.testing.assert_allclose(gradient, A.T @ (q * r), atol=1e-12)
    np.testing.assert_allclose(level, A.T @ a, atol=1e-12)
    G = A.T @ (q[:, None] * A)
    np.testing.assert_allclose(np.tril(ip._total(ip._G)[:d]), np.tril(G), atol=1e-12)

    off, factor = ip.goal - level, Cholesky(np.tril(G))
    dx = factor.solve(gradient - off)
    (found,) = ip._each_part(kernels.affine, 1.0, P.pad(dx), ip.mu / (2 * n), 0.3)
    center = mehrotra.centering(*found, ip.mu)
    first, second = ip._total(ip._g)
    da = q * (r - A @ dx)
    dv, du = -v - v * da / a, -u + u * da / s
    np.testing.assert_allclose(A.T @ da, off, atol=1e-9)  # the step makes the dual feasible
    step = min(1.0, 1.0 / max((-da / a).max(), (da / s).max()))
    other = min(1.0, 1.0 / max((-dv / v).max(), (-du / u).max()))
    mu = (a + step * da) @ (v + other * dv) + (s - step * da) @ (u + other * du)
    np.testing.assert_allclose(center, (mu / ip.mu) ** mehrotra.EXPONENT)
    weights = (2 * 0.7) ** kernels.BALANCE, (2 * 0.3) ** kernels.BALANCE
    mean = ip.mu / (2 * n)
    low, high = (
        center * np.maximum(mean * weight, product)  # none falls by more than the mean
        for weight, product in zip(weights, (a * v, s * u), strict=True)
    )

    dx = factor.solve(first + center * second - off)
    rates = ip._each_part(kernels.corrector, 1.0, P.pad(dx), center, ip.mu / (2 * n), 0.3)
    lines = ip.state.transpose(1, 0, 2).reshape(kernels.FIELDS, -1)[:, :n]
    dA, dV, dU = (lines[k] for k in (kernels.D_DUAL, kernels.D_V, kernels.D_U))
    np.testing.assert_allclose(A.T @ dA, off, atol=1e-9)
    np.testing.assert_allclose(A @ dx + dU - dV, r - u + v, atol=1e-9)
    np.testing.assert_allclose(a * dV + v * dA, low - a * v - da * dv, atol=1e-9)
    np.testing.assert_allclose(s * dU - u * dA, high - s * u + da * du, atol=1e-9)
    expected = max((-dA / a).max(), (dA / s).max()), max((-dV / v).max(), (-dU / u).max())
    np.testing.assert_allclose(rates, [expected])


DESIGNS = {
    "gaussian": lambda rng, n, d: rng.standard_normal((n, d)),
    "log-normal": lambda rng, n, d: rng.lognormal(0, 1.5, (n, d)),
    "cauchy": lambda rng, n, d: rng.standard_cauchy((n, d)),
    "one-hot": lambda rng, n, d: np.eye(d)[rng.geometric(0.3, n) % d],
}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("method", ["full", "preprocess"])
def test_no_solve_takes_more_than_25_iterations(design, method, monkeypatch):
    counts = []
    solve = InteriorPoint.solve

    def counted(self, *args, **options):
        solution = solve(self, *args, **options)
        counts.append(solution.n_iterations)
        return solution

    monkeypatch.setattr(InteriorPoint, "solve", counted)
    n, d = 20_000, 7
    for seed, noise in enumerate(("standard_normal", "standard_cauchy")):
        rng = np.random.default_rng(seed)
        A = np.column_stack([np.ones(n), DESIGNS[design](rng, n, d - 1)])
        b = A.sum(axis=1) + getattr(rng, noise)(n)
        for tau in (0.01, 0.5, 0.95):
            assert lp_regression(A, b, tau=tau, method=method, rng=0).converged
    assert max(counts) <= 25


def test_many_parts_give_the_answer_of_one():
    A, b, P = panels(3000, 5)
    one = solve_pinball(P, Cholesky(P.gram()), 0.4)
    parts = Panels(3000, 5, part_size=2).fill(A, b)
    assert parts.n_parts == 6
    many = solve_pinball(parts, Cholesky(parts.gram()), 0.4)
    np.testing.assert_allclose(many.x, one.x, atol=1e-10)


@pytest.mark.parametrize("tau", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("noise", ["cauchy", "gross"])
def test_clipping_does_not_change_the_answer(tau, noise):
    rng = np.random.default_rng(3)
    A = np.column_stack([np.ones(600), rng.standard_t(1.5, (600, 3))])
    e = rng.standard_cauchy(600)
    if noise == "gross":
        e = np.where(rng.random(600) < 0.1, 1e8 * rng.standard_normal(600), e)
    b = A.sum(axis=1) + e
    P = Panels(600, 4).fill(A, b)
    solution = solve_pinball(P, Cholesky(P.gram()), tau)
    exact = highs_quantile(A, b, tau)
    assert abs(pinball(b - A @ solution.x, tau).sum() - exact) <= 1e-10 * exact
    z = solution.z.ravel()[:600]
    assert np.abs(A.T @ z).max() <= 1e-11 * np.abs(A).sum(axis=0).max()
    assert z.shape == (600,)
    assert not solution.z.ravel()[600:].any()
    assert PANEL == P.data.shape[2]


@pytest.mark.parametrize("shape", [(40, 3), (700, 4), (257, 1)])
def test_an_iteration_in_one_call_is_the_passes_one_by_one(shape):
    _, _, P = panels(*shape)
    solves = [InteriorPoint(P, P.rhs, 0.3) for _ in range(3)]
    for ip in solves:
        ip._form(0.0, 0.0)
    whole, stepped, again = solves
    for _ in range(6):
        assert whole._iterate(0.0, 1) == (1, True)
        assert stepped._iterate_parts()
        np.testing.assert_allclose(whole.x, stepped.x, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(whole.gap, stepped.gap, rtol=1e-6)
        np.testing.assert_allclose(whole.value, stepped.value, rtol=1e-12)
    assert again._iterate(0.0, 6) == (6, True)
    np.testing.assert_array_equal(again.x, whole.x)


def test_a_step_without_a_finite_direction_is_not_taken():
    n, d = 40, 3
    _, _, P = panels(n, d)
    ip = InteriorPoint(P, P.rhs, 0.3)
    ip._form(0.0, 0.0)
    ip._g[0, 0, 1] = np.nan
    before, L, vectors = ip.state.copy(), np.empty((d, d)), np.zeros((3, P.data.shape[1]))
    part = ip.parts[0]
    finite, *_ = mehrotra.iterate(part, 0.3, ip.goal, False, ip.mu, ip.x, L, vectors)
    assert not finite
    assert not ip.x.any()
    np.testing.assert_array_equal(ip.state, before)
    value, gap = ip.value, ip.gap
    assert ip._iterate(0.0, 5) == (0, False)
    assert (ip.value, ip.gap) == (value, gap)


@pytest.mark.parametrize("more", [0.0, 1.0])
@pytest.mark.parametrize("target", [np.inf, 0.6])
def test_iterations_end_at_the_gap_or_beyond_a_lower_bound(more, target):
    """The gap may be `limit` times the loss and `more`; a bound above `target` is enough."""
    _, _, P = panels(300, 3)
    losses = []
    for most in range(1, 12):
        ip = InteriorPoint(P, P.rhs, 0.5)
        ip._form(0.0, 0.0)
        scale = ip.value
        count, finite, positive, total, gap, _ = mehrotra.iterate_until(
            ip.parts[0], 0.5, ip.goal, False, ip.mu, ip.x,
            1e-6, 1.0, more * scale, target * scale, ip._far, most,
        )  # fmt: skip
        assert finite
        value = 0.5 * positive + 0.5 * (total - positive)
        done = gap <= 1e-6 * (value + more * scale) or value - gap > target * scale
        assert done == (count < most) or count == most
        losses.append((count, done))
    assert losses[-1][1]
    assert [done for _, done in losses].index(True) + 1 == losses[-1][0]


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_small_factor_makes_up_for_lost_rank(rank):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((20, rank)) @ rng.standard_normal((rank, 5)) * [1e-9, 1, 1e8, 1, 1]
    G, L, x = X.T @ X, np.zeros((5, 5)), np.empty(5)
    g = X.T @ rng.standard_normal(20)
    assert cholesky.factor(G, 5, L)
    assert cholesky.solve(L, 5, g, x)
    unit = 1 / np.linalg.norm(X, axis=0)
    np.testing.assert_allclose(unit * (G @ x), unit * g, atol=1e-5)
    if rank == 5:
        np.testing.assert_allclose(np.tril(L @ L.T), np.tril(G), rtol=1e-9)
    assert not cholesky.factor(np.full((5, 5), np.nan), 5, L)

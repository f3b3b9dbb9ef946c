"""Sliced distances on the sphere."""

import numpy as np
import pytest

from randla import sliced_wasserstein_sphere, wasserstein_1d
from randla.transport._directions.designs import Directions
from randla.transport._directions.frames import Frames, choose_frames
from randla.transport._kernels.circle import _shifted_cost
from randla.transport._sphere import _as_sphere, _CircleCosts


def on_sphere(seed, n, d, pull=1.0):
    """Points on the sphere, about the first axis."""
    x = np.random.default_rng([seed, d]).standard_normal((n, d))
    x[:, 0] += pull
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def frames(seed, L, d):
    return np.linalg.qr(np.random.default_rng([seed, d]).standard_normal((L, d, 2)))[0]


def circle_cost(x, y, a, b, p):
    """W_p^p on the circle by its definition as the best cut: all cuts where a jump of F meets one
    of G, and the monotone coupling of the line there.
    """
    i, j = np.argsort(x), np.argsort(y)
    u, v, A, B = x[i], y[j], np.cumsum(a[i]), np.cumsum(b[j])
    turns = np.arange(-2, 3)
    jumps = (B[:, None] + turns).T.ravel()  # of G, over five turns
    values = (v[:, None] + turns).T.ravel()
    best = np.inf
    for alpha in {*(A[:, None] - jumps).ravel()}:
        if abs(alpha) <= 1.0:
            levels = np.sort(np.clip(np.concatenate([[0.0, 1.0], A, jumps + alpha]), 0.0, 1.0))
            middle = 0.5 * (levels[1:] + levels[:-1])
            left = u[np.minimum(np.searchsorted(A, middle), len(u) - 1)]
            right = values[np.searchsorted(jumps, middle - alpha)]
            best = min(best, np.sum(np.diff(levels) * np.abs(left - right) ** p))
    return best


@pytest.mark.parametrize(("n", "m"), [(5, 5), (6, 4), (1, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_costs_on_circles_are_those_of_the_best_cut(n, m, weighted):
    X, Y, U = on_sphere(0, n, 3), on_sphere(1, m, 3, 0.0), frames(2, 6, 3)
    a, b = np.arange(1.0, n + 1), np.arange(m, 0.0, -1)
    if weighted:
        a[-1] = 0.0 if n > 1 else 1.0
    else:
        a[:], b[:] = 1.0, 1.0
    for p in (1.0, 2.0, 3.5):
        given = (a, b) if weighted else ()
        result = sliced_wasserstein_sphere(X, Y, *given, p=p, directions=U)
        angles = [np.arctan2(*(P @ U)[:, :, ::-1].transpose(2, 0, 1)) / (2 * np.pi) for P in (X, Y)]
        expected = [
            circle_cost(x, y, a / a.sum(), b / b.sum(), p) for x, y in zip(*angles, strict=True)
        ]
        np.testing.assert_allclose(result.projected_costs, expected, rtol=1e-12, atol=1e-16)
        assert result.value == pytest.approx(np.mean(expected) ** (1 / p), rel=1e-12)
        assert result.standard_error is None


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_points_of_next_to_no_mass_change_nothing(p):
    """Their mass is less than the unit of the costs, so that nothing jumps there."""
    for seed in range(40):
        X, Y, U = on_sphere(seed, 5, 3), on_sphere(seed + 100, 4, 3, 0.0), frames(seed, 6, 3)
        rng = np.random.default_rng(seed)
        a, b = rng.integers(1, 5, 5) * 1.0, rng.integers(1, 5, 4) * 1.0
        a[seed % 5], b[seed % 4] = 1e-30, 1e-25
        found = sliced_wasserstein_sphere(X, Y, a, b, p=p, directions=U)
        a[seed % 5] = b[seed % 4] = 0.0
        expected = sliced_wasserstein_sphere(X, Y, a, b, p=p, directions=U)
        np.testing.assert_allclose(found.projected_costs, expected.projected_costs, rtol=1e-12)


def test_costs_are_linear_in_the_shift_between_kinks():
    """A search steps to a kink, so that one beyond the next could miss the least cost."""
    rng = np.random.default_rng(0)
    total = 1 << 60
    for _ in range(200):
        n, m = rng.integers(1, 6, 2)
        u, v = np.sort(rng.random(n)), np.sort(rng.random(m))
        a, b = (
            np.cumsum(1 + rng.multinomial(8 - k, np.ones(k) / k)) * (total >> 3) for k in (n, m)
        )
        shift = int(rng.integers(-8, 8)) * (total >> 3) + int(rng.integers(0, 2)) * (total >> 4)
        cost, slope, left, right = _shifted_cost(u, v, a, b, shift, 1.5)
        kinks = {(int(x) - int(y) - shift) % total for x in a for y in b}
        assert left == min(-kink % total for kink in kinks)
        assert right == min(kink or total for kink in kinks)
        ahead, _, _, _ = _shifted_cost(u, v, a, b, shift + right, 1.5)
        assert ahead == pytest.approx(cost + slope * right, abs=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_uniform_law_is_the_limit_of_a_fine_grid(p, weighted):
    X, U = on_sphere(0, 7, 2), frames(1, 1, 2)
    a = np.arange(1.0, 8.0) if weighted else None
    angle = 2 * np.pi * np.arange(4001) / 4001
    grid = np.column_stack([np.cos(angle), np.sin(angle)])
    exact = sliced_wasserstein_sphere(X, a=a, p=p)
    assert exact.directions == "exact"
    assert exact.standard_error == 0.0
    assert exact.value == pytest.approx(sliced_wasserstein_sphere(X, grid, a, p=p).value, rel=1e-6)
    assert exact.value == pytest.approx(
        sliced_wasserstein_sphere(X @ U[0], a=a, p=p).value, rel=1e-12
    )


@pytest.mark.parametrize("d", [3, 6])
def test_the_values_of_pot(d):
    ot = pytest.importorskip("ot")
    L = 20
    U = frames(3, L, d)
    for n, m in ((25, 25), (25, 14)):
        X, Y = on_sphere(4, n, d), on_sphere(5, m, d, 0.3)
        a, b = np.arange(1.0, n + 1), np.arange(2.0, m + 2)
        for weights in ((None, None), (a / a.sum(), b / b.sum())):
            for p in (1, 2):
                ours = sliced_wasserstein_sphere(X, Y, *weights, p=p, directions=U).value
                options = {"projections": U, "n_projections": L, "p": p}
                theirs = ot.sliced_wasserstein_sphere(X, Y, *weights, **options)
                assert ours == pytest.approx(theirs, abs=1e-10)
        ours = sliced_wasserstein_sphere(X, directions=U).value
        theirs = ot.sliced_wasserstein_sphere_unif(X, projections=U, n_projections=L)
        assert ours == pytest.approx(theirs, abs=1e-10)


def test_a_rotation_of_both_clouds_changes_nothing():
    X, Y, U = on_sphere(0, 9, 4), on_sphere(1, 8, 4, 0.0), frames(2, 5, 4)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    before = sliced_wasserstein_sphere(X, Y, directions=U).projected_costs
    after = sliced_wasserstein_sphere(X @ Q, Y @ Q, directions=Q.T @ U).projected_costs
    np.testing.assert_allclose(after, before, rtol=1e-10)
    same = sliced_wasserstein_sphere(X, X[::-1], n_projections=30, rng=0)
    assert same.power < 1e-28


@pytest.mark.parametrize("p", [2.0, 16.0])
def test_high_powers_of_weighted_clouds(p):
    """Where the least cost is, masses meet: a unit in the last place of a shift shows at p = 16."""
    X, Y = on_sphere(0, 30, 3), on_sphere(1, 30, 2, 20.0)
    a, order = np.random.default_rng(2).random(30), np.random.default_rng(3).permutation(30)
    assert sliced_wasserstein_sphere(X, X[order], a, a[order], p=p, rng=0).value == 0.0
    assert sliced_wasserstein_sphere(X, np.repeat(X, 2, axis=0), p=p, rng=0).value == 0.0
    Z = on_sphere(4, 25, 2, 20.0)  # two short arcs, which nothing leaves
    u, v = (np.arctan2(*P.T[::-1]) / (2.0 * np.pi) for P in (Y, Z))
    result = sliced_wasserstein_sphere(Y, Z, a, n_projections=1, p=p)
    assert result.value == pytest.approx(wasserstein_1d(u, v, a, p=p), rel=1e-9)


# Frames and controls -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "d"), [("iid", 5), ("orthogonal", 7), ("rqmc", 3), ("rqmc", 5)])
def test_frames_are_orthonormal_and_functions_of_their_number(kind, d):
    design = Frames(kind, d, 60, np.uint64(7))
    U = design.rows(0, design.n)
    assert U.shape == (design.n, d, 2)
    assert design.n % design.block == 0
    assert design.n >= 60
    np.testing.assert_allclose(
        np.einsum("lda,ldb->lab", U, U), np.broadcast_to(np.eye(2), (design.n, 2, 2)), atol=1e-14
    )
    s = design.block
    np.testing.assert_allclose(design.rows(s, 3 * s), U[s : 3 * s], rtol=0, atol=1e-15)
    if kind == "orthogonal":  # planes of one rotation are at right angles
        block = U[:s].transpose(1, 0, 2).reshape(d, -1)
        np.testing.assert_allclose(block.T @ block, np.eye(2 * s), atol=1e-14)


def test_planes_in_space_are_at_right_angles_to_quasi_random_points():
    key = np.uint64(7)
    U, w = Frames("rqmc", 3, 64, key).rows(0, 64), Directions("rqmc", 3, 64, key).rows(0, 64)
    np.testing.assert_allclose(np.einsum("ldk,ld->lk", U, w), 0.0, atol=1e-15)


@pytest.mark.parametrize("d", [4, 40])
def test_forms_and_their_means_few_points_or_many(d):
    """tr(PA) from the projected points, and means by matrices or by products of points."""
    x, y = (_as_sphere(on_sphere(k, 8, d), "X", np.arange(8.0), "a") for k in (0, 1))
    costs = _CircleCosts(x, y, 2.0)
    U = frames(0, 3, d)
    a, b = (np.einsum("n,nd->d", c.weights, c.points) for c in (x, y))
    S = [np.einsum("n,nd,ne->de", c.weights, c.points, c.points) for c in (x, y)]
    A = [np.outer(a, a), np.outer(b, b), np.outer(a - b, a - b), *S]
    expected = [[np.trace(u @ u.T @ form) for form in A] for u in U]
    np.testing.assert_allclose(costs.with_forms(U)[1], expected, rtol=1e-10)
    np.testing.assert_allclose(costs.form_means(), [2 * np.trace(form) / d for form in A])
    alpha = 4 * d / (d * (d - 1) * (d + 2))
    beta = 4 * (d - 2) / (d * (d - 1) * (d + 2))
    products = [[alpha * np.trace(F) * np.trace(G) + beta * np.trace(F @ G) for F in A] for G in A]
    np.testing.assert_allclose(costs.product_means(), products, rtol=1e-10)


@pytest.mark.parametrize("d", [2, 3, 5])
def test_the_frames_that_were_drawn(d):
    X, Y = on_sphere(0, 6, d), on_sphere(1, 5, d)
    drawn = sliced_wasserstein_sphere(X, Y, n_projections=64, rng=0)
    frames = drawn.direction_vectors
    given = sliced_wasserstein_sphere(X, Y, directions=frames)
    frames[:] = 0.0  # the result keeps its own
    np.testing.assert_array_equal(given.direction_vectors, drawn.direction_vectors)
    np.testing.assert_allclose(given.projected_costs, drawn.projected_costs, rtol=1e-12)


def test_controls_take_away_variance():
    X, Y = on_sphere(0, 40, 3, 3.0), on_sphere(1, 30, 3, 0.5)
    options = {"n_projections": 128, "directions": "iid", "rng": 0}
    plain = sliced_wasserstein_sphere(X, Y, control_variate=None, **options)
    some = sliced_wasserstein_sphere(X, Y, control_variate="quadratic", **options)
    more = sliced_wasserstein_sphere(X, Y, **options)
    assert more.control_variate == "quartic"
    assert len(more.coefficients) == 20
    # 1.6 and 5.0 times smaller
    assert some.power_standard_error < 0.75 * plain.power_standard_error
    assert more.power_standard_error < 0.3 * plain.power_standard_error
    few = sliced_wasserstein_sphere(X, Y, n_projections=30, rng=0)
    assert few.control_variate == "quadratic"
    assert sliced_wasserstein_sphere(X, Y, n_projections=24, rng=0).control_variate is None
    dear = sliced_wasserstein_sphere(on_sphere(0, 300, 290), n_projections=72, rng=0)
    assert dear.control_variate == "quadratic"


# Bad input ---------------------------------------------------------------------------------------


def test_what_has_no_angle_is_refused():
    X = np.eye(3)
    with pytest.raises(ValueError, match="plane at right angles to a point, got 0"):
        sliced_wasserstein_sphere(X, directions=np.eye(3)[None, :, :2])
    with pytest.raises(ValueError, match=r"divide by np.linalg.norm\(Y, axis=1"):
        sliced_wasserstein_sphere(X, 1.001 * X)
    with pytest.raises(ValueError, match="directions must be 'iid', 'orthogonal' or 'auto' above"):
        choose_frames("rqmc", 20_000, 100, np.uint64(0))


def test_symmetric_clouds_have_controls_that_vanish():
    """Antipodal points: both means, and their difference, are zero."""
    X = np.concatenate([np.eye(4), -np.eye(4)])
    Y = on_sphere(0, 5, 4)
    result = sliced_wasserstein_sphere(X, np.concatenate([Y, -Y]), rng=0)
    assert (result.coefficients[:3] == 0.0).all()
    assert 0.0 < result.power_standard_error < 0.1 * result.power

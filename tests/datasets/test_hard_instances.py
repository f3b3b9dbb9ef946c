import numpy as np
import pytest

from randla import datasets


@pytest.mark.parametrize(
    "make",
    [
        lambda: datasets.collision_attack(64, 8, 3),
        lambda: datasets.stacked_identities(64, 8, 3, rng=1),
        lambda: datasets.aligned_pairs(64, 8),
    ],
)
def test_solution_of_the_attacks_is_zero(make):
    A, b = make()
    assert A.shape == (64, 8)
    np.testing.assert_allclose(np.linalg.lstsq(A, b)[0], 0.0, atol=1e-14)


def test_stacked_identities_have_equal_leverage():
    A, _ = datasets.stacked_identities(64, 8, 3, rng=1)
    np.testing.assert_allclose((A * (A @ np.linalg.inv(A.T @ A))).sum(1), 8 / 64)
    with pytest.raises(ValueError, match="n must be a multiple of d = 8, got 60"):
        datasets.stacked_identities(60, 8, 3)
    assert not datasets.stacked_identities(120, 4, 120)[1].any()


def test_ill_conditioned():
    A, b, x = datasets.ill_conditioned(60, 5, condition=1e4, residual=0.5, rng=2)
    s = np.linalg.svd(A, compute_uv=False)
    np.testing.assert_allclose(s, np.logspace(0, -4, 5), rtol=1e-9)
    np.testing.assert_allclose(np.linalg.lstsq(A, b)[0], x, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(b - A @ x), 0.5)


def test_gaussian_blocks():
    A = datasets.gaussian_blocks(20, 3, 4, 5, rng=0)
    assert A.shape == (40, 7)
    assert (A[:20, 3:] == 0).all()
    np.testing.assert_array_equal(A[20:].sum(0), [0, 0, 0, 5, 5, 5, 5])


def test_heavy_tailed_rows():
    A = datasets.heavy_tailed_rows(20000, 2, exponent=0.5, rng=0)
    size = np.abs(A).max(1)
    assert size.max() > 1e4 * np.median(size)


def test_unequal_groups():
    A = datasets.unequal_groups(1000, 6, rng=0)
    assert (A[:, 0] == 1).all()
    assert np.linalg.matrix_rank(A) == 6
    sizes = A[:, 1:].sum(0)
    assert (np.diff(sizes) < 0).all()
    assert sizes[-1] >= 1


@pytest.mark.parametrize("make", [datasets.gaussian_clouds, datasets.mixture_clouds])
def test_clouds(make):
    X, Y = make(50, 4, rng=0)
    assert X.shape == Y.shape == (50, 4)
    assert not np.array_equal(X, Y)
    np.testing.assert_array_equal(make(50, 4, rng=0)[1], Y)


def test_torus_and_box():
    X, Y = datasets.torus_and_box(200, rng=0)
    tube = (np.hypot(X[:, 0], X[:, 1]) - 1.0) ** 2 + X[:, 2] ** 2
    np.testing.assert_allclose(tube, 0.16)
    np.testing.assert_array_equal(np.abs(Y).max(1), 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.collision_attack(5, 4, 2), "n must be at least 6, got 5"),
        (lambda: datasets.collision_attack(5.0, 4, 2), "n must be an integer, got 5.0"),
        (lambda: datasets.ill_conditioned(9, 4, condition=0.5), "condition must be at least 1"),
        (lambda: datasets.heavy_tailed_rows(9, 4, exponent=0), "exponent must be greater than 0"),
        (lambda: datasets.torus_and_box(9, rng="a"), "rng must be None"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()

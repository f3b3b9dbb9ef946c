import pickle
from inspect import signature

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kstest
from scipy.stats.qmc import Sobol

from randla._random import draw_key
from randla.transport import (
    FewProjectionsWarning,
    sliced_wasserstein,
    sliced_wasserstein_barycenter,
    sliced_wasserstein_flow,
    sliced_wasserstein_gradient,
    sliced_wasserstein_matrix,
)
from randla.transport._controls.control_variates import abs_moment
from randla.transport._directions.designs import N_BLOCKS, Directions, _sobol_normals
from tests.statistical import claim
from tests.transport.reference import clouds, projected_costs

KEY = draw_key(1)
KINDS = ("iid", "orthogonal", "rqmc")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 3, 4, 7, 40])
@pytest.mark.parametrize("n", [16, 60, 321])
def test_rows_are_unit_and_a_function_of_their_number(kind, d, n):
    design = Directions(kind, d, n, KEY)
    assert design.n >= n
    assert design.n % design.block == 0
    theta = design.rows(0, design.n)
    assert theta.shape == (design.n, d)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1.0, rtol=1e-12)
    parts = [design.rows(k, min(k + 13, design.n)) for k in range(0, design.n, 13)]
    np.testing.assert_array_equal(np.concatenate(parts), theta)
    other = Directions(kind, d, n, draw_key(2)).rows(0, 5)
    assert not np.allclose(other, theta[:5])


def test_numbers_of_blocks():
    for d, n, block, total in (
        (10, 80, 10, 80),
        (10, 81, 10, 90),
        (10, 60, 7, 63),
        (10, 20, 2, 20),
        (10, 15, 1, 15),
        (3, 1000, 3, 1002),
    ):
        design = Directions("orthogonal", d, n, KEY)
        assert (design.block, design.n) == (block, total)
        assert design.kind == ("iid" if block == 1 else "orthogonal")
    for d, n, total in ((2, 100, 104), (3, 240, 240), (5, 240, 256), (5, 100, 128)):
        design = Directions("rqmc", d, n, KEY)
        assert (design.block, design.n) == (total // N_BLOCKS, total)


@pytest.mark.parametrize(("d", "n"), [(3, 24), (8, 64), (8, 30)])
def test_frames_are_orthonormal(d, n):
    design = Directions("orthogonal", d, n, KEY)
    frames = design.rows(0, design.n).reshape(-1, design.block, d)
    gram = frames @ frames.transpose(0, 2, 1)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(design.block), gram.shape), atol=1e-14)


def test_a_frame_integrates_quadratic_forms_exactly():
    A = np.random.default_rng(1).standard_normal((6, 6))
    theta = Directions("orthogonal", 6, 48, KEY).rows(0, 48)
    means = np.einsum("ld,de,le->l", theta, A, theta).reshape(8, 6).mean(axis=1)
    np.testing.assert_allclose(means, np.trace(A) / 6, atol=1e-14)


@claim(
    null="degree 4 is correlated by 3 / (d^2 - 1) within a frame",
    test="z-test of the mean of products of zonal harmonics",
    replicates=20_000,
    false_alarm=2e-7,
)
def test_frames_on_degree_four(trial):
    d = 3
    theta = Directions("orthogonal", d, d * trial.replicates, draw_key(trial.seed))
    x = theta.rows(0, d * trial.replicates)[:, 0].reshape(-1, d)
    zonal = x**4 - 6 * x**2 / (d + 4) + 3 / ((d + 2) * (d + 4))  # degree 4, about e_1
    variance = (zonal**2).mean()
    trial.assert_mean(zonal[:, 0] * zonal[:, 1] / variance, 3 / (d**2 - 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 3, 5])
@claim(
    null="each direction is uniform: even moments of a coordinate, and no preferred axes",
    test="z-tests of means over independent blocks, Bonferroni over the moments",
    replicates=1500,
    false_alarm=1e-7,
)
def test_directions_are_uniform(trial, kind, d):
    design = Directions(kind, d, 48, draw_key([trial.seed, d]))
    theta = design.rows(0, trial.replicates * design.block)
    moments = [theta[:, 0] ** 2, theta[:, -1] ** 2, theta[:, 0] ** 4, np.abs(theta[:, 1])]
    moments += [theta[:, 0] * theta[:, 1], theta[:, 0] ** 2 * theta[:, 1] ** 2]
    draws = np.stack(moments, axis=1).reshape(trial.replicates, design.block, -1).mean(axis=1)
    second, fourth = 1 / d, 3 / (d * (d + 2))
    expected = [second, second, fourth, abs_moment(d, 1.0), 0.0, fourth / 3]
    trial.assert_mean(draws, expected, se_floor=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@claim(
    null="a direction of each design in space has uniform coordinates (Archimedes)",
    test="Kolmogorov-Smirnov on one direction of each block",
    replicates=2000,
    false_alarm=1e-7,
)
def test_coordinates_are_uniform_in_space(trial, kind):
    design = Directions(kind, 3, 24, draw_key(trial.seed))
    theta = design.rows(0, trial.replicates * design.block)[:: design.block]
    coordinate = theta[:, 0] if kind != "rqmc" else theta[:, 2]
    trial.assert_pvalue(kstest(coordinate, "uniform", (-1, 2)).pvalue)


def test_quasi_random_points_integrate_smooth_even_functions():
    # the spread of block means, relative to as many independent directions
    for d, n, bound in ((2, 80, 1e-6), (3, 800, 0.15), (5, 2048, 0.6)):
        design = Directions("rqmc", d, n, KEY)
        f = np.exp(design.rows(0, 64 * design.block)[:, 0] ** 2)
        means = f.reshape(64, -1).mean(axis=1)
        assert means.std() < bound * f.std() / np.sqrt(design.block), d
        grid = np.cos((np.arange(200_000) + 0.5) * np.pi / 200_000)  # its density is that of d = 2
        density = (1 - grid**2) ** ((d - 2) / 2)
        truth = np.sum(np.exp(grid**2) * density) / np.sum(density)
        assert abs(means.mean() - truth) < 5 * means.std() / 8 + 1e-9


def test_sobol_points_do_not_depend_on_the_pieces_that_they_are_drawn_in():
    d, n = 40, 1 << 16  # four pieces
    rng = {"rng" if "rng" in signature(Sobol).parameters else "seed": np.random.default_rng(3)}
    whole = ndtri(np.clip(Sobol(d, scramble=True, **rng).random(n), 2.0**-32, 1.0 - 2.0**-32))
    np.testing.assert_array_equal(_sobol_normals(d, n, np.random.default_rng(3)), whole)


X, Y = np.random.default_rng(0).standard_normal((2, 20, 4))


@pytest.mark.parametrize(
    "call",
    [
        lambda: sliced_wasserstein(X, Y, n_projections=30, control_variate="full"),
        lambda: sliced_wasserstein(X, Y, n_projections=4, control_variate=(np.abs, np.zeros(4))),
        lambda: sliced_wasserstein(X, Y, n_projections=10, directions="orthogonal"),
        lambda: sliced_wasserstein(X, Y, rtol=1e-9, control_variate=None, max_projections=70),
        lambda: sliced_wasserstein(X, Y, rtol=1.0, n_projections=12, control_variate="quadratic"),
        lambda: sliced_wasserstein_gradient(X, Y, n_projections=10, directions="orthogonal"),
        lambda: sliced_wasserstein_matrix([X, Y], n_projections=10, directions="rqmc"),
        lambda: sliced_wasserstein_flow(X, Y, n_projections=10, directions="rqmc", n_steps=1),
        lambda: sliced_wasserstein_barycenter([X], n_projections=9, directions="rqmc", n_steps=1),
    ],
)
def test_warnings_point_to_the_line_that_called(call):
    with pytest.warns(FewProjectionsWarning) as caught:
        call()
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(
    ("d", "n", "one_pair", "many"),
    [
        (2, 15, "iid", "iid"),
        (2, 16, "rqmc", "rqmc"),
        (3, 15, "iid", "iid"),
        (3, 16, "iid", "orthogonal"),
        (3, 63, "iid", "orthogonal"),
        (3, 64, "rqmc", "rqmc"),
        (4, 15, "iid", "iid"),
        (4, 16, "iid", "orthogonal"),
    ],
)
def test_the_design_of_auto(d, n, one_pair, many):
    cloud = X[:, :d]
    assert sliced_wasserstein(cloud, 2 * cloud, n_projections=n).directions == one_pair
    assert sliced_wasserstein_gradient(cloud, 2 * cloud, n_projections=n).directions == many
    assert sliced_wasserstein_matrix([cloud], n_projections=n).directions == many


@pytest.mark.parametrize("function", [sliced_wasserstein, sliced_wasserstein_gradient])
def test_sobol_points_end_at_some_dimension(function):
    X = np.zeros((2, 21202))
    with pytest.raises(
        ValueError, match=r"directions must be .* above 21201 dimensions, got 'rqmc'"
    ):
        function(X, X + 1.0, directions="rqmc")


@pytest.mark.parametrize("kind", ["iid", "orthogonal", "rqmc"])
@pytest.mark.parametrize("call", [sliced_wasserstein, sliced_wasserstein_gradient])
def test_a_result_has_its_directions(call, kind):
    X, Y = clouds("mix", 4, 40)
    result = pickle.loads(pickle.dumps(call(X, Y, directions=kind, n_projections=64, rng=1)))
    again = call(X, Y, directions=result.direction_vectors)
    costs = projected_costs(X, Y, result.direction_vectors)
    assert costs.mean() == pytest.approx(again.power, rel=1e-12)
    if call is sliced_wasserstein:
        np.testing.assert_allclose(result.projected_costs, costs, rtol=1e-10)
    assert call(X[:, 0], Y[:, 0]).direction_vectors.tolist() == [[1.0]]
    again.direction_vectors[:] = 0.0  # the result keeps its own
    theta = result.direction_vectors
    given = call(X, Y, directions=theta)
    theta[:] = 0.0
    for other in (again, given):
        np.testing.assert_array_equal(other.direction_vectors, result.direction_vectors)


def test_directions_of_an_adaptive_run():
    X, Y = clouds("mix", 4, 40)
    for kind in ("iid", "orthogonal"):
        result = sliced_wasserstein(X, Y, rtol=1e-2, control_variate=None, directions=kind, rng=1)
        costs = projected_costs(X, Y, result.direction_vectors)
        np.testing.assert_allclose(result.projected_costs, costs, rtol=1e-10)

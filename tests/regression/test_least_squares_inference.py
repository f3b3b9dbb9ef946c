"""One sketch: formulas, laws, coverage of intervals, the bound, and what the result object does."""

import pickle

import numpy as np
import pytest
from scipy.stats import kstest, t

from randla import (
    SRHT,
    BlockSRHT,
    GaussianSketch,
    KroneckerProduct,
    KroneckerSRHT,
    SparseSignSketch,
    lstsq,
    sketch_size,
)
from randla.datasets import aligned_pairs, collision_attack
from randla.regression._least_squares import sketch_and_solve
from tests.data import normal
from tests.regression.least_squares_reference import augmented, sketched_regression
from tests.statistical import claim


def heavy_tailed(n, d):
    """Columns of scales 1 to 1000, three heavy rows, noise of Student's law with 3 degrees."""
    rng = np.random.default_rng(5)
    A = rng.standard_normal((n, d)) * np.logspace(0, 3, d)
    A[:3] *= 30
    return A, A @ np.ones(d) + rng.standard_t(3, n)


def coherent(n, d):
    return np.eye(n, d), normal(n, seed=6)


MATRICES = {"heavy": heavy_tailed, "coherent": coherent, "adversarial": collision_attack}


# Formulas ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SRHT, BlockSRHT, GaussianSketch, SparseSignSketch])
@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 20.0])
def test_equals_the_formulas(kind, k, weighted, ridge):
    n, d, m = 700, 5, 60
    A, b = normal(n, d) * [1.0, 1e3, 1e-3, 1.0, 1.0], normal(n, *([] if k is None else [k]), seed=1)
    weights = np.random.default_rng(2).exponential(size=n) if weighted else None
    rows, rhs = augmented(A, b, weights, ridge)
    if ridge == 0.0:
        rows, rhs = rows[:n], rhs[:n]
    S = kind(m, len(rows), rng=3)
    result = lstsq(A, b, method="sketch-and-solve", sketch=S, ridge=ridge, weights=weights)
    x, error, norm = sketched_regression(S @ rows, S @ rhs, S.population)
    np.testing.assert_allclose(result.x, x, rtol=1e-9)
    np.testing.assert_allclose(result.standard_error, error, rtol=1e-9)
    np.testing.assert_allclose(result.residual_norm, norm, rtol=1e-9)
    assert result.degrees_of_freedom == m - d
    assert (result.sketch_size, result.n_passes, result.rank) == (m, 1, d)
    low, high = result.confidence_interval(0.9)
    np.testing.assert_allclose(high - low, 2 * t.ppf(0.95, m - d) * error, rtol=1e-9)
    low, high = result.confidence_interval(0.9, simultaneous=True)
    np.testing.assert_allclose(high - low, 2 * t.ppf(1 - 0.05 / x.size, m - d) * error, rtol=1e-9)


def test_columns_scale_with_their_standard_errors():
    A, b = normal(900, 4), normal(900, seed=1)
    plain = lstsq(A, b, sketch_size=80, rng=0)
    for scale in (2.0 ** np.array([9, -20, 0, 3]), 10.0 ** np.array([150.0, -150.0, 3.0, -40.0])):
        scaled = lstsq(A * scale, b, sketch_size=80, rng=0)
        np.testing.assert_allclose(scaled.x * scale, plain.x, rtol=1e-9)
        np.testing.assert_allclose(scaled.standard_error * scale, plain.standard_error, rtol=1e-9)


def test_operators_give_the_same_estimate():
    from scipy.sparse.linalg import aslinearoperator

    A, b = normal(900, 4), normal(900, seed=1)
    dense, operator = (lstsq(X, b, sketch_size=80, rng=0) for X in (A, aslinearoperator(A)))
    np.testing.assert_allclose(operator.x, dense.x, rtol=1e-9)
    np.testing.assert_allclose(operator.standard_error, dense.standard_error, rtol=1e-9)


@pytest.mark.parametrize("zero", [[1], [0, 2], [0, 1, 2]])
def test_zero_columns_of_operators(zero):
    """They get the coefficient 0, whatever holds A."""
    from scipy.sparse.linalg import aslinearoperator

    A, A1, b = normal(600, 3), normal(30, 3), normal(600, seed=3)
    A[:, zero] = A1[:, zero] = 0.0
    K = KroneckerProduct(A1, normal(20, 2, seed=1))
    for operand, matrix in ((aslinearoperator(A), A), (K, K.toarray())):
        for options in ({}, {"weights": np.linspace(0.5, 1.0, 600)}):
            options = {"sketch_size": 60, "sketch": "srht", "rng": 0, **options}
            result, expected = lstsq(operand, b, **options), lstsq(matrix, b, **options)
            assert result.rank == expected.rank
            np.testing.assert_allclose(result.x, expected.x, atol=1e-14)
            np.testing.assert_allclose(result.standard_error, expected.standard_error, atol=1e-14)


def test_a_sketch_of_all_rows_is_exact():
    A, b = normal(512, 4), normal(512, seed=1)
    result = lstsq(A, b, sketch_size=512, rng=0)
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, b)[0], atol=1e-13)
    assert not result.standard_error.any()
    assert result.residual_norm == pytest.approx(np.linalg.norm(b - A @ result.x))


def test_consistent_systems_have_errors_at_rounding_level():
    A = normal(900, 4)
    result = lstsq(A, A @ np.arange(4.0), sketch_size=80, rng=0)
    np.testing.assert_allclose(result.x, np.arange(4.0), atol=1e-13)
    assert result.standard_error.max() < 1e-13


# Laws --------------------------------------------------------------------------------------------


def errors_of(A, b, draws, **options):
    """Errors over standard errors (draws, d), and the results."""
    exact = np.linalg.lstsq(A, b)[0]
    results = [lstsq(A, b, rng=rng, **options) for rng in draws]
    return np.array([(r.x - exact) / r.standard_error for r in results]), results


@claim(
    null="a coefficient of a Gaussian sketch has Student's law with m - d degrees of freedom",
    test="Kolmogorov-Smirnov",
    replicates=1500,
    false_alarm=1e-7,
)
def test_gaussian_errors_are_student(trial):
    A, b = heavy_tailed(40, 3)
    z, _ = errors_of(A, b, trial.rngs(), sketch_size=9, sketch="gaussian")
    trial.assert_pvalue(kstest(z[:, 1], "t", args=(6,)).pvalue)


@pytest.mark.parametrize(("sketch", "n"), [("srht", 512), ("srht", 400), ("gaussian", 60)])
@claim(
    null="the estimate of the squared residual norm and the coefficients are unbiased",
    test="z-tests",
    replicates=600,
    false_alarm=1e-7,
)
def test_unbiased(trial, sketch, n):
    A, b = normal(n, 3), normal(n, seed=1)
    _, results = errors_of(A, b, trial.rngs(), sketch_size=30, sketch=sketch)
    exact = np.linalg.lstsq(A, b)[0]
    squares = [[r.residual_norm**2, *r.x] for r in results]
    trial.assert_mean(squares, [np.sum((b - A @ exact) ** 2), *exact])


@claim(
    null="a sketch of the augmented rows leaves ridge regression unbiased",
    test="z-tests",
    replicates=600,
    false_alarm=1e-7,
)
def test_ridge_is_unbiased(trial):
    A, b = normal(300, 3), normal(300, seed=1) + 1.0
    exact = np.linalg.lstsq(*augmented(A, b, None, 100.0))[0]
    draws = [lstsq(A, b, ridge=100.0, sketch_size=24, rng=rng).x for rng in trial.rngs()]
    trial.assert_mean(draws, exact)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("n", [2048, 1500])
@claim(
    null="90 and 95% intervals of the exact SRHT cover within 2 points",
    test="one-sided z-tests of the share of coefficients covered in each draw",
    replicates=250,
    false_alarm=1e-7,
)
def test_coverage(trial, matrix, fraction, n):
    A, b = MATRICES[matrix](n, 8)
    z, results = errors_of(A, b, trial.rngs(), sketch_size=int(fraction * n))
    df = results[0].degrees_of_freedom
    for level in (0.9, 0.95):
        covered = (np.abs(z) < t.ppf(0.5 + level / 2, df)).mean(axis=1)
        trial.assert_between(covered, level - 0.02, level + 0.02, share=0.5)


@claim(
    null="uncorrected intervals of the block SRHT cover wherever the residual lies",
    test="one-sided z-tests",
    replicates=250,
    false_alarm=1e-7,
)
@pytest.mark.parametrize("row", [600, 1900])
def test_coverage_of_block_srht(trial, row):
    A, b = np.eye(2048, 8), np.eye(2048)[row]
    z, results = errors_of(A, b, trial.rngs(), sketch_size=1024, sketch="block-srht")
    covered = (np.abs(z) < t.ppf(0.975, results[0].degrees_of_freedom)).mean(axis=1)
    trial.assert_between(covered, 0.93, 1.0)


@claim(
    null="at m = n/2 the finite-population factor halves the variance",
    test="z-test of the mean squared error over the Gaussian formula",
    replicates=300,
    false_alarm=1e-7,
)
def test_finite_population(trial):
    n, m, d = 1024, 512, 6
    A, b = heavy_tailed(n, d)
    exact = np.linalg.lstsq(A, b)[0]
    G = np.linalg.inv(A.T @ A).diagonal()
    gaussian = np.sum((b - A @ exact) ** 2) / (m - d - 1) * G
    draws = [
        np.mean((lstsq(A, b, sketch_size=m, rng=rng).x - exact) ** 2 / gaussian)
        for rng in trial.rngs()
    ]
    trial.assert_mean(draws, (n - m) / (n - d))


@claim(
    null="simultaneous intervals cover on aligned pairs of rows",
    test="one-sided z-test",
    replicates=250,
    false_alarm=1e-7,
)
def test_aligned_pairs(trial):
    A, b = aligned_pairs(4096, 20)
    z, results = errors_of(A, b, trial.rngs(), sketch_size=400)
    limit = t.ppf(1 - 0.025 / 20, results[0].degrees_of_freedom)
    trial.assert_between(np.abs(z).max(axis=1) < limit, 0.90, 1.0)


@claim(
    null="intervals hold for dense sketches on the collision attack, and break for sparse ones",
    test="one-sided z-tests of simultaneous coverage at nominal 95%",
    replicates=120,
    false_alarm=3e-7,
)
def test_the_claim_of_the_paper(trial):
    d = 16
    for sketch, m, n_heavy, low, high in (
        ("srht", 1024, 1, 0.90, 1.0),
        ("gaussian", 256, 1, 0.90, 1.0),
        ("sparse-sign", 1024, 1, 0.0, 0.80),
        ("count", 1024, 1024 // d, 0.0, 0.80),
    ):
        A, b = collision_attack(2048, d, n_heavy)
        inside = []
        for rng in trial.rngs():
            low_end, high_end = lstsq(
                A, b, sketch_size=m, sketch=sketch, rng=rng
            ).confidence_interval(simultaneous=True)
            inside.append(np.all((low_end <= 0) & (0 <= high_end)))
        trial.assert_between(inside, low, high, share=0.25)


@pytest.mark.parametrize("sketch", ["srht", "block-srht"])
@claim(
    null="with the rows of the rule the l_inf bound fails with probability at most delta",
    test="one-sided z-tests, with true and with estimated norms",
    replicates=300,
    false_alarm=1e-7,
)
def test_the_promise_of_eps(trial, sketch):
    d, delta = 8, 0.1
    A, b = coherent(4096, d)
    exact = np.linalg.lstsq(A, b)[0]
    norms = np.linalg.norm(b - A @ exact) * np.linalg.norm(np.linalg.pinv(A), 2)
    true, estimated = [], []
    for rng in trial.rngs():
        result = lstsq(A, b, eps=1.0, delta=delta, sketch=sketch, rng=rng)
        error = np.abs(result.x - exact).max()
        true.append(error <= norms / np.sqrt(d))
        estimated.append(error <= result.linf_bound)
    trial.assert_between(true, 1 - delta, 1.0, share=0.5)
    trial.assert_between(estimated, 1 - delta - 0.03, 1.0, share=0.5)


@claim(
    null="intervals of a rank-deficient problem cover the coefficients of minimum norm",
    test="one-sided z-tests",
    replicates=250,
    false_alarm=1e-7,
)
def test_coverage_without_full_rank(trial):
    B = normal(1024, 4)
    A, b = np.hstack([B, B[:, :2], np.zeros((1024, 1)), B[:, 2:3] + B[:, 3:]]), normal(1024, seed=1)
    used = np.arange(8) != 6
    exact = np.linalg.lstsq(A, b)[0]
    covered = []
    for rng in trial.rngs():
        result = lstsq(A, b, sketch_size=100, rng=rng)
        assert result.rank == 4
        assert result.degrees_of_freedom == 96
        z = np.abs(result.x - exact)[used] / result.standard_error[used]
        covered.append((z < t.ppf(0.975, 96)).mean())
        assert result.x[6] == result.standard_error[6] == 0.0
    trial.assert_between(covered, 0.93, 0.97)


def test_errors_of_tiny_coefficients_without_full_rank():
    """The shortest solution gives the smaller of two equal columns a coefficient below 1e-190."""
    B, b = normal(800, 4), normal(800, seed=1)
    for ratio in (1e-60, 1e-110, 1e-140):
        A = np.column_stack([B, B[:, 0] * ratio])
        result = lstsq(A, b, sketch_size=60, rng=0)
        assert result.rank == 4
        np.testing.assert_allclose(result.x[4] / ratio, result.x[0], rtol=1e-9)
        error = result.standard_error
        np.testing.assert_allclose(error[4] / ratio, error[0], rtol=1e-9)


# Options -----------------------------------------------------------------------------------------


def test_eps_that_needs_too_many_rows_is_solved_exactly():
    A, b = normal(3000, 10), normal(3000, seed=1)
    result = lstsq(A, b, eps=0.1, rng=0)
    assert result.method == "cholesky"
    assert result.sketch_size is None
    assert not result.standard_error.any()
    assert result.linf_bound == 0.0
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, b)[0], atol=1e-14)


@pytest.mark.parametrize("sketch", ["auto", "gaussian", "block-srht"])
def test_eps_takes_the_rows_of_the_rule(sketch):
    A, b = normal(6000, 4), normal(6000, seed=1)
    result = lstsq(A, b, eps=1.0, sketch=sketch, rng=0)
    assert result.sketch_size == sketch_size(4, eps=1.0, n=6000 if sketch == "auto" else None)
    norms = result.residual_norm * np.linalg.norm(np.linalg.pinv(A), 2)
    assert 0.6 < result.linf_bound / (norms / 2) < 1.6


def test_linf_bound_without_eps():
    A, b = normal(6000, 4), normal(6000, 2, seed=1)
    m = sketch_size(4, eps=0.7)
    asked = lstsq(A, b, eps=0.7, sketch="block-srht", rng=0)
    given = lstsq(A, b, sketch_size=m, sketch="block-srht", rng=0)
    np.testing.assert_allclose(given.linf_bound, asked.linf_bound, rtol=0.05)
    assert lstsq(A, b[:, 0], sketch_size=m, sketch="sparse-sign", rng=0).linf_bound == np.inf


def test_a_broken_promise_is_mended_once(monkeypatch):
    A, b = normal(6000, 4), normal(6000, seed=1)
    first = lstsq(A, b, eps=1.0, rng=0)
    assert first.n_passes == 1
    answers = iter([1.5, 1.0])
    monkeypatch.setattr(sketch_and_solve, "_promise_factor", lambda *_: next(answers))
    second = lstsq(A, b, eps=1.0, rng=0)
    assert second.n_passes == 2
    assert second.sketch_size > 2 * first.sketch_size
    assert second.converged
    monkeypatch.setattr(sketch_and_solve, "_promise_factor", lambda *_: 1.5)
    assert not lstsq(A, b, eps=1.0, rng=0).converged


def test_operators_of_the_caller():
    A, b = normal(900, 4), normal(900, seed=1)
    S = SRHT(80, 900, rng=0)
    same = lstsq(A, b, sketch=S, sketch_size=80)
    assert np.array_equal(same.x, lstsq(A, b, sketch=S, method="sketch-and-solve").x)
    unbounded = BlockSRHT(80, rng=0)
    assert lstsq(A, b, sketch=unbounded, sketch_size=80, ridge=1.0).sketch_size == 80
    assert lstsq(A, b, sketch=KroneckerSRHT(80, (30, 30), rng=0), sketch_size=80).rank == 4
    with pytest.raises(ValueError, match="sketch_size must be 80"):
        lstsq(A, b, sketch=S, sketch_size=81)
    with pytest.raises(ValueError, match="904 columns"):
        lstsq(A, b, sketch=S, sketch_size=80, ridge=1.0)
    part = SRHT(200, 3000, rng=0).columns(500, 2500)
    assert lstsq(normal(2000, 4), normal(2000, seed=1), sketch=part, eps=1.0).is_estimate
    with pytest.raises(ValueError, match=r"sketch must have at least \d+ rows for eps=0.9"):
        lstsq(normal(6000, 4), normal(6000), sketch=SRHT(20, 6000, rng=0), eps=0.9)


@pytest.mark.parametrize("options", [{}, {"method": "sketch-cholesky"}, {"method": "lsqr"}])
def test_sparse_signs_of_fewer_rows_than_their_usual_entries(options):
    A, b = normal(500, 3), normal(500, seed=1)
    result = lstsq(A, b, sketch="sparse-sign", sketch_size=5, rng=0, **options)
    assert result.rank == 3


def test_sketch_size_is_checked():
    A, b = normal(900, 4), normal(900, seed=1)
    for m in (1, 4):
        with pytest.raises(ValueError, match="sketch_size must be greater than the 4 columns"):
            lstsq(A, b, sketch_size=m)
    with pytest.raises(ValueError, match="at most 1024"):
        lstsq(A, b, sketch_size=1025)
    assert lstsq(A, b, sketch_size=1025, sketch="gaussian", rng=0).sketch_size == 1025
    assert lstsq(A, b, sketch_size=5, rng=0).degrees_of_freedom == 1


# The result --------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [1.0, 1e10])
@pytest.mark.parametrize("scale", [1.0, 1e-200])
def test_refine(condition, scale):
    A = normal(3000, 8) * np.geomspace(1, 1 / condition, 8) @ normal(8, 8, seed=1) * scale
    B = normal(3000, 2, seed=2)
    weights = np.random.default_rng(3).exponential(size=3000)
    first = lstsq(A, B, sketch_size=100, weights=weights, rng=0)
    refined = pickle.loads(pickle.dumps(first)).refine(A, B)
    direct = lstsq(A, B, weights=weights, rng=1)
    assert refined.sketch_size is None
    assert refined.backward_error <= 10 * 2.0**-53
    assert refined.n_passes > first.n_passes
    # Backward stable solutions of an ill-conditioned problem fit a little differently.
    rtol = 1e-12 if condition == 1 else 1e-7
    np.testing.assert_allclose(refined.residual_norm, direct.residual_norm, rtol=rtol)
    size = np.abs(direct.x).max()
    np.testing.assert_allclose(
        refined.x / size, direct.x / size, atol=1e-13 if condition == 1 else 1e-4
    )
    assert refined.refine(A, B) is refined
    with pytest.raises(ValueError, match=r"A must have shape \(3000, 8\) as before"):
        first.refine(A[:-1], B[:-1])


def test_refine_remembers_ridge_and_zero_columns():
    A, b = normal(3000, 8), normal(3000, seed=1)
    A[:, 3] = 0.0
    refined = lstsq(A, b, sketch_size=100, rng=0).refine(A, b)
    np.testing.assert_allclose(refined.x, np.linalg.lstsq(A, b)[0], atol=1e-14)
    ridge = lstsq(A, b, sketch_size=100, ridge=50.0, rng=0).refine(A, b)
    np.testing.assert_allclose(ridge.x, lstsq(A, b, ridge=50.0).x, atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"sketch_size": 60}, {"method": "cholesky"}])
def test_intervals_of_estimates_and_of_exact_solutions(options):
    A, b = normal(400, 3), normal(400, seed=1)
    result = lstsq(A, b, rng=0, **options)
    assert ("residual_norm_estimate=" in repr(result)) == bool("sketch_size" in options)
    assert pickle.loads(pickle.dumps(result)).backward_error == result.backward_error
    low, high = result.confidence_interval()
    assert np.array_equal(low, result.x) == ("sketch_size" not in options)
    assert np.all(low <= high)
    with pytest.raises(ValueError, match="level"):
        result.confidence_interval(1.0)
    with pytest.raises(TypeError, match="simultaneous"):
        result.confidence_interval(simultaneous=1)


def test_the_backward_error_of_lapack_lets_go_of_the_data():
    import weakref

    A, b = normal(400, 3), normal(400, seed=1)
    result = lstsq(A, b)
    alive = weakref.ref(A)
    del A
    assert result.backward_error < 1e-15
    assert alive() is None
    assert len(pickle.dumps(lstsq(normal(400, 3), b))) < 3000


def test_the_expected_backward_error_of_a_sketch():
    from tests.regression.least_squares_reference import backward_error

    A, b = normal(2000, 6), normal(2000, seed=1)
    results = [lstsq(A, b, sketch_size=100, rng=seed) for seed in range(20)]
    actual = np.mean([backward_error(A, b, r.x) for r in results])
    assert 0.3 < np.mean([r.backward_error for r in results]) / actual < 3.0


@pytest.mark.parametrize("k", [None, 2])
def test_plot(k):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    A, b = normal(500, 3), normal(500, *([] if k is None else [k]), seed=1)
    _, ax = plt.subplots()
    estimate = lstsq(A, b, sketch_size=50, rng=0)
    assert estimate.plot(ax) is ax
    points = np.concatenate([line.get_ydata() for line in ax.lines[:-1]])
    np.testing.assert_array_equal(points, estimate.x.T.ravel())
    assert len(ax.collections) == 2 * (k or 1)  # single and simultaneous intervals
    assert not lstsq(A, b).plot().collections
    plt.close("all")


@pytest.mark.parametrize("ridge", [0.0, 30.0])
@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1.0, 7.0, 1e10])
def test_linf_bound_does_not_depend_on_the_unit_of_the_weights(ridge, sketch, unit):
    A, b = normal(3000, 4, seed=5), normal(3000, seed=6)
    weights, ridge = unit * np.random.default_rng(7).random(3000), unit * ridge
    rows, rhs = augmented(A, b, weights, ridge)
    if ridge == 0.0:
        rows, rhs = rows[:3000], rhs[:3000]
    given = lstsq(A, b, weights=weights, ridge=ridge, sketch_size=300, sketch=sketch, rng=0)
    written = lstsq(rows, rhs, sketch_size=300, sketch=sketch, rng=0)
    assert given.linf_bound == pytest.approx(written.linf_bound, rel=1e-9)
    error = np.abs(given.x - lstsq(rows, rhs).x).max()
    assert error <= given.linf_bound < 50 * error

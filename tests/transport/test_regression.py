import numpy as np
import pytest

from randla.transport._controls.regression import fit


def data(L, k, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    C = rng.standard_normal((L, k)) * 10.0 ** rng.integers(-6, 7, k)
    f = 3.0 + (C / np.abs(C).max(0)) @ rng.standard_normal(k) + noise * rng.standard_normal(L)
    return f, C, np.abs(C).max(axis=0)


def least_squares(f, C):
    """(intercept, coefficients) by LAPACK, columns scaled."""
    scale = np.abs(C).max(axis=0)
    Z = np.column_stack([np.ones(len(f)), C / scale])
    beta = np.linalg.lstsq(Z, f, rcond=None)[0]
    return beta[0], beta[1:] / scale


@pytest.mark.parametrize(("L", "k"), [(20, 0), (20, 1), (60, 9), (200, 3)])
def test_equals_least_squares(L, k):
    f, C, sizes = data(L, k)
    intercept, coefficients = least_squares(f, C)
    result = fit(f, C, sizes)
    assert result.estimate == pytest.approx(intercept, rel=1e-12)
    np.testing.assert_allclose(result.coefficients, coefficients, rtol=1e-9)
    assert result.degrees_of_freedom == L - 1 - k


@pytest.mark.parametrize(("L", "k", "block"), [(20, 1, 1), (60, 9, 1), (60, 3, 5), (24, 4, 3)])
def test_leaving_blocks_out_equals_fitting_without_them(L, k, block):
    f, C, sizes = data(L, k)
    changes, left_out = [], []
    whole, _ = least_squares(f, C)
    for b in range(0, L, block):
        keep = np.r_[0:b, b + block : L]
        intercept, coefficients = least_squares(f[keep], C[keep])
        changes.append(whole - intercept)
        left_out.extend(f[b : b + block] - C[b : b + block] @ coefficients)
    M = L // block
    result = fit(f, C, sizes, block=block)
    shrunk = 1.0 if block == 1 else 1.0 - 0.5 * k / L
    assert result.standard_error == pytest.approx(
        np.sqrt(shrunk * (M - 1) / M * np.sum(np.square(changes))), rel=1e-9
    )
    assert result.degrees_of_freedom == (L - 1 - k if block == 1 else M - 1)
    crossed = fit(f, C, sizes, block=block, cross_fit=True)
    assert crossed.estimate == pytest.approx(np.mean(left_out), rel=1e-10)
    assert crossed.standard_error == result.standard_error


def effective(terms):
    squares = terms**2
    return 2.0 * len(terms) * squares.mean() ** 2 / squares.var(ddof=1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("L", "block"), [(20, 1), (127, 1), (24, 3), (120, 15)])
def test_quadratic_on_few_directions(L, block, seed):
    """Cross-fitted, the larger of two errors, effective degrees of freedom; from definitions."""
    f, C, sizes = data(L, 3, seed, noise=0.0)
    f += np.random.default_rng([seed, 1]).standard_t(2, L)
    whole, _ = least_squares(f, C)
    changes, crossed, M = [], [], L // block
    for b in range(0, L, block):
        keep = np.r_[0:b, b + block : L]
        intercept, coefficients = least_squares(f[keep], C[keep])
        changes.append(whole - intercept)
        crossed.append(np.mean(f[b : b + block] - C[b : b + block] @ coefficients))
    changes, crossed = np.array(changes), np.array(crossed)
    result = fit(f, C, sizes, block=block, family="quadratic")
    assert result.estimate == pytest.approx(crossed.mean(), rel=1e-10)
    shrunk = 1.0 if block == 1 else 1.0 - 1.5 / L
    errors = np.sqrt(shrunk * (M - 1) / M * np.sum(changes**2)), crossed.std(ddof=1) / np.sqrt(M)
    assert result.standard_error == pytest.approx(max(errors), rel=1e-9)
    both = effective(changes), effective(crossed - crossed.mean())
    expected = min(L - 4 if block == 1 else M - 1, *both)
    assert result.degrees_of_freedom == pytest.approx(expected, rel=1e-9)
    asked = fit(f, C, sizes, block=block, family="quadratic", cross_fit=True)
    assert (asked.estimate, asked.standard_error) == (result.estimate, result.standard_error)
    plain = fit(f, C, sizes, block=block, family="quadratic", cross_fit=False)
    assert plain.estimate == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("family", ["quadratic", "bures", "quartic", "full", "harmonics", "custom"])
def test_the_rule_for_few_directions_goes_by_family(family):
    for L in (30, 128):
        f, C, sizes = data(L, 4, noise=0.0)
        f += np.random.default_rng(1).standard_t(2, L)
        reference, result = fit(f, C, sizes), fit(f, C, sizes, family=family)
        corrected = L < 128 and family == "quadratic"
        assert (result.estimate == reference.estimate) == (not corrected)
        assert corrected or result.standard_error == reference.standard_error
        fewer = L < 128 and family in ("quadratic", "bures")
        assert (result.degrees_of_freedom < reference.degrees_of_freedom) == fewer


@pytest.mark.parametrize("block", [1, 4])
def test_without_controls_the_error_is_the_textbooks(block):
    f, C, sizes = data(40, 0)
    result = fit(f, C, sizes, block=block)
    means = f.reshape(-1, block).mean(axis=1)
    assert result.estimate == pytest.approx(f.mean())
    assert result.standard_error == pytest.approx(means.std(ddof=1) / np.sqrt(len(means)))


def test_the_papers_coefficient_is_least_squares_shrunk():
    f, C, sizes = data(30, 1)
    c = C[:, 0]
    paper, ols = fit(f, C, sizes, family="lower"), fit(f, C, sizes)
    shrunk = ols.coefficients * c.var() / (c.var() + c.mean() ** 2)
    np.testing.assert_allclose(paper.coefficients, shrunk, rtol=1e-12)
    assert paper.estimate == pytest.approx(f.mean() - shrunk[0] * c.mean(), rel=1e-12)


@pytest.mark.parametrize("block", [1, 5])
def test_the_papers_coefficient_crossed(block):
    f, C, sizes = data(30, 1)
    c, left_out = C[:, 0], []
    for b in range(0, 30, block):
        keep = np.r_[0:b, b + block : 30]
        g = c[keep]
        gamma = np.mean((f[keep] - f[keep].mean()) * g) / np.mean(g * g)
        left_out.extend(f[b : b + block] - gamma * c[b : b + block])
    crossed = fit(f, C, sizes, block=block, family="lower", cross_fit=True)
    assert crossed.estimate == pytest.approx(np.mean(left_out), rel=1e-12)


def test_collinear_and_constant_controls_are_dropped():
    f, C, sizes = data(60, 3, noise=0.1)
    reference = fit(f, C, sizes)
    constant = np.full(60, 1e-17) * np.arange(60)
    wide = np.column_stack([C, C[:, 0] - 2 * C[:, 1], constant, np.zeros(60)])
    result = fit(f, wide, np.append(sizes, [sizes[0], 1.0, 0.0]))
    assert result.estimate == pytest.approx(reference.estimate, rel=1e-9)
    assert result.standard_error == pytest.approx(reference.standard_error, rel=1e-9)
    assert result.degrees_of_freedom == reference.degrees_of_freedom
    assert result.coefficients[4] == result.coefficients[5] == 0.0


def test_a_combination_of_the_controls_has_no_error():
    _, C, sizes = data(60, 4)
    f = 2.0 + (C / sizes) @ [1.0, -2.0, 3.0, 0.5]
    for block in (1, 6):
        result = fit(f, C, sizes, block=block)
        assert result.estimate == pytest.approx(2.0, rel=1e-12)
        assert result.standard_error < 1e-13


def test_a_direction_that_carries_a_coefficient_alone():
    f, _, _ = data(20, 0)
    C = np.eye(20)[:, :1]
    assert fit(f, C, np.ones(1)) is None
    assert fit(f, np.repeat(np.eye(4)[:, :1], 5, axis=0), np.ones(1), block=5) is None


def test_a_control_is_dropped_where_the_error_of_its_mean_outweighs_its_gain():
    f, C, sizes = data(60, 3, noise=0.1)
    without = fit(f, C[:, :2], sizes[:2])
    whole = fit(f, C, sizes)
    for known, dropped in ((1e-3, False), (1.0, False), (1e3, True)):
        errors = np.array([0.0, 0.0, known * whole.standard_error / abs(whole.coefficients[2])])
        result = fit(f, C, sizes, errors)
        if dropped:
            expected, error = without, without.standard_error
            assert result.coefficients[2] == 0.0
        else:
            expected, error = whole, whole.standard_error * np.hypot(1.0, known)
            assert result.coefficients[2] == whole.coefficients[2]
        assert result.estimate == pytest.approx(expected.estimate, rel=1e-12)
        assert result.standard_error == pytest.approx(error, rel=1e-9)

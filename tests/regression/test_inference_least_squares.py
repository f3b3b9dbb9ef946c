"""Errors of independent rows: statsmodels' digits, twins that form every matrix, identities."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from randla import lstsq
from randla.regression._errors import independent_rows, satterthwaite
from randla.regression._errors.options import InferenceWarning
from tests.data import deficient, normal

HC = ("HC0", "HC1", "HC2", "HC3")
KINDS = ("iid", *HC, "robust")


def skewed(n=80, d=4, *, seed=0):
    """A skewed column that carries the variance, and a constant."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d))
    A[:, 0], A[:, 1] = 1.0, rng.exponential(size=n)
    return A, A.sum(axis=1) + (0.3 + A[:, 1]) * rng.standard_normal(n)


def inference(A, b, kind="robust", weights=None, **options):
    return lstsq(A, b, weights=weights).inference(A, b, kind=kind, weights=weights, **options)


def assert_same(left, right, rtol=1e-9, which=slice(None)):
    """Two inferences have the same errors and degrees of freedom."""
    for name in ("standard_error", "degrees_of_freedom", "t"):
        first, second = (np.asarray(getattr(x, name)) for x in (left, right))
        np.testing.assert_allclose(first[which], second, rtol=rtol)


# Digits of statsmodels ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_statsmodels(kind, weighted):
    import statsmodels.api as sm

    A, b = skewed(150)
    weights = np.exp(normal(150, seed=1)) if weighted else None
    model = sm.OLS(b, A) if weights is None else sm.WLS(b, A, weights=weights)
    peer = model.fit()
    if kind != "iid":
        peer = peer.get_robustcov_results("HC3" if kind == "robust" else kind, use_t=True)
    found = inference(A, b, kind, weights)
    np.testing.assert_allclose(found.standard_error, peer.bse, rtol=1e-10)
    np.testing.assert_allclose(found.t, peer.tvalues, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, peer.cov_params(), rtol=1e-8, atol=1e-14)
    if kind != "robust":
        np.testing.assert_allclose(found.p, peer.pvalues, rtol=1e-8)
        np.testing.assert_allclose(np.transpose(found.confidence_interval()), peer.conf_int())


ENGEL = {
    "HC0": (46.44883449, 0.05177241),
    "HC1": (46.64775974, 0.05199414),
    "HC2": (52.66244496, 0.05849045),
    "HC3": (59.95527421, 0.06638955),
}


@pytest.mark.parametrize("kind", HC)
def test_engel(kind):
    from statsmodels.datasets import engel

    data = engel.load_pandas().data.to_numpy()
    A = np.column_stack([np.ones(len(data)), data[:, 0]])
    found = inference(A, data[:, 1], kind)
    np.testing.assert_allclose(found.standard_error, ENGEL[kind], rtol=1e-7)


# Twins -------------------------------------------------------------------------------------------


def twin(A, b, counts=None):
    """Covariance of HC3 and degrees of freedom, with matrices of n rows and columns."""
    if counts is not None:
        A, b = np.repeat(A, counts, axis=0), np.repeat(b, counts)
    G = np.linalg.inv(A.T @ A)
    M = np.eye(len(A)) - A @ G @ A.T  # of the residuals
    left = np.diag(M)
    C = G @ A.T / np.sqrt(left)  # HC2 of coefficient j is sum_i (C_ji r_i)^2
    r = M @ b / left
    df = []
    for row in C:  # of a quadratic form in normal errors, with the matrix M diag(row^2) M
        moments = M * (row**2) @ M
        df.append(np.trace(moments) ** 2 / np.trace(moments @ moments))
    return (G @ A.T * r**2) @ A @ G, np.array(df)


@pytest.mark.parametrize("shape", [(9, 2), (30, 3), (60, 25), (300, 4)])
@pytest.mark.parametrize("weights_are", [None, "analytic", "frequency"])
def test_robust_equals_the_twin(shape, weights_are, monkeypatch):
    monkeypatch.setattr(satterthwaite, "_MANY", np.inf)  # no bounds
    A, b = skewed(*shape)
    rng = np.random.default_rng(1)
    if weights_are is None:
        found = inference(A, b)
        covariance, df = twin(A, b)
    elif weights_are == "analytic":
        w = rng.exponential(size=len(A))
        found = inference(A, b, weights=w)
        covariance, df = twin(A * np.sqrt(w)[:, None], b * np.sqrt(w))
    else:
        w = rng.integers(0, 4, len(A))
        w[: shape[1] + 2] += 1
        found = inference(A, b, weights=w, weights_are="frequency")
        covariance, df = twin(A, b, w)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.degrees_of_freedom, df, rtol=1e-8)


@pytest.mark.parametrize("kind", ["HC0", "HC2", "robust"])
@pytest.mark.parametrize("weights_are", [None, "analytic", "frequency"])
def test_rows_of_few_and_of_many_columns(kind, weights_are, monkeypatch):
    A, b = skewed(300, 5)  # more than one block of the compiled loop
    A[7, 2] = 1e3  # of a leverage near one
    w = None if weights_are is None else np.arange(300) % 4.0
    options = {} if w is None else {"weights": w, "weights_are": weights_are}
    B = np.column_stack([b, b**2, A[:, 1]])
    fit = lstsq(A, B, weights=w)
    few = fit.inference(A, B, kind=kind, **options)
    monkeypatch.setattr(independent_rows, "_FEW", 0)
    wide = fit.inference(A, B, kind=kind, **options)
    np.testing.assert_allclose(few.covariance, wide.covariance, rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(few.degrees_of_freedom, wide.degrees_of_freedom, rtol=1e-9)


@pytest.mark.parametrize("shape", [(30, 3), (60, 25)])
@pytest.mark.parametrize("far", [60.0, 1e3])
def test_degrees_of_freedom_with_leverages_near_one(shape, far, monkeypatch):
    monkeypatch.setattr(satterthwaite, "_MANY", np.inf)  # no bounds
    A, b = skewed(*shape)
    A[4, 2], A[9, 2] = 5 * far, 1.0
    A[9, 1] = -20 * far
    assert (np.einsum("ij,ji->i", A, np.linalg.pinv(A)) > 0.999).sum() == 2
    found, (covariance, df) = inference(A, b), twin(A, b)
    rtol = 1e-9 if far < 1e3 else 1e-6
    np.testing.assert_allclose(found.standard_error, np.sqrt(np.diag(covariance)), rtol=rtol)
    np.testing.assert_allclose(found.degrees_of_freedom, df, rtol=1e-5)


@pytest.mark.parametrize("far", [1.0, 1e2, 1e4])
def test_one_row_too_many_leaves_one_degree_of_freedom(far):
    """As the residuals are all multiples of one vector, also for two rows of leverage near one."""
    A, b = skewed(5, 4)
    A[1, 2], A[3, 3] = far, -far
    np.testing.assert_allclose(inference(A, b).degrees_of_freedom, 1.0, rtol=1e-7)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_traces_by_rows_and_by_pairs_of_rows_agree(chunk, monkeypatch):
    A, b = skewed(60, 25)
    by_pairs = inference(A, b)
    monkeypatch.setattr(satterthwaite, "_MAX_SUMS", chunk)  # a coefficient at a time
    monkeypatch.setattr(satterthwaite, "_few_rows", lambda *_: False)
    assert_same(inference(A, b), by_pairs)


def test_many_degrees_of_freedom_are_bounded_from_below():
    A, b = skewed(1000)
    df, exact = inference(A, b).degrees_of_freedom, twin(A, b)[1]
    assert (df <= exact * (1 + 1e-9)).all()
    assert (df[exact > 110] >= 100.0).all()
    np.testing.assert_allclose(df, exact, rtol=0.05)


def test_covariance_between_right_hand_sides():
    A, b = skewed()
    B = np.column_stack([b, normal(80, seed=2), 3 * b])
    found = inference(A, B, "HC3")
    G = np.linalg.inv(A.T @ A)
    H = A @ G
    R = (B - H @ (A.T @ B)) / (1 - np.einsum("ij,ij->i", H, A))[:, None]
    scores = np.einsum("ic,ij->icj", R, H).reshape(80, -1)  # coefficients fastest
    np.testing.assert_allclose(found.covariance, scores.T @ scores, rtol=1e-8, atol=1e-12)
    assert found.standard_error.shape == found.p.shape == (4, 3)
    for c in range(3):
        alone = inference(A, B[:, c], "HC3")
        np.testing.assert_allclose(found.standard_error[:, c], alone.standard_error, rtol=1e-10)
    R = B - A @ found.estimate
    expected = np.kron(R.T @ R / 76, G)
    iid = inference(A, B, "iid")
    np.testing.assert_allclose(iid.covariance, expected, rtol=1e-8, atol=1e-12)
    blind = lstsq(A, B).inference(kind="iid")  # has no inner products of residuals
    np.testing.assert_allclose(blind.standard_error, iid.standard_error, rtol=1e-10)
    assert np.isnan(blind.covariance[:4, 4:]).all()


# Identities --------------------------------------------------------------------------------------


@pytest.mark.parametrize("far", [1.0, 10.0, 1e3, 5e4])
def test_hc3_is_the_jackknife(far):
    """Also where a row has a leverage of almost one: 1 - h loses no digits."""
    A, b = skewed(25, 3)
    A[4, 2] = far * 5
    b[4] += A[4, 2]
    x = lstsq(A, b).x
    changes = [lstsq(np.delete(A, i, 0), np.delete(b, i)).x - x for i in range(25)]
    expected = np.transpose(changes) @ changes
    np.testing.assert_allclose(inference(A, b, "HC3").covariance, expected, rtol=1e-7)


def test_columns_of_disjoint_rows():
    """The inverse of the triangular factor has zeros between entries that are none."""
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((60, 4)), rng.standard_normal(60)
    A[:30, 1], A[30:, [0, 2, 3]] = 0.0, 0.0
    A[:, 2] += A[:, 0]
    inverse = np.linalg.inv(A.T @ A)
    residual = b - A @ (inverse @ A.T @ b)
    left = 1.0 - np.einsum("ij,jk,ik->i", A, inverse, A)
    rows = (residual / left)[:, None] * A
    expected = inverse @ rows.T @ rows @ inverse
    for order in ([0, 1, 2, 3], [0, 1, 3, 2], [3, 2, 1, 0], [1, 0, 2, 3]):
        found = inference(A[:, order], b, "HC3").covariance
        np.testing.assert_allclose(found, expected[np.ix_(order, order)], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_frequency_weights_are_repeated_rows(kind):
    A, b = skewed()
    w = np.random.default_rng(1).integers(0, 4, 80)
    found = inference(A, b, kind, w * 1.0, weights_are="frequency")
    repeated = inference(np.repeat(A, w, axis=0), np.repeat(b, w), kind)
    assert_same(found, repeated)
    assert found.n_rows == repeated.n_rows == w.sum()
    # A row of a single copy stands alone as it would.
    dummy = np.column_stack([A, np.arange(80) == 5])
    w[5] = 1
    with (
        pytest.warns(InferenceWarning, match="'x4'") if kind != "iid" else warnings.catch_warnings()
    ):
        found = inference(dummy, b, kind, w, weights_are="frequency")
    keep = np.arange(80) != 5
    others = inference(A[keep], b[keep], kind, w[keep], weights_are="frequency")
    assert_same(found, others, which=slice(4))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_weight_zero_are_not_there(kind):
    A, b = skewed()
    w = np.random.default_rng(1).exponential(size=80) * (np.arange(80) % 4 > 0)
    live = w > 0
    found = inference(A, b, kind, w)
    assert_same(found, inference(A[live], b[live], kind, w[live]))
    assert found.n_rows == live.sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(KINDS))
def test_errors_move_with_the_columns(seed, kind):
    """A -> A T, b -> s b + A c: the covariance is s^2 T^-1 V T^-T; and any scale of rows, too."""
    rng = np.random.default_rng(seed)
    A, b = skewed(30, 3, seed=seed)
    T, c, s = rng.standard_normal((3, 3)) + 2 * np.eye(3), rng.standard_normal(3), rng.uniform(1, 9)
    before, after = inference(A, b, kind), inference(A @ T, s * b + A @ c, kind)
    expected = s * s * np.linalg.solve(T, np.linalg.solve(T, before.covariance).T)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(after.covariance / scale, expected / scale, rtol=0, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(KINDS), st.booleans())
def test_any_scale(seed, kind, weighted):
    rng = np.random.default_rng(seed)
    A, b = skewed(30, 3, seed=seed)
    w = rng.exponential(size=30) if weighted else None
    columns = 2.0 ** rng.integers(-490, 490, 3)
    rhs, unit = 2.0 ** rng.integers(-500, 500), 2.0 ** rng.integers(-300, 300)
    plain = inference(A, b, kind, w)
    scaled = inference(A * columns, b * rhs, kind, None if w is None else w * unit)
    back = columns / rhs
    np.testing.assert_allclose(scaled.standard_error * back, plain.standard_error, rtol=1e-9)
    np.testing.assert_allclose(scaled.degrees_of_freedom, plain.degrees_of_freedom, rtol=1e-9)
    np.testing.assert_allclose(scaled.t, plain.t, rtol=1e-8)


@pytest.mark.parametrize("powers", [(0, 0, 0), (490, -490, 0), (-300, 20, 400)])
def test_the_bootstrap_at_any_scale(powers):
    A, b = skewed(60, 3)
    columns, options = np.ldexp(1.0, powers), {"n_replicates": 20, "rng": 1}
    plain = inference(A, b, "bootstrap", **options)
    for rhs in 2.0 ** np.array([0, 400, -520]):
        scaled = inference(A * columns, b * rhs, "bootstrap", **options)
        back = columns / rhs
        np.testing.assert_allclose(scaled.standard_error * back, plain.standard_error, rtol=1e-9)
        np.testing.assert_allclose(scaled.replicates * back, plain.replicates, rtol=1e-9)


# Coefficients without an error -------------------------------------------------------------------


@pytest.mark.parametrize("kind", HC + ("robust",))
@pytest.mark.parametrize("weighted", [False, True])
def test_a_row_of_leverage_one(kind, weighted):
    """The others have the errors of the fit without the row and its column."""
    A, b = skewed()
    w = np.random.default_rng(1).exponential(size=80) if weighted else None
    dummies = np.column_stack([A[:, :2], np.arange(80) == 7, A[:, 2:], np.arange(80) == 30])
    with pytest.warns(InferenceWarning, match="for 'x2', 'x5': it depends on one row"):
        found = inference(dummies, b, kind, w)
    keep = np.delete(np.arange(80), [7, 30])
    others = inference(A[keep], b[keep], kind, None if w is None else w[keep])
    assert_same(found, others, which=[0, 1, 3, 4])
    assert np.isnan(found.standard_error[[2, 5]]).all()
    assert np.isfinite(found.estimate).all()
    assert np.isnan(found.covariance[2]).all()
    assert np.isnan(found.covariance[:, 5]).all()


def test_a_row_of_leverage_one_has_an_error_of_one_variance():
    A, b = skewed()
    A = np.column_stack([A, np.arange(80) == 7])
    G = np.linalg.inv(A.T @ A)
    found = inference(A, b, "iid")
    r = b - A @ found.estimate
    np.testing.assert_allclose(found.standard_error, np.sqrt(r @ r / 75 * np.diag(G)), rtol=1e-9)


def test_a_row_of_leverage_one_in_a_mixed_basis():
    """No column is a dummy, but a sum of two is: both hang on the row."""
    A, b = skewed()
    dummy = 1.0 * (np.arange(80) == 7)
    mixed = np.column_stack([A[:, 0], A[:, 1] + 3 * dummy, A[:, 1] - 2 * dummy, A[:, 2]])
    with pytest.warns(InferenceWarning, match="for 'x1', 'x2'"):
        found = inference(mixed, b)
    keep = np.arange(80) != 7
    others = inference(A[keep, :3], b[keep])
    np.testing.assert_allclose(found.standard_error[[0, 3]], others.standard_error[[0, 2]])
    np.testing.assert_allclose(found.degrees_of_freedom[[0, 3]], others.degrees_of_freedom[[0, 2]])
    assert np.isnan(found.p[1:3]).all()
    assert np.isfinite(found.p[[0, 3]]).all()


@pytest.mark.parametrize(
    "kind", ["duplicates", "sums", "product", "zeros", "one-hot", "centered one-hot", "scaled"]
)
@pytest.mark.parametrize("errors", ["iid", "HC3", "robust"])
def test_dependent_columns(kind, errors):
    """Coefficients in the row space have their errors, the others have none."""
    A, rank = deficient(kind, 120)
    b = normal(120, seed=1) + A @ np.ones(A.shape[1])
    norms = np.linalg.norm(A, axis=0)
    Q = np.linalg.svd(A / np.where(norms > 0, norms, 1.0))[2][:rank]  # a basis of the row space
    inside = np.linalg.norm(np.eye(A.shape[1]) - Q.T @ Q, axis=1) < 1e-9
    missing = [f"'x{j}'" for j in np.flatnonzero(~inside)]
    with pytest.warns(InferenceWarning) as caught:
        found = inference(A, b, errors)
    assert all(name in str(caught[0].message) for name in missing[:8])
    np.testing.assert_array_equal(np.isnan(found.standard_error), ~inside)
    if inside.any():
        chosen = list(np.flatnonzero(inside))  # and as many others as span the same columns
        for j in np.flatnonzero(~inside):
            if np.linalg.matrix_rank((A / np.where(norms > 0, norms, 1))[:, [*chosen, j]]) > len(
                chosen
            ):
                chosen.append(j)
        full = inference(A[:, chosen], b, errors)
        assert_same(found, _Some(full, inside.sum()), rtol=1e-7, which=inside)


class _Some:
    """The first coefficients of an inference."""

    def __init__(self, inference, n):
        for name in ("standard_error", "degrees_of_freedom", "t"):
            setattr(self, name, getattr(inference, name)[:n])


# Fits without residuals --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_a_perfect_fit(kind, scale):
    A, _ = skewed()
    b = scale * (A @ np.array([1.0, 2.0, -3.0, 0.5]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inference(A, b, kind)
        low, high = found.confidence_interval()
    assert (found.standard_error == 0.0).all()
    assert (found.covariance == 0.0).all()
    assert np.isinf(found.t).all()
    assert (found.p == 0.0).all()
    np.testing.assert_array_equal(low, high)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_response(kind):
    """The slopes are rounding errors, which have no p-value."""
    A, _ = skewed()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inference(A, np.full(80, 0.7), kind)
    assert (found.standard_error == 0.0).all()
    assert found.p[0] == 0.0
    assert not (found.p[1:] < 0.5).any()


def test_a_perfect_fit_beside_another():
    A, b = skewed()
    B = np.column_stack([b, A @ np.ones(4), np.zeros(80)])
    found = inference(A, B, "HC3")
    np.testing.assert_allclose(found.standard_error[:, 0], inference(A, b, "HC3").standard_error)
    assert (found.standard_error[:, 1:] == 0.0).all()
    assert (found.covariance[:4, 4:] == 0.0).all()


def test_small_residuals_are_residuals():
    A, b = skewed()
    noise = b - A @ lstsq(A, b).x
    found = inference(A, A @ np.ones(4) + 1e-9 * noise)
    expected = 1e-9 * inference(A, b).standard_error
    np.testing.assert_allclose(found.standard_error, expected, rtol=1e-4)


# Bad input ---------------------------------------------------------------------------------------


def test_refusals():
    A, b = skewed()
    fit = lstsq(A, b)
    for kind in (None, *HC, "robust", "bootstrap"):
        with pytest.raises(ValueError, match=r"A and b .* must be given again for kind="):
            fit.inference(kind=kind)
    for pair in ((A, None), (None, b)):
        with pytest.raises(ValueError, match="A and b must be given together"):
            fit.inference(*pair)
    with pytest.raises(ValueError, match="weights must be left out"):
        fit.inference(kind="iid", weights=np.ones(80))
    for weights in (np.arange(80) + 0.5, np.append(0.0, np.ones(79))):
        with pytest.raises(ValueError, match="weights must be left out, or all equal, as the fit"):
            fit.inference(A, b, weights=weights)
    weighted = lstsq(A, b, weights=np.arange(80) + 0.5)
    with pytest.raises(ValueError, match="weights must be given as in the fit"):
        weighted.inference(A, b)
    with pytest.raises(ValueError, match="weights must be whole numbers"):
        weighted.inference(A, b, weights=np.arange(80) + 0.5, weights_are="frequency")
    with pytest.raises(ValueError, match=r"A must have 4 columns as in the fit"):
        fit.inference(A[:, :3], b)
    with pytest.raises(ValueError, match=r"A must have shape \(80, 4\) as in the fit"):
        fit.inference(A[:79], b[:79])
    with pytest.raises(ValueError, match="A must be finite"):
        fit.inference(np.where(A > 1.9, np.nan, A), b)
    with pytest.raises(ValueError, match="b must be finite"):
        fit.inference(A, np.where(b > 1.9, np.inf, b))
    with pytest.raises(ValueError, match="ridge must be 0"):
        lstsq(A, b, ridge=1.0).inference(kind="iid")
    with pytest.raises(ValueError, match="kind must be one of"):
        fit.inference(A, b, kind="nid")


@pytest.mark.parametrize("kind", ["iid", "robust"])
def test_no_degrees_of_freedom(kind):
    with pytest.raises(ValueError, match=r"more rows \(with weight\) than its rank 4, got 4"):
        inference(normal(4, 4), normal(4, seed=1), kind)
    with pytest.raises(ValueError, match="A must have more rows than columns"):
        inference(normal(2, 4), normal(2, seed=1), kind)
    with pytest.raises(ValueError, match=r"more rows \(with weight\) than its rank 1, got 1"):
        inference(np.ones((1, 1)), np.ones(1), kind)
    A, b = normal(9, 4), normal(9, seed=1)
    with pytest.raises(ValueError, match="than its rank 4, got 4"):
        inference(A, b, kind, 1.0 * (np.arange(9) < 4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_matrix_of_zeros_determines_nothing(kind):
    A, b = np.zeros((9, 2)), normal(9)
    with pytest.warns(InferenceWarning, match="for 'x0', 'x1': the column depends on others"):
        found = inference(A, b, kind)
    assert np.isnan(found.standard_error).all()
    assert (found.estimate == 0.0).all()


def test_copies_of_few_rows_have_no_error():
    """Three copies of two rows fit a line: there are degrees of freedom, and no residuals."""
    A, b = normal(2, 2), normal(2, seed=1)
    found = inference(A, b, "iid", [2, 1], weights_are="frequency")
    assert (found.standard_error == 0.0).all()
    assert (found.degrees_of_freedom == 1).all()


def test_a_column_of_zeros_at_any_scale():
    A, b = skewed()
    A = np.column_stack([np.zeros(80), A, 2 * A[:, 2:3]])
    for scale in 2.0 ** np.array([0, 350, -350]):
        with pytest.warns(InferenceWarning, match="'x0', 'x3', 'x5'"):
            found = inference(A, b * scale)
        whole = inference(A[:, [1, 2, 4, 3]], b * scale)
        assert_same(found, _Some(whole, 3), which=[1, 2, 4])


def test_an_unknown_rank_is_refused():
    A = sparse.eye_array(3000, 2000).tocsr()
    fit = lstsq(aslinearoperator(A), normal(3000))
    assert fit.rank is None
    with pytest.raises(ValueError, match="the fit must know the rank of A"):
        fit.inference(kind="iid")


@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_far_from_the_origin(offset):
    """Slopes do not feel an offset of their column, but for the digits it takes."""
    A, b = skewed(200)
    A[:, 1] = np.round(A[:, 1] * 2**10) / 2**10
    before = inference(A, b)
    A[:, 1] += offset
    after = inference(A, b)
    np.testing.assert_allclose(
        after.standard_error[1:], before.standard_error[1:], rtol=1e-15 * offset
    )

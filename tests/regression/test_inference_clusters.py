"""Errors of groups of rows: twins that form every matrix, refits, labels of all kinds, Dask."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from randla import lp_regression, lstsq
from randla.regression._errors import clusters
from randla.regression._errors.clusters import factor_of_groups, group_sums
from randla.regression._errors.data import FittedData
from randla.regression._errors.groups import as_groups
from randla.regression._errors.options import InferenceWarning

KINDS = ("CR1", "CR2", "CR3", "cluster")


def panel(n=60, d=3, n_groups=7, *, seed=0):
    """Rows in groups of uneven size and in no order, one skewed column, one of dummies."""
    rng = np.random.default_rng(seed)
    groups = np.minimum(rng.exponential(n_groups / 3, n).astype(int), n_groups - 1)
    groups[:n_groups] = np.arange(n_groups)
    A = rng.standard_normal((n, d))
    A[:, 0], A[:, 1] = 1.0, np.exp(A[:, 1])
    if d > 3:
        A[:, 3] = groups % 3 == 0
    b = A.sum(axis=1) + rng.standard_normal(n_groups)[groups] + rng.standard_normal(n)
    return A, b, rng.permutation(n_groups)[groups] * 10 - 3


def inference(A, b, groups, kind="cluster", weights=None, **options):
    return lstsq(A, b, weights=weights).inference(
        A, b, kind=kind, groups=groups, weights=weights, **options
    )


# Twins -------------------------------------------------------------------------------------------


def inverse_root(S):
    """The symmetric inverse square root of a matrix, on its range."""
    values, vectors = np.linalg.eigh(S)
    return (vectors / np.sqrt(np.where(values > 1e-10, values, np.inf))) @ vectors.T


def delete_group(A, b, groups, g):
    """How the coefficients change when a group is left out; minimum norm where it is missed."""
    return (
        np.linalg.lstsq(A[groups != g], b[groups != g], rcond=1e-12)[0]
        - np.linalg.lstsq(A, b, rcond=1e-12)[0]
    )


def twin(A, b, groups, kind, weights=None):
    """Covariance and degrees of freedom, with matrices of n rows and columns."""
    root = np.ones(len(b)) if weights is None else np.sqrt(weights)
    A, b = A * root[:, None], b * root
    (n, d), labels = A.shape, np.unique(groups)
    G = np.linalg.inv(A.T @ A)
    H = A @ G @ A.T
    residual = b - H @ b
    adjusted = np.zeros((len(labels), d, n))  # the a_g of all coefficients
    changes = np.zeros((len(labels), d))
    for k, g in enumerate(labels):
        rows = np.flatnonzero(groups == g)
        root_g = inverse_root(np.eye(len(rows)) - H[np.ix_(rows, rows)])
        adjusted[k][:, rows] = (root_g @ A[rows] @ G).T
        if kind == "CR1":
            changes[k] = G @ A[rows].T @ residual[rows]
        elif kind == "CR2":
            changes[k] = adjusted[k] @ residual
        else:
            changes[k] = delete_group(A, b, groups, g)
    m = len(labels)
    factor = {"CR1": m / (m - 1) * (n - 1) / (n - d), "CR2": 1.0}.get(kind, (m - 1) / m)
    df = np.full(d, m - 1.0)
    if kind != "CR1":
        for j in range(d):  # of the quadratic form of the residuals
            N = adjusted[:, j] @ (np.eye(n) - H) @ adjusted[:, j].T
            df[j] = np.trace(N) ** 2 / np.trace(N @ N)
    return factor * changes.T @ changes, df


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(60, 3, 7), (200, 5, 25), (40, 3, 2), (300, 2, 290), (500, 10, 4)]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_its_definition(kind, shape, weighted):
    A, b, groups = panel(*shape)
    weights = np.random.default_rng(1).exponential(size=len(b)) if weighted else None
    result = inference(A, b, groups, kind, weights)
    covariance, df = twin(A, b, groups, kind, weights)
    np.testing.assert_allclose(
        result.covariance, covariance, rtol=1e-8, atol=1e-10 * covariance.max()
    )
    np.testing.assert_allclose(result.degrees_of_freedom, df, rtol=1e-8)
    np.testing.assert_allclose(result.standard_error, np.sqrt(np.diag(covariance)), rtol=1e-9)
    assert result.n_groups == shape[2]


@pytest.mark.parametrize("share", [1e-1, 1e-3])
def test_groups_of_a_leverage_near_one(share):
    A, b, groups = nearly_carried(share)
    for kind in ("CR2", "CR3"):
        result = inference(A, b, groups, kind)
        covariance, df = twin(A, b, groups, kind)
        np.testing.assert_allclose(result.covariance, covariance, rtol=1e-4 * 1e-3 / share)
        np.testing.assert_allclose(result.degrees_of_freedom, df, rtol=1e-4 * 1e-3 / share)


def nearly_carried(share):
    """One group has a column nearly for itself."""
    A, b, groups = panel(60, 3, 7)
    A[:, 2] = (groups == groups[3]) + share * np.random.default_rng(2).standard_normal(60)
    return A, b, groups


def test_degrees_of_freedom_converge_with_the_share_of_a_group():
    """Where one eigenvalue is 1 - 1e-9, sums over pairs with the terms g = h have no digits."""
    near, nearer = (inference(*nearly_carried(share), "CR2") for share in (1e-3, 2e-5))
    np.testing.assert_allclose(nearer.degrees_of_freedom, near.degrees_of_freedom, rtol=1e-3)
    with pytest.warns(InferenceWarning, match="x2.*one group"):
        last = inference(*nearly_carried(1e-6), "CR2")
    assert np.isnan(last.degrees_of_freedom).tolist() == [False, False, True]
    np.testing.assert_allclose(last.standard_error[:2], nearer.standard_error[:2], rtol=1e-2)


@pytest.mark.parametrize(
    "form", [np.asfortranarray, lambda A: np.repeat(A, 2, axis=1)[:, ::2], sparse.csr_array]
)
def test_forms_of_a_matrix(form):
    A, b, groups = panel(3000, 4, 40)
    A[A < 0.0] = 0.0
    expected, found = inference(A, b, groups), inference(form(A), b, groups)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9)
    np.testing.assert_allclose(found.degrees_of_freedom, expected.degrees_of_freedom, rtol=1e-9)


def test_single_precision_is_read_as_it_is():
    A, b, groups = panel(400, 4, 20)
    A = A.astype(np.float32)
    expected, found = inference(A.astype(float), b, groups), inference(A, b, groups)
    np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-9)


def test_series_and_eigenvalues_agree(monkeypatch):
    A, b, groups = panel(4000, 4, 200)
    result = inference(A, b, groups, "CR2")
    monkeypatch.setattr(clusters, "_SMALL", 0.0)
    other = inference(A, b, groups, "CR2")
    np.testing.assert_allclose(result.covariance, other.covariance, rtol=1e-12)
    np.testing.assert_allclose(result.degrees_of_freedom, other.degrees_of_freedom, rtol=1e-12)


@pytest.mark.parametrize("entries", [1, 4, 16])
def test_coefficients_and_groups_a_few_at_a_time(monkeypatch, entries):
    A, b, groups = panel(400, 5, 60)
    result = inference(A, b, groups)
    monkeypatch.setattr(clusters, "_ENTRIES", entries)
    other = inference(A, b, groups)
    np.testing.assert_allclose(result.covariance, other.covariance, rtol=1e-12)
    np.testing.assert_allclose(result.degrees_of_freedom, other.degrees_of_freedom, rtol=1e-8)


def test_columns_of_zeros():
    A, b, groups = panel()
    with pytest.warns(InferenceWarning, match="x0"):
        result = inference(0.0 * A, b, groups)
    assert np.isnan(result.standard_error).all()


def test_several_right_hand_sides_together():
    A, b, groups = panel()
    B = np.column_stack([b, b**2, -b])
    result = inference(A, B, groups)
    assert result.covariance.shape == (9, 9)
    for j in range(3):
        alone = inference(A, B[:, j], groups)
        block = result.covariance[3 * j : 3 * j + 3, 3 * j : 3 * j + 3]
        np.testing.assert_allclose(block, alone.covariance, rtol=1e-10)
        np.testing.assert_allclose(result.degrees_of_freedom[:, j], alone.degrees_of_freedom)
    changes = np.array([delete_group(A, B, groups, g) for g in np.unique(groups)])  # (7, 3, 3)
    flat = np.swapaxes(changes, 1, 2).reshape(7, 9)
    np.testing.assert_allclose(result.covariance, 6 / 7 * flat.T @ flat, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("q", [1, 2])
def test_weights_of_each_column(q):
    """As for quantiles: a weighting, with densities, and scores for each of them."""
    A, b, groups = panel(80, 3, 9)
    rng = np.random.default_rng(3)
    V, Z = rng.exponential(size=(80, q)), rng.standard_normal((80, 2))
    data = FittedData.open(A, b, groups=groups)
    Z -= A @ np.linalg.lstsq(A, Z, rcond=None)[0]  # A'Z = 0, as for a dual vector
    X = A * data.scale
    sums = group_sums(data, np.eye(3), V, Z)
    F, df, reasons = factor_of_groups(sums, "cluster", n_rows=80)
    assert not reasons
    changes = np.empty((9, 2, 3))
    for j in range(2):
        D = X.T @ (V[:, [j % q]] * X)
        for k, g in enumerate(np.unique(groups)):
            rows = groups == g
            D_g = X[rows].T @ (V[rows][:, [j % q]] * X[rows])
            changes[k, j] = np.linalg.solve(D - D_g, X[rows].T @ Z[rows, j])
        root = np.sqrt(V[:, j % q])
        _, expected = twin(X, b, groups, "cluster", root**2)
        np.testing.assert_allclose(df[:, j], expected, rtol=1e-9)
    flat = changes.reshape(9, 6)
    np.testing.assert_allclose(F @ F.T, 8 / 9 * flat.T @ flat, rtol=1e-9, atol=1e-14)


# Identities and other packages -------------------------------------------------------------------


def test_groups_of_one_row():
    A, b, _ = panel(50, 3)
    rows = np.arange(50)
    fit = lstsq(A, b)
    for kind, other, factor in (("CR3", "HC3", 49 / 50), ("CR2", "HC2", 1.0), ("CR1", "HC1", 1.0)):
        covariance = fit.inference(A, b, kind=kind, groups=rows).covariance
        of_rows = fit.inference(A, b, kind=other).covariance
        if kind == "CR1":  # n/(n - 1) (n - 1)/(n - d) is n/(n - d)
            assert factor == 1.0
        np.testing.assert_allclose(covariance, factor * of_rows, rtol=1e-10)
    df = fit.inference(A, b, kind="CR2", groups=rows).degrees_of_freedom
    np.testing.assert_allclose(df, fit.inference(A, b).degrees_of_freedom, rtol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_cr1_has_the_digits_of_statsmodels(weighted):
    sm = pytest.importorskip("statsmodels.api")
    A, b, groups = panel(200, 5, 25)
    weights = np.random.default_rng(1).exponential(size=200) if weighted else np.ones(200)
    theirs = sm.WLS(b, A, weights=weights).fit(
        cov_type="cluster", cov_kwds={"groups": groups - groups.min()}, use_t=True
    )
    ours = inference(A, b, groups, "CR1", weights)
    np.testing.assert_allclose(ours.standard_error, theirs.bse, rtol=1e-11)
    np.testing.assert_allclose(ours.p, theirs.pvalues, rtol=1e-8)
    low, high = ours.confidence_interval()
    np.testing.assert_allclose(np.column_stack([low, high]), theirs.conf_int(), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_frequency_weights_are_repeated_rows(kind):
    A, b, groups = panel()
    counts = np.random.default_rng(4).integers(0, 4, 60)
    counts[groups == groups[5]] = 0  # a whole group
    ours = inference(A, b, groups, kind, counts, weights_are="frequency")
    rows = np.repeat(np.arange(60), counts)
    repeated = inference(A[rows], b[rows], groups[rows], kind)
    np.testing.assert_allclose(ours.covariance, repeated.covariance, rtol=1e-10)
    np.testing.assert_allclose(ours.degrees_of_freedom, repeated.degrees_of_freedom, rtol=1e-10)
    assert (ours.n_rows, ours.n_groups) == (repeated.n_rows, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_weight_zero_are_not_there(kind):
    A, b, groups = panel()
    weights = np.random.default_rng(4).exponential(size=60)
    weights[groups == groups[5]] = 0.0
    ours, live = inference(A, b, groups, kind, weights), weights > 0.0
    without = inference(A[live], b[live], groups[live], kind, weights[live])
    np.testing.assert_allclose(ours.covariance, without.covariance, rtol=1e-10)
    assert (ours.n_rows, ours.n_groups) == (live.sum(), 6)


@pytest.mark.parametrize("kind", KINDS)
def test_scales_of_columns_weights_and_b(kind):
    A, b, groups = panel(60, 3, 7)
    weights = np.random.default_rng(4).exponential(size=60)
    plain = inference(A, b, groups, kind, weights)
    scale = 2.0 ** np.array([-300, 0, 300])
    for unit, of_b in ((1.0, 1.0), (2.0**600, 2.0**-200), (2.0**-600, 2.0**200)):
        other = inference(A * scale, of_b * b, groups, kind, unit * weights)
        np.testing.assert_allclose(
            other.standard_error * scale, of_b * plain.standard_error, rtol=1e-9
        )
        np.testing.assert_allclose(other.degrees_of_freedom, plain.degrees_of_freedom, rtol=1e-9)


def test_columns_that_are_nearly_dependent():
    A, b, groups = panel(80, 4, 9)
    mixed = A.copy()
    mixed[:, 2] = A[:, 1] + 1e-6 * A[:, 2]
    change = np.eye(4)  # A = mixed @ change
    change[1, 2], change[2, 2] = -1e6, 1e6
    plain, ours = inference(A, b, groups), inference(mixed, b, groups)
    expected = change @ plain.covariance @ change.T
    np.testing.assert_allclose(ours.covariance, expected, rtol=1e-7)


# What one group carries --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_with_a_column_of_its_own(kind):
    A, b, groups = panel(60, 4, 7)
    A[:, 3] = np.random.default_rng(5).standard_normal(60) * (groups == groups[4])
    fit = lstsq(A, b)
    with pytest.warns(InferenceWarning, match="x3.*one group"):
        result = fit.inference(A, b, kind=kind, groups=groups)
    assert np.isnan(result.standard_error[3])
    assert np.isnan(result.degrees_of_freedom[3])
    assert np.isnan(result.covariance[3]).all()
    assert np.isnan(result.covariance[:, 3]).all()
    assert np.isfinite(result.covariance[:3, :3]).all()
    if kind in ("CR3", "cluster"):
        changes = np.array([delete_group(A, b, groups, g)[:3] for g in np.unique(groups)])
        np.testing.assert_allclose(
            result.covariance[:3, :3], 6 / 7 * changes.T @ changes, rtol=1e-8
        )


def test_a_dummy_for_each_group():
    """Fixed effects: only the other coefficients have errors."""
    A, b, groups = panel(70, 3, 7)
    X = np.column_stack([A[:, 1:], groups[:, None] == np.unique(groups)])
    with pytest.warns(InferenceWarning, match="x2"):
        result = inference(X, b, groups)
    changes = np.array([delete_group(X, b, groups, g)[:2] for g in np.unique(groups)])
    np.testing.assert_allclose(result.covariance[:2, :2], 6 / 7 * changes.T @ changes, rtol=1e-8)
    assert np.isnan(result.standard_error[2:]).all()
    assert (result.degrees_of_freedom[:2] < 6).all()


def test_a_dependent_column():
    A, b, groups = panel(60, 3, 7)
    with pytest.warns(InferenceWarning, match="x2"):
        result = inference(np.column_stack([A, 2 * A[:, 2]]), b, groups)
    alone = inference(A, b, groups)
    np.testing.assert_allclose(result.standard_error[:2], alone.standard_error[:2], rtol=1e-9)
    np.testing.assert_allclose(result.degrees_of_freedom[:2], alone.degrees_of_freedom[:2])
    assert np.isnan(result.standard_error[2:]).all()
    rows = np.column_stack([A, 2 * A[:, 2]])[:5]  # whose fitted values are determined
    np.testing.assert_allclose(
        result.predict(rows).standard_error, alone.predict(A[:5]).standard_error, rtol=1e-8
    )


def test_a_perfect_fit():
    A, _b, groups = panel()
    result = inference(A, A @ [1.0, 2.0, 3.0], groups)
    assert (result.standard_error <= 1e-14).all()
    assert np.isfinite(result.degrees_of_freedom).all()


# Labels ------------------------------------------------------------------------------------------

TEXT = ["b", "a", "a", "c", "b", "b"]
NUMBERS = [3, 1, 1, 7, 3, 3]


def labels_of_all_kinds():
    pd = pytest.importorskip("pandas")
    dates = ["2020-01-01", "2021-01-01", "2021-01-01", "2022-01-01", "2020-01-01", "2020-01-01"]
    yield from (TEXT, tuple(TEXT), np.array(TEXT), np.array(TEXT, object), NUMBERS)
    yield from (np.array(NUMBERS, float), np.array(NUMBERS) * 10**17, np.array(dates, "M8[D]"))
    yield np.array(NUMBERS, np.uint64) + np.uint64(2**63)
    yield np.array([-128, 127, 127, 0, -128, -128], np.int8)
    yield [1, "1", "1", 2.5, 1, 1]
    yield [(1, 2), (1,), (1,), (3,), (1, 2), (1, 2)]
    for kind in (object, "string", "category"):
        yield pd.Series(TEXT, dtype=kind)
    yield pd.Categorical(TEXT, categories=["z", "c", "b", "a", "y"])  # levels that nobody has
    yield from (pd.Index(TEXT), pd.Series(NUMBERS, dtype="Int64"), pd.Series(pd.to_datetime(dates)))


def labels_of_other_tables():
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    yield from (pl.Series(TEXT), pl.Series(TEXT, dtype=pl.Categorical), pl.Series(NUMBERS))
    yield from (pa.array(TEXT), pa.chunked_array([TEXT[:2], TEXT[2:]]), pa.array(NUMBERS))
    yield pa.array(TEXT).dictionary_encode()


def as_matrix(kind):
    if kind == "memory":
        return np.ones((6, 2))
    return pytest.importorskip("dask.array").ones((6, 2), chunks=(2, 2))


@pytest.mark.parametrize("kind", ["memory", "dask"])
@pytest.mark.parametrize("labels", [labels_of_all_kinds, labels_of_other_tables])
def test_labels_of_any_kind(kind, labels):
    data = FittedData.open(as_matrix(kind), np.arange(6.0))
    for given in labels():
        found = as_groups(data.tall, given, None)
        codes = np.asarray(found.codes)
        assert found.n_groups == 3
        assert ((codes[:, None] == codes) == np.equal.outer(NUMBERS, NUMBERS)).all()


@pytest.mark.parametrize("values", [TEXT, NUMBERS, np.array(TEXT, object)], ids=str)
def test_labels_in_dask(values):
    da = pytest.importorskip("dask.array")
    given = da.from_array(np.asarray(values), chunks=4)
    for kind in ("memory", "dask"):
        tall = FittedData.open(as_matrix(kind), np.arange(6.0)).tall
        found = as_groups(tall, given, None)
        codes = np.asarray(found.codes)
        assert found.n_groups == 3
        assert ((codes[:, None] == codes) == np.equal.outer(NUMBERS, NUMBERS)).all()


def test_truth_values_are_labels():
    A, b, groups = panel()
    result = inference(A, b, groups > groups[0])
    assert result.n_groups == 2


@pytest.mark.parametrize("kind", ["memory", "dask"])
@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([1.0, np.nan, 2.0, 3.0, 4.0, 5.0], ValueError, "no missing labels, got 1"),
        (["a", None, "b", "b", None, "a"], ValueError, "no missing labels, got 2"),
        (np.array(["NaT"] + ["2020-01-01"] * 5, "M8[D]"), ValueError, "no missing labels, got 1"),
        (np.ma.masked_array(NUMBERS, [1, 0, 0, 0, 0, 0]), ValueError, "no missing labels, got 1"),
        ([1] * 6, ValueError, "at least two different labels"),
        ([1, 2], ValueError, r"groups must have shape \(6,\), got shape \(2,\)"),
        (np.ones((6, 1)), ValueError, r"groups must have shape \(6,\), got shape \(6, 1\)"),
        ("abcdef", TypeError, "groups must be a sequence of 6 labels, one for a row, got str"),
        ({1, 2}, TypeError, "groups must be a sequence of 6 labels, one for a row, got set"),
        ((i for i in range(6)), TypeError, "groups must be a sequence of 6 labels.*got generator"),
        ([[1], "a", "b", "b", "a", "a"], TypeError, "groups must hold labels.*got a list"),
    ],
)
def test_labels_that_are_none(kind, labels, error, message):
    tall = FittedData.open(as_matrix(kind), np.arange(6.0)).tall
    with pytest.raises(error, match=message):
        as_groups(tall, labels, None)


def test_missing_labels_of_tables():
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    tall = FittedData.open(np.ones((4, 1)), np.arange(4.0)).tall
    words = ["a", None, "b", "b"]
    for given in (
        pd.Series(words), pd.Categorical(words), pd.Series([1, None, 2, 2], dtype="Int64"),
        np.array([1, pd.NA, 2, 2], object), pl.Series(words), pl.Series([1, None, 2, 2]),
        pa.array(words), pa.array([1, None, 2, 2]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="groups must have no missing labels, got 1"):
            as_groups(tall, given, None)


def test_the_only_other_group_has_no_weight():
    A, b, groups = panel(60, 3, 2)
    weights = (groups == groups[0]).astype(float)
    with pytest.raises(ValueError, match="at least two different labels"):
        inference(A, b, groups, weights=weights)


# Dask --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [60, 7, (1, 30, 29)])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_groups_that_straddle_chunks(rows, text, weighted):
    da = pytest.importorskip("dask.array")
    A, b, groups = panel(60, 4, 7)
    groups = np.array([f"group {g}" for g in groups]) if text else groups
    weights = np.random.default_rng(6).exponential(size=60) if weighted else None
    if weighted:
        weights[groups == groups[3]] = 0.0
    lazy_A = da.from_array(A, chunks=(rows, 4))
    lazy_b, lazy_groups = da.from_array(b, chunks=(rows,)), da.from_array(groups, chunks=(25,))
    lazy_weights = None if weights is None else da.from_array(weights, chunks=(rows,))
    for kind in ("CR1", "cluster"):
        expected = inference(A, b, groups, kind, weights)
        for labels in (lazy_groups, groups):
            result = inference(lazy_A, lazy_b, labels, kind, lazy_weights)
            np.testing.assert_allclose(result.covariance, expected.covariance, rtol=1e-10)
            np.testing.assert_allclose(
                result.degrees_of_freedom, expected.degrees_of_freedom, rtol=1e-10
            )
            assert result.n_groups == expected.n_groups


def test_no_warnings_of_numpy():
    A, b, groups = panel(300, 5, 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in KINDS:
            inference(A, np.column_stack([b, np.ones(300)]), groups, kind)


@pytest.mark.filterwarnings("ignore:no standard error for 'x0'")
@pytest.mark.parametrize("kind", ["robust", "cluster", "CR1", "bootstrap"])
@pytest.mark.parametrize(("fit", "options"), [(lstsq, {}), (lp_regression, {"tau": [0.5, 0.25]})])
def test_fitted_values_of_dependent_columns_have_errors(fit, options, kind):
    """The dummy trap: a column that others replace moves in no resample and in no group."""
    rng = np.random.default_rng(4)
    x, groups = rng.standard_normal(200), np.arange(200) // 10
    A = np.column_stack([np.ones(200), np.eye(4)[np.arange(200) % 4], x])
    few, b = np.delete(A, 4, axis=1), x + rng.standard_normal(200)
    rest = {"kind": kind, "groups": None if kind == "robust" else groups}
    rest |= {"rng": 0} if kind == "bootstrap" else {}
    all_columns, independent = (fit(M, b, **options).inference(M, b, **rest) for M in (A, few))
    expected = independent.predict(few).standard_error
    np.testing.assert_allclose(all_columns.predict(A).standard_error, expected, rtol=1e-6)
    first = np.zeros((6, np.size(options.get("tau", 0))))
    first[1, 0], first[2, 0] = 1.0, -1.0
    test, same = (
        t.wald(f.reshape(t.estimate.shape))
        for t, f in ((all_columns, first), (independent, np.delete(first, 4, axis=0)))
    )
    np.testing.assert_allclose(test.statistic, same.statistic, rtol=1e-6)
    assert np.isnan(all_columns.standard_error[:5]).all()

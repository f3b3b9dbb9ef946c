"""`inference` where the arguments, the data or the fit are not what one would wish."""

import warnings

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from randla.regression import lp_regression, lstsq
from randla.regression._errors.options import InferenceWarning


@pytest.fixture
def data():
    rng = np.random.default_rng(18)
    A = np.column_stack([np.ones(200), rng.standard_normal((200, 3))])
    return A, A @ [1.0, 2.0, 3.0, 4.0] + rng.standard_normal(200)


def test_warnings_are_at_the_line_of_the_caller(data):
    A, b = data
    fit = lp_regression(A, b, tau=0.99)
    with pytest.warns(InferenceWarning) as found:
        fit.inference(A, b)
    assert {w.filename for w in found} == {__file__}


def test_few_rows_are_as_few_on_both_sides(data):
    A, b = data  # 200 (1 - 0.9) rounds to a little less than 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tau in (0.1, 0.9):
            assert lp_regression(A, b, tau=tau).inference(A, b)._notes == ()


QUANTILES = [({"tau": tau}, kind) for tau in (0.5, [0.1, 0.9]) for kind in ("iid", "cluster")]
ROBUST = [({name: value}, "robust") for name, value in (("tau", 0.9), ("p", 1.5), ("p", 2))]


@pytest.mark.parametrize(("options", "kind"), [*QUANTILES, *ROBUST])
def test_a_coefficient_that_is_rounding_has_no_p_value(data, options, kind):
    A, _ = data
    groups = {"groups": np.arange(200) // 10} if kind == "cluster" else {}
    b = np.full(200, 3.3)  # the slopes are zero, but for rounding errors
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is wrong with a fit without errors
        result = lp_regression(A, b, **options).inference(A, b, kind=kind, **groups)
    assert (result.standard_error == 0.0).all()
    assert (result.p[0] == 0.0).all()
    slopes, p = result.estimate[1:], result.p[1:]
    assert (np.isnan(p) | ((slopes == 0.0) & (p == 1.0))).all()
    assert result._notes == () or kind == "cluster" or "p" in options
    assert ("zero up to rounding" in result.summary()) == np.isnan(p).any()


@pytest.mark.filterwarnings("ignore:only", "ignore:lp_regression stopped")
@pytest.mark.parametrize("size", [1e30, 1e100])
@pytest.mark.parametrize("kind", ["iid", "robust", "nid", "cluster"])
def test_weights_next_to_which_others_are_rounding(data, size, kind):
    A, b = data
    w = np.ones(200)
    w[0] = size
    groups = {"groups": np.arange(200) // 10} if kind == "cluster" else {}
    fit = lp_regression(A, b, tau=0.5, weights=w)
    with pytest.raises(ValueError, match="weights must differ by less"):
        fit.inference(A, b, kind=kind, weights=w, **groups)
    w[0] = 1.0
    w[1:50] = 1.0 / size  # as good as zero
    fit = lp_regression(A, b, tau=0.5, weights=w)
    result = fit.inference(A, b, kind=kind, weights=w, **groups)
    assert np.isfinite(result.standard_error).all()


@pytest.mark.parametrize("sketch_size", [None, 100])
def test_least_squares_with_another_number_of_right_hand_sides(data, sketch_size):
    A, b = data
    for fitted, given, expected in (
        (
            b,
            np.column_stack([b, b]),
            r"\(200,\) or \(200, 1\), as in the fit, got shape \(200, 2\)",
        ),
        (np.column_stack([b, b]), b, r"\(200, 2\), as in the fit, got shape \(200,\)"),
    ):
        fit = lstsq(A, fitted, sketch_size=sketch_size, rng=0)
        for kind in ("iid", "HC3", "CR1"):
            groups = {"groups": np.arange(200) // 10} if kind == "CR1" else {}
            with pytest.raises(ValueError, match=f"b must have shape {expected}"):
                fit.inference(A, given, kind=kind, **groups)


@pytest.mark.parametrize("options", [{"tau": 0.5}, {"tau": [0.2, 0.7]}, {"p": 2}])
def test_a_fit_in_memory_and_its_rows_in_dask(data, options):
    da = pytest.importorskip("dask.array")
    A, b = data
    fit = lp_regression(A, b, **options)
    lazy = fit.inference(da.from_array(A, chunks=(70, 2)), da.from_array(b, chunks=30))
    np.testing.assert_allclose(lazy.standard_error, fit.inference(A, b).standard_error, rtol=1e-9)


def test_axes_of_a_picture(data):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    A, b = data
    result = lstsq(A, b).inference(A, b)
    for ax, got in ((3, "int"), (pyplot.subplots(1, 2)[1], "ndarray")):
        with pytest.raises(TypeError, match=f"ax must be matplotlib Axes, got {got}"):
            result.plot(ax)
    quantiles = lp_regression(A, b, tau=[0.2, 0.5]).inference(A, b)
    with pytest.raises(TypeError, match="ax must be matplotlib Axes, got int"):
        quantiles.plot([1, 2, 3, 4])
    pyplot.close("all")


def test_names_that_break_lines(data):
    A, b = data
    names = ["one\nline", "tab\tand\r\nline", "  ", "last"]
    result = lstsq(A, b).inference(A, b, names=names)
    rows = result.summary().splitlines()[8:12]
    assert [row[:17].rstrip() for row in rows] == ["one line", "tab and line", "", "last"]


FITS = {
    "least squares": lstsq,
    "sketch": lambda A, b, **options: lstsq(A, b, sketch_size=15, rng=0, **options),
    "two right-hand sides": lambda A, b, **options: lstsq(A, np.c_[b, b**2], **options),
    "two quantiles": lambda A, b, **options: lp_regression(A, b, tau=[0.4, 0.6], **options),
    "quantile": lambda A, b, **options: lp_regression(A, b, tau=0.5, **options),
    "norm 1.2": lambda A, b, **options: lp_regression(A, b, 1.2, **options),
    "norm 2": lambda A, b, **options: lp_regression(A, b, 2, **options),
    "norm 3": lambda A, b, **options: lp_regression(A, b, 3, **options),
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("weights_are", [None, "analytic", "frequency"])
def test_bootstrap_of_a_column_of_one_group(data, fit, weights_are):
    # The replicates have no part of the error of that group, which all of them fit.
    A, b = data[0][:60, :3].copy(), data[1][:60]
    groups = np.arange(60) // 5
    alone = groups == 3
    A = np.column_stack([A, alone + A[:, 1]])
    options = {"kind": "bootstrap", "n_replicates": 10, "rng": 0, "groups": groups}
    weights = {} if weights_are is None else {"weights": 1.0 + np.arange(60) % 3 * (~alone)}
    asked = {} if weights_are is None else {"weights_are": weights_are}
    made = FITS[fit](A, b, **weights)
    B = np.c_[b, b**2] if fit == "two right-hand sides" else b
    with pytest.warns(InferenceWarning, match="no standard error for 'x1', 'x3': it depends"):
        result = made.inference(A, B, **options, **weights, **asked)
    missing = np.isnan(result.standard_error).T.reshape(-1, 4)
    assert (missing == [False, True, False, True]).all()


@pytest.mark.parametrize("kind", ["robust", "nid"])
def test_rows_that_both_planes_go_through_far_from_the_origin(kind):
    rng = np.random.default_rng(2)
    A = np.column_stack([np.ones(80), rng.standard_normal((80, 3))])
    A[:, 3] = rng.exponential(size=80)
    b = A @ [1.0, 2.0, 3.0, -1.0] + rng.standard_normal(80) * (0.3 + A[:, 3])
    near = lp_regression(A, b, tau=0.5).inference(A, b, kind=kind)
    far = lp_regression(A, b + 1e9, tau=0.5).inference(A, b + 1e9, kind=kind)
    np.testing.assert_allclose(far.standard_error, near.standard_error, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:only", "ignore:b equals")
@pytest.mark.parametrize("kind", ["powell", "iid"])
def test_widths_that_are_rounding_errors(kind):
    # Both quartiles are of rows on the plane; both quantiles are of equal values.
    if kind == "powell":
        rng = np.random.default_rng(3)
        A, b = rng.standard_normal((5, 4)), rng.standard_normal(5)
    else:
        rng = np.random.default_rng(35)
        A, b = rng.integers(-2, 3, (40, 2)) / 10, rng.integers(-3, 4, 40) / 10
    with pytest.warns(InferenceWarning, match="no standard error for 'x0', 'x1'.*too few rows"):
        result = lp_regression(A, b, tau=0.9).inference(A, b, kind=kind)
    assert np.isnan(result.standard_error).all()


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("origin", [None, 1e9])
def test_a_column_of_one_row_has_no_density(seed, origin):
    # All quantiles go through that row: differences between them are rounding errors.
    rng = np.random.default_rng(seed)
    A, b = np.column_stack([rng.standard_normal(90), np.arange(90) == 45]), np.full(90, 3.0)
    if origin is not None:
        A, b = np.column_stack([np.ones(90), A]), origin + rng.standard_normal(90)
    with pytest.warns(InferenceWarning, match=f"no standard error for 'x{A.shape[1] - 1}'"):
        result = lp_regression(A, b, tau=0.75).inference(A, b)
    assert np.isfinite(result.standard_error[:-1]).all()


@pytest.mark.parametrize("sketch", ["gaussian", "srht", "sparse-sign", "count"])
@pytest.mark.parametrize("kind", ["robust", "HC0", "CR1"])
def test_other_data_than_those_of_a_sketch(sketch, kind):
    rng = np.random.default_rng(6)
    A = np.column_stack([np.ones(2000), rng.standard_normal((2000, 3))])
    b = A @ [1.0, 2.0, 3.0, 4.0] + rng.standard_normal(2000)
    groups = {"groups": np.arange(2000) // 50} if kind == "CR1" else {}
    fit = lstsq(A, b, sketch_size=300, sketch=sketch, rng=0)
    assert (fit.inference(A, b, kind=kind, **groups).standard_error > 0.0).all()
    for other, rhs in ((A, b + 5.0 * A[:, 1]), (2.0 * A, b), (A, b[::-1])):
        with pytest.raises(ValueError, match="not those of the fit"):
            fit.inference(other, rhs, kind=kind, **groups)


def test_constant_columns_are_those_of_rows_with_weight(data):
    A, b = data[0].copy(), data[1]
    w = np.ones(200)
    w[3], A[3, 0] = 0.0, 5.0
    taus, live = [0.25, 0.5, 0.75], w > 0.0
    test = lp_regression(A, b, tau=taus, weights=w).inference(A, b, weights=w).equal_slopes()
    expected = lp_regression(A[live], b[live], tau=taus).inference(A[live], b[live]).equal_slopes()
    assert test.degrees_of_freedom == expected.degrees_of_freedom == (6, 195.0)
    np.testing.assert_allclose(test.statistic, expected.statistic, rtol=1e-9)


def test_a_coefficient_is_named_once_for_several_quantiles(data):
    A, b = np.column_stack([data[0], np.zeros(200)]), data[1]
    fit = lp_regression(A, b, tau=[0.25, 0.5, 0.75])
    with pytest.warns(InferenceWarning, match="no standard error for 'x4': the column"):
        fit.inference(A, b)


@pytest.mark.parametrize("p", [1.5, 2.5, 3])
def test_bootstrap_of_a_norm_where_a_row_is_fitted_exactly(data, p):
    A, b = np.column_stack([np.arange(200) != 7, np.arange(200) == 7]), data[1]
    fit = lp_regression(A, b, p)
    with pytest.warns(InferenceWarning, match="no standard error for 'x1'"):
        result = fit.inference(A, b, kind="bootstrap", n_replicates=20, rng=0)
    others = np.arange(200) != 7
    expected = lp_regression(A[others, :1], b[others], p).inference(A[others, :1], b[others])
    assert 0.3 < result.standard_error[0] / expected.standard_error[0] < 3.0


@pytest.mark.parametrize("kind", ["CR1", "cluster"])
def test_groups_in_which_the_signs_of_residuals_balance(kind):
    # Each group has as many rows above the median as below it: the scores of all groups are zero.
    A, b = np.ones((15, 1)), np.arange(15.0) ** 1.5
    groups = np.array([0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1])
    with pytest.warns(InferenceWarning, match="'x0': the scores of all groups are zero"):
        result = lp_regression(A, b, tau=0.5).inference(A, b, kind=kind, groups=groups)
    assert np.isnan(result.standard_error).all()
    assert np.isnan(result.p).all()


@pytest.mark.parametrize("fit", ["least squares", "two right-hand sides", "two quantiles"])
def test_a_table_and_its_fit_share_no_numbers(data, fit):
    A, b = data
    made = FITS[fit](A, b)
    x, given = made.x.copy(), np.c_[b, b**2] if fit == "two right-hand sides" else b
    result = made.inference(A, given)
    for name in ("estimate", "standard_error", "degrees_of_freedom", "t", "p"):
        getattr(result, name)[0] = 99.0
    np.testing.assert_array_equal(made.x, x)
    assert (made.inference(A, given).estimate == x).all()


@pytest.mark.filterwarnings("ignore:only")
@pytest.mark.parametrize("tau", [0.05, [0.05, 0.5]])
def test_replicates_of_the_bootstrap_that_are_all_equal(tau):
    b = np.random.default_rng(4).standard_normal(12) ** 3
    b[b.argmin()] -= 10.0  # no weights move the fit from the least b, or hardly any
    A = np.ones((12, 1))
    with pytest.warns(InferenceWarning, match="no standard error for 'x0': all replicates are"):
        result = lp_regression(A, b, tau=tau).inference(
            A, b, kind="bootstrap", n_replicates=3, rng=0
        )
    missing = np.isnan(result.standard_error).ravel()
    assert (missing == [True, False][: len(missing)]).all()
    assert (np.isnan(result.p).ravel() == missing).all()
    twice = np.ones((12, 2))
    with pytest.warns(InferenceWarning, match="'x0', 'x1': the column depends"):
        result = lp_regression(twice, b, tau=0.05).inference(
            twice, b, kind="bootstrap", n_replicates=3, rng=0
        )
    assert np.isnan(result.predict(twice).standard_error).all()
    perfect = lp_regression(A, A[:, 0], tau=0.05).inference(A, A[:, 0], kind="bootstrap", rng=0)
    assert (perfect.standard_error == 0.0).all()


@pytest.mark.parametrize("sketch_size", [None, 100])
@pytest.mark.parametrize("kind", ["iid", "robust", "CR1", "bootstrap"])
def test_equal_weights_of_an_unweighted_fit(data, kind, sketch_size):
    A, b = data
    if sketch_size is not None and kind == "bootstrap":
        pytest.skip("not after a sketch")
    options = {"groups": np.arange(200) // 10} if kind == "CR1" else {}
    options |= {"rng": 0, "n_replicates": 10} if kind == "bootstrap" else {}
    fit = lstsq(A, b, sketch_size=sketch_size, rng=0)
    expected = fit.inference(A, b, kind=kind, **options)
    for size, weights_are in ((1.0, "analytic"), (3.0, "analytic"), (1.0, "frequency")):
        result = fit.inference(
            A, b, kind=kind, weights=np.full(200, size), weights_are=weights_are, **options
        )
        assert result.n_rows == 200
        if (kind, weights_are) != ("bootstrap", "frequency"):  # which draws other numbers
            np.testing.assert_allclose(result.standard_error, expected.standard_error, rtol=1e-9)


def test_equal_slopes_of_equal_quantiles(data):
    A, b = data
    test = lp_regression(A, b, tau=[0.5, 0.5]).inference(A, b).equal_slopes()
    assert (test.statistic, test.p_value, test.degrees_of_freedom) == (0.0, 1.0, (0, 196.0))
    twice = lp_regression(A, b, tau=[0.7, 0.2, 0.7]).inference(A, b).equal_slopes()
    once = lp_regression(A, b, tau=[0.2, 0.7]).inference(A, b).equal_slopes()
    assert twice.degrees_of_freedom == once.degrees_of_freedom == (3, 196.0)
    np.testing.assert_allclose(twice.statistic, once.statistic, rtol=1e-9)


def test_groups_of_a_norm(data):
    A, b = data
    fit = lp_regression(A, b, 1.5)
    for kind in (None, "cluster", "CR1"):
        with pytest.raises(ValueError, match="groups must come with kind='bootstrap' for p > 1"):
            fit.inference(A, b, kind=kind, groups=np.arange(200) // 10)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**-500, 2.0**500, 2.0**900])
def test_rank_inversion_in_any_unit_of_all_columns(data, scale):
    A, b = data[0][:40], data[1][:40]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows
        plain = lp_regression(A, b, tau=0.4).inference(A, b, kind="rank")
        scaled = lp_regression(scale * A, b, tau=0.4).inference(scale * A, b, kind="rank")
    for ours, expected in zip(
        scaled.confidence_interval(), plain.confidence_interval(), strict=True
    ):
        np.testing.assert_allclose(ours * scale, expected, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:only", "ignore:no standard error")
@pytest.mark.parametrize("decades", [15, 20])
@pytest.mark.parametrize(
    ("fit", "kind"),
    [
        ("quantile", "iid"), ("quantile", "robust"), ("norm 1.5", "robust"), ("norm 2", "robust"),
        ("least squares", "iid"), ("least squares", "HC0"),
    ],
)  # fmt: skip
def test_light_rows_beside_the_rounding_errors_of_a_heavy_one(fit, kind, decades):
    rng = np.random.default_rng(1)
    A = np.column_stack([np.ones(40), rng.standard_normal(40)])
    b, w = 1e9 + rng.standard_normal(40), np.append(10.0**decades, np.ones(39))
    fits = {**FITS, "norm 1.5": lambda A, b, **options: lp_regression(A, b, 1.5, **options)}
    result = fits[fit](A, b, weights=w).inference(A, b, weights=w, kind=kind)
    assert not (result.standard_error < 0.02).any()  # 0.2 for the slope, by the other 39 rows
    assert not result.p[1] < 1e-3
    perfect = A @ [1e9, 3.0]
    result = fits[fit](A, perfect, weights=w).inference(A, perfect, weights=w, kind=kind)
    assert not (result.standard_error > 1e-6).any()


@pytest.mark.parametrize("kind", ["iid", "robust", "CR1", "bootstrap"])
@pytest.mark.parametrize("size", [1.0, 1e-300, 1e300])
def test_weights_in_another_unit_than_in_the_fit(data, kind, size):
    A, b = data
    w = np.random.default_rng(5).exponential(size=200)
    w[7] = 0.0
    options = {"groups": np.arange(200) // 10} if kind == "CR1" else {}
    options |= {"rng": 0, "n_replicates": 10} if kind == "bootstrap" else {}
    fit = lstsq(A, b, weights=size * w)
    expected = fit.inference(A, b, kind=kind, weights=size * w, **options)
    for factor in (3.0, 1e-9):
        result = fit.inference(A, b, kind=kind, weights=factor * w, **options)
        np.testing.assert_allclose(result.standard_error, expected.standard_error, rtol=1e-9)
    for others in (w**2, w[::-1], w + 0.1 * (w > 0.0)):
        with pytest.raises(ValueError, match="not those of the fit"):
            fit.inference(A, b, kind=kind, weights=others, **options)
    whole = np.ceil(3.0 * w)
    fit = lstsq(A, b, weights=whole)
    with pytest.raises(ValueError, match="not those of the fit"):  # which count rows
        fit.inference(A, b, kind=kind, weights=2.0 * whole, weights_are="frequency", **options)


GROUPED = {"groups": np.arange(200) // 10}
FITTED = [
    (fit, options, {"kind": kind, **others})
    for fit, options, kinds, others in [
        (lstsq, {}, ["iid", "HC1", "robust", "bootstrap"], {}),
        (lstsq, {}, ["CR1", "CR3", "bootstrap"], GROUPED),
        (lstsq, {"sketch_size": 100, "sketch": "gaussian", "rng": 3}, ["iid", "HC3"], {}),
        (lp_regression, {"tau": 0.5}, ["robust", "iid", "nid", "powell", "bootstrap"], {}),
        (lp_regression, {"tau": [0.5, 0.7]}, ["cluster", "CR1"], GROUPED),
        (lp_regression, {"p": 1.7}, ["robust", "bootstrap"], {}),
    ]
    for kind in kinds
]


@pytest.mark.parametrize("offset", [1e4, 1e8])
@pytest.mark.parametrize(("fit", "options", "kind"), FITTED)
def test_errors_of_fitted_values_do_not_depend_on_the_origin_of_a_column(
    data, offset, fit, options, kind
):
    """Terms of x'Vx next to a column of a large mean cancel to all digits; those of x'F do not."""
    A, b = data
    far = A.copy()
    far[:, 1] += offset
    random = {"rng": 5, "n_replicates": 50} if kind["kind"] == "bootstrap" else {}
    near, table = (fit(X, b, **options).inference(X, b, **kind, **random) for X in (A, far))
    found, expected = table.predict(far).standard_error, near.predict(A).standard_error
    np.testing.assert_allclose(found, expected, rtol=1e-14 * offset + 1e-9)
    restrictions = np.eye(4)[2]  # and a fitted value, at the first quantile
    R = np.array([far[0], restrictions]), np.array([A[0], restrictions])
    R = [np.hstack([r, np.zeros((2, table.estimate.size - 4))]) for r in R]
    found, expected = table.wald(R[0]).statistic, near.wald(R[1]).statistic
    np.testing.assert_allclose(found, expected, rtol=1e-13 * offset + 1e-8)


def test_restrictions_of_no_variance(data):
    """Both right-hand sides are equal, and so are their coefficients."""
    A, b = data
    B, R = np.column_stack([b, b]), [0, 1, 0, 0, 0, -1, 0, 0]
    assert lstsq(A, B).inference(A, B).wald(R).p_value > 0.999
    table = lstsq(A, B).inference(A, B, groups=np.arange(200) // 10)
    with pytest.warns(InferenceWarning, match="zero up to rounding"):
        assert np.isnan(table.wald(R).statistic)


@pytest.mark.parametrize("kind", ["iid", "HC1", "robust"])
@pytest.mark.parametrize("gap", [1e-5, 1e-7, 1e-9, 1e-12])
def test_right_hand_sides_that_are_nearly_equal(data, kind, gap):
    """Sums of squares lose the variance of their difference, but no test is too significant."""
    A, b = data
    e = A @ [0.1, 0.2, 0.3, 0.4] + np.random.default_rng(5).standard_normal(200)
    B, slope = np.column_stack([b, b + gap * e]), np.array([0, 1, 0, 0])
    found = lstsq(A, B).inference(A, B, kind=kind).wald([*-slope, *slope]).statistic
    expected = lstsq(A, e).inference(A, e, kind=kind).wald(slope).statistic
    assert 0.0 <= found <= (1.0 + 1e-12 / gap**2 if gap > 1e-6 else 1.0) * expected


@pytest.mark.parametrize("kind", ["HC0", "HC3", "robust"])
@pytest.mark.parametrize("ratio", [1e-4, 1e-8, 1e-12])
def test_fitted_values_of_rows_with_hardly_any_noise(kind, ratio):
    rng = np.random.default_rng(0)
    loud = np.arange(400) % 2
    A, e = np.column_stack([np.ones(400), loud - 0.5]), rng.standard_normal(400)
    b = A @ [1.0, 2.0] + np.where(loud, 1.0, ratio) * e
    found = lstsq(A, b).inference(A, b, kind=kind).predict([[1.0, -0.5]]).standard_error[0]
    expected = ratio * e[loud == 0].std() / 200**0.5
    assert 0.98 * expected <= found <= 1.02 * expected + 1e-6


@pytest.mark.parametrize("fit", [lstsq, lambda A, b: lp_regression(A, b, tau=0.5)])
def test_responses_near_the_smallest_number(fit, data):
    A, b = data
    usual = fit(A, b).inference(A, b).standard_error
    found = fit(A, 1e-290 * b).inference(A, 1e-290 * b).standard_error
    np.testing.assert_allclose(found, 1e-290 * usual, rtol=1e-9)
    result = fit(A, 1e-310 * b)
    with pytest.raises(ValueError, match="b must have an entry above 1e-300"):
        result.inference(A, 1e-310 * b)


def test_fitted_values_need_rows(data):
    A, b = data
    with pytest.raises(TypeError, match="A_new must be a matrix whose rows can be read, got a Mat"):
        lstsq(A, b).inference(A, b).predict(aslinearoperator(A))


def test_covariances_of_columns_of_scales_far_apart(data):
    A, b = data
    usual, scale = lstsq(A, b).inference(A, b), 2.0 ** np.array([-270, 270, -90, 320])
    found = lstsq(A * scale, b).inference(A * scale, b).covariance
    with np.errstate(over="ignore"):
        expected = np.ldexp(usual.covariance, -np.add.outer(*2 * [np.log2(scale).astype(int)]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_restrictions_that_are_far_from_the_estimates(data):
    A, b = data
    table = lstsq(A, b).inference(A, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for R, r in (([1, 0, 0, 0], 1e300), ([1e-300, 0, 0, 0], 1e300)):
            assert table.wald(R, r).p_value == 0.0


def test_restrictions_between_fits_without_data_warn_once(data):
    A, b = data
    table = lstsq(A, np.column_stack([b, -b])).inference(kind="iid")
    with pytest.warns(InferenceWarning, match="between right-hand sides need A and b") as found:
        assert np.isnan(table.wald([0, 1, 0, 0, 0, 1, 0, 0]).statistic)
    assert len(found) == 1
    assert table.wald([0, 1, 0, 0, 0, 0, 0, 0]).p_value < 1e-6

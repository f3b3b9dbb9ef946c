"""What follows from errors: intervals, Wald tests, predictions, tables and pictures."""

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

import randla
from randla import Inference, InferenceWarning
from randla.regression._errors.errors import Errors
from randla.regression._errors.factors import root
from randla.regression._fitted.labels import Labels

sm = pytest.importorskip("statsmodels.api")
RNG = np.random.default_rng(0)
A = np.column_stack(
    [np.ones(60), RNG.standard_normal((60, 3)) @ [[1, 0.5, 0], [0, 1, 0], [0, 2, 1]]]
)
B = A @ [1.0, 2.0, 0.0, -0.5] + RNG.standard_normal(60)
PEER = sm.OLS(B, A).fit()
NAMES = ("const", "age", "height", "score")


def inference(x, covariance, df=56.0, *, taus=(), algorithmic=None, names=NAMES, **errors):
    """An `Inference` with given errors."""
    x = np.asarray(x)
    df = np.broadcast_to(np.reshape(df, (-1, 1)), (len(x), x.size // len(x)))
    algorithmic = None if algorithmic is None else root(np.asarray(algorithmic))
    covariance = np.asarray(covariance)
    known = np.isfinite(covariance.diagonal())
    factor = np.full((len(covariance), max(known.sum(), 1)), np.nan)
    if known.any():
        factor[known] = root(covariance[known][:, known])
    errors = Errors(factor, df, "independent rows", **errors)
    return Inference.of(
        x, errors, algorithmic=algorithmic, kind="iid", names=names, columns=taus,
        column_kind="tau" if taus else "column", n_rows=60, n_groups=None,
    )  # fmt: skip


OURS = inference(PEER.params, PEER.cov_params())


def process(d=4, taus=(0.25, 0.5, 0.75), **options):
    """Of several quantiles, correlated among them."""
    x = PEER.params[:d, None] + 0.1 * RNG.standard_normal((d, len(taus)))
    between = np.minimum.outer(taus, taus) - np.outer(taus, taus)
    covariance = np.kron(between, PEER.cov_params()[:d, :d])
    return inference(x, covariance, taus=taus, **{"names": NAMES[:d], **options})


# Against statsmodels --------------------------------------------------------------------------


def test_t_p_and_intervals_are_those_of_statsmodels():
    np.testing.assert_allclose(OURS.t, PEER.tvalues, rtol=1e-12)
    np.testing.assert_allclose(OURS.p, PEER.pvalues, rtol=1e-9)
    for level in (0.5, 0.95, 0.999):
        ours = np.column_stack(OURS.confidence_interval(level))
        np.testing.assert_allclose(ours, PEER.conf_int(1 - level), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("r", [0.0, [0.5, -1.0]])
@pytest.mark.parametrize("R", [np.eye(4)[[1, 2]], [[0, 1, -1, 0.0], [0, 3, 0, 7]]])
def test_wald_is_the_f_test_of_statsmodels(R, r):
    ours, theirs = OURS.wald(R, r), PEER.f_test((R, np.broadcast_to(r, 2)))
    np.testing.assert_allclose(ours.statistic, theirs.fvalue, rtol=1e-10)
    np.testing.assert_allclose(ours.p_value, theirs.pvalue, rtol=1e-9)
    assert ours.degrees_of_freedom == (2, 56.0)


def test_predictions_are_those_of_statsmodels():
    new = RNG.standard_normal((7, 4))
    ours = OURS.predict(new, level=0.9)
    theirs = PEER.get_prediction(new).summary_frame(0.1)
    for name, column in (
        ("value", "mean"), ("standard_error", "mean_se"), ("lower", "mean_ci_lower"),
        ("upper", "mean_ci_upper"),
    ):  # fmt: skip
        np.testing.assert_allclose(getattr(ours, name), theirs[column], rtol=1e-10)


# Intervals ------------------------------------------------------------------------------------


def test_the_square_of_the_error_is_the_sum_of_two():
    both = inference(PEER.params, PEER.cov_params(), algorithmic=0.5 * PEER.cov_params())
    np.testing.assert_allclose(
        both.standard_error**2, both.statistical_error**2 + both.algorithmic_error**2
    )
    np.testing.assert_allclose(both.statistical_error, PEER.bse)
    np.testing.assert_allclose(both.covariance, 1.5 * PEER.cov_params())


def test_simultaneous_intervals_share_the_error():
    low, high = OURS.confidence_interval(0.9, simultaneous=True)
    np.testing.assert_allclose(np.array(OURS.confidence_interval(0.975)), [low, high], rtol=1e-12)


def interval_of(level, *, x):
    return x - level, x + 2 * level


def test_an_interval_of_its_own():
    x = PEER.params[:, None]
    ranks = inference(PEER.params, PEER.cov_params(), interval=partial(interval_of, x=x))
    low, high = ranks.confidence_interval(0.9)
    np.testing.assert_allclose(low, PEER.params - 0.9)
    np.testing.assert_allclose(high, PEER.params + 1.8)
    assert ranks.confidence_interval(0.9, simultaneous=True)[0] == pytest.approx(
        PEER.params - 0.975
    )
    assert "[0.025" in ranks.summary()


def test_tail_probabilities_of_huge_t():
    tiny = inference([1.0, -1.0, 1.0, 0.0], np.diag([1e-4, 1e-20, 0.0, 0.0]), [5, 56, 3, np.inf])
    import mpmath

    def exact(t, df):
        z = mpmath.mpf(df) / (df + mpmath.mpf(t) ** 2)
        return float(mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, z, regularized=True))

    np.testing.assert_allclose(tiny.p[:2], [exact(100, 5), exact(1e10, 56)], rtol=1e-9)
    np.testing.assert_array_equal(tiny.t[2:], [np.inf, 0.0])
    np.testing.assert_array_equal(tiny.p[2:], [0.0, 1.0])
    np.testing.assert_array_equal(tiny.confidence_interval()[0][2:], [1.0, 0.0])


# Wald -----------------------------------------------------------------------------------------


def test_a_unit_row_gives_the_square_of_t_with_its_own_degrees_of_freedom():
    ours = inference(PEER.params, PEER.cov_params(), [3.5, 10, 20, np.inf])
    for j in range(4):
        test = ours.wald(np.eye(4)[j])
        np.testing.assert_allclose(test.statistic, ours.t[j] ** 2, rtol=1e-13)
        np.testing.assert_allclose(test.p_value, ours.p[j], rtol=1e-9)
        assert test.degrees_of_freedom == (1, [3.5, 10, 20, np.inf][j])
    assert ours.wald(np.eye(4)[1:3]).degrees_of_freedom == (2, 10.0)


def test_rows_that_repeat_are_counted_once():
    R = np.array([[0, 1, -1, 0], [0, 0, 1, 1.0]])
    plain, repeated = OURS.wald(R, [1, 2]), OURS.wald([*R, R[0] + R[1], 3 * R[0]], [1, 2, 3, 3])
    np.testing.assert_allclose(repeated.statistic, plain.statistic, rtol=1e-10)
    assert repeated.degrees_of_freedom == plain.degrees_of_freedom
    with pytest.raises(ValueError, match="r must be consistent"):
        OURS.wald([R[0], R[0]], [0.0, 1.0])


def test_what_little_rows_differ_in_is_seen():
    """Two rows that are parallel up to rounding in units of the errors test both coefficients."""
    small = 2.0**-300
    ours = inference([1.0, 2.0 * small], [[1.0, 0.3], [0.3, 1.0]], unit=np.array([[1.0], [small]]))
    expected = ours.wald(np.eye(2))
    for R in ([[1, 1], [1, -1]], [[1, 1], [1, -1], [3, 1]]):
        test = ours.wald(R)
        assert test.statistic == pytest.approx(expected.statistic)
        assert test.degrees_of_freedom == expected.degrees_of_freedom == (2, 56.0)
    with pytest.raises(ValueError, match="r must be consistent"):
        ours.wald([[1, 1], [1, -1], [3, 1]], [1, 1, 4])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_any_small_restrictions(data):
    """F is that of the rows of a basis of R, and of no scale of rows or coefficients."""
    q, entries = data.draw(st.integers(1, 5), "q"), st.integers(-2, 2).map(float)
    R = data.draw(arrays(np.float64, (q, 4), elements=entries), "R")
    R[~R.any(axis=1), 0] = 1.0
    powers = st.integers(-250, 250).map(lambda e: 2.0**e)
    scale = data.draw(arrays(np.float64, 4, elements=powers), "scale")
    rows = data.draw(arrays(np.float64, (q, 1), elements=powers), "rows")
    units = scale[:, None]
    ours = inference(PEER.params * scale, PEER.cov_params(), unit=units).wald(rows * (R / scale))
    rank = np.linalg.matrix_rank(R)
    basis = np.linalg.svd(R)[2][:rank]
    z = basis @ PEER.params
    F = z @ np.linalg.solve(basis @ PEER.cov_params() @ basis.T, z) / rank
    assert ours.degrees_of_freedom == (rank, 56.0)
    assert ours.statistic == pytest.approx(F, rel=1e-9)


def test_scales_of_columns_do_not_matter():
    scale = np.array([1e150, 1.0, 1e-150, 1e-80])
    units = np.exp2(np.round(np.log2(scale)))[:, None]
    covariance = PEER.cov_params() * np.outer(scale / units[:, 0], scale / units[:, 0])
    ours = inference(PEER.params * scale, covariance, unit=units)
    np.testing.assert_allclose(ours.t, OURS.t, rtol=1e-12)
    R = np.array([[0, 1, -1, 0], [1, 0, 1, 1.0], [1, 1, 0, 1]])
    plain = OURS.wald(R, [1.0, 0.0, 1.0])
    scaled = ours.wald(R / scale, [1.0, 0.0, 1.0])
    np.testing.assert_allclose(scaled.statistic, plain.statistic, rtol=1e-9)
    assert scaled.degrees_of_freedom == plain.degrees_of_freedom == (2, 56.0)
    new = RNG.standard_normal((5, 4))
    np.testing.assert_allclose(
        ours.predict(new / scale).standard_error, OURS.predict(new).standard_error, rtol=1e-10
    )


@pytest.mark.parametrize("scale", [2.0**-990, 2.0**990])
def test_scales_of_b_do_not_matter(scale):
    ours = inference(PEER.params * scale, PEER.cov_params(), unit=scale)
    np.testing.assert_allclose(ours.standard_error / scale, PEER.bse, rtol=1e-12)
    np.testing.assert_allclose(ours.p, OURS.p, rtol=1e-12)
    R = np.array([[0, 1, -1, 0], [1, 0, 1, 1.0]])
    np.testing.assert_allclose(
        ours.wald(R, [scale, 0.0]).statistic, OURS.wald(R, [1.0, 0.0]).statistic, rtol=1e-12
    )
    ours, plain = ours.predict(A, level=0.9), OURS.predict(A, level=0.9)
    np.testing.assert_allclose(ours.standard_error / scale, plain.standard_error, rtol=1e-12)
    np.testing.assert_allclose(ours.lower / scale, plain.lower, rtol=1e-12)
    assert np.isfinite(ours.upper).all()


@pytest.mark.parametrize("d", [1, 4])
def test_shapes_of_restrictions(d):
    ours = process(d)
    R = RNG.standard_normal((2, d, 3))
    expected = ours.wald(R)
    flat = np.stack([row.T.reshape(-1) for row in R])  # coefficients fastest
    assert ours.wald(flat).statistic == pytest.approx(expected.statistic)
    x = ours.estimate.T.reshape(-1)
    z, V = flat @ x, flat @ ours.covariance @ flat.T
    assert expected.statistic == pytest.approx(z @ np.linalg.solve(V, z) / 2, rel=1e-9)
    assert ours.wald(R[0]).statistic == pytest.approx(ours.wald(R[:1]).statistic)
    for bad in (np.ones(5 * d), np.ones((2, d + 1, 3)), np.ones((2, 2, d, 3))):
        with pytest.raises(ValueError, match="R must have shape"):
            ours.wald(bad)


def test_bad_restrictions():
    with pytest.raises(ValueError, match="R must have rows, and a nonzero entry"):
        OURS.wald([[0, 1, 0, 0], [0, 0, 0, 0]])
    with pytest.raises(ValueError, match=r"r must be a number or have shape \(1,\)"):
        OURS.wald([0, 1, 0, 0], [1.0, 2.0])
    with pytest.raises(ValueError, match="R must be finite"):
        OURS.wald([0, np.nan, 0, 0])


def test_a_coefficient_without_error_has_no_test():
    covariance = PEER.cov_params().copy()
    covariance[1], covariance[:, 1] = np.nan, np.nan
    ours = inference(PEER.params, covariance, [56, np.nan, 20, 30])
    assert np.isnan(ours.t[1])
    assert np.isnan(ours.p[1])
    assert np.isnan(ours.confidence_interval()[0][1])
    with pytest.warns(InferenceWarning, match="no error"):
        assert np.isnan(ours.wald(np.eye(4)[:2]).p_value)
    assert ours.wald(np.eye(4)[[0, 2]]).degrees_of_freedom == (2, 20.0)
    new = np.array([[1.0, 0.0, 1.0, 2.0], [1.0, 1.0, 1.0, 2.0]])
    prediction = ours.predict(new)
    expected = OURS.predict(new[:1], level=0.95).standard_error
    np.testing.assert_allclose(prediction.standard_error, [expected[0], np.nan])
    assert np.isfinite(prediction.value).all()
    assert "nan" in ours.summary()


def test_more_restrictions_than_groups_have_no_test():
    S = RNG.standard_normal((4, 2))  # the scores of few groups
    ours = inference(PEER.params, S @ S.T, 2)
    assert 0 < ours.wald(np.eye(4)[:2]).p_value < 1
    with pytest.warns(InferenceWarning, match="too small for 3 restrictions"):
        assert np.isnan(ours.wald(np.eye(4)[:3]).statistic)


def test_a_perfect_fit():
    ours = inference([1.0, 2.0, 0.0, 3.0], np.zeros((4, 4)))
    assert ours.wald([0, 2, -1, 0], 4.0).p_value == 1.0
    assert ours.wald([0, 2, -1, 0], 5.0).p_value == 0.0
    assert ours.wald([0, 2, -1, 0], 5.0).statistic == np.inf
    np.testing.assert_array_equal(ours.predict(A).standard_error, np.zeros(60))


def test_equal_slopes():
    constant = np.array([True, False, False, False])
    ours = process().described("Quantile regression", Labels(), constant)
    R = np.zeros((6, 4, 3))
    for i, (j, slope) in enumerate((j, s) for j in (1, 2) for s in (1, 2, 3)):
        R[i, slope, 0], R[i, slope, j] = -1.0, 1.0
    test, expected = ours.equal_slopes(), ours.wald(R)
    assert test.statistic == pytest.approx(expected.statistic)
    assert test.degrees_of_freedom == (6, 56.0)
    assert process().equal_slopes().degrees_of_freedom == (8, 56.0)
    with pytest.raises(ValueError, match="a column that is not constant"):
        process(1).described("", Labels(), np.array([True])).equal_slopes()
    for single in (OURS, process(taus=(0.5,))):
        with pytest.raises(ValueError, match="equal_slopes needs a fit of several quantiles"):
            single.equal_slopes()


# Predictions ----------------------------------------------------------------------------------


def test_predictions_of_several_quantiles():
    ours = process()
    prediction = ours.predict(A[:5])
    assert prediction.value.shape == prediction.lower.shape == (5, 3)
    for j in range(3):
        V = ours.covariance[4 * j : 4 * j + 4, 4 * j : 4 * j + 4]
        expected = np.sqrt(np.einsum("ij,jk,ik->i", A[:5], V, A[:5]))
        np.testing.assert_allclose(prediction.standard_error[:, j], expected)


def test_lazy_predictions():
    da = pytest.importorskip("dask.array")
    for ours in (OURS, process()):
        lazy, plain = ours.predict(da.from_array(A, chunks=(13, 2))), ours.predict(A)
        for name in ("value", "standard_error", "lower", "upper"):
            assert isinstance(getattr(lazy, name), da.Array)
            np.testing.assert_allclose(getattr(lazy, name).compute(), getattr(plain, name))


def test_tables_are_matched_by_name():
    pandas = pytest.importorskip("pandas")
    ours = OURS.described("Least squares", Labels(NAMES))
    frame = pandas.DataFrame(A, columns=list(NAMES))
    expected = OURS.predict(A).standard_error
    np.testing.assert_allclose(ours.predict(frame[list(NAMES[::-1])]).standard_error, expected)
    with pytest.raises(ValueError, match="A_new must have the columns of the fit, got none named"):
        ours.predict(frame.drop(columns="age"))
    with pytest.raises(ValueError, match="level must be in"):
        ours.predict(frame, level=95)


# Tables ---------------------------------------------------------------------------------------


def tables():
    long = [f"C(region, Treatment('North'))[T.County number {j} of the country]" for j in range(50)]
    big = np.diag(np.logspace(-300, 300, 50))
    yield "plain", OURS
    yield "long names", inference(np.linspace(-1, 1, 50), np.eye(50), names=tuple(long))
    yield "one long word", inference(np.ones(2), np.eye(2), names=("x" * 200, "y"))
    yield "huge and tiny", inference(np.logspace(-150, 150, 50) * -1.234, big, names=tuple(long))
    yield "two errors", inference(PEER.params, PEER.cov_params(), algorithmic=PEER.cov_params())
    yield "df differ", inference(PEER.params, PEER.cov_params(), [1.5, 1e9, np.inf, 1e-3])
    yield "nothing known", inference(PEER.params, np.full((4, 4), np.nan), np.nan)
    yield "no error", inference(PEER.params, np.zeros((4, 4)))
    yield "quantiles", process()
    notes = ("a note with many words " * 20, "x" * 300)
    yield "notes", inference(PEER.params, PEER.cov_params(), notes=notes)


@pytest.mark.parametrize("ours", dict(tables()).values(), ids=dict(tables()))
def test_every_table_is_narrow_and_whole(ours):
    text = ours.summary()
    assert max(map(len, text.splitlines())) <= 79
    assert text.isascii()
    assert text.splitlines() == [line.rstrip() for line in text.splitlines()]
    words = "".join(text.split())
    for name in ours.names:
        assert name.replace(" ", "") in words
    assert text == pickle.loads(pickle.dumps(ours)).summary()
    page = ours._repr_html_()
    assert page.count("<table>") == page.count("</table>") >= 2
    assert len(repr(ours).splitlines()) <= 10


def test_what_the_table_says():
    rows = {row.split()[0]: row.split()[1:] for row in OURS.summary().splitlines() if row.split()}
    low, high = OURS.confidence_interval()
    for j, name in enumerate(NAMES):
        numbers = [float(v) for v in rows[name]]
        exact = [PEER.params[j], PEER.bse[j], PEER.tvalues[j], PEER.pvalues[j], low[j], high[j]]
        np.testing.assert_allclose(numbers, exact, rtol=0.06, atol=6e-4)
    head = OURS.summary()
    for fact in ("iid", "60", "56", "independent rows", "P>|t|", "[0.025", "0.975]", "std err"):
        assert fact in head
    assert "of sketch" not in head
    assert "of sketch" in dict(tables())["two errors"].summary()
    several = process().summary()
    assert all(f"tau = {tau}" in several for tau in (0.25, 0.5, 0.75))
    labeled = OURS.described("Least squares", Labels(responses=("log wage",)))
    assert "Least squares" in labeled.summary()
    assert "log wage" in labeled.summary()


def columns_of_terminal(text):
    """Written out by hand: kana, kanji and Hangul take two columns, combining marks none."""
    wide = sum("\u1100" <= c <= "\uffdc" for c in text)
    return len(text) + wide - sum("\u0300" <= c <= "\u036f" for c in text)


def test_names_in_scripts_of_other_widths():
    names = ("定数", "e\u0301cole", "年収の対数" * 10, "나이")
    lines = inference(PEER.params, PEER.cov_params(), names=names).summary().splitlines()
    assert max(map(columns_of_terminal, lines)) <= 79
    assert names[2] in "".join(line.strip() for line in lines)
    rows = [line for line in lines if line.startswith((names[0], names[1], names[3]))]
    assert len({columns_of_terminal(line) for line in rows}) == 1


def test_names_of_several_lines_or_with_dollars(pyplot):
    names = ("a\nb", "cost ($) and gain ($)", "\t", "d" * 90)
    ours = inference(PEER.params, PEER.cov_params(), names=names)
    lines = ours.summary().splitlines()
    assert sum("a b" in line for line in lines) == 1
    assert max(map(len, lines)) <= 79
    ours.plot().figure.canvas.draw()
    process(4, names=names).plot()[0].figure.canvas.draw()


def test_html_is_escaped():
    ours = inference(PEER.params, PEER.cov_params(), names=("<b>", "a&b", "c", "d"))
    page = ours._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "a&amp;b" in page


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = OURS.to_frame()
    assert list(frame.columns) == ["estimate", "std_error", "t", "p", "low", "high"]
    assert tuple(frame.index) == NAMES
    np.testing.assert_allclose(frame["std_error"], PEER.bse)
    ours = process()
    frame = ours.to_frame()
    assert isinstance(frame.index, pandas.MultiIndex)
    assert frame.index.names == ["tau", "name"]
    assert frame.loc[(0.5, "age"), "estimate"] == ours.estimate[1, 1]
    np.testing.assert_array_equal(frame.loc[0.75, "low"], ours.confidence_interval()[0][:, 2])
    assert len(process(taus=(0.5,)).to_frame().loc["age"]) == 6


# Pictures -------------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_the_picture_of_coefficients(pyplot):
    ax = OURS.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(NAMES)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), PEER.params)
    given = pyplot.figure().add_subplot()
    assert OURS.plot(given) is given


@pytest.mark.parametrize("d", [1, 4])
def test_the_picture_of_quantiles(pyplot, d):
    ours = process(d, taus=(0.7, 0.1, 0.5))
    axes = ours.plot()
    assert len(axes) == d
    for j, ax in enumerate(axes):
        assert ax.get_title() == NAMES[j]
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.1, 0.5, 0.7])
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), ours.estimate[j, [1, 2, 0]])
    given = pyplot.figure().subplots(1, d, squeeze=False)
    assert ours.plot(given) is given
    with pytest.raises(ValueError, match=f"ax must have {d} axes"):
        ours.plot(pyplot.figure().subplots(1, d + 1))


# Where columns depend --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["iid", "HC3"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("scale", [1.0, np.array([1.0, 1e80, 1e-90, 4.0, 1e100])])
@pytest.mark.filterwarnings("ignore:no standard error")
def test_what_dependent_columns_determine_has_an_error(kind, outputs, scale):
    """Fitted values and differences of dummies are those of a fit without one of the columns."""
    n, group = 60, RNG.integers(3, size=60)
    full = np.column_stack([np.ones(n), np.eye(3)[group], RNG.standard_normal(n)])
    b = RNG.standard_normal((n, outputs)) + group[:, None]
    ours = randla.lstsq(full * scale, b).inference(full * scale, b, kind=kind)
    plain = randla.lstsq(full[:, [0, 2, 3, 4]], b).inference(full[:, [0, 2, 3, 4]], b, kind=kind)
    assert np.isnan(ours.standard_error[:4]).all()
    prediction, expected = ours.predict(full * scale), plain.predict(full[:, [0, 2, 3, 4]])
    for name in ("value", "standard_error", "lower", "upper"):
        np.testing.assert_allclose(getattr(prediction, name), getattr(expected, name), rtol=1e-8)
    alone = ours.predict(np.eye(5) * scale).standard_error
    assert np.isnan(alone[:4]).all()
    assert np.isfinite(alone[4]).all()
    difference = np.zeros((5, outputs))
    difference[2:4, -1] = 1.0, -1.0
    test = ours.wald(difference * np.reshape(scale * np.ones(5), (5, 1)))
    assert test.statistic == pytest.approx(plain.wald(difference[[0, 2, 3, 4]]).statistic)
    difference[3] = 0.0
    with pytest.warns(InferenceWarning, match="no error"):
        assert np.isnan(ours.wald(difference).p_value)

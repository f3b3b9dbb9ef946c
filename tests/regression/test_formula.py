"""Regression by a formula and a table, against statsmodels and against hand-made matrices."""

import pickle
import sys
import warnings

import numpy as np
import pytest

import randla

pandas = pytest.importorskip("pandas")
pytest.importorskip("formulaic")
smf = pytest.importorskip("statsmodels.formula.api")

RNG = np.random.default_rng(0)
N = 80
DATA = pandas.DataFrame(
    {
        "x": RNG.random(N) + 0.5,
        "z": RNG.standard_normal(N),
        "g": RNG.choice(["a", "b", "c"], N),
        "firm": np.arange(N) // 8,
        "w": RNG.integers(1, 4, N),
    }
)
DATA["y"] = 1.0 + 2.0 * DATA["x"] + (DATA["g"] == "b") + RNG.standard_normal(N)
FORMULAS = (
    "y ~ x + C(g)", "y ~ x * g", "y ~ x:z + I(x ** 2) - 1", "np.exp(y) ~ np.log(x) + z",
    "y ~ 0 + g + z",
)  # fmt: skip


def doubled(v):
    return 2.0 * v


@pytest.mark.parametrize("formula", FORMULAS)
def test_coefficients_are_those_of_statsmodels(formula):
    ours, theirs = randla.formula.lstsq(formula, DATA), smf.ols(formula, DATA).fit()
    assert set(ours.names) == set(theirs.params.index)
    np.testing.assert_allclose(ours.x, theirs.params[list(ours.names)], rtol=1e-9, atol=1e-11)
    errors = ours.inference(DATA, kind="HC3").standard_error
    np.testing.assert_allclose(errors, theirs.get_robustcov_results("HC3").bse[
        [list(theirs.params.index).index(name) for name in ours.names]
    ], rtol=1e-8)  # fmt: skip
    np.testing.assert_allclose(ours.predict(DATA[:9]), theirs.predict(DATA[:9]), rtol=1e-9)


@pytest.mark.parametrize(
    "formula", [*FORMULAS[:3], "y ~ poly(x, 2) + center(z)", "y ~ bs(x, df=4)"]
)
@pytest.mark.parametrize("tau", [0.3, [0.2, 0.6]])
def test_new_data_are_expanded_as_those_of_the_fit(formula, tau):
    """Levels, means and knots are of the fit, however few rows come."""
    for fit in (
        randla.formula.lp_regression(formula, DATA, tau=tau),
        randla.formula.lstsq(formula, DATA),
    ):
        again = pickle.loads(pickle.dumps(fit))
        whole = fit.predict(DATA)
        for result in (fit, again):
            parts = [result.predict(DATA.iloc[[i]].drop(columns="y"))[0] for i in (3, 40, 41)]
            np.testing.assert_allclose(parts, whole[[3, 40, 41]], rtol=1e-12)
        y = np.asarray(DATA["y"])
        expected = (y if whole.ndim == 1 else y[:, None]) - whole
        np.testing.assert_allclose(fit.residuals(DATA), expected, rtol=0, atol=1e-12)


def test_several_responses_and_all_columns():
    fit = randla.formula.lstsq("y + z ~ x", DATA)
    assert fit.x.shape == (2, 2)
    assert "z" in fit.inference(DATA).summary()
    assert randla.formula.lstsq("y ~ .", DATA[["x", "z", "y"]]).names == ("Intercept", "x", "z")


def test_functions_of_the_caller_and_weights_of_the_data():
    fit = randla.formula.lstsq("y ~ doubled(x)", DATA, weights="w")
    np.testing.assert_allclose(2 * fit.x[1], smf.wls("y ~ x", DATA, weights=DATA.w).fit().params.x)
    same = randla.formula.lstsq("y ~ doubled(x)", DATA, weights=DATA["w"].to_numpy())
    np.testing.assert_array_equal(fit.x, same.x)
    assert fit.predict({"x": [1.0]}).shape == (1,)


@pytest.mark.parametrize("solve", ["lstsq", "lp_regression"])
def test_inference_takes_the_data_with_groups_and_weights_by_name(solve):
    fit = getattr(randla.formula, solve)("y ~ x + g", DATA, weights="w")
    A = np.column_stack([np.ones(N), DATA.x, DATA.g == "b", DATA.g == "c"])
    plain = getattr(randla, solve)(A, DATA.y, weights=DATA.w)
    ours = fit.inference(DATA, groups="firm", weights="w")
    theirs = plain.inference(A, DATA.y, groups=DATA.firm, weights=DATA.w, names=fit.names)
    np.testing.assert_allclose(ours.standard_error, theirs.standard_error, rtol=1e-7)
    assert ours.names == ("Intercept", "x", "g[T.b]", "g[T.c]")
    assert ours.n_groups == 10
    assert "y ~ x + g" in ours.summary()
    new = ours.predict(DATA[:4])
    np.testing.assert_allclose(new.standard_error, theirs.predict(A[:4]).standard_error, rtol=1e-7)


def test_a_sketch_is_refined_with_the_data():
    quick = randla.formula.lstsq("y ~ x + g", DATA, sketch_size=40, rng=0)
    full = quick.refine(DATA)
    np.testing.assert_allclose(full.x, randla.formula.lstsq("y ~ x + g", DATA).x, rtol=1e-9)
    np.testing.assert_allclose(full.predict(DATA[:3]), DATA["y"][:3] - full.residuals(DATA)[:3])


def test_equal_slopes_leaves_out_the_intercept():
    fit = randla.formula.lp_regression("y ~ x + z", DATA, tau=[0.25, 0.5, 0.75])
    assert fit.inference(DATA).equal_slopes().degrees_of_freedom == (4, N - 3)


class TestMissingValues:
    data = DATA.assign(
        x=DATA["x"].where(DATA.index != 3), g=DATA["g"].where(~DATA.index.isin([3, 9]))
    ).assign(unused=np.nan)
    complete = DATA.drop(index=[3, 9])

    def test_are_refused_by_default(self):
        with pytest.raises(ValueError, match=r"data must have no missing values, got 2 in column"):
            randla.formula.lstsq("y ~ x + g", self.data)

    @pytest.mark.parametrize("solve", ["lstsq", "lp_regression"])
    def test_are_dropped_on_demand(self, solve):
        with pytest.warns(randla.RandlaWarning, match="2 of 80 rows were dropped"):
            fit = getattr(randla.formula, solve)("y ~ x + g", self.data, na="drop", weights="w")
        expected = getattr(randla.formula, solve)("y ~ x + g", self.complete, weights="w")
        np.testing.assert_allclose(fit.x, expected.x, rtol=1e-9)
        ours = fit.inference(self.data, groups=DATA["firm"], weights="w")
        theirs = expected.inference(self.complete, groups="firm", weights="w")
        np.testing.assert_allclose(ours.standard_error, theirs.standard_error, rtol=1e-9)
        assert "78 (2 dropped: missing)" in ours.summary()
        assert fit.residuals(self.data).shape == (78,)
        with pytest.raises(ValueError, match="A_new must have no missing values, got 1 in column"):
            fit.predict(self.data[3:9])

    def test_nothing_is_said_where_nothing_is_dropped(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            randla.formula.lstsq("y ~ x", DATA.assign(unused=np.nan), na="drop")


@pytest.mark.parametrize("library", ["polars", "pyarrow", "dict"])
def test_tables_of_others(library):
    columns = {name: DATA[name].to_numpy().tolist() for name in DATA}
    if library == "dict":
        table = columns
    else:
        module = pytest.importorskip(library)
        table = (module.DataFrame if library == "polars" else module.table)(columns)
    ours, plain = (randla.formula.lstsq("y ~ x + g", t, weights="w") for t in (table, DATA))
    np.testing.assert_allclose(ours.x, plain.x, rtol=1e-12)
    np.testing.assert_allclose(ours.predict(table), plain.predict(DATA), rtol=1e-12)
    assert ours.inference(table, groups="firm", weights="w").n_groups == 10


def test_nullable_and_categorical_columns():
    levels = pandas.Categorical(DATA["g"], categories=["c", "unused", "b", "a"])
    frame = DATA.assign(g=levels, s=DATA["g"].astype("string"))
    frame["flag"] = pandas.array(DATA["z"] > 0, dtype="boolean")
    frame["count"] = pandas.array(DATA["w"], dtype="Int64")
    before = frame.copy()
    fit = randla.formula.lstsq("y ~ g + flag + count", frame)
    assert fit.names == ("Intercept", "g[T.b]", "g[T.a]", "flag", "count")  # no empty level
    assert fit.rank == 5
    np.testing.assert_allclose(fit.predict(frame[:5]), fit.predict(frame)[:5])
    assert len(randla.formula.lstsq("y ~ s", frame).names) == 3
    pandas.testing.assert_frame_equal(frame, before)


def test_bad_formulas():
    height = 1.7  # no column: not even where a variable of the caller has the name
    assert height
    for formula, message in (
        ("y ~ nothing", "columns of the data, got 'nothing', which is none"),
        ("y ~ x + height", "columns of the data, got 'height', which is none"),
        ("y ~~ x", "formula does not fit the data"),
        ("~ x", "formula must have a response"),
        ("y", "formula must have a response"),
        ("y ~ x | z", "one right side"),
        ("y ~ 0", "A must have rows and columns"),
        ("y ~ g:", "formula does not fit the data"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            randla.formula.lstsq(formula, DATA)
        assert str(caught.value).isprintable()
    with pytest.raises(TypeError, match="formula must be a string"):
        randla.formula.lstsq(3, DATA)
    with pytest.raises(TypeError, match=r"data must have numbers as the response, got .* in"):
        randla.formula.lstsq("g ~ x", DATA)
    with pytest.raises(ValueError, match="b must have shape"):
        randla.formula.lp_regression("y + z ~ x", DATA)


def test_bad_data():
    with pytest.raises(TypeError, match="data must be a table with named columns, got ndarray"):
        randla.formula.lstsq("y ~ x", DATA.to_numpy())
    with pytest.raises(ValueError, match="na must be one of"):
        randla.formula.lstsq("y ~ x", DATA, na="omit")
    with pytest.raises(ValueError, match="weights must name a column of the data, got 'v'"):
        randla.formula.lstsq("y ~ x", DATA, weights="v")
    with pytest.raises(ValueError, match=r"weights must have shape \(80,\)"):
        randla.formula.lstsq("y ~ x", DATA, weights=np.ones(3))
    with pytest.raises(ValueError, match="A must be finite"):
        randla.formula.lstsq("y ~ x", DATA.assign(x=np.inf))
    fit = randla.formula.lstsq("y ~ x + g", DATA)
    with pytest.raises(ValueError, match="A_new must have a column 'g'"):
        fit.predict(DATA[["x"]])
    with pytest.raises(ValueError, match=r"nominated levels .*: 'd'$"):
        fit.predict(DATA.assign(g="d"))
    with pytest.raises(ValueError, match=r": 'q0', 'q1', 'q10', 'q11', 'q12' and 75 more$"):
        fit.predict(DATA.assign(g=[f"q{i}" for i in range(80)]))
    with pytest.raises(ValueError, match="A_new must hold columns of one length"):
        fit.predict({"x": [1.0, 2.0], "g": ["a"]})
    with pytest.raises(ValueError, match=r"A_new must hold columns, such as \[1.0\], got single"):
        fit.predict({"x": 1.0, "g": "a"})
    np.testing.assert_array_equal(
        fit.predict({"x": [1.0, 2.0], "g": "a"}), fit.predict({"x": [1.0, 2.0], "g": ["a", "a"]})
    )
    for made in (fit, randla.formula.lp_regression("y ~ x", DATA)):
        with pytest.raises(ValueError, match=r"after a formula,? its data"):
            made.inference()
    with pytest.raises(ValueError, match="b must be left out after a formula"):
        fit.inference(DATA, DATA["y"])
    with pytest.raises(TypeError, match="A_new must be a table with named columns, got ndarray"):
        fit.predict(np.ones((3, 4)))
    lazy = pytest.importorskip("dask.dataframe").from_pandas(DATA, npartitions=2)
    with pytest.raises(TypeError, match="got DataFrame of Dask: compute it first"):
        randla.formula.lstsq("y ~ x", lazy)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "formulaic", None)
    monkeypatch.delitem(sys.modules, "randla.formula", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'randla\[formula\]'"):
        import randla.formula  # noqa: F401

"""Names of columns through both fits; fitted values and residuals of arrays, tables and Dask."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

import randla

pandas = pytest.importorskip("pandas")
RNG = np.random.default_rng(0)
A = np.round(64 * RNG.standard_normal((40, 3))) / 64
B = RNG.standard_normal(40)
NAMES = ("age", "height", "score")


def as_polars(array, names):
    return pytest.importorskip("polars").DataFrame({n: array[:, j] for j, n in enumerate(names)})


def as_arrow(array, names):
    return pytest.importorskip("pyarrow").table({n: array[:, j] for j, n in enumerate(names)})


def as_pandas(array, names):
    return pandas.DataFrame(array, columns=list(names))


FITS = {
    "lstsq": randla.lstsq,
    "two right-hand sides": lambda A, b: randla.lstsq(A, np.column_stack([b, -b])),
    "one sketch": lambda A, b: randla.lstsq(A, b, sketch_size=30, rng=0),
    "median": randla.lp_regression,
    "quantiles": lambda A, b: randla.lp_regression(A, b, tau=[0.7, 0.2]),
    "norm": lambda A, b: randla.lp_regression(A, b, 3),
}
every_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
every_table = pytest.mark.parametrize("table", [as_pandas, as_polars, as_arrow])


@every_fit
@every_table
def test_a_table_gives_names_and_is_matched_by_them(fit, table):
    result = fit(table(A, NAMES), B)
    assert result.names == NAMES
    np.testing.assert_allclose(result.x, fit(A, B).x, rtol=1e-9, atol=1e-12)
    new = RNG.standard_normal((5, 3))
    mixed = np.column_stack([new[:, 2], np.full(5, 7.0), new[:, 0], new[:, 1]])
    mixed = table(mixed, ["score", "unused", "age", "height"])
    expected = new @ result.x
    for again in (result, pickle.loads(pickle.dumps(result))):
        np.testing.assert_allclose(again.predict(mixed), expected, rtol=1e-12)
        np.testing.assert_allclose(again.predict(new), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"A_new must have the columns .* none named 'height'"):
        result.predict(table(new[:, [0, 2]], ["age", "score"]))


@every_fit
@every_table
def test_residuals_are_b_minus_the_fitted_values(fit, table):
    result = fit(A, B)
    assert result.names == ("x0", "x1", "x2")
    b = np.column_stack([B, -B]) if fit is FITS["two right-hand sides"] else B
    expected = (b if np.ndim(b) == result.x.ndim else b[:, None]) - A @ result.x
    for matrix in (A, table(A, NAMES), sparse.csr_array(A), aslinearoperator(A)):
        np.testing.assert_allclose(result.residuals(matrix, b), expected, rtol=0, atol=1e-12)
    with pytest.raises(TypeError, match="b must be given"):
        result.residuals(A)
    for bad in (B[:7], np.ones((40, 5))):
        with pytest.raises(ValueError, match="b must have shape"):
            result.residuals(A, bad)


@every_fit
def test_another_number_of_columns_is_refused(fit):
    result = fit(A, B)
    for bad in (A[:, :2], A[0], np.ones((40, 3, 1))):
        with pytest.raises(ValueError, match="A_new must have 3 columns as in the fit"):
            result.predict(bad)
        with pytest.raises(ValueError, match="A must have 3 columns as in the fit"):
            result.residuals(bad, B)
    with pytest.raises(ValueError, match="A_new must be finite"):
        result.predict(np.full((2, 3), np.nan))


@every_fit
def test_dask_arrays_stay_lazy(fit):
    da = pytest.importorskip("dask.array")
    result = fit(A, B)
    lazy = da.from_array(A, chunks=(9, 2))
    values = result.predict(lazy)
    assert isinstance(values, da.Array)
    np.testing.assert_allclose(values.compute(), A @ result.x, rtol=0, atol=1e-12)
    b = np.column_stack([B, -B]) if fit is FITS["two right-hand sides"] else B
    residuals = result.residuals(lazy, b)
    assert isinstance(residuals, da.Array)
    np.testing.assert_allclose(residuals.compute(), result.residuals(A, b), rtol=0, atol=1e-12)


def test_a_column_b_gives_columns():
    for fit in (randla.lstsq, randla.lp_regression):
        result = fit(A, B[:, None])
        assert result.predict(A).shape == result.residuals(A, B[:, None]).shape == (40, 1)
        np.testing.assert_array_equal(result.residuals(A, B), result.residuals(A, B[:, None]))


def test_names_survive_refinement():
    quick = randla.lstsq(as_pandas(A, NAMES), B, sketch_size=30, rng=0)
    assert quick.refine(as_pandas(A, NAMES)[list(NAMES[::-1])], B).names == NAMES
    np.testing.assert_allclose(
        quick.refine(as_pandas(A, NAMES)[list(NAMES[::-1])], B).x, randla.lstsq(A, B).x
    )


def test_names_of_any_label():
    frame = as_pandas(A, [3, ("income", 2020), None])
    assert randla.lstsq(frame, B).names == ("3", "income, 2020", "None")
    columns = pandas.MultiIndex.from_tuples([("a", "low"), ("a", "high"), ("b", "")])
    assert randla.lstsq(pandas.DataFrame(A, columns=columns), B).names == ("a, low", "a, high", "b")
    for labels in (["u", "v", "u"], [1, "1", "v"]):
        with pytest.raises(ValueError, match=r"A must have columns of different names, got '\w' t"):
            randla.lstsq(pandas.DataFrame(A, columns=labels), B)


def test_columns_of_other_types():
    frame = as_pandas(A, NAMES)
    frame["flag"] = A[:, 0] > 0
    frame["count"] = pandas.array(RNG.integers(5, size=40), dtype="Int16")
    frame["maybe"] = pandas.array(A[:, 1] > 0, dtype="boolean")
    numbers = frame.to_numpy(dtype=float)
    for fit in (randla.lstsq, randla.lp_regression):
        result = fit(frame, pandas.Series(B, name="wage"))
        np.testing.assert_allclose(result.x, fit(numbers, B).x, rtol=1e-9, atol=1e-12)
        assert result._labels.responses == ("wage",)
        np.testing.assert_allclose(result.predict(frame), numbers @ result.x, rtol=1e-12)
        for column in (list("ab" * 20), pandas.Categorical(list("ab" * 20))):
            with pytest.raises(TypeError, match=r"A must hold real numbers.* 'city': encode it .*"):
                fit(frame.assign(city=column), B)


@pytest.mark.parametrize("columns", [2, 3])
def test_a_table_of_responses_gives_their_names(columns):
    table = pandas.DataFrame({f"y{j}": B * (j + 1) for j in range(columns)})
    assert randla.lstsq(A, table)._labels.responses == tuple(table.columns)
    with pytest.raises(ValueError, match="b must have columns of different names"):
        randla.lstsq(A, pandas.DataFrame(np.ones((40, 2)), columns=["y", "y"]))


class TestRearrangement:
    TAUS = (0.8, 0.05, 0.5, 0.2, 0.95)

    def test_sorts_each_row_in_the_order_of_tau(self):
        fit = randla.lp_regression(A, B, tau=self.TAUS)
        far = 30.0 * RNG.standard_normal((50, 3))
        plain, sorted_values = fit.predict(far), fit.predict(far, rearrange=True)
        order = np.argsort(self.TAUS)
        assert (np.diff(plain[:, order], axis=1) < 0).any()  # they cross there
        np.testing.assert_array_equal(sorted_values[:, order], np.sort(plain, axis=1))

    def test_of_a_dask_array(self):
        da = pytest.importorskip("dask.array")
        fit = randla.lp_regression(A, B, tau=self.TAUS)
        lazy = fit.predict(da.from_array(30.0 * A, chunks=(9, 3)), rearrange=True)
        assert isinstance(lazy, da.Array)
        np.testing.assert_allclose(lazy.compute(), fit.predict(30.0 * A, rearrange=True))

    def test_does_not_touch_one_quantile(self):
        fit = randla.lp_regression(A, B, tau=0.3)
        np.testing.assert_array_equal(fit.predict(A, rearrange=True), fit.predict(A))

    def test_bad_options(self):
        with pytest.raises(ValueError, match="rearrange=True needs a fit of quantiles"):
            randla.lp_regression(A, B, 2).predict(A, rearrange=True)
        with pytest.raises(TypeError, match="rearrange must be True or False"):
            randla.lp_regression(A, B).predict(A, rearrange=1)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_predictions_at_any_scale(scale):
    fit = randla.lstsq(A * [1.0, scale, 1.0], B)
    np.testing.assert_allclose(fit.predict(A * [1.0, scale, 1.0]), randla.lstsq(A, B).predict(A))
    huge = randla.lp_regression(A, B * 1e300, tau=[0.2, 0.5])
    np.testing.assert_allclose(huge.predict(A) / 1e300, A @ (huge.x / 1e300))


class TestInference:
    """Names in the tables of errors, and tables whose columns come in another order."""

    @pytest.mark.parametrize("fit", [randla.lstsq, randla.lp_regression])
    @every_table
    def test_columns_are_matched_by_name(self, fit, table):
        result = fit(table(A, NAMES), pandas.Series(B, name="wage"))
        plain = result.inference(A, B)
        mixed = np.column_stack([A[:, 2], B, A[:, :2]])
        ours = result.inference(table(mixed, ["score", "unused", "age", "height"]), B)
        assert ours.names == plain.names == NAMES
        np.testing.assert_allclose(ours.standard_error, plain.standard_error, rtol=1e-9)
        new = ours.predict(table(mixed, ["score", "unused", "age", "height"]))
        np.testing.assert_allclose(new.standard_error, plain.predict(A).standard_error, rtol=1e-9)
        assert all(name in ours.summary() for name in (*NAMES, "wage"))
        with pytest.raises(ValueError, match="A must have the columns of the fit, got none named"):
            result.inference(table(A[:, :2], NAMES[:2]), B)

    @pytest.mark.parametrize("fit", [randla.lstsq, randla.lp_regression])
    def test_names_of_the_caller(self, fit):
        ours = fit(A, B).inference(A, B, names=["a", 2, "c"])
        assert ours.names == ("a", "2", "c")
        swapped = as_pandas(A[:, ::-1], ["c", "2", "a"])
        np.testing.assert_allclose(ours.predict(swapped).value, A @ ours.estimate)
        named = fit(as_pandas(A, NAMES), B).inference(A, B, names=list("abc"))
        assert named.names == ("a", "b", "c")
        np.testing.assert_allclose(named.predict(as_pandas(A, NAMES)).value, A @ named.estimate)
        for names in (["a", "b"], ["a", "b", "a"], [1, "1", 2]):
            with pytest.raises(ValueError, match="names must"):
                fit(A, B).inference(A, B, names=names)
        for names in (["a", None, "c"], [("a",), "b", "c"]):
            with pytest.raises(TypeError, match="names must hold strings, got"):
                fit(A, B).inference(A, B, names=names)
        for names in ("abc", 3, {"a", "b", "c"}, {"a": 1, "b": 2, "c": 3}, iter("abc")):
            with pytest.raises(TypeError, match="names must be a sequence of 3 names"):
                fit(A, B).inference(A, B, names=names)

    def test_a_warning_names_the_column(self):
        frame = as_pandas(A, NAMES).assign(twice=2.0 * A[:, 0])
        with pytest.warns(randla.InferenceWarning, match="'age', 'twice'"):
            table = randla.lstsq(frame, B).inference(frame, B)
        assert np.isnan(table.standard_error[[0, 3]]).all()
        assert np.isfinite(table.standard_error[1:3]).all()

    @pytest.mark.parametrize("fit", [randla.lstsq, FITS["quantiles"], FITS["norm"]])
    def test_a_warning_is_for_the_line_of_the_caller(self, fit):
        twice = np.column_stack([A, A[:, 0]])
        with pytest.warns(randla.InferenceWarning) as caught:
            fit(twice, B).inference(twice, B)
        assert {Path(warning.filename).name for warning in caught} == {Path(__file__).name}

    def test_names_of_responses(self):
        table = pandas.DataFrame({"wage": B, "hours": -B})
        ours = randla.lstsq(A, table).inference(A, table)
        assert "wage" in ours.summary()
        assert "hours" in ours.summary()
        assert ours.to_frame().index.names == ["column", "name"]
        assert ours.to_frame().loc[("hours", "x1"), "estimate"] == ours.estimate[1, 1]

    def test_equal_slopes_finds_the_constant_column(self):
        X, b = RNG.standard_normal((90, 2)), RNG.standard_normal(90)
        unit = np.eye(3)
        R = [unit[j][:, None] * (unit[0] - unit[t]) for t in (1, 2) for j in range(2)]
        for constant in (1.0, -250.0):
            design = np.column_stack([X, np.full(90, constant)])
            ours = randla.lp_regression(design, b, tau=[0.3, 0.5, 0.7]).inference(design, b)
            assert ours.equal_slopes().degrees_of_freedom == (4, 87.0)
            assert ours.equal_slopes().statistic == pytest.approx(ours.wald(R).statistic)

"""Errors name the argument, what was expected and what came; nothing is copied for nothing."""

import numpy as np
import pytest
from scipy import sparse

from randla import CountSketch, _validation as v, lstsq


def test_arrays_are_read_as_they_lie():
    for A in (
        np.ones((3, 2)),
        np.asfortranarray(np.ones((3, 2))),
        np.ones((6, 4))[::2, ::-2],
        np.ones((3, 2), np.float32),
    ):
        got = v.as_matrix(A)
        assert np.shares_memory(got, A)
        assert got.strides == A.strides
        assert got.dtype == A.dtype
        assert not got.flags.writeable
        assert A.flags.writeable


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.longdouble, ">f8"])
def test_other_real_types_become_float64(dtype):
    got = v.as_matrix(np.ones((2, 2), dtype))
    assert got.dtype == np.float64
    assert got.dtype.isnative


def test_finite_numbers_whose_sum_overflows_are_finite():
    big = np.full(4, 1e308)
    np.testing.assert_array_equal(v.as_vector(big, "x"), big)
    v.as_vector(np.full(4, 3e38, np.float32), "x")
    with pytest.raises(ValueError, match="x must be finite, got inf"):
        v.as_vector(np.append(big, np.inf), "x")
    with pytest.raises(ValueError, match="x must be finite, got NaN"):
        v.as_vector(np.array([np.inf, -np.inf, np.nan]), "x")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: v.as_matrix([1.0, 2.0]),
            ValueError,
            r"A must be 2-D, got .* \(2,\): .*reshape",
        ),
        (lambda: v.as_matrix(1.0), ValueError, r"A must be 2-D, got shape \(\)$"),
        (lambda: v.as_matrix([["a"]]), TypeError, "A must hold real numbers, got dtype <U1"),
        (lambda: v.as_matrix([[1j]]), TypeError, "A must hold real numbers, got complex numbers"),
        (lambda: v.as_matrix([[1], [1, 2]]), ValueError, "A must be a rect.* entries differ in l"),
        (lambda: v.as_matrix([[None]]), TypeError, "got dtype object"),
        (
            lambda: v.as_matrix(np.ma.masked_equal([[1, 2]], 2)),
            ValueError,
            "A must have no masked entries, got 1 of them",
        ),
        (lambda: v.as_matrix(sparse.eye_array(3)), TypeError, "A must be a dense array, got a sp"),
        (lambda: v.as_rhs(np.ones(3), 4), ValueError, r"b must have shape \(4,\) or \(4, k\)"),
        (lambda: v.as_rhs(np.ones((4, 1, 1)), 4), ValueError, "b must have shape"),
        (lambda: v.as_vector(np.ones((2, 1)), "w"), ValueError, "w must be 1-D, got shape"),
        (lambda: v.as_vector([1.0], "w", size=2), ValueError, r"w must be of shape \(2,\)"),
        (lambda: v.as_points(np.ones((0, 3))), ValueError, "X must be a non-empty cloud"),
        (
            lambda: v.as_points(np.ones((2, 3)), "Y", dim=2),
            ValueError,
            r"Y must have points of dimension 2, like X, got shape \(2, 3\)",
        ),
        (lambda: v.as_weights([1, -2], 2, "a"), ValueError, "a must be non-negative, got -2"),
        (lambda: v.as_weights([0, 0], 2, "a"), ValueError, "a must have a positive sum"),
        (lambda: v.as_count(2.0, "m"), TypeError, "m must be an integer, got 2.0"),
        (lambda: v.as_count(True, "m"), TypeError, "m must be an integer, got True"),
        (lambda: v.as_count("2", "m"), TypeError, "m must be an integer, got str"),
        (lambda: v.as_count(0, "m"), ValueError, "m must be at least 1, got 0"),
        (lambda: v.as_count(10**5000, "m"), ValueError, r"m must be at most 2\^62, got 16610 bits"),
        (lambda: v.as_number(-(10**5000), "eps"), ValueError, "eps must be finite, got a number"),
        (
            lambda: v.as_count(9, "m", maximum=8, note=" (rows of A)"),
            ValueError,
            r"m must be at least 1 and at most 8 \(rows of A\), got 9",
        ),
        (lambda: v.as_number("1", "eps"), TypeError, "eps must be a real number, got '1'"),
        (lambda: v.as_number([1.0], "eps"), TypeError, "eps must be a real number, got an array"),
        (lambda: v.as_number(None, "eps"), TypeError, "eps must be a real number, got NoneType"),
        (lambda: v.as_number(np.nan, "eps"), ValueError, "eps must be finite, got nan"),
        (lambda: v.as_number(-1, "eps", low=0), ValueError, "eps must be at least 0, got -1"),
        (
            lambda: v.as_number(0, "eps", low=0, closed="neither"),
            ValueError,
            "eps must be greater than 0, got 0",
        ),
        (lambda: v.as_number(2, "t", high=1), ValueError, "t must be at most 1, got 2"),
        (lambda: v.as_number(np.inf, "eps", low=0), ValueError, "eps must be finite, got inf"),
        (lambda: v.as_number(np.inf, "p", low=0, closed="neither"), ValueError, "p must be finite"),
        (lambda: v.as_number(np.inf, "r", low=0, closed="left"), ValueError, "r must be finite"),
        (lambda: v.as_number(np.inf, "q", high=1), ValueError, "q must be at most 1, got inf"),
        (lambda: v.as_number(-np.inf, "t", low=0), ValueError, "t must be at least 0, got -inf"),
        (lambda: v.as_level(1.0), ValueError, r"level must be in \(0, 1\), got 1.0"),
        (lambda: v.as_power(0.5), ValueError, "p must be at least 1, got 0.5"),
        (lambda: v.as_choice("x", "how", ("a", None)), ValueError, "how must be one of 'a', None"),
        (
            lambda: v.as_choice(3, "how", ("a", "b")),
            TypeError,
            "how must be one of 'a', 'b', got 3",
        ),
        (lambda: v.as_flag(1, "store"), TypeError, "store must be True or False, got 1"),
        (lambda: v.as_indices([0, 5], 5), ValueError, "rows must be .* from 0 to 4, got 5"),
        (lambda: v.as_indices([0, -6], 5), ValueError, "rows must be .* from 0 to 4, got -6"),
        (lambda: v.as_indices([0.5], 5), TypeError, "rows must be a 1-D array of integers"),
        (lambda: v.as_indices([True], 5), ValueError, r"rows must be a mask of shape \(5,\)"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_matrices_that_point_outside_are_refused(make):
    # SciPy makes them of indices that count from 1, say; kernels would write to foreign memory.
    indices = np.array([1, 2, 3, 4])
    for bad in (indices, indices - 2, indices + 10**6):
        A = make((np.ones(4), bad, np.arange(5)), shape=(4, 4))
        with pytest.raises(ValueError, match="A must have indices from 0 to 3, got"):
            v.as_matrix(A, sparse=True)
        for refused in (lambda A=A: CountSketch(3, 4, rng=0) @ A, lambda A=A: lstsq(A, np.ones(4))):
            with pytest.raises(ValueError, match="A must have indices from 0 to 3, got"):
                refused()
    for bad in ([0, 1, 10**6, 3, 4], [0, 2, 1, 3, 4], [1, 1, 2, 3, 4], [0, 1, 2, 3, 10**6]):
        A = make((np.ones(4), indices - 1, np.arange(5)), shape=(4, 4))
        A.indptr[:] = bad
        with pytest.raises(ValueError, match="A must have an indptr that ascends"):
            v.as_matrix(A, sparse=True)
    A = make((np.ones(6), np.r_[indices - 1, 99, -7], np.arange(5)), shape=(4, 4))
    assert v.as_matrix(A, sparse=True).sum() == 4.0  # what is stored beyond the rows is not read


def test_sparse_matrices_become_csr():
    A = sparse.coo_array(([1, 2, 3], ([0, 0, 1], [1, 1, 0])), shape=(2, 3))
    got = v.as_matrix(A, sparse=True)
    assert got.format == "csr"
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got.toarray(), [[0, 3, 0], [3, 0, 0]])
    with pytest.raises(ValueError, match="A must be finite"):
        v.as_matrix(sparse.csr_array([[np.nan]]), sparse=True)
    with pytest.raises(TypeError, match="complex"):
        v.as_matrix(sparse.csr_array([[1j]]), sparse=True)


def test_numbers_and_choices_pass():
    assert v.as_number(np.float32(0.5), "x") == 0.5
    assert v.as_number(np.inf, "x", infinite=True) == np.inf
    assert v.as_power(np.inf, infinite=True) == np.inf
    assert v.as_count(np.int8(3), "m") == 3
    assert v.as_choice(None, "how", ("a", None)) is None
    assert v.as_flag(np.True_, "store") is True
    np.testing.assert_array_equal(v.as_indices([-1, 0], 5), [4, 0])
    np.testing.assert_array_equal(v.as_indices([True, False, True], 3), [0, 2])
    np.testing.assert_array_equal(v.as_indices([], 3), [])
    assert v.as_points([1, 2, 3]).shape == (3, 1)


def _table(**columns):
    """A table of pandas with two rows of floats beside the given columns."""
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({"x": [0.5, 1.5], **columns})


def test_tables_with_truth_values_and_nullable_numbers_are_numbers():
    pd = pytest.importorskip("pandas")
    table = _table(n=pd.array([3, 4], "Int64"), b=pd.array([True, False], "boolean"))
    table = pd.concat([table, pd.get_dummies(pd.Series(["u", "v"]))], axis=1)
    expected = [[0.5, 3, 1, 1, 0], [1.5, 4, 0, 0, 1]]
    for got in (v.as_matrix(table), v.as_rhs(table, 2), v.as_points(table), v.as_array(table, "y")):
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(v.as_vector(table["n"], "b"), [3, 4])
    np.testing.assert_array_equal(v.as_vector(table["b"], "b"), [1, 0])
    np.testing.assert_array_equal(v.as_matrix(table[["u", "v"]]), [[1, 0], [0, 1]])
    single = pd.DataFrame({"x": np.ones(2, np.float32), "y": [True, False]})
    assert v.as_matrix(single).dtype == np.float32
    plain = pd.DataFrame(np.ones((3, 2)))
    assert np.shares_memory(v.as_matrix(plain), plain.to_numpy())
    same = _table(y=[1.0, 2.0])
    same.columns = ["x", "x"]
    np.testing.assert_array_equal(v.as_matrix(same), [[0.5, 1], [1.5, 2]])


def test_columns_that_hold_no_numbers_are_named():
    pd = pytest.importorskip("pandas")
    for column in (["a", "b"], ["a", 1], pd.Categorical(["a", "b"]), pd.to_datetime(["2024"] * 2)):
        with pytest.raises(
            TypeError, match=r"A must hold real numbers, got dtype .* in column 'q'"
        ):
            v.as_matrix(_table(q=column))
    with pytest.raises(TypeError, match="got complex numbers in column 'q'"):
        v.as_matrix(_table(q=[1j, 2]))
    with pytest.raises(TypeError, match=r"b must hold real numbers, got dtype .* in column 'q'"):
        v.as_vector(_table(q=["a", "b"])["q"], "b")


def test_missing_values_are_refused_by_name_unless_they_may_be_nan():
    pd = pytest.importorskip("pandas")
    for values in (pd.array([1, None], "Int64"), pd.array([None, True], "boolean")):
        table = _table(q=values)
        for finite in (True, False):
            with pytest.raises(ValueError, match="A must have no missing values, got 1 in column"):
                v.as_matrix(table, finite=finite)
        y = v.as_array(table, "y", finite=False)
        np.testing.assert_array_equal(np.isnan(y), table.isna())
    with pytest.raises(ValueError, match="A must be finite, got NaN"):
        v.as_matrix(_table(q=[1.0, np.nan]))


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_other_tables_are_read_in_the_same_way(library):
    module = pytest.importorskip(library)
    make = module.DataFrame if library == "polars" else module.table
    good = {"x": [0.5, 1.5], "n": [3, 4], "b": [True, False]}
    np.testing.assert_array_equal(v.as_matrix(make(good)), [[0.5, 3, 1], [1.5, 4, 0]])
    np.testing.assert_array_equal(v.as_vector(make(good)["b"], "b"), [1, 0])
    with pytest.raises(TypeError, match=r"A must hold real numbers, got dtype .* in column 'q'"):
        v.as_matrix(make(good | {"q": ["a", "b"]}))
    with pytest.raises(ValueError, match="A must have no missing values, got 1 in column 'q'"):
        v.as_matrix(make(good | {"q": [None, 1]}))


@pytest.mark.parametrize("q", [True, [True, False], [], [[0.5]], 1.5, -0.1, [0.5, np.nan]])
def test_levels_of_quantiles_are_numbers_between_zero_and_one(q):
    with pytest.raises((TypeError, ValueError), match="q must be"):
        v.as_quantile_levels(q)
    assert v.as_quantile_levels(1) == 1.0

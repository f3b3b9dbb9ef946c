"""Regression by a formula and a table, as in R: ``lstsq("y ~ x + C(group)", data)``.

The grammar is that of `formulaic <https://matthewwardrop.github.io/formulaic>`_: ``C(g)`` codes a
category by dummies, ``x:z`` and ``x*z`` are interactions, ``np.log(x)``, ``poly(x, 2)`` and your
own functions are applied to columns, and there is an intercept unless the formula has ``- 1``. The
functions return the results of those of `randla`; their `predict`, `residuals` and `inference` take
a table instead of A and b, and remember the levels of categories, means and splines.

Needs formulaic and pandas: ``pip install 'randla[formula]'``.
"""

import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

try:
    import pandas
    from formulaic import Formula
    from formulaic.errors import DataMismatchWarning, FormulaicError
except ImportError as error:
    raise ImportError("randla.formula needs formulaic: pip install 'randla[formula]'") from error

from randla import regression
from randla._results import RandlaWarning, caller_frame, warn_caller
from randla._typing import Array
from randla._validation import as_choice
from randla.regression._fitted.labels import Labels

__all__ = ["lp_regression", "lstsq"]

#: Number of values that an error message lists.
_FEW = 5


def lstsq(
    formula: str, data: Any, *, weights: Any = None, na: str = "raise", **options: Any
) -> regression.LstsqResult:
    """Solve least squares given by a formula and a table, as `randla.lstsq` does for arrays.

    Parameters
    ----------
    formula : str
        For example ``"y ~ x + C(group)"``; ``"y + z ~ x"`` has two right-hand sides.
    data : DataFrame of pandas or polars, table of pyarrow, or dict of columns
        Holds the columns that the formula names, with n rows.
    weights : str or (n,) array_like, optional
        A column of the data, or a weight for each of its rows.
    na : {"raise", "drop"}
        How to handle rows with a missing value in a column of the formula. "drop" leaves them out,
        and reports their number in a warning and in the table.
    **options
        The options of `randla.lstsq`.

    Returns
    -------
    LstsqResult
        Its `predict` takes new data; ``inference(data, groups="firm")`` takes the data of the fit,
        with groups and weights by the names of their columns.

    Raises
    ------
    ValueError, TypeError
        If the formula cannot be read, names columns that are not in the data, or gives a response
        that is not numeric; if values are missing.

    See Also
    --------
    randla.lstsq : the same for arrays.

    Examples
    --------
    >>> import randla
    >>> data = {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 0.0, 1.0], "g": ["a", "a", "b", "b"]}
    >>> fit = randla.formula.lstsq("y ~ x + C(g)", data)
    >>> dict(zip(fit.names, fit.x.round(6).tolist()))
    {'Intercept': 1.0, 'x': 1.0, 'C(g)[T.b]': 3.0}
    >>> fit.predict({"x": [2.0], "g": ["b"]}).round(6)
    array([6.])
    """
    model, A, b, weights = _opened(formula, data, weights, na)
    return model.label(regression.lstsq(A, b, weights=weights, **options))


def lp_regression(
    formula: str, data: Any, p: float = 1, *, weights: Any = None, na: str = "raise", **options: Any
) -> regression.LpRegressionResult:
    """Fit quantiles or another l_p norm, given by a formula and a table.

    Parameters
    ----------
    formula, data, weights, na
        As in `randla.formula.lstsq`, for one right-hand side.
    p : float, optional
        The norm, from 1 to inf.
    **options
        The options of `randla.lp_regression`, such as `tau`.

    Returns
    -------
    LpRegressionResult
        Takes new data, and ``inference(data)``, as after `randla.formula.lstsq`.

    See Also
    --------
    randla.lp_regression : the same for arrays, with the errors it raises.

    Examples
    --------
    >>> import randla
    >>> engel = randla.datasets.engel()
    >>> data = {"income": engel.income, "food": engel.food}
    >>> fit = randla.formula.lp_regression("food ~ income", data, tau=0.5)
    >>> fit.x.round(2)
    array([81.48,  0.56])
    """
    model, A, b, weights = _opened(formula, data, weights, na)
    return model.label(regression.lp_regression(A, b, p, weights=weights, **options))


@dataclass(frozen=True)
class Model:
    """A formula with the state learned from its data, for new data.

    Attributes
    ----------
    text : str
    spec : formulaic.ModelSpecs
        With the levels of categories and other learned state.
    columns : frozenset of str
        The columns of the data that the formula reads.
    na : str
    n_dropped : int
        Number of rows of the data that were left out.
    """

    text: str
    spec: Any
    columns: frozenset[str]
    na: str
    n_dropped: int

    def label(self, result: Any) -> Any:
        """The result with names, and with this model for new data."""
        names, responses = self.spec.rhs.column_names, self.spec.lhs.column_names
        return result.labeled(Labels(tuple(names), tuple(responses), self))

    def design(self, data: Any, name: str) -> Array:
        """The matrix A of new data, which need no response."""
        frame = _as_frame(data, name)
        needed = self.columns & self.spec.rhs.required_variables
        _kept(frame, needed, "raise", name)
        return _expand(self.spec.rhs, frame)

    def opened(
        self, data: Any, b: Any, vectors: Mapping[str, Any]
    ) -> tuple[Array, Array, dict[str, Any]]:
        """A, b and vectors over the rows, such as weights, of the data of the fit."""
        if b is not None:
            raise ValueError("b must be left out after a formula: it is a column of the data")
        frame = _as_frame(data, "A")
        kept = _kept(frame, self.columns, self.na, "A")
        rows = frame if kept.all() else frame[kept]
        b = _as_response(_expand(self.spec.lhs, rows))
        found = {key: _vector(frame, kept, value, key) for key, value in vectors.items()}
        return _expand(self.spec.rhs, rows), b, found


def _opened(text: Any, data: Any, weights: Any, na: str) -> tuple[Model, Array, Array, Any]:
    """The model of a formula and its data, A, b and weights."""
    if not isinstance(text, str):
        raise TypeError(f"formula must be a string such as 'y ~ x', got {type(text).__name__}")
    frame, na = _as_frame(data, "data"), as_choice(na, "na", ("raise", "drop"))
    all_columns = {"__formulaic_variables_available__": list(frame.columns)}  # after a "."
    formula = _read(Formula.from_spec, text, context=all_columns)
    sides = set(getattr(formula, "_structure", ()))
    if sides != {"lhs", "rhs"} or isinstance(formula.rhs, tuple):
        raise ValueError(f"formula must have a response and one right side, 'y ~ x', got {text!r}")
    factors = {f.expr for side in (formula.lhs, formula.rhs) for term in side for f in term.factors}
    for name in sorted(factors - set(frame.columns)):  # in calls, names of the caller are meant
        if name.isidentifier():
            raise ValueError(f"formula must name columns of the data, got {name!r}, which is none")
    columns = frozenset(formula.required_variables) & frozenset(frame.columns)
    kept = _kept(frame, columns, na, "data")
    n_dropped = len(kept) - int(kept.sum())
    rows = frame[kept] if n_dropped else frame
    for column in columns & formula.lhs.required_variables:
        if rows[column].dtype.kind not in "biuf":
            raise TypeError(
                f"data must have numbers as the response, got {rows[column].dtype} in {column!r}"
            )
    for column in rows.select_dtypes("category"):  # a level without rows would be a column of zeros
        rows = rows.assign(**{column: rows[column].cat.remove_unused_categories()})
    A = _matrices(formula, rows)
    if n_dropped:
        warn_caller(
            f"{n_dropped} of {len(kept)} rows were dropped for missing values", RandlaWarning
        )
    model = Model(text, A.model_spec, columns, na, n_dropped)
    b = _as_response(_numbers(A.lhs))
    return model, _numbers(A.rhs), b, _vector(frame, kept, weights, "weights")


def _as_frame(data: Any, name: str) -> pandas.DataFrame:
    """Any table as a data frame of plain columns, with rows numbered from 0."""
    polars, pyarrow = sys.modules.get("polars"), sys.modules.get("pyarrow")
    if polars is not None and isinstance(data, polars.DataFrame):
        data = {column: data[column].to_numpy() for column in data.columns}
    elif pyarrow is not None and isinstance(data, (pyarrow.Table, pyarrow.RecordBatch)):
        data = data.to_pandas()
    elif not isinstance(data, (pandas.DataFrame, Mapping)):
        kind = f"{type(data).__name__}{' of Dask: compute it first' * hasattr(data, 'compute')}"
        raise TypeError(f"{name} must be a table with named columns, got {kind}")
    if len(data) and all(np.ndim(values) == 0 for _, values in data.items()):
        raise ValueError(f"{name} must hold columns, such as [1.0], got single values")
    try:
        frame = pandas.DataFrame(data).reset_index(drop=True)
    except ValueError as error:  # columns of several lengths
        raise ValueError(f"{name} must hold columns of one length, got: {error}") from error
    for column, dtype in frame.dtypes.items():
        if isinstance(dtype, (np.dtype, pandas.CategoricalDtype)):
            continue
        if dtype.kind in "biuf":  # numbers and booleans that may be missing
            frame[column] = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
        elif pandas.api.types.is_string_dtype(dtype):
            frame[column] = frame[column].astype(object)
    return frame


def _kept(frame: pandas.DataFrame, columns: frozenset[str], na: str, name: str) -> Array:
    """Which rows are complete for a formula; ValueError for others unless they are dropped."""
    absent = sorted(columns - set(frame.columns))
    if absent:
        raise ValueError(f"{name} must have a column {absent[0]!r}, like the data of the fit")
    missing = frame[sorted(columns)].isna()
    if na == "raise" and missing.to_numpy().any():
        column, advice = missing.any().idxmax(), ": na='drop' leaves such rows out"
        raise ValueError(
            f"{name} must have no missing values, got {missing[column].sum()} in column {column!r}"
            + (advice if name == "data" else "")
        )
    return ~missing.to_numpy().any(axis=1)


def _read(function: Any, *args: Any, **options: Any) -> Any:
    """The result of formulaic; its errors, and unknown levels, as ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataMismatchWarning)
            return function(*args, **options)
    except (FormulaicError, DataMismatchWarning) as error:
        reason = re.sub("\x1b\\[[0-9;]*m|[\u29da\u29db]", "", " ".join(str(error).split()))
        reason = re.sub(r"(\{.*\})\. They are being cast.*", _few_of_set, reason)
        raise ValueError(f"formula does not fit the data: {reason}") from error


def _few_of_set(found: re.Match[str]) -> str:
    """The first few of the values in braces, in order."""
    values = sorted(found[1][1:-1].split(", "))
    more = f" and {len(values) - _FEW} more" if len(values) > _FEW else ""
    return ", ".join(values[:_FEW]) + more


def _matrices(spec: Any, frame: pandas.DataFrame) -> Any:
    """The matrices of a formula; names that are not columns are looked up in the caller's code."""
    caller = caller_frame()
    names = {} if caller is None else {**caller.f_globals, **caller.f_locals}
    options = {"context": names, "na_action": "ignore", "output": "pandas"}
    return _read(spec.get_model_matrix, frame, **options)


def _expand(spec: Any, frame: pandas.DataFrame) -> Array:
    """A matrix of new data, whose categories are values: their levels are those of the fit."""
    categories = list(frame.select_dtypes("category"))
    return _numbers(_matrices(spec, frame.astype(dict.fromkeys(categories, object))))


def _numbers(matrix: Any) -> Array:
    return np.asarray(matrix, dtype=np.float64)


def _as_response(B: Array) -> Array:
    return B[:, 0] if B.shape[1] == 1 else B


def _vector(frame: pandas.DataFrame, kept: Array, values: Any, name: str) -> Any:
    """Weights or groups of the kept rows: a column of the data, or values for all rows."""
    if values is None:
        return None
    if isinstance(values, str):
        if values not in frame.columns:
            raise ValueError(f"{name} must name a column of the data, got {values!r}")
        values = frame[values]
    if np.shape(values) != (len(frame),):
        raise ValueError(
            f"{name} must have shape ({len(frame)},), one for each row of the data, "
            f"got shape {np.shape(values)}"
        )
    return pandas.Series(values).to_numpy()[kept] if not kept.all() else values

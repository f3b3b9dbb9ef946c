"""Tables of pandas, polars and pyarrow as arrays of numbers, without importing any of the three.

A table is a list of columns, each with its own type. Booleans and numbers that may be missing,
which NumPy would turn into objects, become floats; a column of any other type is an error that
names it.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Column(NamedTuple):
    label: Any
    kind: str  # like that of NumPy's dtypes
    dtype: str
    n_missing: int
    values: Any  # a function without arguments, of float64 with NaN for missing values


def from_table(x: Any, name: str, *, missing: bool) -> Any:
    """`x` as an ndarray if it is a table or a column of one, else unchanged.

    Raises TypeError for a column that does not hold real numbers, and ValueError for a missing
    value unless ``missing=True``, which makes it NaN.
    """
    columns = None
    for module, read in (("pandas", _pandas), ("polars", _polars), ("pyarrow", _pyarrow)):
        library = sys.modules.get(module)  # not imported: then x is not one of its tables
        if library is not None and columns is None:
            columns = read(library, x)
    if columns is None:
        return x
    for column in columns:
        where = "" if column.label is None else f" in column {column.label!r}"
        if column.kind not in "biuf":
            kind = "complex numbers" if column.kind == "c" else f"dtype {column.dtype}"
            advice = ": encode it as numbers, or use randla.formula" if where else ""
            raise TypeError(f"{name} must hold real numbers, got {kind}{where}{advice}")
        if column.n_missing and not missing:
            raise ValueError(f"{name} must have no missing values, got {column.n_missing}{where}")
    arrays = [column.values() for column in columns]
    if len(getattr(x, "shape", ())) < 2:  # a column: 1-D
        return arrays[0]
    out: NDArray[Any] = np.empty(x.shape, np.result_type(*arrays) if arrays else np.float64)
    for j, array in enumerate(arrays):
        out[:, j] = array  # each converted to the common dtype
    return out


def column_names(x: Any, name: str) -> tuple[str, ...] | None:
    """The names of the columns of a table, as distinct strings; None if `x` is not a table."""
    labels = _labels(x)
    if labels is None:
        return None
    names = tuple(_as_name(label) for label in labels)
    if len(set(names)) < len(names):
        twice = next(label for j, label in enumerate(names) if label in names[:j])
        raise ValueError(f"{name} must have columns of different names, got {twice!r} twice")
    return names


def columns_of(x: Any, names: tuple[str, ...], name: str) -> Any:
    """The columns of a table in the order of `names`; other objects are returned unchanged."""
    found = column_names(x, name) if names else None
    if found is None or found == names:
        return x
    missing = [label for label in names if label not in found]
    if missing:
        raise ValueError(
            f"{name} must have the columns of the fit, got none named "
            + ", ".join(map(repr, missing))
        )
    places = [found.index(label) for label in names]
    if hasattr(x, "iloc"):  # pandas, Dask
        return x.iloc[:, places]
    return x.select([found[j] for j in places])  # polars, pyarrow: their names are strings


def name_of(x: Any) -> str | None:
    """The name of a column of pandas, polars or Dask; None if `x` has none or is not a column."""
    for module in ("pandas", "polars", "dask.dataframe"):
        library = sys.modules.get(module)
        if library is not None and isinstance(x, library.Series):
            return None if x.name is None or x.name == "" else _as_name(x.name)
    return None


def _labels(x: Any) -> list[Any] | None:
    for module in ("pandas", "polars", "dask.dataframe"):
        library = sys.modules.get(module)
        if library is not None and isinstance(x, library.DataFrame):
            return list(x.columns)
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(x, (pyarrow.Table, pyarrow.RecordBatch)):
        return list(x.schema.names)
    return None


def _as_name(label: Any) -> str:
    """A label as a string; one of several levels has a comma between them."""
    if isinstance(label, tuple):
        return ", ".join(str(part) for part in label if part != "")
    return str(label)


def _pandas(pandas: Any, x: Any) -> list[_Column] | None:
    if isinstance(x, pandas.Series):
        parts = [(x.name, x)]
    elif isinstance(x, pandas.DataFrame):
        parts = [(x.columns[j], x.iloc[:, j]) for j in range(x.shape[1])]  # labels may repeat
    else:
        return None
    kinds = {getattr(part.dtype, "kind", "O") for _, part in parts}
    plain = all(isinstance(part.dtype, np.dtype) for _, part in parts)  # no extension types
    if plain and (kinds <= set("iuf") or kinds <= set("b")):
        return None  # NumPy reads it, where it can without a copy

    def column(label: Any, part: Any) -> _Column:
        kind = getattr(part.dtype, "kind", "O")
        if isinstance(part.dtype, np.dtype):  # NaN is a number there
            return _Column(label, kind, str(part.dtype), 0, part.to_numpy)
        return _Column(
            label,
            kind,
            str(part.dtype),
            int(part.isna().sum()),
            lambda: part.to_numpy(dtype=np.float64, na_value=np.nan),
        )

    return [column(*part) for part in parts]


def _polars(polars: Any, x: Any) -> list[_Column] | None:
    if isinstance(x, polars.Series):
        parts = [x]
    elif isinstance(x, polars.DataFrame):
        parts = x.get_columns()
    else:
        return None

    def column(part: Any) -> _Column:
        real = part.dtype.is_numeric() or part.dtype == polars.Boolean  # decimals too
        return _Column(
            part.name or None,
            "f" if real else "O",
            str(part.dtype),
            part.null_count(),
            lambda: part.cast(polars.Float64).to_numpy(),
        )

    return [column(part) for part in parts]


def _pyarrow(pyarrow: Any, x: Any) -> list[_Column] | None:
    parts: list[tuple[Any, Any]]
    if isinstance(x, (pyarrow.Table, pyarrow.RecordBatch)):
        parts = list(zip(x.schema.names, x.columns, strict=True))
    elif isinstance(x, (pyarrow.Array, pyarrow.ChunkedArray)):
        parts = [(None, x)]
    else:
        return None
    types = pyarrow.types

    def column(label: Any, part: Any) -> _Column:
        kind = part.type
        real = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        return _Column(
            label,
            "f" if real or types.is_boolean(kind) else "O",
            str(kind),
            part.null_count,
            lambda: np.asarray(part.cast(pyarrow.float64()), np.float64),
        )

    return [column(*part) for part in parts]

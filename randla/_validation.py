"""Uniform errors for bad input: the argument, what was expected, what came.

Topic modules call these before anything else. Arrays are returned as read-only views or copies, so
that a kernel which writes to its input does not compile, and an input is never modified. float32
stays float32; every other real type becomes float64. Nothing is copied unless necessary.
"""

import math
import operator
import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from randla._tables import from_table

FloatArray = NDArray[np.floating[Any]]
#: The largest count; products with the size of an entry overflow beyond it.
_LARGEST_COUNT = 1 << 62


def as_array(
    x: Any, name: str, *, finite: bool = True, ndim: int | None = None, missing: bool | None = None
) -> FloatArray:
    """`x` as a read-only real array, float32 or float64, in its own memory order.

    Raises TypeError for input that is not numeric and real, ValueError for a wrong number of
    dimensions, masked entries, NaN or inf (unless ``finite=False``), and the missing values of a
    table (unless ``missing=True``, by default if NaN is allowed).
    """
    array = _as_ndarray(x, name, not finite if missing is None else missing)
    if ndim is not None and array.ndim != ndim:
        hint = one_column_hint(name) if (array.ndim, ndim) == (1, 2) else ""
        raise ValueError(f"{name} must be {ndim}-D, got shape {array.shape}{hint}")
    if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:  # or byte-swapped
        array = array.astype(np.float64)
    if finite:
        require_finite(array, name)
    return read_only(array)


def one_column_hint(name: str) -> str:
    """What to do with a vector where a matrix is expected."""
    return f": if it is one column, use {name}.reshape(-1, 1)"


def _as_ndarray(x: Any, name: str, missing: bool) -> NDArray[Any]:
    if is_sparse(x):
        raise TypeError(f"{name} must be a dense array, got a sparse {type(x).__name__}")
    if is_dask(x):
        raise TypeError(f"{name} must be in memory here, got a Dask array: use {name}.compute()")
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ValueError(f"{name} must have no masked entries, got {np.ma.count_masked(x)} of them")
    x = from_table(x, name, missing=missing)
    try:
        array = np.asarray(x)
    except (TypeError, ValueError) as error:  # ragged lists, objects that refuse conversion
        got = f"a {type(x).__name__}"
        if isinstance(x, (list, tuple)):
            got += " whose entries differ in length"
        raise ValueError(f"{name} must be a rectangular array of numbers, got {got}") from error
    if array.dtype.kind not in "biuf":  # booleans and numbers
        kind = "complex numbers" if array.dtype.kind == "c" else f"dtype {array.dtype}"
        raise TypeError(f"{name} must hold real numbers, got {kind}")
    return array


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written to: one kernel specialization a dtype, and inputs are safe."""
    view = array.view()
    view.flags.writeable = False
    return view


def require_finite(array: NDArray[Any], name: str) -> None:
    """Raise ValueError if there is a NaN or an inf. Costs one read if all entries are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()  # NaN or inf if any entry is; a sum of finite ones may overflow too
    if math.isfinite(total):
        return
    for part in np.array_split(array, max(array.size >> 20, 1)) if array.ndim else [array]:
        bad = ~np.isfinite(part)  # only now: the sum of finite numbers may overflow
        if bad.any():
            value = "NaN" if np.isnan(part).any() else "inf"
            raise ValueError(f"{name} must be finite, got {value}")


def is_sparse(x: Any) -> bool:
    """Whether `x` is a SciPy sparse array or matrix, without importing SciPy."""
    sparse = sys.modules.get("scipy.sparse")  # not imported: then there are no sparse matrices
    return sparse is not None and sparse.issparse(x)


def is_dask(x: Any) -> bool:
    """Whether `x` is an array, a table or a column of Dask, without importing Dask."""
    array, table = sys.modules.get("dask.array"), sys.modules.get("dask.dataframe")  # or absent
    if array is not None and isinstance(x, array.Array):
        return True
    return table is not None and isinstance(x, (table.DataFrame, table.Series))


def are_in_memory(*operands: Any) -> bool:
    """Whether none of them belongs to Dask."""
    return not any(is_dask(operand) for operand in operands)


def as_matrix(A: Any, name: str = "A", *, finite: bool = True, sparse: bool = False) -> Any:
    """`A` as a read-only (n, d) array in C, Fortran or strided order, in place.

    With ``sparse=True`` a SciPy sparse matrix is returned as a CSR array of float32 or float64
    (duplicates summed), otherwise it is refused.
    """
    if sparse and is_sparse(A):
        return _as_csr(A, name, finite)
    return as_array(A, name, finite=finite, ndim=2, missing=False)


def _as_csr(A: Any, name: str, finite: bool) -> Any:
    from scipy.sparse import csr_array

    if A.ndim != 2:
        raise ValueError(f"{name} must be 2-D, got shape {A.shape}")
    if A.dtype.kind not in "biuf":
        kind = "complex numbers" if A.dtype.kind == "c" else f"dtype {A.dtype}"
        raise TypeError(f"{name} must hold real numbers, got {kind}")
    _require_sound(A, name)
    csr = csr_array(A)
    if csr.dtype not in (np.float32, np.float64):  # integers and booleans
        csr = csr.astype(np.float64)
    if not csr.has_canonical_format:
        csr = csr.copy()  # the input is never modified
        csr.sum_duplicates()
    if finite:
        require_finite(csr.data, name)
    return csr


def _require_sound(A: Any, name: str) -> None:
    """Raise ValueError if the indices of a CSR or CSC matrix are outside its shape.

    SciPy does not check them, and kernels would write outside their arrays.
    """
    if A.format not in ("csr", "csc"):
        return
    width = A.shape[1] if A.format == "csr" else A.shape[0]  # range of the stored indices
    stop = int(A.indptr[-1])  # entries beyond it are not part of the matrix
    if A.indptr[0] != 0 or (np.diff(A.indptr) < 0).any() or stop > min(A.indices.size, A.data.size):
        raise ValueError(f"{name} must have an indptr that ascends from 0 to the stored entries")
    indices = A.indices[:stop]
    if stop and not (indices.min() >= 0 and indices.max() < width):
        outside = indices[(indices < 0) | (indices >= width)][0]
        raise ValueError(f"{name} must have indices from 0 to {width - 1}, got {outside}")


def as_rhs(b: Any, n: int, *, finite: bool = True, single: bool = False) -> FloatArray:
    """`b` as a read-only (n,) or (n, k) array; k is 1 if it is to be a `single` column."""
    array = as_array(b, "b", finite=finite)
    require_rhs_shape(array.shape, n, "b", single=single)
    return array


def require_rhs_shape(
    shape: tuple[int, ...], n: int, name: str, *, of: str = "A", single: bool = False
) -> None:
    """Raise ValueError unless the shape is (n,) or (n, k), with k = 1 for a `single` column."""
    if len(shape) not in (1, 2) or shape[0] != n or (single and shape[1:] not in ((), (1,))):
        raise ValueError(
            f"{name} must have shape ({n},) or ({n}, {1 if single else 'k'}), one row for each row "
            f"of {of}, got shape {shape}"
        )


def as_vector(x: Any, name: str, *, size: int | None = None, each: str = "") -> FloatArray:
    """`x` as a read-only 1-D array, of a given size if one is stated: one number for `each`."""
    array = as_array(x, name)
    if array.ndim != 1 or (size is not None and array.size != size):
        expected = "1-D" if size is None else f"of shape ({size},)"
        expected += f", one number for each {each}" if each else ""
        raise ValueError(f"{name} must be {expected}, got shape {array.shape}")
    return array


def as_points(X: Any, name: str = "X", *, dim: int | None = None, of: str = "X") -> FloatArray:
    """`X` as a read-only cloud of at least one point, (n, d); 1-D input is n points on a line."""
    array = as_array(X, name)
    if array.ndim == 1:
        array = array[:, None]  # n points on a line
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{name} must be a non-empty cloud of points (n, d), one a row, got shape {array.shape}"
        )
    if dim is not None and array.shape[1] != dim:
        raise ValueError(
            f"{name} must have points of dimension {dim}, like {of}, got shape {array.shape}"
        )
    return array


def as_weights(
    w: Any, size: int, name: str, *, positive_sum: bool = True, each: str = ""
) -> FloatArray:
    """`w` as a read-only float64 vector of non-negative weights that do not all vanish."""
    array = as_vector(w, name, size=size, each=each).astype(np.float64, copy=False)
    if (array < 0).any():  # NaN has been refused
        raise ValueError(f"{name} must be non-negative, got {array.min():g}")
    if positive_sum and not (array > 0).any():
        raise ValueError(f"{name} must have a positive sum, got only zeros")
    return read_only(array)


def as_quantile_levels(q: Any) -> NDArray[np.float64]:
    """`q` as a number in [0, 1], or a list of at least one of them."""
    levels = as_array(q, "q")
    is_bool = np.asarray(q).dtype == np.bool_
    if is_bool or levels.ndim > 1 or levels.size == 0 or not ((levels >= 0) & (levels <= 1)).all():
        kind = TypeError if is_bool else ValueError
        raise kind(f"q must be a number or a list of numbers in [0, 1], got {q!r}")
    return levels.astype(np.float64)


def as_count(
    value: Any, name: str, *, minimum: int = 1, maximum: int | None = None, note: str = ""
) -> int:
    """`value` as an int between `minimum` and `maximum`; `note` explains the maximum."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        count = operator.index(value)  # exact integers only: neither 3.0 nor "3"
    except TypeError:
        got = repr(value) if isinstance(value, (float, np.floating)) else type(value).__name__
        raise TypeError(f"{name} must be an integer, got {got}") from None
    if maximum is None and count > _LARGEST_COUNT:
        raise ValueError(f"{name} must be at most 2^62, got {count.bit_length()} bits")
    if count < minimum or (maximum is not None and count > maximum):
        upper = "" if maximum is None else f" and at most {maximum}{note}"
        raise ValueError(f"{name} must be at least {minimum}{upper}, got {count}")
    return count


def as_number(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    closed: Literal["both", "left", "right", "neither"] = "both",
    infinite: bool = False,
) -> float:
    """`value` as a float in the interval from `low` to `high`; inf only with ``infinite=True``."""
    if isinstance(value, (bool, np.bool_, str, bytes)) or np.ndim(value) != 0:
        shown = f"an array of shape {np.shape(value)}" if np.ndim(value) else repr(value)
        raise TypeError(f"{name} must be a real number, got {shown}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}") from None
    except OverflowError:  # an integer of hundreds of digits
        raise ValueError(f"{name} must be finite, got a number beyond 1.8e308") from None
    above = number >= low if closed in ("both", "left") else number > low
    below = number <= high if closed in ("both", "right") else number < high
    if math.isinf(number) and number in (low, high) and not infinite:  # an open end is not a value
        raise ValueError(f"{name} must be finite, got {value}")
    if math.isnan(number) or not (above and below):  # NaN fails every comparison
        raise ValueError(f"{name} must be {_interval(low, high, closed)}, got {value}")
    return number


def _interval(low: float, high: float, closed: str) -> str:
    if math.isinf(low) and math.isinf(high):
        return "finite"
    if math.isinf(high):
        return f"at least {low:g}" if closed in ("both", "left") else f"greater than {low:g}"
    if math.isinf(low):
        return f"at most {high:g}" if closed in ("both", "right") else f"less than {high:g}"
    opening = "[" if closed in ("both", "left") else "("
    closing = "]" if closed in ("both", "right") else ")"
    return f"in {opening}{low:g}, {high:g}{closing}"


def as_choice(value: Any, name: str, choices: Sequence[str | None]) -> Any:
    """`value` if it is one of `choices` (strings, or None), else an error that lists them."""
    if any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    kind = TypeError if not isinstance(value, str) else ValueError  # another type, or another name
    raise kind(f"{name} must be one of {listed}, got {value!r}")


def as_flag(value: Any, name: str) -> bool:
    """`value` as True or False."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


def as_level(level: Any, name: str = "level") -> float:
    """A confidence level, strictly between 0 and 1."""
    return as_number(level, name, low=0.0, high=1.0, closed="neither")


def as_power(p: Any, name: str = "p", *, infinite: bool = False) -> float:
    """The exponent of an l_p norm: p >= 1, inf only if the calling function allows it."""
    return as_number(p, name, low=1.0, infinite=infinite)


def as_indices(rows: Any, n: int, name: str = "rows") -> NDArray[np.int64]:
    """Row indices in 0..n-1 as int64; a mask of length n and negative indices are accepted."""
    array = np.asarray(rows)
    if array.dtype == np.bool_:
        if array.shape != (n,):
            raise ValueError(f"{name} must be a mask of shape ({n},), got shape {array.shape}")
        return np.flatnonzero(array)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(
            f"{name} must be a 1-D array of integers, got dtype {array.dtype}, shape {array.shape}"
        )
    out = array.astype(np.int64)
    if out.size and not (-n <= out.min() and out.max() < n):
        wrong = out[(out < -n) | (out >= n)][0]
        raise ValueError(f"{name} must be row indices from 0 to {n - 1}, got {wrong}")
    return np.where(out < 0, out + n, out)  # from the end, as in Python

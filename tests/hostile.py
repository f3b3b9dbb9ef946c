"""Hostile input: what a user may hand over by mistake or in earnest, drawn by hypothesis.

`hostile_arrays` starts from the valid arrays of a `Case` and spoils them: values first (scales,
zero and equal rows, dependent columns, subnormal numbers, NaN), then the shape, then the container
and the memory layout. It returns the arrays and `Spoiled`, which says what may be expected.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

TINY = np.finfo(float).smallest_subnormal

# What is done to the values of one array. A row is the first axis, a column the last one.
VALUES = {
    "as they are": lambda x, rng: x,
    "huge": lambda x, rng: x * 10.0 ** rng.integers(100, 300),
    "tiny": lambda x, rng: x * 10.0 ** -rng.integers(100, 300),
    "columns of any scale": lambda x, rng: x * 10.0 ** rng.uniform(-140, 140, x.shape[-1:]),
    "rows of any scale": lambda x, rng: (x.T * 10.0 ** rng.uniform(-12, 12, len(x))).T,
    "one large row": lambda x, rng: _set_row(x, rng, 1e8 * x[rng.integers(len(x))]),
    "one zero row": lambda x, rng: _set_row(x, rng, 0.0),
    "all zero": lambda x, rng: 0.0 * x,
    "all equal": lambda x, rng: np.full_like(x, x.flat[0]),
    "repeated rows": lambda x, rng: x[rng.integers(max(len(x) // 4, 1), size=len(x))],
    "a zero column": lambda x, rng: _set_column(x, rng, lambda column: 0.0 * column),
    "nearly dependent columns": lambda x, rng: _set_column(
        x, rng, lambda column: _first_column(x) * (1 + 1e-14 * rng.random(column.shape))
    ),
    "equal columns": lambda x, rng: _set_column(x, rng, lambda column: _first_column(x)),
    "far from the origin": lambda x, rng: x + 1e6,
    "subnormal": lambda x, rng: TINY * np.rint(64 * x),
    "some subnormal": lambda x, rng: np.where(rng.random(x.shape) < 0.2, TINY, x),
    "signed zeros": lambda x, rng: np.where(rng.random(x.shape) < 0.3, -0.0, x),
    "mostly zero": lambda x, rng: np.where(rng.random(x.shape) < 0.9, 0.0, x),
    "two values": lambda x, rng: np.sign(x),
    "negative": lambda x, rng: -x,
}
NOT_FINITE = {
    "a NaN": lambda x, rng: _set_entry(x, rng, np.nan),
    "an inf": lambda x, rng: _set_entry(x, rng, np.inf),
    "a -inf": lambda x, rng: _set_entry(x, rng, -np.inf),
    "a NaN row": lambda x, rng: _set_row(x, rng, np.nan),
}
SHAPES = {
    "one row": lambda x: x[:1],
    "two rows": lambda x: x[:2],
    "no row": lambda x: x[:0],
    "a third of the rows": lambda x: x[: math.ceil(x.shape[0] / 3)],
    "one column": lambda x: x[..., :1] if x.ndim > 1 else x,
    "no column": lambda x: x[..., :0] if x.ndim > 1 else x,
    "one axis more": lambda x: x[..., None],
    "one axis less": lambda x: x[0],
    "turned": lambda x: x.T,
    "a number": lambda x: x.flat[0],
}
# Kinds of the same numbers: the answer must be that of the plain array.
KINDS = {
    "plain": lambda x, folder: x,
    "list": lambda x, folder: x.tolist(),
    "tuple": lambda x, folder: tuple(x.tolist()),
    "Fortran": lambda x, folder: np.asfortranarray(x),
    "backwards": lambda x, folder: np.flip(np.flip(x).copy()),
    "every third": lambda x, folder: np.repeat(x, 3, axis=0)[::3],
    "inside a record": lambda x, folder: np.rec.fromarrays([x, x], names="a,b")["a"],
    "read-only": lambda x, folder: _read_only(x.copy()),
    "swapped bytes": lambda x, folder: x.astype(x.dtype.newbyteorder()),
    "misaligned": lambda x, folder: _misaligned(x),
    "long double": lambda x, folder: x.astype(np.longdouble),
    "masked, nothing missing": lambda x, folder: np.ma.masked_array(x, mask=False),
    "matrix": lambda x, folder: _as_matrix(x),
    "memory map": lambda x, folder: _mapped(x, folder),
    "has __array__": lambda x, folder: _Wrapper(x),
}
# Kinds that hold no real numbers or not all of them.
REFUSED_KINDS = {
    "complex": lambda x: x.astype(complex),
    "text": lambda x: x.astype(str),
    "object": lambda x: x.astype(object),
    "dates": lambda x: np.zeros(x.shape, "datetime64[D]"),
    "one masked": lambda x: np.ma.masked_array(x, mask=np.arange(x.size).reshape(x.shape) == 0),
    "an object": lambda x: object(),
    "a list of strings": lambda x: ["data.csv"],
    "a dictionary": lambda x: {"values": x},
    "a generator": lambda x: (number for number in x.ravel()),
    "ragged": lambda x: [[1.0, 2.0], [3.0]],
}


@dataclass(frozen=True)
class Spoiled:
    """What was done, and what must come of it.

    Attributes
    ----------
    what : tuple of str
        The names of what was done to which array.
    must_refuse : bool
        The input has no right answer.
    plain : dict
        The same numbers as ordinary arrays, where the answer must be the same; else None.
    moderate : bool
        No number is so large or small that a power of it might leave the range of doubles.
    """

    what: tuple[str, ...]
    must_refuse: bool
    plain: dict[str, np.ndarray] | None
    moderate: bool


@st.composite
def hostile_arrays(draw: Any, case: Any, folder: Any) -> tuple[dict[str, Any], Spoiled]:
    """Spoiled arguments of a case, from its valid ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = {name: array.astype(float) for name, array in case.arrays.items()}
    names = sorted(name for name, array in case.arrays.items() if array.dtype.kind == "f")
    what: list[str] = []

    for name in names:
        kind = draw(st.sampled_from(sorted(VALUES)))
        with np.errstate(all="ignore"):
            changed = VALUES[kind](arrays[name], rng)
        if np.isfinite(changed[np.isfinite(arrays[name])]).all():
            arrays[name] = changed
            what.append(f"{name}: {kind}")
    moderate = all(_moderate(array) for array in arrays.values())

    if names and draw(st.integers(0, 4)) == 0:
        name, kind = draw(st.sampled_from(names)), draw(st.sampled_from(sorted(NOT_FINITE)))
        arrays[name] = NOT_FINITE[kind](arrays[name], rng)
        what.append(f"{name}: {kind}")

    if draw(st.integers(0, 2)) == 0:
        kind = draw(st.sampled_from(sorted(SHAPES)))
        same_rows = {len(array) for array in case.arrays.values()}
        all_of_them = len(same_rows) == 1 and draw(st.booleans())
        for name in list(arrays) if all_of_them else [draw(st.sampled_from(sorted(arrays)))]:
            arrays[name] = np.asarray(SHAPES[kind](arrays[name]))
            what.append(f"{name}: {kind}")

    plain = {name: np.array(array) for name, array in arrays.items()}
    must_refuse = any(
        np.isinf(array).any() or (name not in case.nan and np.isnan(array).any())
        for name, array in plain.items()
    )
    given: dict[str, Any] = dict(plain)
    name = draw(st.sampled_from(sorted(arrays)))
    if draw(st.integers(0, 5)) == 0 and plain[name].size:
        kind = draw(st.sampled_from(sorted(REFUSED_KINDS)))
        given[name], must_refuse = REFUSED_KINDS[kind](plain[name]), True
        what.append(f"{name}: {kind}")
    elif plain[name].ndim and plain[name].size:
        kind = draw(st.sampled_from(sorted(KINDS)))
        given[name] = KINDS[kind](plain[name], folder)
        what.append(f"{name}: {kind}")
    return given, Spoiled(tuple(what), must_refuse, None if must_refuse else plain, moderate)


def _moderate(array: np.ndarray) -> bool:
    sizes = np.abs(array[np.isfinite(array) & (array != 0)])
    return sizes.size == 0 or (sizes.max() < 1e30 and sizes.min() > 1e-30)


def _set_row(x: np.ndarray, rng: np.random.Generator, value: Any) -> np.ndarray:
    out = x.copy()
    out[rng.integers(len(x))] = value
    return out


def _first_column(x: np.ndarray) -> np.ndarray:
    return x[..., 0] if x.ndim > 1 else x


def _set_column(x: np.ndarray, rng: np.random.Generator, function: Any) -> np.ndarray:
    if x.ndim == 1:
        return function(x)
    out = x.copy()
    j = rng.integers(x.shape[-1])
    out[..., j] = function(out[..., j])
    return out


def _set_entry(x: np.ndarray, rng: np.random.Generator, value: float) -> np.ndarray:
    out = x.copy()
    out.flat[rng.integers(x.size)] = value
    return out


def _read_only(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def _as_matrix(x: np.ndarray) -> np.ndarray:
    if x.ndim != 2:
        return x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(x)


def _misaligned(x: np.ndarray) -> np.ndarray:
    raw = np.empty(x.nbytes + 1, np.uint8)
    out = raw[1:].view(x.dtype)[: x.size].reshape(x.shape)
    out[...] = x
    return out


def _mapped(x: np.ndarray, folder: Any) -> np.ndarray:
    path = folder / "array.npy"
    np.save(path, x)
    return np.load(path, mmap_mode="r")


class _Wrapper:
    """Not an array, but knows how to become one, as frames and series do."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.x, dtype=dtype)

    def __len__(self) -> int:
        return len(self.x)

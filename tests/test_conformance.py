"""Every public function: input kinds, errors that name the argument, seeds, threads, pickling."""

import importlib
import pickle
import warnings

import numpy as np
import pytest

import randla
from randla import RandlaWarning

FAMILIES = ("sketching", "sampling", "regression", "transport", "smoothing", "datasets")
CASES = [
    case for family in FAMILIES for case in importlib.import_module(f"tests.{family}.cases").CASES
]
# Modules; results are covered by the functions that return them.
WITHOUT_CASE = {"__version__", "datasets", "random", *FAMILIES}

each_case = pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
each_array = pytest.mark.parametrize(
    ("case", "name"),
    [(case, name) for case in CASES for name in case.arrays],
    ids=[f"{case.name}-{name}" for case in CASES for name in case.arrays],
)


def assert_same(got, expected, rtol=0.0):
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        scale = np.abs(e).max(initial=0.0) if e.dtype.kind in "fiu" else 0.0
        if rtol == 0.0 or e.dtype.kind not in "f":
            np.testing.assert_array_equal(g, e)
        else:
            np.testing.assert_allclose(g, e, rtol=0, atol=rtol * scale)


def test_every_public_name_has_a_case():
    covered = {case.public_name for case in CASES}
    endings = "Result", "Scores", "RowSample", "Warning"
    made_by_the_library = {name for name in randla.__all__ if name.endswith(endings)}
    assert set(randla.__all__) - covered - made_by_the_library == WITHOUT_CASE


@each_array
@pytest.mark.parametrize("kind", ["list", "Fortran", "strided", "negative", "read-only", "swapped"])
def test_layouts_give_the_same_answer(case, name, kind):
    array = case.arrays[name]
    if kind == "list":
        changed = array.tolist()
    elif kind == "Fortran":
        changed = np.asfortranarray(array)
    elif kind == "strided":
        wide = np.zeros([3 * k for k in array.shape])
        wide[tuple(slice(None, None, 3) for _ in array.shape)] = array
        changed = wide[tuple(slice(None, None, 3) for _ in array.shape)]
    elif kind == "negative":
        changed = np.flip(np.flip(array).copy())
    elif kind == "read-only":
        changed = array.copy()
        changed.flags.writeable = False
    else:
        changed = array.astype(array.dtype.newbyteorder())
    assert_same(case.run_values(**{name: changed}), case.run_values(), rtol=1e-9)


@each_case
def test_float32_input(case):
    arrays = {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in case.arrays.items()
    }
    assert_same(case.run_values(**arrays), case.run_values(), rtol=case.rtol32)


@each_case
def test_integer_input(case):
    if not case.integers:
        return
    integers = {
        name: np.rint(4 * array).astype(np.int64) if array.dtype.kind == "f" else array
        for name, array in case.arrays.items()
        if name not in case.nan
    }
    floats = {name: array.astype(float) for name, array in integers.items()}
    assert_same(case.run_values(**integers), case.run_values(**floats), rtol=1e-9)


@each_array
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(case, name, value):
    if case.arrays[name].dtype.kind != "f" or (np.isnan(value) and name in case.nan):
        return
    array = case.arrays[name].copy()
    array.flat[array.size // 2] = value
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        case.run(**{name: array})


@each_array
@pytest.mark.parametrize("kind", ["complex", "text", "object", "masked", "4-D", "ragged", "none"])
def test_arrays_of_the_wrong_kind_are_refused(case, name, kind):
    array = case.arrays[name]
    changed, error = {
        "complex": (array.astype(complex), TypeError),
        "text": (array.astype(str), TypeError),
        "object": (array.astype(object), TypeError),
        "masked": (np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) == 0),
                   ValueError),
        "4-D": (np.broadcast_to(array, (2,) * (4 - array.ndim) + array.shape), ValueError),
        "ragged": ([[1.0, 2.0], [3.0]], (TypeError, ValueError)),
        "none": (object(), TypeError),
    }[kind]  # fmt: skip
    if kind == "4-D" and name in case.higher:
        return
    with pytest.raises(error, match=rf"\b{name}\b"):
        case.run(**{name: changed})


@each_array
def test_empty_arrays_are_refused(case, name):
    if name in case.empty:
        return
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        case.run(**{name: case.arrays[name][:0]})


@each_case
def test_input_is_not_modified(case):
    before = {name: array.copy() for name, array in case.arrays.items()}
    case.run()
    for name, array in before.items():
        np.testing.assert_array_equal(case.arrays[name], array)


@each_case
def test_seeds(case):
    if not case.takes_rng:
        return
    first = case.run_values(rng=7)
    assert_same(case.run_values(rng=7), first)
    assert_same(case.run_values(rng=np.random.default_rng(7)), first)
    generator = np.random.default_rng(7)
    case.run(rng=generator)
    if case.random:
        for other in (case.run_values(rng=8), case.run_values(rng=generator)):
            assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    with warnings.catch_warnings():  # a draw without a seed may have what the library warns of
        warnings.simplefilter("ignore", RandlaWarning)
        case.run(rng=None)
    case.run(rng=np.random.SeedSequence(7))
    for bad in ("seed", 1.5, -1, True):
        with pytest.raises((TypeError, ValueError), match=r"\brng\b"):
            case.run(rng=bad)


@each_case
def test_same_for_any_number_of_threads(case, each_thread_count):
    first, *others = each_thread_count(case.run_values)
    for other in others:
        assert_same(other, first)


@each_case
def test_results_are_picklable_and_short(case):
    result = case.run()
    copy = pickle.loads(pickle.dumps(result))
    assert_same([np.asarray(v) for v in case.values(copy)], case.run_values())
    if not isinstance(result, (np.ndarray, tuple, float)):
        assert len(repr(result).splitlines()) <= 10


@pytest.mark.parametrize(
    ("case", "options", "error", "text"),
    [(case, *bad) for case in CASES for bad in case.bad_options],
    ids=[
        f"{case.name}-{list(bad[0])}-{k}"
        for case in CASES
        for k, bad in enumerate(case.bad_options)
    ],
)
def test_bad_options_are_named(case, options, error, text):
    with pytest.raises(error, match=text):
        case.run(**options)

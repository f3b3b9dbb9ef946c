"""Every public function: input kinds, errors that name the argument, seeds, threads, pickling."""

import importlib
import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse

import randla
from randla import RandlaWarning, _parallel
from tests.conformance import inputs_of

FAMILIES = ("sketching", "sampling", "regression", "spectral", "transport", "smoothing", "datasets")
CASES = [
    case for family in FAMILIES for case in importlib.import_module(f"tests.{family}.cases").CASES
]
# Modules; results are covered by the functions that return them.
WITHOUT_CASE = {"__version__", "datasets", "random", *FAMILIES}

INPUTS = inputs_of(CASES)
RANGE = (
    996  # 2^996 is 7e299: moderate numbers times it, and their sums, are in the range of doubles
)

each_case = pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
each_input = pytest.mark.parametrize("given", INPUTS, ids=[i.name for i in INPUTS])
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
    endings = "Result", "Scores", "RowSample", "Inference", "Warning"
    made_by_the_library = {name for name in randla.__all__ if name.endswith(endings)}
    bare = set(randla.__all__) - covered - made_by_the_library
    assert bare == WITHOUT_CASE, f"no Case in tests/<family>/*cases.py: {bare ^ WITHOUT_CASE}"


def layout(array, kind):
    """The same numbers as they may lie in memory."""
    if kind == "list":
        return array.tolist()
    if kind == "Fortran":
        return np.asfortranarray(array)
    if kind == "strided":
        wide = np.zeros([3 * k for k in array.shape])
        wide[tuple(slice(None, None, 3) for _ in array.shape)] = array
        return wide[tuple(slice(None, None, 3) for _ in array.shape)]
    if kind == "negative":
        return np.flip(np.flip(array).copy())
    if kind == "read-only":
        changed = array.copy()
        changed.flags.writeable = False
        return changed
    return array.astype(array.dtype.newbyteorder())


LAYOUTS = [
    (given, name, kind)
    for given in INPUTS
    for name in given.arrays
    for kind in ("list", "Fortran", "strided", "negative", "read-only", "swapped")
    if not given.changes or kind in ("Fortran", "strided")
]


@pytest.mark.parametrize(
    ("given", "name", "kind"), LAYOUTS, ids=[f"{i.name}-{name}-{kind}" for i, name, kind in LAYOUTS]
)
def test_layouts_give_the_same_answer(given, name, kind):
    changed = layout(given.arrays[name], kind)
    assert_same(given.run_values(**{name: changed}), given.expected, rtol=1e-9)


def in_single_precision(given):
    return {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in given.arrays.items()
    }


@each_input
def test_float32_input(given):
    arrays = in_single_precision(given)
    assert_same(given.run_values(**arrays), given.expected, rtol=given.case.rtol32)


SPARSE = [(given, name) for given in INPUTS for name in given.case.sparse]


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize(("given", "name"), SPARSE, ids=[f"{i.name}-{name}" for i, name in SPARSE])
def test_sparse_input(given, name, make):
    changed = make(given.arrays[name])
    assert_same(given.run_values(**{name: changed}), given.expected, rtol=1e-9)


SCALED = [
    (given, names)
    for given in INPUTS
    for names in given.case.scaled
    if set(names.split()) <= set(given.arguments)
]


@pytest.mark.parametrize("exponent", [-RANGE, RANGE])
@pytest.mark.parametrize(
    ("given", "names"), SCALED, ids=[f"{i.name}-{names}" for i, names in SCALED]
)
def test_scales_near_the_ends_of_the_range(given, names, exponent):
    scaled = {}
    for name in names.split():
        array = given.arguments[name]
        scaled[name] = (
            [np.ldexp(x, exponent) for x in array]
            if isinstance(array, list)
            else np.ldexp(array, exponent)
        )
    powers = given.case.scaled[names]
    for got, expected, power in zip(
        given.run_values(**scaled), given.expected, powers, strict=True
    ):
        if power is not None:
            got = got if got.dtype.kind != "f" else np.ldexp(got, int(-power * exponent))
            assert_same([got], [expected], rtol=1e-9)


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


@pytest.fixture
def part_counts(monkeypatch):
    """The numbers of parts into which work is cut, as it is run."""
    counts, work = [], _parallel._work

    def counted(parts, *rest):
        counts.append(len(parts.results))
        work(parts, *rest)

    monkeypatch.setattr(_parallel, "_work", counted)
    return counts


@each_input
def test_same_for_any_number_of_threads(given, each_thread_count, part_counts):
    for values in each_thread_count(given.run_values):
        assert_same(values, given.expected)
    if not given.changes:
        return
    assert max(part_counts) > 1  # or nothing was tested
    others = [{name: sparse.csr_array(given.arrays[name])} for name in given.case.sparse]
    for arrays in (in_single_precision(given), *others):
        first, *rest = each_thread_count(lambda arrays=arrays: given.run_values(**arrays))
        for values in rest:
            assert_same(values, first)


WITH_PROGRESS = [i for i in INPUTS if i.case.shows_progress]


@pytest.mark.parametrize("given", WITH_PROGRESS, ids=[i.name for i in WITH_PROGRESS])
def test_progress_is_shown_where_it_is_asked_for(given, part_counts, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(_parallel, "WORTH_A_BAR", 0.0)
    assert_same(given.run_values(), given.expected)
    assert capsys.readouterr().err == ""
    part_counts.clear()
    assert_same(given.run_values(progress=True), given.expected)
    shown = capsys.readouterr().err
    if part_counts:
        assert "%|" in shown
        assert "100%" in shown or given.case.public_name == "max_sensitivity"  # which may end early
    with pytest.raises(TypeError, match="progress must be True or False"):
        given.run(progress=1)


@each_input
def test_results_are_picklable_short_and_frozen(given):
    result = given.run()
    data = pickle.dumps(result)
    copy = pickle.loads(data)
    assert_same([np.asarray(v) for v in given.case.values(copy)], given.expected)
    if isinstance(result, (np.ndarray, tuple, float, int)):
        return
    assert len(repr(result).splitlines()) <= 10
    size = sum(array.nbytes for array in given.arrays.values())
    assert size < 100_000 or len(data) < size / 2  # the result does not hold the data
    if isinstance(result, randla.StateSpaceModel):
        return
    name = next(name for name in dir(result) if not name.startswith("_"))
    with pytest.raises(AttributeError):
        setattr(result, name, None)


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

"""Hostile input to every public function: a right answer, or an error that names the argument.

``pytest tests/test_hostile.py --statistical=long`` draws new examples, 150 for each case.
"""

import copy
import inspect
import pickle
import re
import warnings
from time import process_time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import randla
from randla import RandlaWarning
from randla.regression import LstsqWarning
from tests.hostile import hostile_arrays
from tests.test_conformance import CASES

WITH_ARRAYS = [case for case in CASES if case.arrays]
LONGEST_SECONDS = 20.0  # of CPU for one call with tiny input; it may compile


def argument_names(case):
    """What an error may name."""
    parameters = inspect.signature(getattr(randla, case.public_name)).parameters
    options = {name for options, *_ in case.bad_options for name in options}
    return sorted({*case.arrays, *options, *parameters})


def call(case, arrays):
    """Values, the error if it is one that users may expect, and whether digits are told as lost:
    by a warning of `lstsq`, or by a wide gap of `lp_regression`.
    """
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("error")  # NumPy's complaints about overflow are no message
        warnings.simplefilter("always", RandlaWarning)
        try:
            result = case.run(**arrays)
            values = [np.asarray(v) for v in case.values(result)]
        except (ValueError, TypeError) as error:
            return None, error, False
    wide = np.any(getattr(result, "gap", 0.0) > 1e-6 * np.abs(getattr(result, "value", 0.0)))
    return values, None, bool(wide) or any(issubclass(w.category, LstsqWarning) for w in given)


@pytest.fixture
def examples(request):
    return 150 if request.config.getoption("--statistical") == "long" else 8


@pytest.mark.parametrize("case", WITH_ARRAYS, ids=[c.name for c in WITH_ARRAYS])
def test_hostile_input(case, examples, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("hostile")
    long = request.config.getoption("--statistical") == "long"

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=not long,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data):
        arrays, spoiled = data.draw(hostile_arrays(case, folder))
        before = {
            k: copy.copy(x)
            for k, x in arrays.items()
            if isinstance(x, np.ndarray) and x.dtype != object
        }
        start = process_time()
        values, error, inexact = call(case, arrays)
        assert process_time() - start < LONGEST_SECONDS, spoiled.what
        for name, array in before.items():
            np.testing.assert_array_equal(arrays[name], array, err_msg=str(spoiled.what))
        if error is not None:
            names = "|".join(argument_names(case))
            assert re.search(rf"\b({names})\b", str(error)), (spoiled.what, error)
        assert not (spoiled.must_refuse and error is None), spoiled.what
        if spoiled.plain is not None:
            plain_values, plain_error, plain_inexact = call(case, spoiled.plain)
            assert (plain_error is None) == (error is None), (spoiled.what, error, plain_error)
            if error is None and not (inexact or plain_inexact):
                compare(values, plain_values, spoiled)
        if error is None and spoiled.moderate:
            for value in values:
                if value.dtype.kind == "f":
                    assert not np.isnan(value).any() or case.nan, spoiled.what

    check()


def compare(values, expected, spoiled):
    """The values of the spoiled input are those of the plain one, up to rounding."""
    what = spoiled.what
    for value, other in zip(values, expected, strict=True):
        if value.dtype.kind != "f":
            assert pickle.dumps(value.tolist()) == pickle.dumps(other.tolist()), what
            continue
        atol = 1e-6 * np.abs(other[np.isfinite(other)]).max(initial=0.0)
        if atol == 0.0:  # what is zero by luck, as in a perfect fit, is a rounding error elsewhere
            sizes = [np.nanmax(np.abs(x), initial=0.0) for x in spoiled.plain.values()]
            atol = 1e-12 * min(sizes)
        np.testing.assert_allclose(value, other, rtol=1e-6, atol=atol, err_msg=str(what))

"""`inference` where the arguments, the data or the fit are not what one would wish."""

import warnings

import numpy as np
import pytest

from randla.regression import lp_regression
from randla.regression._inference.options import InferenceWarning


@pytest.fixture
def data():
    rng = np.random.default_rng(18)
    A = np.column_stack([np.ones(200), rng.standard_normal((200, 3))])
    return A, A @ [1.0, 2.0, 3.0, 4.0] + rng.standard_normal(200)


def test_warnings_are_at_the_line_of_the_caller(data):
    A, b = data
    fit = lp_regression(A, b, tau=0.99)
    with pytest.warns(InferenceWarning) as found:
        fit.inference(A, b)
    assert {w.filename for w in found} == {__file__}


def test_few_rows_are_as_few_on_both_sides(data):
    A, b = data  # 200 (1 - 0.9) rounds to a little less than 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tau in (0.1, 0.9):
            assert lp_regression(A, b, tau=tau).inference(A, b)._notes == ()


QUANTILES = [({"tau": tau}, kind) for tau in (0.5, [0.1, 0.9]) for kind in ("iid", "cluster")]
ROBUST = [({name: value}, "robust") for name, value in (("tau", 0.9), ("p", 1.5), ("p", 2))]


@pytest.mark.parametrize(("options", "kind"), [*QUANTILES, *ROBUST])
def test_a_coefficient_that_is_rounding_has_no_p_value(data, options, kind):
    A, _ = data
    groups = {"groups": np.arange(200) // 10} if kind == "cluster" else {}
    b = np.full(200, 3.3)  # the slopes are zero, but for rounding errors
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is wrong with a fit without errors
        result = lp_regression(A, b, **options).inference(A, b, kind=kind, **groups)
    assert (result.standard_error == 0.0).all()
    assert (result.p[0] == 0.0).all()
    slopes, p = result.estimate[1:], result.p[1:]
    assert (np.isnan(p) | ((slopes == 0.0) & (p == 1.0))).all()
    assert result._notes == () or kind == "cluster" or "p" in options

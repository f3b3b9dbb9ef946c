"""`inference` where the arguments, the data or the fit are not what one would wish."""

import warnings

import numpy as np
import pytest

from randla.regression import lp_regression, lstsq
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

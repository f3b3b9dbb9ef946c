"""The number of rows against the exact law and its closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtri
from scipy.stats import t as student

from randla import lstsq, sketch_size
from randla.sketching._size import required_rows

MARGIN = 1.05


def error(m, d, delta):
    """The eps that m rows of a Gaussian sketch reach, by Bonferroni over exact t laws."""
    df = m - d + 1
    return MARGIN * math.sqrt(d / df) * student(df).isf(delta / (2 * d))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(d=st.integers(1, 300), eps=st.floats(0.05, 1.0), delta=st.floats(1e-4, 0.5))
def test_is_the_smallest_number_of_rows(d, eps, delta):
    m = sketch_size(d, eps=eps, delta=delta)
    floor = d + math.ceil(d * math.log(d / delta))
    assert error(m, d, delta) <= eps * (1 + 1e-9) or m == floor
    assert m == floor or error(m - 1, d, delta) > eps * (1 - 1e-9)


def test_numbers_of_the_closed_form():
    for d, eps, delta in ((32, 0.5, 0.05), (32, 1.0, 0.05), (100, 0.5, 0.01)):
        z = -MARGIN * ndtri(delta / (2 * d))
        m, n = sketch_size(d, eps=eps, delta=delta), 4096
        assert m == pytest.approx(d + 1 + d * z * z / eps**2, rel=0.02)
        q = d * z * z / (eps**2 * (n - d))
        closed = d + 1 + (n - d - 1) * q / (1 + q)
        assert sketch_size(d, eps=eps, delta=delta, n=n) == pytest.approx(closed, rel=0.02)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(d=st.integers(1, 60), n=st.integers(1, 10**6), eps=st.floats(0.01, 30.0))
def test_bounds_and_monotonicity(d, n, eps):
    m = sketch_size(d, eps=eps, n=n)
    assert 1 <= m <= n
    assert m <= sketch_size(d, eps=eps)
    assert m >= min(n, d * (1 + math.log(d / 0.05)))
    assert sketch_size(d, eps=eps / 2, n=n) >= m
    assert sketch_size(d, eps=eps, delta=0.01, n=n) >= m
    assert required_rows(d, eps, 0.05, 8) <= 8


def test_extremes():
    assert sketch_size(3, eps=1e-6, n=1000) == 1000
    assert sketch_size(3, eps=1e9) == 3 + math.ceil(3 * math.log(3 / 0.05))
    assert sketch_size(50, eps=0.5, n=10) == 10
    assert sketch_size(1, eps=1e-8) > 10**16
    assert sketch_size(1, eps=1e-200, n=1000) == 1000
    with pytest.raises(ValueError, match="eps must be large enough for fewer than 2"):
        sketch_size(1, eps=1e-200)
    A = np.random.default_rng(0).standard_normal((100, 2))
    assert lstsq(A, A[:, 0], eps=1e-200, sketch="gaussian").method == "lapack"


@pytest.mark.parametrize("delta", [1e-16, 1e-17, 1e-100, 1e-300])
def test_probabilities_of_failure_far_below_rounding(delta):
    """They are tails: a level of 1 - delta would be rounded to 1."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40_000, 3))
    b = A @ [1.0, 2.0, 3.0] + rng.standard_normal(40_000)
    m = sketch_size(3, eps=2.0, delta=delta)
    assert error(m, 3, delta) <= 2.0 < error(m - 1, 3, delta) or m == 3 + math.ceil(
        3 * math.log(3 / delta)
    )
    result = lstsq(A, b, eps=2.0, delta=delta, rng=0)
    assert result.method == "sketch-and-solve"
    assert result.converged
    fixed = lstsq(A, b, sketch_size=2000, delta=delta, rng=0)
    norm = np.linalg.norm(np.linalg.pinv(A), 2) * fixed.residual_norm
    implied = student(1997).isf(delta / 6) / 2000**0.5
    assert fixed.linf_bound == pytest.approx(implied * norm, rel=0.1)
    few = lstsq(A, b, sketch_size=6, delta=delta, rng=0)  # 3 degrees of freedom
    assert few.linf_bound > 1e4 * fixed.linf_bound


def test_intervals_at_levels_next_to_one():
    A = np.random.default_rng(0).standard_normal((1000, 4))
    result = lstsq(A, A[:, 0] + A[:, 1] ** 2, sketch_size=200, rng=0)
    level = 1.0 - 2.0**-53
    _, high = result.confidence_interval(level, simultaneous=True)
    expected = student(196).isf(2.0**-53 / 8) * result.standard_error
    np.testing.assert_allclose(high - result.x, expected, rtol=1e-9)

"""Scores behave as the array of their values."""

import numpy as np
import pytest

from randla.sampling import leverage_scores

A = np.random.default_rng(0).standard_normal((50, 3))


@pytest.fixture
def scores():
    return leverage_scores(A)


def test_operators_both_ways(scores):
    values = scores.values
    for got, expected in (
        (scores + 1, values + 1),
        (2 - scores, 2 - values),
        (scores * scores, values * values),
        (values / scores, values / values),
        (scores**0.5, values**0.5),
        (-scores, -values),
        (scores > 0.05, values > 0.05),
        (scores == values, values == values),
        (np.log(scores), np.log(values)),
        (np.add.reduce(scores), values.sum()),
        (np.maximum(scores, 0.1), np.maximum(values, 0.1)),
        (np.arange(150.0).reshape(3, 50) @ scores, np.arange(150.0).reshape(3, 50) @ values),
    ):
        assert type(got) is type(expected)
        np.testing.assert_array_equal(got, expected)
    buffer = np.ones(50)
    buffer += scores
    np.testing.assert_array_equal(buffer, 1 + values)


def test_functions_and_methods(scores):
    values = scores.values
    for name in ("sum", "mean", "max", "min", "argmax", "argmin", "argsort"):
        expected = getattr(values, name)()
        np.testing.assert_array_equal(getattr(scores, name)(), expected)
        np.testing.assert_array_equal(getattr(np, name)(scores), expected)
    np.testing.assert_array_equal(np.sort(scores), np.sort(values))
    np.testing.assert_array_equal(np.concatenate([scores, [1.0]]), np.append(values, 1.0))
    np.testing.assert_array_equal(np.cumsum(scores), values.cumsum())


def test_indexing_and_iteration(scores):
    values = scores.values
    assert scores[3] == values[3]
    np.testing.assert_array_equal(scores[scores > 0.05], values[values > 0.05])
    np.testing.assert_array_equal(scores[[1, -1]], values[[1, -1]])
    assert list(scores) == list(values)
    assert len(scores) == scores.size == 50
    assert (scores.shape, scores.ndim, scores.dtype) == ((50,), 1, np.float64)


def test_conversion(scores):
    assert np.asarray(scores) is scores.values
    copy = np.array(scores)
    copy[0] = 7
    assert scores[0] != 7
    assert np.asarray(scores, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="without a copy"):
        np.array(scores, dtype=np.float32, copy=False)


def test_frozen(scores):
    with pytest.raises(ValueError, match="read-only"):
        scores.values[0] = 1
    with pytest.raises(AttributeError):
        scores.p = 1
    with pytest.raises(TypeError):
        np.add(A[:, 0], 1, out=scores)
    with pytest.raises(TypeError):
        scores += 1


def test_plot(scores):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = scores.plot()
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), -np.sort(-scores.values))
    assert leverage_scores(np.zeros((3, 2))).plot(ax) is ax
    plt.close("all")

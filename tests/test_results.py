import dataclasses
import pickle

import numpy as np
import pytest
from scipy import stats

import randla
from randla._results import Result, _memory, t_interval, t_of_tail


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Estimate(Result):
    value: float
    array: np.ndarray
    many: np.ndarray
    name: str = "a"
    _hidden: int = 0


def test_repr_is_short():
    text = repr(Estimate(1 / 3, np.arange(3.0), np.zeros((100, 4))))
    assert text.splitlines() == [
        "Estimate(",
        "  value=0.333333,",
        "  array=[0., 1., 2.],",
        "  many=<float64 array of shape (100, 4)>,",
        "  name='a',",
        ")",
    ]


def test_repr_of_a_lazy_array_gives_its_shape():
    array = pytest.importorskip("dask.array").zeros((6, 2))
    assert "array=<dask array of shape (6, 2)>," in repr(Estimate(1.0, array, np.zeros(2)))


def test_the_table_for_notebooks_says_the_same():
    text = Estimate(1 / 3, np.arange(3.0), np.zeros((100, 4)), "<a>")._repr_html_()
    for shown in ("0.333333", "100 \N{MULTIPLICATION SIGN} 4", "&lt;a&gt;"):
        assert shown in text
    for hidden in ("<a>", "_hidden"):
        assert hidden not in text


def test_results_are_frozen_and_picklable():
    result = Estimate(1.0, np.arange(3.0), np.zeros(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.value = 2.0
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(copy.array, result.array)


def test_t_interval_equals_scipy():
    estimate, se, df = (
        np.array([1.0, 2.0, 3.0]),
        np.array([0.5, 0.0, 2.0]),
        np.array([3, 9, np.inf]),
    )
    low, high = t_interval(estimate, se, df, 0.9)
    q = np.array([stats.t(3).ppf(0.95), stats.t(9).ppf(0.95), stats.norm.ppf(0.95)])
    np.testing.assert_allclose(low, estimate - q * se)
    np.testing.assert_allclose(high, estimate + q * se)
    with pytest.raises(ValueError, match="level must be in"):
        t_interval(1.0, 1.0, 3, 95)


def test_t_of_tail_has_all_digits_far_out():
    pytest.importorskip("scipy", minversion="1.17", reason="older ones lose digits there")
    tails = 10.0 ** -np.arange(1.0, 60.0, 3.0)
    np.testing.assert_allclose(t_of_tail(tails, 1), 1.0 / np.tan(np.pi * tails), rtol=1e-12)
    closed = (1.0 - 2.0 * tails) / np.sqrt(2.0 * tails * (1.0 - tails))
    np.testing.assert_allclose(t_of_tail(tails, 2), closed, rtol=1e-12)
    np.testing.assert_allclose(t_of_tail(tails, np.inf), stats.norm.isf(tails), rtol=1e-12)
    for df in (3, 5, 10, 30, 100, 10_000):
        t = t_of_tail(tails, df)
        np.testing.assert_allclose(stats.t(df).sf(t), tails, rtol=1e-8, err_msg=str(df))


def test_intervals_that_hold_together():
    low, high = t_interval(0.0, 1.0, 7, 0.9, n_together=20)
    assert high == -low == pytest.approx(stats.t(7).isf(0.05 / 20), rel=1e-12)


def test_the_tables_for_notebooks_have_numbers_that_can_be_read():
    table = Estimate(12_345_678, np.arange(3.0), np.zeros((100_000, 4)))._repr_html_()
    assert "12,345,678" in table
    assert "100,000 \N{MULTIPLICATION SIGN} 4 float64, 3.2 MB" in table


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_400, "999 kB"), (999_600, "1 MB"),
        (999_999_999, "1 GB"), (2_345_678_901, "2.35 GB"), (5 * 10**15, "5e+03 TB"),
    ],
)  # fmt: skip
def test_memory_has_three_digits(n_bytes, shown):
    assert _memory(n_bytes) == shown


def test_sketches_and_models_have_a_table_for_notebooks():
    sketch = randla.CountSketch(2000, 1_000_000, rng=0)
    for shown in ("CountSketch", "1,000,000", "has_linf_guarantee"):
        assert shown in sketch._repr_html_()
    assert "CountSketch(m=2000" in sketch.columns(0, 10)._repr_html_()
    assert "None" in randla.BlockSRHT(64, rng=0)._repr_html_()
    volatility = randla.StochasticVolatility(0.9, 0.25, 1.0)._repr_html_()
    for shown in ("StochasticVolatility", "scalar", "phi", "0.25"):
        assert shown in volatility
    large = randla.DiscreteHMM(np.ones(9) / 9, np.ones((9, 9)) / 9, np.ones((9, 2)) / 2)
    assert " more</td>" in large._repr_html_()

"""The data files, against figures that are published or can be checked by eye."""

import numpy as np

from randla import datasets


def test_nile():
    flow = datasets.nile()
    assert flow.shape == (100,)
    assert flow[0] == 1120.0
    assert flow[-1] == 740.0
    assert flow.mean() == 919.35


def test_engel_median_regression_data():
    income, food = datasets.engel()
    assert income.shape == food.shape == (235,)
    slope, intercept = np.polyfit(income, food, 1)  # least squares of Koenker and Hallock (2001)
    np.testing.assert_allclose([intercept, slope], [147.4754, 0.4852], atol=1e-4)


def test_repr_does_not_print_the_data():
    assert repr(datasets.engel()) == (
        "Engel(income=<float64 array of shape (235,)>, food=<float64 array of shape (235,)>)"
    )
    for table in (datasets.digits(), datasets.crude_oil()):
        assert len(repr(table)) < 120


def test_digits():
    images, labels = datasets.digits()
    assert images.shape == (1797, 64)
    assert images.min() == 0.0
    assert images.max() == 16.0
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # of the UCI description
    np.testing.assert_array_equal(np.bincount(labels), counts)


def test_crude_oil():
    dates, prices = datasets.crude_oil()
    assert dates.shape == prices.shape == (8321,)
    assert (np.diff(dates) > np.timedelta64(0, "D")).all()
    assert prices.max() == 145.31  # 3 July 2008, the record
    assert str(dates[prices.argmax()]) == "2008-07-03"
    assert (prices > 0).all()


def test_each_call_returns_a_new_array():
    datasets.nile()[:] = 0.0
    assert datasets.nile()[0] == 1120.0

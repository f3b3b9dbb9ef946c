"""Loaders of the data files that come with the package."""

import gzip
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._results import short_repr
from randla._typing import Array


def _read(name: str) -> str:
    raw = resources.files("randla.datasets").joinpath("data", name).read_bytes()
    return (gzip.decompress(raw) if name.endswith(".gz") else raw).decode("ascii")


def _table(name: str, *, header: int = 1, dtype: type = float) -> NDArray:
    return np.loadtxt(_read(name).splitlines()[header:], delimiter=",", dtype=dtype, ndmin=2)


def _short_repr(columns: Any) -> str:
    """Return a repr that does not print the data."""
    shown = ", ".join(f"{name}={short_repr(v)}" for name, v in columns._asdict().items())
    return f"{type(columns).__name__}({shown})"


def nile() -> Array:
    """Return the annual flow of the Nile at Aswan, 1871 to 1970.

    Returns
    -------
    flow : (100,) ndarray
        In 1e8 cubic meters, one value per year [1]_.

    References
    ----------
    .. [1] Cobb, "The problem of the Nile: conditional solution to a changepoint problem",
       Biometrika 65 (1978), 243-251. Public domain.

    Examples
    --------
    >>> from randla.datasets import nile
    >>> flow = nile()
    >>> flow.size, float(flow.mean())
    (100, 919.35)
    """
    return _table("nile.csv")[:, 1].copy()


class Engel(NamedTuple):
    """Income and food expenditure of households: the result of `engel`.

    Attributes
    ----------
    income, food : (235,) ndarray
        In Belgian francs per year.
    """

    income: Array
    food: Array

    def __repr__(self) -> str:
        return _short_repr(self)


def engel() -> Engel:
    """Return income and food expenditure of 235 Belgian households in 1857.

    Returns
    -------
    income, food : (235,) ndarray
        In Belgian francs per year, of working-class households [1]_.

    References
    ----------
    .. [1] Koenker and Bassett, "Robust tests for heteroscedasticity based on regression
       quantiles", Econometrica 50 (1982), 43-61. Public domain.

    Examples
    --------
    >>> from randla.datasets import engel
    >>> income, food = engel()
    >>> bool((food < income).all())
    True
    """
    return Engel(*np.ascontiguousarray(_table("engel.csv").T))


class Digits(NamedTuple):
    """Images of handwritten digits and their labels: the result of `digits`.

    Attributes
    ----------
    images : (1797, 64) ndarray
        Gray values from 0 to 16, each row an image of 8 x 8 pixels.
    labels : (1797,) ndarray of int
        The digits, from 0 to 9.
    """

    images: Array
    labels: NDArray[np.int64]

    def __repr__(self) -> str:
        return _short_repr(self)


def digits() -> Digits:
    """Return handwritten digits of 13 writers, as images of 8 x 8 pixels.

    Returns
    -------
    images : (1797, 64) ndarray
        Gray values from 0 to 16; ``images.reshape(-1, 8, 8)`` are the pictures [1]_.
    labels : (1797,) ndarray of int
        The digits, from 0 to 9.

    References
    ----------
    .. [1] Alpaydin and Kaynak, "Optical recognition of handwritten digits" (test set), UCI
       Machine Learning Repository (1998), doi:10.24432/C50P49. CC BY 4.0.

    Examples
    --------
    >>> from randla.datasets import digits
    >>> images, labels = digits()
    >>> images.shape, int((labels == 3).sum())
    ((1797, 64), 183)
    """
    table = _table("digits.csv.gz", header=0)
    return Digits(table[:, :-1].copy(), table[:, -1].astype(np.int64))


class CrudeOil(NamedTuple):
    """Daily prices of crude oil: the result of `crude_oil`.

    Attributes
    ----------
    dates : (8321,) ndarray of datetime64[D]
        The days with a price, ascending.
    prices : (8321,) ndarray
        US dollars per barrel.
    """

    dates: NDArray[np.datetime64]
    prices: Array

    def __repr__(self) -> str:
        return _short_repr(self)


def crude_oil() -> CrudeOil:
    """Return the daily spot price of WTI crude oil, 1986 to January 2019.

    Days without a price are left out [1]_. ``100 * np.diff(np.log(prices))`` are returns in
    percent: a volatile series with long calm and long turbulent periods.

    Returns
    -------
    dates : (8321,) ndarray of datetime64[D]
        The days with a price, ascending.
    prices : (8321,) ndarray
        US dollars per barrel of West Texas Intermediate, at Cushing, Oklahoma.

    References
    ----------
    .. [1] U.S. Energy Information Administration, series RWTC (DCOILWTICO in FRED). Public
       domain.

    Examples
    --------
    >>> from randla.datasets import crude_oil
    >>> dates, prices = crude_oil()
    >>> str(dates[0]), float(prices[0])
    ('1986-01-02', 25.56)
    """
    rows = [line.split(",") for line in _read("crude_oil.csv.gz").splitlines()[1:]]
    dates, prices = zip(*rows, strict=True)
    return CrudeOil(np.array(dates, "datetime64[D]"), np.array(prices, float))

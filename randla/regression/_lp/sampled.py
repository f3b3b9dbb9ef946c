"""The number of rows of a sample and of its certificate.

Rows are drawn by the scores of [A b]: scores of A alone say nothing about the residuals.
"""

import math

import numpy as np

#: Rows of a sample for each column of [A b], if no size is given.
_ROWS_A_COLUMN = 50
#: Rows near the fit of a sample: this many standard errors of the fit, within these multiples of
#: the rows of the sample.
_BAND, _FEWEST, _MOST = 6.0, 10, 400
#: For p < 2 the loss is smoothed where residuals are below this quantile, in units of the sample's
#: error, sqrt(d / size): a Newton step of that length must stay within the smoothed region.
_SMALL, _LARGEST_SMALL = 1.4, 0.5


def default_size(n: int, d: int, p: float) -> int:
    """Rows of a sample of [A b].

    At p = 1 such that the rows near its fit, see `band`, are at most 50 times as many.
    """
    least = (_BAND * n * np.sqrt(d) / 100.0) ** (2.0 / 3.0) if p == 1.0 else 0.0
    return min(n, max(_ROWS_A_COLUMN * (d + 1), math.ceil(least)))


def rows_near(n: int, d: int, size: int, tau: float) -> int:
    """Rows near the fit of a sample that its certificate keeps separately."""
    return min(int(np.clip(band(n, d, size, tau), _FEWEST * size, _MOST * size)), n)


def band(n: int, d: int, size: int, tau: float) -> float:
    """Rows near the fit of a sample among which the fit of all rows is searched."""
    return float(_BAND * n * np.sqrt(tau * (1.0 - tau) * d / size))


def smoothed_fraction(d: int, size: int) -> float:
    """Fraction of the rows whose loss is smoothed for the certificate of a sample, for p < 2."""
    return min(_SMALL * math.sqrt(d / size), _LARGEST_SMALL)

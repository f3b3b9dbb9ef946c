"""Small matrices on which scores are tested: easy, heavy, tied, graded, dependent."""

import numpy as np

from randla.datasets import gaussian_blocks, heavy_tailed_rows, unequal_groups

_rng = np.random.default_rng(0)


def one_heavy_row():
    A = _rng.standard_normal((150, 4))
    A[17] *= 1e4
    return A


def own_column():
    """Row 7 has a column of its own: all of its scores are 1."""
    A = np.c_[_rng.standard_normal((80, 3)), np.arange(80) == 7]
    return A @ _rng.standard_normal((4, 4))


MATRICES = {
    "gaussian": _rng.standard_normal((200, 5)),
    "pareto 2": heavy_tailed_rows(300, 4, exponent=2.0, rng=1),
    "pareto 0.7": heavy_tailed_rows(120, 5, exponent=0.7, rng=2),
    "heavy row": one_heavy_row(),
    "own column": own_column(),
    "blocks": gaussian_blocks(90, 3, 5, 6, rng=3),
    "groups": unequal_groups(150, 5, rng=4),
    "positive": np.exp(_rng.standard_normal((160, 5))),
    "vandermonde": np.vander(np.linspace(-1, 1, 100), 7),
    "collinear": np.c_[(X := _rng.standard_normal((130, 3))), X[:, :1] + 1e-5 * X[::-1, :1]],
    "square": _rng.standard_normal((5, 5)),
    "one column": _rng.standard_normal((40, 1)),
}

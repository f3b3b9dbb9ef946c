"""One regression and one pair of clouds for all tests of Dask arrays."""

import numpy as np

from tests.dask.conftest import N

_rng = np.random.default_rng(7)
A = _rng.standard_normal((N, 5)) * _rng.pareto(3.0, (N, 1)) * 10.0 ** np.arange(-2, 3)
A[17] = 0.0
B = A @ _rng.standard_normal((5, 2)) + _rng.standard_t(3, (N, 2))
b = B[:, 0]
weights = _rng.random(N)
weights[:3] = 0.0
X, Y = _rng.standard_normal((N, 4)), 2.0 * _rng.standard_normal((900, 4)) + 0.5

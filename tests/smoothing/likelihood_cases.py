"""Models and series for the tests of maximum likelihood."""

import numpy as np

from randla import DiscreteHMM, LinearGaussian

AR1 = LinearGaussian(0.8, 1.0, 1.0, 0.5, 0.0, 2.75)
SERIES = AR1.simulate(60, rng=1)[1]
SERIES[20:23] = np.nan
START = LinearGaussian(0.5, 0.5, 1.0, 0.5, 0.0, 2.75)
FREE = ("transition_matrix", "transition_cov")
HMM = DiscreteHMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
SYMBOLS = HMM.simulate(200, rng=0)[1]
SYMBOLS[50] = np.nan
HMM_START = DiscreteHMM([0.5, 0.5], [[0.7, 0.3], [0.3, 0.7]], [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
PLANE = LinearGaussian(
    [[0.8, 0.1], [0.0, 0.5]], [[1.0, 0.3], [0.3, 0.5]], np.eye(2), [[0.6, 0.1], [0.1, 0.4]],
    [0.0, 0.0], 2 * np.eye(2),
)  # fmt: skip
PLANE_SERIES = PLANE.simulate(80, rng=2)[1]

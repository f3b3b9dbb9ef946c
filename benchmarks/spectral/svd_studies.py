"""Coverage of the interval of the error of `svd` of operators, for `benchmarks.calibration`.

The result has its interval at 95 per cent; those at 90 and 99 follow from the same law.
"""

import numpy as np
from scipy.sparse.linalg import aslinearoperator
from scipy.special import chdtri

from benchmarks.calibration import LEVELS, Study
from randla import svd

M, N, K = 320, 300, 5
PROBES = 10
FACTORS = np.array([np.sqrt(PROBES / chdtri(PROBES, (0.5 - x / 2, 0.5 + x / 2))) for x in LEVELS])
_j = np.arange(1, N + 1)
SPECTRA = {
    "1/j": 1.0 / _j,
    "0.9^j": 0.9**_j,
    "five above a flat rest": np.where(_j <= K, 3.0, 1.0),
    "one direction left": np.where(_j <= K, 5.0, np.where(_j == K + 1, 1.0, 0.01)),
}


def matrix(s):
    """A matrix with these singular values."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((m, N)))[0] for m in (M, N))
    return (U * s) @ V.T


def of_error(s):
    """Function of a number of draws for a `Study`."""
    A = matrix(s)

    def cover(draws):
        held = []
        for seed in range(draws):
            fit = svd(aslinearoperator(A), K, rng=seed)
            assert fit.error_kind == "estimate"
            exact = np.linalg.norm(A - (fit.U * fit.s) @ fit.Vt)
            at_95 = fit.error_interval[0] <= exact <= fit.error_interval[1]
            at_90, _, at_99 = (low <= exact <= high for low, high in fit.error * FACTORS)
            held.append([at_90, at_95, at_99])
        return held

    return cover


def studies():
    for data, s in SPECTRA.items():
        yield Study("svd of an operator, error", f"{data}, k = {K}", 2000, of_error(s))

"""Are traces, diagonals and log-determinants unbiased? Means of 5000 draws against the truth.

    python -m benchmarks.spectral.unbiased        the largest mean error, in its standard errors
    python -m benchmarks.spectral.unbiased 200    of fewer draws

Of a diagonal the largest over its entries, beside what the largest of so many normal numbers is
expected to be below in 999 of 1000 cases. Of a log-determinant the mean half width of the bracket
of the quadrature is taken off first.
"""

import sys
import warnings

import numpy as np
from scipy.sparse.linalg import aslinearoperator
from scipy.special import ndtri

from randla import FewProductsWarning, diagonal, logdet, trace

N = 30
_j = np.arange(1, N + 1)
_rng = np.random.default_rng(0)
_Q = np.linalg.qr(_rng.standard_normal((N, N)))[0]
_skew = np.triu(_rng.standard_normal((N, N)))
MATRICES = {  # the last is not symmetric
    "0.8^j": (_Q * 0.8**_j) @ _Q.T,
    "1/j": (_Q / _j) @ _Q.T,
    "spike": (_Q * np.where(_j == 1, 10.0, 1.0)) @ _Q.T,
    "not symmetric": (_Q * (1.0 + _j / N)) @ _Q.T + _skew - _skew.T,
}


def report(name, values, exact, slack=0.0):
    values = np.reshape(values, (len(values), -1))
    error = np.abs(values.mean(axis=0) - exact) - slack
    z = np.max(error / (values.std(axis=0, ddof=1) / np.sqrt(len(values))))
    allowed = -ndtri(0.0005 / values.shape[1])
    print(f"{name}: {z:.1f} standard errors (below {allowed:.1f} in 999 of 1000)", flush=True)


def main(draws=5000):
    warnings.simplefilter("ignore", FewProductsWarning)
    for name, A in MATRICES.items():
        operator, symmetric = aslinearoperator(A), name != "not symmetric"
        for method in ("hutchinson", "hutch++", "xtrace", "xnystrace")[: 3 + symmetric]:
            options = {"method": method, "psd": symmetric}
            values = [trace(operator, 12, rng=k, **options).value for k in range(draws)]
            report(f"trace, {method}, {name}", values, A.trace())
        for method in ("xdiag", "hutchinson", "auto"):
            values = [diagonal(operator, 12, method=method, rng=k).value for k in range(draws)]
            report(f"diagonal, {method}, {name}", values, A.diagonal())
    A = np.eye(N) + MATRICES["1/j"]
    for preconditioner in ("auto", None):
        options = {"lower": 1.0, "n_products": N - 1, "preconditioner": preconditioner}
        fits = [logdet(A, rng=k, **options) for k in range(draws)]
        half = np.mean([0.5 * (r.quadrature_upper - r.quadrature_lower) for r in fits])
        values, exact = [r.value for r in fits], np.linalg.slogdet(A)[1]
        report(f"logdet, preconditioner={preconditioner}", values, exact, slack=half)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

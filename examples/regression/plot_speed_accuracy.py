"""
Speed against accuracy of least squares
=======================================

One sketch gives two or three digits quickly. A sketched preconditioner or a refined Cholesky
factorization gives as many digits as LAPACK, and is still several times faster. Times are relative
to ``numpy.linalg.lstsq`` in the same run.
"""

# %%
from functools import partial
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

n, d = 2**16, 64


def median_seconds(call, rounds=3):
    call()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return np.median(times)


# %%
# A well-conditioned and a badly conditioned matrix. The forward error is relative to the solution
# from which the problem was built.
def solutions(A, b):
    """Each method, with its color and the size of its dot."""
    yield "NumPy (LAPACK)", "C1", 9, lambda: np.linalg.lstsq(A, b)[0]
    yield "lstsq", "C0", 9, lambda: randla.lstsq(A, b, rng=0).x
    for m, size in ((2 * d, 6), (8 * d, 9), (32 * d, 12)):
        call = partial(randla.lstsq, A, b, sketch_size=m, rng=0)
        yield f"one sketch of {m} rows", "C4", size, lambda call=call: call().x


for condition in (1e2, 1e10):
    A, b, x = datasets.ill_conditioned(n, d, condition=condition, residual=1e-3, rng=0)
    fig, ax = plt.subplots(layout="constrained")
    base = None
    for name, color, size, call in solutions(A, b):
        seconds = median_seconds(call)
        base = base or seconds
        error = np.linalg.norm(A @ (call() - x)) / np.linalg.norm(A @ x)
        ax.loglog(seconds / base, error, "o", ms=size, color=color, label=name)
    ax.set(title=f"condition number {condition:.0e}", xlabel="time / NumPy's time")
    ax.set(ylabel="relative error of the fit")
    ax.margins(0.1)
    ax.legend(loc="center")
plt.show()

"""
Speed against accuracy of least squares
=======================================

One sketch gives two digits quickly. A sketched preconditioner or a refined Cholesky factorization
gives all sixteen, still many times faster than LAPACK. Times are relative to ``numpy.linalg.lstsq``
in the same run.
"""

# %%
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
sizes = [2 * d, 8 * d, 32 * d]
for condition in (1e2, 1e10):
    A, b, x = datasets.ill_conditioned(n, d, condition=condition, residual=1e-3, rng=0)
    calls = {
        "NumPy (LAPACK)": ("C1", lambda A=A, b=b: np.linalg.lstsq(A, b)[0]),
        "lstsq": ("C0", lambda A=A, b=b: randla.lstsq(A, b, rng=0).x),
    }
    for m in sizes:
        calls[f"one sketch of {m} rows"] = (
            "C4",
            lambda m=m, A=A, b=b: randla.lstsq(A, b, sketch_size=m, rng=0).x,
        )
    fig, ax = plt.subplots(layout="constrained")
    base = None
    for name, (color, call) in calls.items():
        seconds = median_seconds(call)
        base = base or seconds
        error = np.linalg.norm(A @ (call() - x)) / np.linalg.norm(A @ x)
        ax.loglog(seconds / base, error, "o", ms=9, color=color)
        side = {"ha": "right", "xytext": (-9, 0)} if base == seconds else {"xytext": (9, 0)}
        ax.annotate(name, (seconds / base, error), textcoords="offset points", va="center", **side)
    ax.set(title=f"condition number {condition:.0e}", xlabel="time / NumPy's time")
    ax.set(ylabel="relative error of the fit")
    ax.margins(0.1)
plt.show()

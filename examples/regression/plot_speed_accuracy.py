"""
Speed against accuracy of least squares
=======================================

One sketch gives two digits quickly; a sketched preconditioner or a refined Cholesky factorisation
gives all sixteen, still many times faster than LAPACK. Times are relative to
``numpy.linalg.lstsq`` in the same run.
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
# that the problem was built from.
fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
for ax, condition in zip(axes, [1e2, 1e10], strict=True):
    A, b, x = datasets.ill_conditioned(n, d, condition=condition, residual=1e-3, rng=0)
    calls = {
        "LAPACK (NumPy)": lambda A=A, b=b: np.linalg.lstsq(A, b)[0],
        "lstsq": lambda A=A, b=b: randla.lstsq(A, b, rng=0).x,
        "one sketch, m = 2 d": lambda A=A, b=b: randla.lstsq(A, b, sketch_size=2 * d, rng=0).x,
        "one sketch, m = 8 d": lambda A=A, b=b: randla.lstsq(A, b, sketch_size=8 * d, rng=0).x,
        "one sketch, m = 32 d": lambda A=A, b=b: randla.lstsq(A, b, sketch_size=32 * d, rng=0).x,
    }
    base = None
    for k, (name, call) in enumerate(calls.items()):
        seconds = median_seconds(call)
        base = base or seconds
        error = np.linalg.norm(A @ (call() - x)) / np.linalg.norm(A @ x)
        ax.loglog(seconds / base, error, "o", ms=9, color=f"C{k}", label=name)
    ax.set(title=f"condition number {condition:.0e}", xlabel="time / LAPACK's time")
axes[0].set_ylabel("error of the fit, relative")
axes[1].legend(bbox_to_anchor=(1.02, 1), loc="upper left")
plt.show()

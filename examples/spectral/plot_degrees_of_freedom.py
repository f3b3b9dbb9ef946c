"""
Effective degrees of freedom, with their error
==============================================

A smoother turns observations into a fit, :math:`\\hat y = S y`. Its trace is the number of
parameters that it uses, the *effective degrees of freedom*, which information criteria and
generalized cross-validation need. On a grid of 40,000 pixels, S is an inverse that is never formed.
But you can multiply by it, and from a few products :func:`randla.trace` estimates the trace, with
an interval.
"""

# %%
# The smoother penalizes second differences: :math:`S = (I + \lambda L^2)^{-1}`, with the Laplacian
# L of the grid. Its eigenvalues are known here, so the answer can be checked.
import matplotlib.pyplot as plt
import numpy as np
from scipy.fft import dctn, idctn
from scipy.sparse.linalg import LinearOperator

import randla

side = 200
n = side**2
path = 2 - 2 * np.cos(np.pi * np.arange(side) / side)
laplacian = path[:, None] + path


def smoother(penalty):
    """Products with S, for columns that are images; by the cosine transform, which solves."""
    filters = 1.0 / (1.0 + penalty * laplacian**2)

    def smooth(Y):
        images = Y.T.reshape(-1, side, side)
        spectra = dctn(images, axes=(1, 2), norm="ortho") * filters
        return idctn(spectra, axes=(1, 2), norm="ortho").reshape(-1, n).T

    S = LinearOperator((n, n), matvec=smooth, matmat=smooth, dtype=float)
    return S, filters.sum()


# %%
# Eighty products for each penalty. The matrix is symmetric and positive definite, which halves the
# cost. Strong penalties leave few degrees of freedom and eigenvalues that decay, and there the
# interval is narrow.
penalties = np.geomspace(1e0, 1e8, 9)
results, exact = [], []
for penalty in penalties:
    S, df = smoother(penalty)
    results.append(randla.trace(S, 80, psd=True, rng=0))
    exact.append(df)

for penalty, result, df in zip(penalties, results, exact, strict=True):
    low, high = result.confidence_interval()
    print(f"{penalty:8.0e}: {df:9.2f} is in [{low:9.2f}, {high:9.2f}]: {low <= df <= high}")

# %%
# For comparison, the plain mean of as many forms :math:`x^T S x` (Hutchinson's estimator). First
# the interval, relative to the exact trace; then the stated and the actual errors.
plain = [randla.trace(smoother(p)[0], 80, method="hutchinson", rng=0) for p in penalties]

methods = (("Hutchinson", plain, "C2"), ("XNysTrace", results, "C0"))
fig, ax = plt.subplots(layout="constrained")
for name, runs, color in methods:
    low, high = np.array([r.confidence_interval() for r in runs]).T / exact
    ax.fill_between(penalties, low, high, color=color, alpha=0.5, lw=0, label=f"{name}, 95%")
ax.axhline(1.0, color="0.5", ls=":", lw=1)
ax.set(xscale="log", xlabel=r"penalty $\lambda$", ylabel="interval / exact trace")
ax.legend()

fig, ax = plt.subplots(layout="constrained")
for name, runs, color in methods:
    stated = np.array([r.standard_error / r.value for r in runs])
    made = np.abs([r.value for r in runs] / np.array(exact) - 1)
    ax.loglog(penalties, stated, "o-", color=color, label=f"{name}, stated")
    ax.loglog(penalties, made, "x", color=color, label=f"{name}, actual")
ax.set(xlabel=r"penalty $\lambda$", ylabel="relative error", ylim=(1e-5, 2))
ax.legend(loc="upper left")
plt.show()

"""
A likelihood with error bars
============================

The likelihood of a Gaussian process needs the log-determinant of its covariance matrix, and a path
of length scales needs it many times. :func:`randla.logdet` gives each with an interval. The usual
estimate, stochastic Lanczos quadrature by the Gauss rule alone, has a bias that no standard error
shows. Here the bias is nearly two thousand, and moves the maximum.
"""

# %%
# Noisy values of a smooth function at random points of the unit square, by a Gaussian process with
# unit variance and known noise. The quadratic form of the likelihood is solved exactly, so all of
# the error comes from the determinant.
import math

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import cho_factor, cho_solve

import randla

rng = np.random.default_rng(0)
n, noise = 1500, 1e-3
X = rng.random((n, 2))
squares = ((X[:, None] - X) ** 2).sum(axis=2)


def covariance(length_scale):
    return np.exp(-0.5 * squares / length_scale**2) + noise * np.eye(n)


y = np.linalg.cholesky(covariance(0.12)) @ rng.standard_normal(n)

# %%
# Two budgets: 64 products of the covariance with its pivoted Cholesky factor, and as many without a
# preconditioner. The interval of the first is much narrower than a line. The interval of the second
# is wide, and the result reports that. The dots are the values of the Gauss rule alone.
length_scales = np.geomspace(0.08, 0.15, 9)
rows = []
for length_scale in length_scales:
    A = covariance(length_scale)
    factor = cho_factor(A, lower=True)
    rest = -0.5 * (y @ cho_solve(factor, y) + n * math.log(2.0 * math.pi))
    exact = rest - np.log(np.diag(factor[0])).sum()
    good = randla.logdet(A, lower=noise, n_products=64, rng=0)
    plain = randla.logdet(A, lower=noise, n_products=64, preconditioner=None, rng=0)
    intervals = [rest - 0.5 * np.array(r.confidence_interval()[::-1]) for r in (good, plain)]
    gauss = rest - 0.5 * plain.quadrature_upper
    rows.append((exact, *intervals[0], *intervals[1], gauss))
    print(
        f"{length_scale:.3f}: exact {exact:7.2f}, preconditioned {intervals[0].round(2)}, "
        f"plain {intervals[1].round(0)}, Gauss {gauss:.0f}"
    )
exact, low, high, plain_low, plain_high, gauss = (np.array(c) for c in zip(*rows, strict=True))

# %%
# First the likelihood, then the intervals minus the exact value. With the preconditioner they cover
# it on the whole path, and their width is a fraction of the differences between length scales.
fig, first = plt.subplots(layout="constrained")
first.fill_between(length_scales, plain_low, plain_high, color="C4", alpha=0.3, label="plain")
first.plot(length_scales, gauss, "o", color="C3", label="plain, Gauss rule alone")
first.plot(length_scales, exact, color="0.5", lw=1, label="exact")
first.plot(length_scales, 0.5 * (low + high), "s", color="C0", label="preconditioned")
first.set_ylabel("log-likelihood")
fig, second = plt.subplots(layout="constrained")
middle, half = 0.5 * (low + high) - exact, 0.5 * (high - low)
second.errorbar(length_scales, middle, half, fmt="s", color="C0", capsize=3, label="preconditioned")
second.axhline(0.0, color="0.5", lw=1)
second.set_yscale("symlog", linthresh=0.01)
second.set_ylabel("log-likelihood minus exact")
for ax in (first, second):
    ax.set_xscale("log")
    ax.set_xticks(ticks := [0.08, 0.1, 0.12, 0.15], ticks)
    ax.minorticks_off()
    ax.set_xlabel("length scale")
    ax.legend()
plt.show()

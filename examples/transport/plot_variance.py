"""
Error against projections and against time
==========================================

The sliced Wasserstein distance is a mean over random directions. Most of its Monte Carlo error can
be removed with functions of the direction that resemble the projected cost and have a known mean.
These pictures repeat the comparison of Nguyen and Ho (2024), whose control variates are "lower" and
"upper", with richer families, on Gaussian clouds, on surfaces in space, and on images.
"""

# %%
# Each method is a set of options of :func:`randla.sliced_wasserstein`; "auto" is the default.
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

methods = {
    "plain": ("C2", {"control_variate": None, "directions": "iid"}),
    "lower": ("C5", {"control_variate": "lower", "directions": "iid"}),
    "upper": ("C1", {"control_variate": "upper", "directions": "iid"}),
    "quadratic": ("C4", {"control_variate": "quadratic", "directions": "iid"}),
    "full": ("C3", {"control_variate": "full", "directions": "iid"}),
    "auto": ("C0", {}),
}
images, labels = datasets.digits()
clouds = {
    "normal clouds in 10 dimensions": datasets.gaussian_clouds(500, 10, rng=0),
    "torus and box in space": datasets.torus_and_box(500, rng=0),
    "images of threes and of eights": (images[labels == 3], images[labels == 8]),
}
sizes = [64, 128, 256, 512]


def compare(X, Y, truth, options, n_projections, n_runs=40):
    """Relative error of the power (true and stated), and seconds of the fastest call."""
    runs, seconds = [], []
    for seed in range(n_runs):
        start = perf_counter()
        runs.append(
            randla.sliced_wasserstein(X, Y, n_projections=n_projections, rng=seed, **options)
        )
        seconds.append(perf_counter() - start)
    error = np.array([run.power for run in runs]) / truth - 1
    stated = np.array([run.power_standard_error for run in runs]) / truth
    return np.sqrt(np.mean(error**2)), np.sqrt(np.mean(stated**2)), min(seconds)


# %%
# How much of the error is removed: the cost on each of 240 directions, and what remains of it after
# the quadratic controls are subtracted. Both have the same mean, which is the answer.
X, Y = clouds["normal clouds in 10 dimensions"]
fig, ax = plt.subplots(layout="constrained")
randla.sliced_wasserstein(X, Y, n_projections=240, control_variate="quadratic", rng=0).plot(ax)
plt.show()

# %%
# Dots are actual errors over 40 runs, lines are the stated errors (``power_standard_error``). All
# fall like one over the square root of the number of projections, at very different levels. Only
# the quasi-random points that "auto" uses in space fall faster.
timed = {}
for title, (X, Y) in clouds.items():
    truth = randla.sliced_wasserstein(
        X, Y, n_projections=100_000, control_variate="full", directions="orthogonal", rng=1
    ).power
    fig, ax = plt.subplots(figsize=(5.2, 4.0), layout="constrained")
    for name, (color, options) in methods.items():
        true, stated, seconds = np.array([compare(X, Y, truth, options, n) for n in sizes]).T
        ax.loglog(sizes, stated, color=color)
        ax.loglog(sizes, true, "o", color=color, label=name)
        timed[title, name] = 1e3 * seconds, true
    ax.set(title=title, xlabel="projections", ylabel="relative error of $SW_2^2$")
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    fig.legend(loc="outside lower center", ncols=3)
plt.show()

# %%
# The errors on images against the time of a call. For clouds as small as these the controls cost as
# much as the projections, and still pay. One of them has a cost of its own: the mean of the square
# root in "full" takes a few milliseconds in 64 dimensions, so "auto" does not use it.
fig, ax = plt.subplots(figsize=(5.2, 4.0), layout="constrained")
for name, (color, _) in methods.items():
    ax.loglog(*timed[title, name], "o-", color=color, label=name)
ax.set(title=title, xlabel="milliseconds", ylabel="relative error of $SW_2^2$")
ax.set_xticks(ticks := [0.5, 1, 2, 5, 10, 20], ticks)
ax.minorticks_off()
fig.legend(loc="outside lower center", ncols=3)
plt.show()

"""
Error against projections and against time
==========================================

The sliced Wasserstein distance is a mean over random directions. Most of its Monte Carlo error can
be removed by functions of the direction whose mean is known and which resemble the projected cost.
The pictures repeat the comparison of Nguyen and Ho (2024), whose control variates are "lower"
and "upper", with richer families, on Gaussian clouds, on surfaces in space, and on images.
"""

# %%
# Each method has options of :func:`randla.sliced_wasserstein`; "auto" is what it does by default.
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

methods = {
    "plain Monte Carlo": ("0.4", {"control_variate": None, "directions": "iid"}),
    "lower": ("orange", {"control_variate": "lower", "directions": "iid"}),
    "upper": ("firebrick", {"control_variate": "upper", "directions": "iid"}),
    "quadratic": ("skyblue", {"control_variate": "quadratic", "directions": "iid"}),
    "quartic": ("royalblue", {"control_variate": "quartic", "directions": "iid"}),
    "full": ("navy", {"control_variate": "full", "directions": "iid"}),
    "auto": ("black", {}),
}
images, labels = datasets.digits()
clouds = {
    "Gaussian clouds, d = 10": datasets.gaussian_clouds(500, 10, rng=0),
    "torus and box, d = 3": datasets.torus_and_box(500, rng=0),
    "images of 3 and of 8, d = 64": (images[labels == 3], images[labels == 8]),
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
# Upper row: dots are true errors over 40 runs, lines what the results stated
# (``power_standard_error``). All fall like one over the root of the number of projections, from
# very different heights; only the quasi-random points that "auto" takes in space fall faster.
#
# Lower row: the same errors against the time of a call. For clouds as small as these the controls
# cost as much as the projections, and still pay. One of them has a price of its own: the mean of
# the square root in "full" takes some milliseconds in 64 dimensions, so that "auto" does without.
fig, axes = plt.subplots(2, 3, figsize=(12, 7.5), layout="constrained", sharey="col")
for (above, below), (title, (X, Y)) in zip(axes.T, clouds.items(), strict=True):
    truth = randla.sliced_wasserstein(
        X, Y, n_projections=100_000, control_variate="full", directions="orthogonal", rng=1
    ).power
    for name, (colour, options) in methods.items():
        true, stated, seconds = np.array([compare(X, Y, truth, options, n) for n in sizes]).T
        above.loglog(sizes, stated, color=colour, lw=1.2)
        above.loglog(sizes, true, "o", color=colour, ms=5, label=name)
        below.loglog(1e3 * seconds, true, "o-", color=colour, ms=5, lw=0.8)
    above.set(title=title, xlabel="projections")
    above.set_xticks(sizes, sizes)
    above.minorticks_off()
    below.set(xlabel="milliseconds")
    below.set_xticks(ticks := [0.5, 1, 2, 5, 10, 20], ticks)
    below.minorticks_off()
for ax in axes[:, 0]:
    ax.set_ylabel("relative error of $SW_2^2$")
handles, names = axes[0, 0].get_legend_handles_labels()
fig.legend(handles, names, loc="outside lower center", ncols=len(methods), frameon=False)
plt.show()

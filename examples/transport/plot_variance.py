"""
Variance against the number of projections
==========================================

The sliced Wasserstein distance is a mean over random directions. Its Monte Carlo error can be
removed almost entirely: by functions of the direction whose mean is known, and which resemble the
projected cost. Here is what each family of control variates gains, on Gaussian clouds and on
clusters, which are as far from Gaussian as it gets.
"""

# %%
# For each number of projections, the root mean squared error over 40 runs; the truth is a long run
# with control variates.
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

families = [None, "lower", "upper", "quadratic", "quartic", "full"]
sizes = [64, 128, 256, 512]
clouds = {
    "Gaussian clouds, d = 10": datasets.gaussian_clouds(300, 10, rng=0),
    "clusters, d = 10": datasets.mixture_clouds(300, 10, rng=0),
}


def errors(X, Y, truth, family, n_projections, n_runs=40):
    """Root mean squared error of the power, and the root mean square of its standard error."""
    runs = [
        randla.sliced_wasserstein(
            X, Y, n_projections=n_projections, control_variate=family, directions="iid", rng=seed
        )
        for seed in range(n_runs)
    ]
    power = np.array([run.power for run in runs])
    stated = np.array([run.power_standard_error for run in runs])
    return np.sqrt(np.mean((power - truth) ** 2)), np.sqrt(np.mean(stated**2))


# %%
# Dots are the true errors, lines are what the results themselves stated: ``power_standard_error``.
# All fall like one over the root of the number of projections, from very different heights.
fig, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained", sharex=True)
for ax, (title, (X, Y)) in zip(axes, clouds.items(), strict=True):
    truth = randla.sliced_wasserstein(
        X, Y, n_projections=100_000, control_variate="full", directions="iid", rng=1
    ).power
    for k, family in enumerate(families):
        true, stated = np.array([errors(X, Y, truth, family, n) for n in sizes]).T
        label = "plain Monte Carlo" if family is None else family
        ax.loglog(sizes, stated / truth, color=f"C{k}", lw=1)
        ax.loglog(sizes, true / truth, "o", color=f"C{k}", label=label)
    ax.set(title=title, xlabel="projections", ylabel="relative error of $SW_2^2$")
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
axes[1].legend(title="control variate", bbox_to_anchor=(1.02, 1), loc="upper left")
plt.show()

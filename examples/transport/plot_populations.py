"""
How far apart are these points, and how far apart are their distributions?
==========================================================================

Two clouds may be all that you have, or they may be samples from two distributions that you want to
know about. These are two questions. The distance between the *points* is larger than the distance
between the distributions, the more so the fewer points there are: even two samples from one
distribution have a positive distance. ``population=True`` answers the second question, and
``sliced_wasserstein_test`` tests whether there is any difference at all.
"""

# %%
# Samples from two normal distributions in ten dimensions, one of them slightly wider and shifted.
import matplotlib.pyplot as plt
import numpy as np

import randla

d, shift, scale = 10, 0.15, 1.15
truth = np.sqrt(shift**2 + (scale - 1.0) ** 2)


def samples(n):
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, d)), scale * rng.standard_normal((n, d)) + shift


sizes = [50, 100, 200, 400, 800, 1600, 3200]
results = [randla.sliced_wasserstein(*samples(n), population=True, rng=0) for n in sizes]

# %%
# The interval for the points is due to the random directions, and too narrow to see. The distance
# between these points is known to three digits, and says little about the distributions. The
# interval for the distributions is wide, and contains the true value.
of_points = np.array([result.confidence_interval() for result in results])
of_laws = np.array([result.population_interval() for result in results])
fig, ax = plt.subplots(layout="constrained")
ax.fill_between(sizes, *of_laws.T, color="C0", alpha=0.3, lw=0, label="distributions, 95%")
ax.fill_between(sizes, *of_points.T, color="C5", alpha=0.5, lw=0)
ax.plot(sizes, [result.value for result in results], "o-", color="C5", label="the points")
ax.axhline(truth, color="0.5", lw=1, ls="--", label="distributions, exact")
ax.set(xscale="log", ylim=(0.0, None), xlabel="points of each sample", ylabel="$SW_2$")
ax.set_title("how far?")
ax.legend()
plt.show()

# %%
# With 100 points the interval for the distributions begins at zero, and the result reports this;
# with 200 it does not. Whether there is any difference at all is a simpler question. The test
# compares the statistic of the samples with random splits of all points into two. Its level is
# exact.
few = results[sizes.index(100)]
print("near equal:", few.near_equal, " bias of the power:", f"{few.bias:.3f}")
test = randla.sliced_wasserstein_test(*samples(200), rng=0)
print(f"p-value {test.p_value:.3f} +- {test.p_value_error:.3f}")
fig, ax = plt.subplots(layout="constrained")
test.plot(ax)
ax.set_title("any difference? 200 points of each")
plt.show()

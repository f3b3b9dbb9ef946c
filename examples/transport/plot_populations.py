"""
How far are these points, and how far are these laws?
=====================================================

Two clouds may be all that there is, or samples of two laws that one wants to know about. These are
two questions. The distance of the *points* is larger than that of the laws, the more so the fewer
points there are: even two samples of one law are apart. ``population=True`` answers the second
question, and ``sliced_wasserstein_test`` asks whether there is any difference at all.
"""

# %%
# Samples of two normal laws in ten dimensions, one of them a little wider and moved.
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
# The interval of the points is that of the random directions, and hardly to be seen: the distance
# of these very points is known to three digits, and says little about the laws. That of the laws
# is wide, and holds the truth.
of_points = np.array([result.confidence_interval() for result in results])
of_laws = np.array([result.population_interval() for result in results])
fig, ax = plt.subplots(layout="constrained")
ax.fill_between(sizes, *of_laws.T, color="C0", alpha=0.3, lw=0, label="the laws: 95 % interval")
ax.fill_between(sizes, *of_points.T, color="C5", alpha=0.5, lw=0)
ax.plot(sizes, [result.value for result in results], "o-", color="C5", label="the points")
ax.axhline(truth, color="0.5", lw=1, ls="--", label="the truth of the laws")
ax.set(xscale="log", ylim=(0.0, None), xlabel="points of each sample", ylabel="$SW_2$")
ax.set_title("how far?")
ax.legend()

# %%
# With 100 points the interval of the laws begins at zero, and the result says so; with 200 it does
# not. Whether there is any difference at all is a simpler question: the test puts the statistic of
# the samples among those of random splits of all points into two. Its level is exact.
few = results[sizes.index(100)]
print("near equal:", few.near_equal, " bias of the power:", f"{few.bias:.3f}")
test = randla.sliced_wasserstein_test(*samples(200), rng=0)
print(f"p-value {test.p_value:.3f} +- {test.p_value_error:.3f}")
fig, ax = plt.subplots(layout="constrained")
test.plot(ax)
ax.set_title("any difference? 200 points of each")
plt.show()

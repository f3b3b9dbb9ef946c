"""
A flow between shapes
=====================

A cloud of points moves down the gradient of the sliced Wasserstein distance to a target, here from
a box to a torus. Each step projects on new directions, sorts, and moves the points.
"""

# %%
# Some steps at a time, to look at the cloud in between.
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

torus, box = datasets.torus_and_box(1500, rng=0)
counts = [0, 3, 10, 60]
stages, traces = [box], []
for before, after in pairwise(counts):
    flow = randla.sliced_wasserstein_flow(stages[-1], torus, n_steps=after - before, rng=after)
    stages.append(flow.points)
    traces.append(flow.trace)

# %%
# Depth is shown by colour. Below, the distance to the target before each step: the first steps
# bring the mass near, the later ones clear the hole.
fig = plt.figure(figsize=(14, 5.6), layout="constrained")
grid = fig.add_gridspec(2, 5, height_ratios=[1.6, 1])
for k, (points, count) in enumerate(zip([*stages, torus], [*counts, None], strict=True)):
    ax = fig.add_subplot(grid[0, k])
    ax.scatter(points[:, 0], points[:, 1], c=points[:, 2], s=3, cmap="viridis")
    ax.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
    ax.set_title("target" if count is None else f"{count} steps")
ax = fig.add_subplot(grid[1, :])
ax.semilogy(np.concatenate(traces))
for count in counts[1:-1]:
    ax.axvline(count, color="0.7", lw=1)
ax.set(xlabel="step", ylabel="$SW_2$ to the target", xlim=(0, counts[-1] - 1))
plt.show()

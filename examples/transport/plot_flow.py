"""
A flow between shapes
=====================

A cloud of points moves down the gradient of the sliced Wasserstein distance to a target, here from
a box to a torus. Each step projects on frames of orthogonal directions, sorts, and moves the
points.
"""

# %%
from itertools import pairwise

import matplotlib.pyplot as plt

import randla
from randla import datasets

torus, box = datasets.torus_and_box(1500, rng=0)
stages = [box]
counts = [0, 3, 10, 60]
for before, after in pairwise(counts):
    flow = randla.sliced_wasserstein_flow(stages[-1], torus, n_steps=after - before, rng=after)
    stages.append(flow.points)

# %%
# Depth is shown by colour.
fig, axes = plt.subplots(1, 5, figsize=(14, 3.2), layout="constrained")
for ax, points, count in zip(axes, [*stages, torus], [*counts, None], strict=False):
    ax.scatter(points[:, 0], points[:, 1], c=points[:, 2], s=3, cmap="viridis")
    ax.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
    ax.set_title("target" if count is None else f"{count} steps")
plt.show()

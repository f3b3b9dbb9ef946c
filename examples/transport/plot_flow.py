"""
A flow between shapes
=====================

A cloud of points moves down the gradient of the sliced Wasserstein distance to a target, here from
a disk to a ring with five arms. Each step projects the clouds onto new directions, sorts, and moves
the points.
"""

# %%
# A callback follows the flow. It is called after each step with the number of the step, the points,
# the squared distance before the step and its error. If it returns True, the flow stops: here when
# the distance is a fiftieth of the first one.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import randla

rng = np.random.default_rng(0)
n = 400
angle, radius = 2 * np.pi * rng.random(n), np.sqrt(rng.random(n))
disc = 0.6 * radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
angle = 2 * np.pi * rng.random(n)
arm = 1 + 0.35 * np.cos(5 * angle) + 0.03 * rng.standard_normal(n)
ring = arm[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])

frames, powers = [disc], []


def watch(step, points, power, error):
    """Keep the points; stop where the distance is small."""
    frames.append(points)
    powers.append(power)
    return power < powers[0] / 50**2


flow = randla.sliced_wasserstein_flow(
    disc, ring, n_steps=200, step=0.3, n_projections=64, callback=watch, rng=0
)
print(f"stopped after {len(flow.trace)} steps")

# %%
# The colors show where each point started.
fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
ax.scatter(*ring.T, s=2, color="0.5", alpha=0.4)
dots = ax.scatter(*disc.T, s=8, c=np.arctan2(*disc.T[::-1]), cmap="hsv")
ax.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
shown = [*range(10), *range(10, 40, 5), *range(40, len(frames), 20), len(frames) - 1]


def draw(k):
    """Show one frame."""
    dots.set_offsets(frames[k])
    ax.set_title(f"step {k}")
    return (dots,)


animation = FuncAnimation(fig, draw, frames=shown, interval=250)
plt.show()

# %%
# The flow after six steps.
fig, ax = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
ax.scatter(*ring.T, s=2, color="0.5", alpha=0.4)
ax.scatter(*frames[6].T, s=8, c=np.arctan2(*disc.T[::-1]), cmap="hsv")
ax.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
plt.show()

# %%
# The distance to the target before each step, with its interval.
fig, ax = plt.subplots(layout="constrained")
flow.plot(ax)
plt.show()

# sphinx_gallery_thumbnail_number = 2

"""
A flow, frame by frame
======================

Points of a disc move onto a ring of five arms, and a callback watches. It is called after each step
with the number of the step, the points, the squared distance before the step and its error, and
stops the flow where the distance is a fiftieth of what it was.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import randla

rng = np.random.default_rng(0)
n = 1200
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
# Colours are those of the start, to follow where points go.
fig, ax = plt.subplots(figsize=(4.5, 4.5), dpi=70, layout="constrained")
ax.scatter(*ring.T, s=2, color="0.85")
dots = ax.scatter(*disc.T, s=5, c=np.arctan2(*disc.T[::-1]), cmap="twilight")
ax.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
shown = [*range(12), *range(12, len(frames), 6)]


def draw(k):
    """Show one frame."""
    dots.set_offsets(frames[k])
    ax.set_title(f"step {k}")
    return (dots,)


animation = FuncAnimation(fig, draw, frames=shown, interval=120)
plt.show()

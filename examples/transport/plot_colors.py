"""
Colors of another picture
=========================

The pixels of a picture are a cloud of points in the cube of colors. To give a picture the colors of
another picture, move its cloud onto the other cloud. There are two ways to do this, which differ at
the walls of the cube.
"""

# %%
# Two small landscapes, made here: an evening by the sea and a field at noon.
import matplotlib.pyplot as plt
import numpy as np

import randla

rng = np.random.default_rng(0)
height, width = 60, 90
y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]


def picture(sky_low, sky_high, ground_near, ground_far, sun, at, horizon):
    """Gradients of sky and ground (h, w, 3), a sun, and some grain."""
    up = np.clip((horizon - y) / horizon, 0, 1)[..., None]
    near = np.clip((y - horizon) / (1 - horizon), 0, 1)[..., None]
    sky = (1 - up) * np.array(sky_low) + up * np.array(sky_high)
    ground = (1 - near) * np.array(ground_far) + near * np.array(ground_near)
    image = np.where((y < horizon)[..., None], sky, ground)
    glow = np.exp(-(((x - at[0]) * 1.5) ** 2 + (y - at[1]) ** 2) / 0.01)[..., None]
    waves = 0.06 * np.sin(40 * y + 6 * np.sin(9 * x))[..., None] * (y > horizon)[..., None]
    image = image * (1 - glow) + np.array(sun) * glow + waves
    return np.clip(image + 0.02 * rng.standard_normal(image.shape), 0, 1)


evening = picture(
    (0.98, 0.55, 0.2), (0.2, 0.1, 0.4), (0.05, 0.05, 0.2), (0.8, 0.4, 0.3),
    (1.0, 0.95, 0.7), (0.7, 0.42), 0.5,
)  # fmt: skip
noon = picture(
    (0.75, 0.88, 1.0), (0.2, 0.45, 0.9), (0.1, 0.4, 0.05), (0.6, 0.75, 0.3),
    (1.0, 1.0, 0.95), (0.25, 0.15), 0.6,
)  # fmt: skip
source, target = noon.reshape(-1, 3), evening.reshape(-1, 3)

# %%
# **A flow** takes steps down the gradient of the distance. The steps do not know about the cube,
# and some points leave it on the way. Several calls can take the steps of one, so the points can be
# put back after each step. ``first_step`` is the number of the step, which gives each new
# directions.
free = randla.sliced_wasserstein_flow(source, target, n_steps=20, rng=0).points
kept = source
for step in range(20):
    flow = randla.sliced_wasserstein_flow(
        kept, target, n_steps=1, first_step=step, n_projections=64, rng=0
    )
    kept = np.clip(flow.points, 0.0, 1.0)

# %%
# **The expected plan** sends each pixel to the mean of its matches, which lies between colors of
# the other picture and is never out of range. The means are less vivid than the colors themselves.
plan = randla.expected_sliced_plan(source, target, rng=0)
print(f"largest standard error of a color: {plan.standard_error.max():.4f}")

# %%
# The noon picture in the colors of the evening, by the flow that is kept in range.
fig, ax = plt.subplots(layout="constrained")
ax.imshow(kept.reshape(noon.shape))
ax.set_axis_off()
plt.show()

# %%
# The remaining distance to the colors of the evening measures what each way gives up.
results = {"noon": source, "flow": free, "flow, kept in range": kept, "plan": plan.barycentric}
fig, axes = plt.subplots(3, 2, figsize=(5.2, 6.6), layout="constrained")
fig.get_layout_engine().set(hspace=0.05)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].imshow(evening)
axes[0, 0].set_title("evening")
axes[2, 1].set_axis_off()
for ax, (title, colors) in zip(axes.flat[1:], results.items(), strict=False):
    left = randla.sliced_wasserstein(colors, target, rng=0)
    outside = np.mean((colors < 0) | (colors > 1))
    ax.imshow(np.clip(colors, 0, 1).reshape(noon.shape))
    ax.set(title=title, xlabel=f"distance {left.value:.3f}")
    print(f"{title:20} distance {left.value:.4f}, {100 * outside:.2f}% of numbers out of range")
assert plan.barycentric.min() >= target.min() - 1e-12
assert plan.barycentric.max() <= target.max() + 1e-12
plt.show()

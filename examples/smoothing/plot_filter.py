"""
A filter follows its target
===========================

An object moves in the plane, and its position is observed with noise. For a while there are no
observations. A particle filter follows the object with a cloud of possible states. The cloud widens
without observations, and contracts with the next one.
"""

# %%
# The state is (x, y, velocity x, velocity y), with a random acceleration. Rows of NaN are missing
# observations.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import randla

step = np.kron([[1.0, 1.0], [0.0, 1.0]], np.eye(2))
jolt = 0.02 * np.kron([[1 / 3, 1 / 2], [1 / 2, 1]], np.eye(2))
model = randla.LinearGaussian(
    transition_matrix=step,
    transition_cov=jolt,
    observation_matrix=np.eye(2, 4),
    observation_cov=0.3 * np.eye(2),
    initial_mean=[0.0, 0.0, 1.0, 0.5],
    initial_cov=np.diag([0.5, 0.5, 0.05, 0.05]),
)
states, y = model.simulate(36, rng=5)
y[16:23] = np.nan
run = randla.particle_filter(model, y, n_particles=400, store=True, rng=0)
exact = randla.kalman_smoother(model, y)
print(f"log-likelihood {run.log_likelihood:.2f} +- {run.log_likelihood_standard_error:.2f},")
print(f"       exactly {exact.log_likelihood:.2f}")

# %%
# The cloud after each observation, weighted by that observation.
weights = np.exp(run.log_weights - run.log_weights.max(axis=1, keepdims=True))


def scene():
    """Axes for the whole track."""
    fig, ax = plt.subplots(layout="constrained")
    center, half = states[:, :2].mean(axis=0), np.ptp(states[:, :2], axis=0).max() / 2 + 2
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.set(xlim=center[0] + [-1.4 * half, 1.4 * half], ylim=center[1] + [-half, half])
    return fig, ax


fig, ax = scene()
cloud = ax.scatter([], [], color="C0", alpha=0.6, lw=0, label="particles")
(track,) = ax.plot([], [], color="0.5", label="the target")
(seen,) = ax.plot([], [], "x", color="C5", label="observed")
ax.legend(loc="upper left")


def draw(t):
    """Draw what is known after time t."""
    cloud.set_offsets(run.particles[t, :, :2])
    cloud.set_sizes(30 * weights[t])
    track.set_data(*states[: t + 1, :2].T)
    seen.set_data(*y[: t + 1].T)
    ax.set_title("nothing is seen" if np.isnan(y[t, 0]) else f"time {t}")
    return cloud, track, seen


animation = FuncAnimation(fig, draw, frames=len(y), interval=200)
plt.show()

# %%
# Every third cloud at once.
fig, ax = scene()
for t in range(0, len(y), 3):
    ax.scatter(*run.particles[t, :, :2].T, s=12 * weights[t], color="C0", alpha=0.4, lw=0)
ax.plot(*states[:, :2].T, color="0.5", label="the target")
ax.plot(*y.T, "x", color="C5", label="observed")
ax.legend(loc="upper left")
plt.show()

# sphinx_gallery_thumbnail_number = 2

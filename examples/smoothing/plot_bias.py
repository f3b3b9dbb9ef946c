"""
The bias of particle Gibbs falls with the burn-in
=================================================

Plain particle smoothers have a bias of order 1/N that no repetition removes. PaRIS particle Gibbs
starts with the same bias, and loses most of it with each sweep. The true value comes from the
Kalman smoother.
"""

# %%
# An autoregression in noise; the functional is the sum of squares of the states.
import matplotlib.pyplot as plt
import numpy as np

import randla

model = randla.LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0 / (1.0 - 0.81))
_, y = model.simulate(100, rng=3)
truth = randla.kalman_smoother(model, y).expectation("square").item()

# %%
# The mean of each sweep over 1000 chains, minus the truth. Bars are two standard errors: where one
# crosses the axis, the bias cannot be told from zero.
fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for k, n_particles in enumerate([5, 10, 20, 40]):
    chains = randla.ppg(
        model,
        y,
        "square",
        n_particles=n_particles,
        n_iterations=12,
        burn_in=11,
        n_chains=1000,
        rng=n_particles,
    )
    sweeps = chains.per_iteration[..., 0]
    bias = sweeps.mean(axis=0) - truth
    error = sweeps.std(axis=0, ddof=1) / np.sqrt(len(sweeps))
    axes[0].errorbar(
        np.arange(len(bias)) + 0.1 * k, bias, 2 * error, fmt="o-", ms=4, label=f"N = {n_particles}"
    )
    axes[1].plot(chains.update_rate, lw=1, label=f"N = {n_particles}")
axes[0].axhline(0, color="k", lw=0.8)
axes[0].set(xlabel="sweep", ylabel="bias of $E \\sum_t x_t^2$", title=f"true value {truth:.0f}")
axes[0].legend()
axes[1].set(xlabel="time", ylabel="share of sweeps that moved the path", title="update rate")
axes[1].set_ylim(0, 1)
plt.show()

"""
The bias of particle Gibbs falls with the burn-in
=================================================

Plain particle smoothers have a bias of order 1/N that no repetition removes. PaRIS particle Gibbs
starts with the same bias and loses most of it with each sweep. The true value comes from the Kalman
smoother.
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
# The mean of each sweep over 1000 chains, minus the truth. The bars are two standard errors: where
# a bar crosses the axis, the bias is not significantly different from zero.
bias_fig, bias_ax = plt.subplots(layout="constrained")
rate_fig, rate_ax = plt.subplots(layout="constrained")
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
    color, label = ("C3", "C5", "C4", "C0")[k], f"N = {n_particles}"
    sweep = np.arange(len(bias)) + 0.1 * k
    bias_ax.errorbar(sweep, bias, 2 * error, fmt="o-", color=color, label=label)
    rate_ax.plot(chains.update_rate, lw=1, color=color, label=label)
bias_ax.axhline(0, color="0.5", lw=1)
bias_ax.set(xlabel="sweep", ylabel="bias of $E \\sum_t x_t^2$", title=f"true value {truth:.0f}")
bias_ax.legend()
rate_ax.set(xlabel="time", ylabel="sweeps that moved the path", title="update rate", ylim=(0, 1))
rate_ax.legend()
plt.show()

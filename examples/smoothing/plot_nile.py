"""
The Nile, smoothed, with a gap
==============================

The annual flow of the Nile at Aswan is the classic example of a level that drifts and is observed
with noise. This model has an exact answer, the Kalman smoother. Here twenty-one years of
observations are left out, and the particle smoother has to agree with the exact answer in this gap,
too.
"""

# %%
# The local level model: :math:`x_{t+1} = x_t + \eta_t`, :math:`y_t = x_t + \varepsilon_t`, with the
# variances that maximize the likelihood. Missing observations are NaN.
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

model = randla.LinearGaussian(
    transition_matrix=1.0,
    transition_cov=1469.1,
    observation_matrix=1.0,
    observation_cov=15099.0,
    initial_mean=1000.0,
    initial_cov=40000.0,
)
flow = datasets.nile()
years = 1871 + np.arange(len(flow))
seen = flow.copy()
seen[(years >= 1890) & (years <= 1910)] = np.nan

# %%
# The exact answer, and PaRIS particle Gibbs with 200 particles.
exact = randla.kalman_smoother(model, seen)
particles = randla.ppg(model, seen, "state", n_particles=200, n_iterations=60, n_chains=8, rng=0)
print(f"smoothed sum of levels: {exact.expectation('state').item():.0f} exactly,")
print(f"  {particles.estimate.item():.0f} +- {particles.standard_error.item():.0f} by particles")

# %%
# The band contains the level with probability 0.95, given the observations, and widens in the gap.
# The dashed lines are the mean and the quantiles of the paths that particle Gibbs drew.
mean, sd = exact.mean[:, 0], np.sqrt(exact.covariance[:, 0, 0])
fig, ax = plt.subplots(layout="constrained")
ax.fill_between(years, mean - 1.96 * sd, mean + 1.96 * sd, color="C0", alpha=0.25, lw=0)
ax.plot(years, mean, color="C0", label="exact, 95%")
ax.plot(years, particles.mean[:, 0], "--", color="C5", lw=1.5, label="particles")
for q in (0.025, 0.975):
    ax.plot(years, particles.quantile(q)[:, 0], "--", color="C5", lw=1)
ax.plot(years, flow, "o", ms=4, mfc="none", color="0.5", label="left out")
ax.plot(years, seen, "o", ms=4, color="0.5", label="observed")
ax.set(xlabel="year", ylabel="flow, $10^8$ m$^3$", title="level of the Nile, 1890 to 1910 unseen")
ax.legend(ncols=2)
plt.show()

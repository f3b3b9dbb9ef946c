"""
Trend and season of CO2, side by side with statsmodels
======================================================

Carbon dioxide over Mauna Loa rises, and varies with the seasons. A structural model separates the
two, with standard errors, and forecasts both. statsmodels has the same model, and its
log-likelihood and smoothed components agree.
"""

# %%
# Monthly means from 1958 to 2001, five of them missing. The last three years are left out.
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm
from scipy import stats

import randla

co2 = sm.datasets.co2.load_pandas().data.co2.resample("MS").mean()
seen = co2.to_numpy().copy()
seen[-36:] = np.nan

# %%
# A level with a slope, both random walks, twelve seasons that sum to noise (eleven states), and
# noise of the observations. The start of the thirteen states is unknown. Four standard deviations
# are estimated, from starting values that are computed from the data. A standard deviation of zero
# would be named in ``at_boundary``.
model = randla.structural(level="trend", seasonal=12)
fit = randla.maximum_likelihood(model, seen, method="exact")
for name, value, error in zip(fit.names, fit.theta, fit.parameter_standard_error, strict=True):
    print(f"{name:12} {value:.4f} +- {error:.4f}")

# %%
# statsmodels, with its own starting values, for the observed months. Its log-likelihood counts
# :math:`\log 2 \pi` also for the q = 13 states that the first observations determine.
peer = sm.tsa.UnobservedComponents(seen, "lltrend", seasonal=12, use_exact_diffuse=True)
other = peer.fit(disp=False, maxiter=200)
print(f"log-likelihood: {fit.log_likelihood - 6.5 * np.log(2 * np.pi):.3f}")
print(f"  statsmodels:  {other.llf:.3f}")

# %%
# The smoothed components. At the same parameters they agree to about ten digits.
smoothed = randla.kalman_smoother(fit.model, seen)
parts = randla.components(smoothed)
level, slope, season, noise = fit.theta**2
same = peer.smooth([noise, level, slope, season])
gap = np.abs(parts["level"].mean - same.level.smoothed).max()
print(f"largest difference of the levels: {gap:.1e} ppm of {parts['level'].mean.max():.0f}")

# %%
# Missing rows at the end are the forecast. The forecast of an observation is the sum of the states
# that the observation matrix selects; its variance includes the noise. The parameters are fixed.
row = fit.model.observation_matrix[0]
mean = smoothed.mean @ row
sd = np.sqrt(smoothed.covariance @ row @ row + fit.model.observation_cov[0, 0])
held = np.abs(co2.to_numpy() - mean)[-36:] < 1.96 * sd[-36:]
print(f"{held.sum()} of the last 36 months lie within their band of 95%")

months = co2.index
late = slice(-96, None)
fig, ax = plt.subplots(layout="constrained")
ax.axvspan(months[-36], months[-1], color="0.5", alpha=0.2, lw=0, label="left out")
ax.plot(months[late], mean[late], color="C0", label="smoothed, forecast")
ahead = months[-36:]
low, high = (mean + sign * 1.96 * sd for sign in (-1, 1))
ax.fill_between(ahead, low[-36:], high[-36:], color="C0", alpha=0.3, lw=0)
ax.plot(months[late], co2[late], "o", ms=3, color="0.5", label="observed")
ax.set_ylabel("CO$_2$, ppm")
ax.legend(loc="upper left")
plt.show()

# %%
# The slope of the trend over all years, and the season, with 95% bands. That of the season is
# narrower than its line.
for name, unit, times in (("slope", "ppm a month", slice(None)), ("seasonal", "ppm", late)):
    part = parts[name]
    low, high = part.confidence_interval(0.95)
    fig, ax = plt.subplots(layout="constrained")
    ax.plot(months[times], part.mean[times], color="C0")
    ax.fill_between(months[times], low[times], high[times], color="C0", alpha=0.3, lw=0)
    ax.set(title=name, ylabel=unit)
plt.show()

# %%
# So far the parameters were taken as known. The posterior distribution shows how well the data
# determine them, here for quarterly means from 1980 on: fewer states, so that the chains take
# seconds. In the most likely model the season does not change; its standard deviation is zero, at
# the boundary, without a standard error. The posterior distribution says by how much it may change.
quarters = co2.resample("QS").mean()["1980":]
y = quarters.to_numpy()[:-12]
model = randla.structural(level="trend", seasonal=4)
fit = randla.maximum_likelihood(model, y, method="exact")
print("at the boundary:", ", ".join(np.array(fit.names)[fit.at_boundary]))

prior = dict.fromkeys(fit.names, stats.halfnorm(scale=0.5))
posterior = randla.posterior(fit.model, y, prior, rng=0)
low, high = posterior.quantile([0.025, 0.975])
for k, name in enumerate(posterior.names):
    print(
        f"{name:12} {posterior.mean[k]:.3f} +- {posterior.standard_error[k]:.3f}, "
        f"95% from {low[k]:.3f} to {high[k]:.3f}, R-hat {posterior.r_hat[k]:.3f}"
    )

# %%
# A forecast of the last three years, which were left out, with the uncertainty of the parameters.
future = posterior.forecast(12, rng=0)
low, high = future.quantile([0.025, 0.975])
held = np.abs(quarters.to_numpy()[-12:] - (low + high) / 2) < (high - low) / 2
print(f"{held.sum()} of the last 12 quarters lie within their band of 95%")

posterior.plot()
plt.show()

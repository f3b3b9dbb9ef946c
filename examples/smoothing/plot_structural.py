"""
Trend and season of CO2, beside statsmodels
===========================================

Carbon dioxide over Mauna Loa rises, and breathes with the seasons. A structural model takes the
two apart, with standard errors, and forecasts both. statsmodels has the same model: the
log-likelihood and the smoothed components agree.
"""

# %%
# Monthly means of 1958 to 2001, five of them missing. The last three years are left out.
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm

import randla

co2 = sm.datasets.co2.load_pandas().data.co2.resample("MS").mean()
seen = co2.to_numpy().copy()
seen[-36:] = np.nan

# %%
# A level with a slope, both random walks, twelve seasonal dummies and noise. The fourteen states
# start anywhere; four standard deviations are estimated, from values that are found in the data. A
# standard deviation of zero would be told by `at_boundary`.
model = randla.structural(level="trend", seasonal=12)
fit = randla.maximum_likelihood(model, seen, method="exact")
for name, value, error in zip(fit.names, fit.theta, fit.parameter_standard_error, strict=True):
    print(f"{name:12} {value:.4f} +- {error:.4f}")

# %%
# statsmodels, started at its own values, for the months that are seen. Its log-likelihood counts
# :math:`\log 2 \pi` for the q = 13 states that the first observations settle, too.
peer = sm.tsa.UnobservedComponents(seen, "lltrend", seasonal=12, use_exact_diffuse=True)
other = peer.fit(disp=False, maxiter=200)
print(f"log-likelihood: {fit.log_likelihood - 6.5 * np.log(2 * np.pi):.3f}")
print(f"  statsmodels:  {other.llf:.3f}")

# %%
# Smoothed components. At the same parameters they are equal to about ten digits.
parts = randla.components(randla.kalman_smoother(fit.model, seen))
level, slope, season, noise = fit.theta**2
same = peer.smooth([noise, level, slope, season])
gap = np.abs(parts["level"].mean - same.level.smoothed).max()
print(f"largest difference of the levels: {gap:.1e} ppm of {parts['level'].mean.max():.0f}")

# %%
# Missing rows at the end are the forecast. Its band takes the parameters as known.
fig, axes = plt.subplots(4, 1, figsize=(9, 9), sharex=True, layout="constrained")
axes[0].plot(co2.index, co2, ".", ms=2, color="0.6", label="observed")
axes[0].axvspan(co2.index[-36], co2.index[-1], color="0.9", label="left out")
for ax, name in zip(axes, ("level", "slope", "seasonal", "noise"), strict=True):
    part = parts[name]
    low, high = part.confidence_interval(0.95)
    ax.plot(co2.index, part.mean, lw=1, label=f"{name}, 95 % band")
    ax.fill_between(co2.index, low, high, alpha=0.3, lw=0)
    ax.set_ylabel("ppm a month" if name == "slope" else "ppm")
    ax.legend(loc="upper left")
plt.show()

"""
Volatility of the oil price, learned and smoothed
=================================================

In a stochastic volatility model, the log variance of daily returns is a hidden autoregression. Its
parameters are learned by following the gradient that PaRIS particle Gibbs estimates. Then the
volatility is smoothed, with its uncertainty.
"""

# %%
# Two and a half years around the crash of 2008.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.dates import ConciseDateFormatter

import randla
from randla import datasets

dates, prices = datasets.crude_oil()
returns = 100 * np.diff(np.log(prices))
days = dates[1:]
window = (days >= np.datetime64("2007-07-01")) & (days < np.datetime64("2010-01-01"))
y, days = returns[window] - returns[window].mean(), days[window]

# %%
# Learning starts far from the optimum. These years say little about the level ``beta`` to which
# such a slow process returns. So ``beta`` is not learned but set to the standard deviation of all
# returns since 1986.
start = randla.StochasticVolatility(phi=0.9, sigma=0.3, beta=returns.std())
learned = randla.maximum_likelihood(start, y, free=["phi", "sigma"], rng=0)
for name, value, error in zip(
    learned.names, learned.theta, learned.parameter_standard_error, strict=True
):
    print(f"{name:6s} {value:7.3f} +- {error:.3f}")

# %%
# The volatility in percent a day, and the trace of the learning.
smoothed = randla.ppg(
    learned.model, y, "state", n_particles=100, n_iterations=60, burn_in=30, n_chains=4, rng=1
)
low, middle, high = (
    returns.std() * np.exp(smoothed.quantile(q)[:, 0] / 2) for q in (0.05, 0.5, 0.95)
)
fig, ax = plt.subplots(layout="constrained")
ax.plot(days, np.abs(y), ".", color="0.5", alpha=0.6, ms=4, label="size of the return")
ax.fill_between(days, low, high, color="C0", alpha=0.3, lw=0)
ax.plot(days, middle, color="C0", label="volatility, with 90%")
ax.set(ylabel="percent a day", title="volatility of the oil price")
ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
ax.legend(loc="upper left")

fig, ax = plt.subplots(layout="constrained")
learned.plot(ax)
ax.set_title("learning")
plt.show()

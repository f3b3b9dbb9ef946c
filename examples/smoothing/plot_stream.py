"""
Following a stream: the risk of tomorrow's oil price
====================================================

A filter need not wait for the end of the series. ``start_filter`` takes one observation at a time,
returns the current estimate with its Monte Carlo error, and draws the days ahead. Its state can be
saved and loaded. The numbers are those of one filter over the whole series, bit for bit.
"""

# %%
# Returns of the oil price through the crash of 2008. The parameters of a stochastic volatility
# model are fixed; ``maximum_likelihood`` estimated them from the four years before.
import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.dates import ConciseDateFormatter

import randla
from randla import datasets

dates, prices = datasets.crude_oil()
returns, days = 100 * np.diff(np.log(prices)), dates[1:]
before = days < np.datetime64("2008-01-01")
window = ~before & (days < np.datetime64("2009-07-01"))
y, days = returns[window], days[window]
model = randla.StochasticVolatility(phi=0.99, sigma=0.085, beta=returns[before].std())

# %%
# Each day, before the return is known, the filter draws a thousand returns of the next day, and
# their quantiles are the interval for it. A missing day is NaN; here five are left out.
y[100:105] = np.nan
run = randla.start_filter(model, n_particles=1000, rng=0)
steps, ahead = [run.update(y[0])], []
for y_t in y[1:]:
    _, draws = run.forecast(1)
    ahead.append(np.quantile(draws, [0.05, 0.95]))
    steps.append(run.update(y_t))
    if run.time == 200:  # the program stops here, and another one continues
        file = io.BytesIO()
        np.savez(file, **run.state())
        file.seek(0)
        run = randla.start_filter(model, state=np.load(file))
low, high = np.transpose(ahead)
seen = ~np.isnan(y[1:])
inside = (low <= y[1:]) & (y[1:] <= high)
print(f"{inside[seen].mean():.1%} of the returns were in their 90% interval of the day before")

# %%
# The whole series at once gives the same numbers.
whole = randla.particle_filter(model, y, n_particles=1000, rng=0)
print(whole.log_likelihood == run.log_likelihood)
low_z, high_z = run.log_likelihood_interval(0.95)
print(f"log-likelihood {run.log_likelihood:.2f}, 95% interval {low_z:.2f} to {high_z:.2f}")

# %%
# First the intervals, made a day ahead, and the returns. Then what the filter knows about the log
# variance: its standard deviation given the data, and its Monte Carlo error, which more particles
# would make smaller.
mean, variance, error = (
    np.array([getattr(step, name)[0] for step in steps])
    for name in ("mean", "variance", "standard_error")
)
fig, first = plt.subplots(layout="constrained")
first.fill_between(days[1:], low, high, color="C0", alpha=0.3, lw=0, label="90%, a day ahead")
first.plot(days[1:][inside], y[1:][inside], ".", color="0.5", ms=4, label="inside")
first.plot(days[1:][seen & ~inside], y[1:][seen & ~inside], "o", color="C3", ms=4, label="outside")
first.set(ylabel="percent a day", title="returns, and what was expected")
fig, second = plt.subplots(layout="constrained")
half = 1.645 * np.sqrt(variance)
second.fill_between(days, mean - half, mean + half, color="C0", alpha=0.3, lw=0, label="90%")
second.fill_between(
    days, mean - 2 * error, mean + 2 * error, color="C5", lw=0, label="Monte Carlo error"
)
second.plot(days, mean, color="C0", lw=1, label="filtered mean")
second.set(title="log variance, day by day")
for ax in (first, second):
    ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.legend(loc="upper left")
plt.show()

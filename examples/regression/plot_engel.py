"""
Quantile regression: Engel's law
================================

How does spending on food grow with income? Least squares answers with one line. Quantiles show that
the households at the top of the spending range react to income twice as strongly as those at the
bottom. One call solves nineteen quantiles, each exactly and with a certificate. One more call gives
their standard errors and their joint covariance.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

income, food = datasets.engel()
A = np.column_stack([np.ones(len(income)), income])
tau = np.round(np.arange(0.05, 0.96, 0.05), 2)
fit = randla.lp_regression(A, food, tau=tau)
print("largest gap between the loss and its lower bound:", f"{np.max(fit.gap):.1e}")

# %%
# The lines of ten of these quantiles, with the lowest in the darkest color.
fig, ax = plt.subplots(layout="constrained")
ax.plot(income, food, ".", ms=4, color="0.5", alpha=0.5)
grid = np.array([income.min(), 3000.0])
for k in range(0, len(tau), 2):
    ax.plot(grid, fit.x[0, k] + fit.x[1, k] * grid, color=plt.cm.plasma(0.2 + 0.7 * tau[k]), lw=1.5)
mean = randla.lstsq(A, food)
ax.plot(grid, mean.x[0] + mean.x[1] * grid, "--", color="0.5", label="least squares")
ax.set(xlim=(300, 3000), ylim=(200, 2000), xlabel="income, francs", ylabel="food, francs")
ax.set_title("spending, quantiles 0.05 to 0.95")
ax.legend()
plt.show()

# %%
# Each coefficient against the quantile, with 95% intervals at each point. The dashed line is least
# squares with its own interval. (Both errors allow for a spread that grows with income.) If income
# only shifted the distribution of spending, all slopes would be equal. The test rejects this.
names = ["intercept", "income"]
process = fit.inference(A, food, names=names)
fig, axes = plt.subplots(2, 1, figsize=(5.2, 5.6), sharex=True, layout="constrained")
process.plot(axes)
of_mean = mean.inference(A, food, names=names)
low, high = of_mean.confidence_interval()
for j, ax in enumerate(axes):
    ax.axhline(mean.x[j], color="0.5", ls="--", lw=1, label="least squares")
    for end, label in ((low[j], "its interval"), (high[j], None)):
        ax.axhline(end, color="0.5", ls=":", lw=1, label=label)
axes[1].legend()
axes[1].set_xlabel("quantile")
plt.show()
quartiles = randla.lp_regression(A, food, tau=[0.25, 0.5, 0.75]).inference(A, food)
test = quartiles.equal_slopes()
print(f"equal slopes of the quartiles: F = {test.statistic:.1f}, p = {test.p_value:.1g}")

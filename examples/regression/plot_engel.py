"""
Quantile regression: Engel's law
================================

How does spending on food grow with income? Least squares answers with one line; quantiles show that
the households at the top of the spending range react to income twice as strongly as those at the
bottom. Nineteen quantiles are solved in one call, each exactly, with a certificate; their standard
errors and their joint covariance come from one more.
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
fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.plot(income, food, ".", color="0.6")
grid = np.array([income.min(), 3000.0])
for k in range(0, len(tau), 2):
    ax.plot(grid, fit.x[0, k] + fit.x[1, k] * grid, color=plt.cm.viridis(tau[k]), lw=1)
mean = randla.lstsq(A, food)
ax.plot(grid, mean.x[0] + mean.x[1] * grid, "k--", label="least squares")
ax.set(xlim=(300, 3000), ylim=(200, 2000), xlabel="income, francs", ylabel="food, francs")
ax.set_title("quantiles 0.05, 0.15, ..., 0.95")
ax.legend()
plt.show()

# %%
# Each coefficient against the quantile, with 95 % intervals at each point. The dashed line is least
# squares with its own interval (both errors allow for a spread that grows with income). If income
# only shifted the distribution of spending, all slopes would be the same: the test says no.
names = ["intercept", "income"]
process = fit.inference(A, food, names=names)
axes = process.plot()
of_mean = mean.inference(A, food, names=names)
low, high = of_mean.confidence_interval()
for j, ax in enumerate(axes):
    ax.axhline(mean.x[j], color="k", ls="--", lw=1, label="least squares")
    for end, label in ((low[j], "its interval"), (high[j], None)):
        ax.axhline(end, color="k", ls=":", lw=0.8, label=label)
axes[1].legend()
axes[0].figure.set_size_inches(10, 4)
plt.show()
quartiles = randla.lp_regression(A, food, tau=[0.25, 0.5, 0.75]).inference(A, food)
test = quartiles.equal_slopes()
print(f"equal slopes of the quartiles: F = {test.statistic:.1f}, p = {test.p_value:.1g}")

# sphinx_gallery_thumbnail_number = 2

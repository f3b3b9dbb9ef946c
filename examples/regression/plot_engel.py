"""
Quantile regression: Engel's law
================================

How does spending on food grow with income? Least squares answers with one line; quantiles show that
the households at the top of the spending range react to income twice as strongly as those at the
bottom. Nineteen quantiles are solved in one call, each exactly, with a certificate.
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
fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
axes[0].plot(income, food, ".", color="0.6")
grid = np.array([income.min(), 3000.0])
colours = plt.cm.viridis(tau)
for k in range(0, len(tau), 2):
    axes[0].plot(grid, fit.x[0, k] + fit.x[1, k] * grid, color=colours[k], lw=1)
mean = randla.lstsq(A, food).x
axes[0].plot(grid, mean[0] + mean[1] * grid, "k--", label="least squares")
axes[0].set(xlim=(300, 3000), ylim=(200, 2000), xlabel="income, francs", ylabel="food, francs")
axes[0].set_title("quantiles 0.05, 0.15, ..., 0.95")
axes[0].legend()
axes[1].plot(tau, fit.x[1], "o-")
axes[1].axhline(mean[1], color="k", ls="--", label="least squares")
axes[1].set(xlabel="quantile", ylabel="francs of food for a franc of income", title="slope")
axes[1].legend()
plt.show()

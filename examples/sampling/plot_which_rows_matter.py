"""
Which rows matter
=================

Leverage scores say which rows can sway a least-squares fit, l_p sensitivities the same for other
norms. For p = 1 far fewer rows stand out than for p = 4, where a handful carries nearly everything.
"""

# %%
# Household income and food expenditure in 1857, with an intercept.
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

income, food = datasets.engel()
A = np.column_stack([np.ones(len(income)), income, food])

fig, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
for ax, p in zip(axes, (1, 2, 4), strict=True):
    scores = randla.lp_sensitivities(A, p)
    values = np.asarray(scores)
    order = np.argsort(values)
    points = ax.scatter(
        income[order], food[order], c=values[order], s=15 + 300 * values[order], norm="log"
    )
    fig.colorbar(points, ax=ax, label="sensitivity")
    ax.set(title=f"p = {p}: they sum to {values.sum():.2f}", xlabel="income, francs")
axes[0].set_ylabel("food, francs")
plt.show()

# %%
# The largest sensitivity of all, exactly, without computing the others:
for p in (1, 4):
    top = randla.max_sensitivity(A, p)
    print(f"p = {p}: row {top.row} with sensitivity {top.value:.3f}")

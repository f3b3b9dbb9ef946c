"""
Which rows matter
=================

Leverage scores say which rows can change a least-squares fit the most, and
:math:`\\ell_p` sensitivities say the same for other norms. For p = 1 far fewer rows stand out than
for p = 4, where a handful of rows has nearly all of the influence.
"""

# %%
# Household income and food expenditure in 1857, with an intercept.
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

income, food = datasets.engel()
A = np.column_stack([np.ones(len(income)), income, food])

for p in (4, 1):
    values = np.asarray(randla.lp_sensitivities(A, p))
    order = np.argsort(values)
    fig, ax = plt.subplots(layout="constrained")
    points = ax.scatter(
        income[order],
        food[order],
        c=values[order],
        s=15 + 300 * values[order],
        norm="log",
        cmap="cool",
    )
    fig.colorbar(points, ax=ax, label="sensitivity")
    ax.set(title=f"p = {p}: they sum to {values.sum():.2f}", xlabel="income, francs")
    ax.set_ylabel("food, francs")
plt.show()

# %%
# The same scores in decreasing order.
fig, ax = plt.subplots(layout="constrained")
for p in (1, 2, 4):
    randla.lp_sensitivities(A, p).plot(ax)
ax.legend()
plt.show()

# %%
# The largest sensitivity of all, exactly, without computing the others:
for p in (1, 4):
    top = randla.max_sensitivity(A, p)
    print(f"p = {p}: row {top.row} with sensitivity {top.value:.3f}")

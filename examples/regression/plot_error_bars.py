"""
Error bars of a sketched regression
===================================

Does the size of today's move of the oil price depend on the moves of yesterday, the last week and
the last month? The full regression has 8298 rows. A sketch of a few hundred rows gives each
coefficient with an error bar: the error of the sketch, computed from the sketch alone.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

dates, prices = datasets.crude_oil()
move = np.abs(100 * np.diff(np.log(prices)))
total = np.concatenate([[0.0], np.cumsum(move)])
t = np.arange(22, len(move))
past = [(total[t] - total[t - k]) / k for k in (1, 5, 22)]
A, b = np.column_stack([np.ones(len(t)), *past]), move[t]
names = ["intercept", "day", "week", "month"]
exact = randla.lstsq(A, b)
print("exact:", dict(zip(names, exact.x.round(3).tolist(), strict=True)))

# %%
# The interval of one coefficient for sketches of growing size. The transform pads the 8298 rows to
# 16384. As the sketch approaches that size, the error vanishes (the finite-population correction
# of the subsampled Hadamard transform). One interval in twenty may miss.
sizes = [100, 200, 400, 800, 1600, 3200, 6400]
results = [randla.lstsq(A, b, sketch_size=m, rng=m) for m in sizes]
fig, ax = plt.subplots(layout="constrained")
j = names.index("week")
for k, result in enumerate(results):
    low, high = result.confidence_interval(0.95)
    hit = low[j] <= exact.x[j] <= high[j]
    ax.plot([low[j], high[j]], [k, k], lw=4, color="C0" if hit else "C3", solid_capstyle="butt")
    ax.plot(result.x[j], k, "o", color="0.5")
ax.axvline(exact.x[j], color="0.5", lw=1, label="all rows")
ax.set_yticks(range(len(sizes)), sizes)
ax.set(xlabel="weight of the last week, 95% interval", ylabel="rows of the sketch")
ax.legend(loc="upper right")
plt.show()

# %%
# All coefficients from 800 rows. Thick lines cover one coefficient each, thin lines all at once.
fig, ax = plt.subplots(layout="constrained")
results[sizes.index(800)].plot(ax)
ax.plot(exact.x, "x", color="0.5", ms=8, label="all rows")
ax.set_xticks(range(len(names)), names)
ax.set_xlabel("")
ax.legend(loc="upper center")
plt.show()

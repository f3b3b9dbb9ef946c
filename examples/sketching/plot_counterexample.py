"""
Why a dense sketch: the counterexample
======================================

All good sketches bound the error of least squares in the 2-norm. They differ in where the error
*goes*. A dense sketch (the subsampled Hadamard transform, a Gaussian matrix) spreads it over all
coefficients. A sparse sketch can put all of it into one coefficient, and on this matrix it does.
"""

# %%
# The solution is exactly zero. A few rows outside of the first d contain the whole residual. Sooner
# or later, a sparse sketch adds one of them to one of the first d rows.
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

n, d = 4096, 64
m = 16 * d
A, b = datasets.collision_attack(n, d, n_heavy=4)

sketches = {
    "SRHT": lambda seed: randla.SRHT(m, n, rng=seed),
    "Gaussian": lambda seed: randla.GaussianSketch(m, n, rng=seed),
    "sparse sign, 8": lambda seed: randla.SparseSignSketch(m, n, nonzeros=8, rng=seed),
    "CountSketch": lambda seed: randla.CountSketch(m, n, rng=seed),
}
print({name: make(0).has_linf_guarantee for name, make in sketches.items()})


def coefficients(make, seed):
    sketch = make(seed) @ np.column_stack([A, b])
    return np.linalg.lstsq(sketch[:, :-1], sketch[:, -1])[0]


# %%
# First the coefficients of one draw, then the largest error in each of 60 draws, in units of
# :math:`1/\sqrt m`. The dashed line is the bound of a dense sketch, with probability 0.95.
limit = np.sqrt(2 * np.log(2 * d / 0.05)) * np.sqrt(m / (m - d - 1))
fig, ax = plt.subplots(layout="constrained")
worst = {}
for k, (name, make) in enumerate(sketches.items()):
    color = ("C0", "C4", "C5", "C3")[k]
    draws = np.array([coefficients(make, seed) for seed in range(60)])
    worst[name] = np.sqrt(m) * np.abs(draws).max(axis=1)
    shown = draws[np.argsort(worst[name])[-6]]
    ax.plot(np.sqrt(m) * shown + 30 * (3 - k), color=color)
    ax.text(d, 30 * (3 - k) + 5, name, color=color, ha="right")
ax.margins(y=0.12)  # room for the topmost name
ax.set(title="errors of one draw (the sixth worst of 60)", xlabel="coefficient", yticks=[])
ax.set_ylabel(r"error $\times \sqrt{m}$")

fig, ax = plt.subplots(layout="constrained")
ax.boxplot(list(worst.values()), whis=(0, 100), orientation="horizontal")
ax.set_yticks(range(1, len(worst) + 1), list(worst))
ax.axvline(limit, color="0.5", ls="--", lw=1)
ax.set(title="largest error of 60 draws", xlabel=r"$\sqrt{m}\ \|x' - x^*\|_\infty$")
plt.show()

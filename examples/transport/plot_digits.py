"""
Nearest neighbors of digits
===========================

Each class of handwritten digits is a cloud of points in 64 dimensions. The matrix of all sliced
Wasserstein distances projects and sorts each cloud once. Its standard errors say which differences
between distances are meaningful.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

images, labels = datasets.digits()
clouds = [images[labels == k] for k in range(10)]
matrix = randla.sliced_wasserstein_matrix(clouds, n_projections=512, rng=0)
print("largest standard error:", f"{np.max(matrix.standard_errors):.3f}")

# %%
# The nearest neighbor of each digit is marked.
values = matrix.values.copy()
fig, ax = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
picture = ax.imshow(values, cmap="viridis_r")
fig.colorbar(picture)
np.fill_diagonal(values, np.inf)
for k, nearest in enumerate(values.argmin(axis=1)):
    ax.plot(nearest, k, "wo", ms=8)
ax.set_xticks(range(10))
ax.set_yticks(range(10))
ax.set(xlabel="digit", ylabel="digit", title="distances; dots: nearest neighbor")
plt.show()

"""
How much do principal components explain?
=========================================

After a few iterations of a randomized method, the explained variance is too small, by an unknown
amount. Brackets bound this amount. The first matrix has handwritten digits. The second is a bag of
words: a large sparse matrix whose spectrum has no gap, which is centered without being made dense.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

import randla
from randla import datasets

images, _ = datasets.digits()
k = 20
fit = randla.svd(images, k, center=True)
low, high = fit.explained_variance_ratio_bounds
print(f"{k} components explain {fit.explained_variance_ratio.sum():.4f} of the variance")
print(f"widest bracket: {np.max(high - low):.1e}; method: {fit.method}")

# %%
# How far are the shares from a randomized method below the lower ends of these brackets? Without
# iterations, the default of ``dask.array.linalg.svd_compressed``, they miss 1 to 20 percent, which
# the method does not report.
centered = images - images.mean(axis=0)
total = np.sum(centered**2)
number = np.arange(1, k + 1)
fig, ax = plt.subplots(layout="constrained")
for n_iter, color in ((0, "C3"), (1, "C1"), (4, "C5")):
    s = randomized_svd(centered, k, n_iter=n_iter, random_state=0)[1]
    short = np.maximum(1 - s**2 / total / low, 1e-15)
    ax.semilogy(number, short, "o-", color=color, label=f"{n_iter} iterations")
ax.semilogy(number, high / low - 1, color="C0", label="width of the brackets")
ax.set(xlabel="component", ylabel="missing share of variance", ylim=(1e-20, 1))
ax.set_xticks(range(2, k + 1, 3))
ax.legend(loc="lower right", ncols=2)
plt.show()

# %%
# A corpus: documents are mixtures of topics, with word frequencies that decay as in natural
# language.
rng = np.random.default_rng(0)
n_documents, n_words, n_topics, length = 4000, 3000, 60, 80
frequency = 1.0 / np.arange(1, n_words + 1)
topics = rng.gamma(0.1, size=(n_topics, n_words)) * frequency
topics /= topics.sum(axis=1, keepdims=True)
of_document = rng.integers(n_topics, size=n_documents)
words = np.concatenate([rng.choice(n_words, length, p=topics[t]) for t in of_document])
rows = np.repeat(np.arange(n_documents), length)
counts = sparse.coo_array((np.ones(len(rows)), (rows, words)), (n_documents, n_words)).tocsr()
print(f"{counts.shape} with {counts.nnz} entries")

# %%
# A few reads with the free bracket, then many reads with the quadratic one.
fits = {
    "6 reads": randla.svd(counts, 40, center=True, max_passes=6, certify="frobenius", rng=0),
    "to tolerance": randla.svd(counts, 40, center=True, rng=0),
}
for name, fit in fits.items():
    fig, ax = plt.subplots(layout="constrained")
    fit.plot(ax)
    width = np.max(fit.s_upper / fit.s_lower - 1)
    ax.set_title(f"{name}: brackets within {width:.2g}")
plt.show()

# %%
# What the iterations alone would report, compared with what is proved.
for name, fit in fits.items():
    low, high = fit.explained_variance_ratio_bounds
    print(f"{name}: {fit.explained_variance_ratio.sum():.4f} explained by 40 components,"
          f" proved {low.sum():.4f} to {min(high.sum(), 1.0):.4f}")  # fmt: skip

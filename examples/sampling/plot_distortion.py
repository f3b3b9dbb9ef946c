"""
How many rows: distortion against sample size
=============================================

A weighted sample of the rows should preserve :math:`\\|Ax\\|_p^p` for every x at once. This matrix
is a Gaussian block together with repeated unit rows. On it a uniform sample needs several times as
many rows as the others, and root leverage scores, which are good for p = 1, are poor for p = 4.
Lewis weights, and the sum of sensitivities and leverage scores, are always close to the best.
"""

# %%
# The distortion of a sample is the largest relative error over all x. The search for it uses many
# directions, the same for all samples, so the result is a lower bound.
import matplotlib.pyplot as plt
import numpy as np

import randla
from randla import datasets

A = datasets.gaussian_blocks(400, 6, 18, 12, rng=0)
n, d = A.shape
rng = np.random.default_rng(1)
directions = np.vstack(
    [
        np.linalg.qr(A)[1].T @ np.eye(d),
        rng.standard_normal((200, d)),
        np.eye(d),
        np.hstack([rng.standard_normal((200, 6)), np.zeros((200, 18))]),
    ]
)
kinds = ["uniform", "leverage", "root-leverage", "lewis", "sensitivity", "sensitivity+leverage"]
colors = ["C3", "C1", "C5", "C0", "C2", "C4"]


def distortion(p, scores, size, seed):
    sample = randla.sample_rows(A, size, p=p, scores=scores, rng=seed)
    # The worst direction of a sample often almost avoids the sample: solve for a few of these.
    kept = A[sample.indices]
    _, _, V = np.linalg.svd(kept * (sample.weights ** (1 / p))[:, None], full_matrices=False)
    X = np.vstack([directions, V[-8:]])
    whole = (np.abs(A @ X.T) ** p).sum(axis=0)
    part = sample.weights @ np.abs(kept @ X.T) ** p
    return np.max(np.abs(part / whole - 1))


# %%
# Medians and quartiles of 16 samples.
multiples = np.array([4, 8, 16])
for p in (1, 4):
    fig, ax = plt.subplots(figsize=(5.2, 4.4), layout="constrained")
    tables = {
        "uniform": np.ones(n),
        "leverage": np.asarray(randla.leverage_scores(A)),
        "lewis": np.asarray(randla.lewis_weights(A, p)),
        "sensitivity": np.asarray(randla.lp_sensitivities(A, p, rtol=0.01)),
    }
    tables["root-leverage"] = tables["leverage"] ** (p / 2)
    tables["sensitivity+leverage"] = tables["sensitivity"] + tables["leverage"]
    for k, kind in enumerate(kinds):
        values = np.array(
            [[distortion(p, tables[kind], c * d, seed) for seed in range(16)] for c in multiples]
        )
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=1)
        shift = 1 + 0.04 * (k - 2.5)
        ends = [middle - low, high - middle]
        ax.errorbar(multiples * shift, middle, ends, fmt="o-", color=colors[k], label=kind)
    ax.set(xscale="log", yscale="log", title=f"p = {p}", xlabel="rows / columns")
    ax.set_ylabel("distortion")
    ax.set_xticks(multiples, multiples)
    ax.set_yticks(ticks := [0.2, 0.5, 1, 2], ticks)
    ax.minorticks_off()
    fig.legend(loc="outside lower center", ncols=2)
plt.show()

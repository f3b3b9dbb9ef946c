"""
The error of the algorithm is not the statistical error
=======================================================

One sketch of a regression comes with the error *of the sketch*: how far its coefficients may be
from those of all rows. A paper needs another number: how far they may be from the truth, of which
all rows are only a sample. For a small sketch of many rows, the first error is nearly all of the
second. As the sketch grows, the first error goes to zero. If you report it as the standard error,
your intervals miss more often than not. :meth:`LstsqResult.inference
<randla.LstsqResult.inference>` combines both errors.
"""

# %%
# Many data sets are drawn with known coefficients, and each is sketched once. How many of the 95%
# intervals cover the truth? The errors are homoskedastic first. Then their spread grows with the
# first regressor.
import matplotlib.pyplot as plt
import numpy as np

import randla

N_ROWS, N_DRAWS = 1024, 200
truth = np.array([1.0, 1.0, 0.5, -0.5])
shares = np.array([0.04, 0.1, 0.2, 0.4, 0.7])
kinds = {
    "of the sketch alone": ("C3", None),
    "both errors, one variance": ("C1", "iid"),
    "both errors, robust": ("C0", "robust"),
}


def draw(rng, spreads):
    """A table and a response; with `spreads` the errors are heteroskedastic."""
    A = np.column_stack(
        [np.ones(N_ROWS), rng.exponential(size=N_ROWS), rng.standard_normal((N_ROWS, 2))]
    )
    scale = 0.3 + A[:, 1] if spreads else 1.0
    return A, A @ truth + scale * rng.standard_normal(N_ROWS)


def interval(result, A, b, kind):
    """Standard errors of the slope that goes with the spread."""
    if kind is not None:
        result = result.inference(A, b, kind=kind)
    low, high = result.confidence_interval(0.95)
    return low[1], high[1]


def coverage(share, spreads, seed):
    """How often each kind of interval covers the truth."""
    rng = np.random.default_rng(seed)
    held = dict.fromkeys(kinds, 0)
    for _ in range(N_DRAWS):
        A, b = draw(rng, spreads)
        result = randla.lstsq(A, b, sketch_size=round(share * N_ROWS), rng=rng)
        for name, (_, kind) in kinds.items():
            low, high = interval(result, A, b, kind)
            held[name] += low <= truth[1] <= high
    return [held[name] / N_DRAWS for name in kinds]


# %%
# The gray band shows what 200 draws of an exact interval would give.
noise = 2 * np.sqrt(0.95 * 0.05 / N_DRAWS)
for spreads in (False, True):
    fig, ax = plt.subplots(layout="constrained")
    held = np.array([coverage(share, spreads, seed) for seed, share in enumerate(shares)])
    ax.axhspan(0.95 - noise, 0.95 + noise, color="0.5", alpha=0.25, lw=0)
    ax.axhline(0.95, color="0.5", lw=1)
    for j, (name, (color, _)) in enumerate(kinds.items()):
        ax.plot(shares, held[:, j], "o-", color=color, label=name)
    ax.set(xlabel="rows of the sketch / rows of the data", ylim=(0, 1.02))
    ax.set_ylabel("95% intervals that hold")
    ax.set_title("errors with a growing spread" if spreads else "errors of one variance")
    ax.legend(loc="lower left")
plt.show()

# %%
# Both parts in one table. The square of the standard error is the sum of two squares, because the
# sketch is drawn independently of the data.
A, b = draw(np.random.default_rng(7), True)
names = ["const", "x", "z1", "z2"]
print(randla.lstsq(A, b, sketch_size=300, rng=7).inference(A, b, names=names).summary())

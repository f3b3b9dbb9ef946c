"""
Kernel ridge regression with clustered data
===========================================

Nearly all of these points lie in one cloud, and the others in forty small groups far from it. A
kernel regression on all points would need a matrix of 20,000 x 20,000. With 150 *landmarks* it
needs only a few of its columns. Which ones? Landmarks drawn uniformly, as in scikit-learn's
``Nystroem``, fall into the cloud. :func:`randla.pivoted_cholesky` draws each landmark where the
kernel is approximated worst, and reports the remaining error exactly.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import randla
from randla.sklearn import PivotedNystroem

rng = np.random.default_rng(0)
centers = rng.uniform(-12, 12, (40, 2))


def draw(n, n_of_groups):
    """Points in the cloud, then in the groups, and a wave that is measured with noise."""
    groups = centers[rng.integers(40, size=n_of_groups)]
    X = np.vstack(
        [rng.standard_normal((n, 2)), groups + 0.2 * rng.standard_normal((n_of_groups, 2))]
    )
    truth = np.sin(X[:, 0]) + np.cos(0.7 * X[:, 1])
    return X, truth


X, truth = draw(19_600, 400)
y = truth + 0.1 * rng.standard_normal(len(X))
X_test, truth_test = draw(2000, 2000)

# %%
# The same pipeline with either choice of landmarks. The kernels are equal: scikit-learn's ``gamma``
# is ``0.5 / length_scale ** 2``.
k = 150
models = {
    "uniform": make_pipeline(Nystroem(gamma=0.5, n_components=k, random_state=0), Ridge(0.01)),
    "pivoted": make_pipeline(PivotedNystroem(n_components=k, random_state=0), Ridge(0.01)),
}
errors = {}
for name, model in models.items():
    miss = np.abs(model.fit(X, y).predict(X_test) - truth_test)
    errors[name] = miss
    cloud, groups = miss[:2000].mean(), miss[2000:].mean()
    print(f"{name}: mean error {cloud:.3f} in the cloud, {groups:.3f} in the groups")

# %%
# The remaining error is exact, not an estimate: the trace of the kernel matrix minus that of the
# approximation, which bounds every entry of their difference.
pivoted = models["pivoted"][0]
print(f"share of the trace that {k} pivots miss: {pivoted.relative_trace_error_:.1e}")

sizes = [20, 40, 80, 160, 320]
missing = {"uniform": [], "pivoted": []}
for size in sizes:
    features = Nystroem(gamma=0.5, n_components=size, random_state=0).fit_transform(X)
    missing["uniform"].append(1 - np.sum(features**2) / len(X))
    fit = randla.pivoted_cholesky(X, size, kernel="gaussian", rng=0)
    missing["pivoted"].append(fit.trace_error / fit.trace)

# %%
# The last factor also brackets the log-determinant in the evidence for a noise of 0.1.
lower, upper = fit.logdet(ridge=0.01)
print(f"log det(K + 0.01 I) is between {lower:.3f} and {upper:.3f}")

first, second, third = (plt.subplots(layout="constrained")[1] for _ in range(3))
first.plot(*X[::5].T, ".", ms=1, color="0.5", alpha=0.5)
for name, color in (("uniform", "C1"), ("pivoted", "C0")):
    first.plot(*models[name][0].components_.T, "o", ms=4, color=color, label=name)
    second.loglog(sizes, missing[name], "o-", color=color, label=name)
    third.semilogy(np.sort(errors[name])[::20], np.linspace(1, 5e-4, 200), color=color, label=name)
first.set(title=f"{k} landmarks", aspect="equal")
second.set(xlabel="landmarks", ylabel="missing share of the trace")
second.set_xticks(sizes, sizes, minor=False)
second.minorticks_off()
third.set(xlabel="error", ylabel="share of test points above it")
first.figure.legend(loc="outside right upper", markerscale=2)
for ax in (second, third):
    ax.legend()
plt.show()

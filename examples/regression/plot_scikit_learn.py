"""
Another engine for scikit-learn's QuantileRegressor
===================================================

:class:`randla.sklearn.QuantileRegressor <randla.sklearn>` has the parameters of scikit-learn's
estimator and gives the same coefficients. Scikit-learn passes the problem to a general linear
programming solver. Here an interior-point method runs on a few percent of the rows, and the answer
is proved optimal for all rows.
"""

# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn import linear_model
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

import randla.sklearn

rng = np.random.default_rng(0)


def draw(n):
    """A wave whose spread grows: the upper quantiles have another shape than the lower ones."""
    x = np.sort(rng.uniform(0, 10, n))
    return x[:, None], np.sin(x) + 0.1 * (1 + x) * rng.standard_normal(n)


def seconds(model, X, y):
    start = perf_counter()
    model.fit(X, y)
    return perf_counter() - start


# %%
# Only the import changes. Both estimators are timed on ten spline features.
engines = {
    "scikit-learn": linear_model.QuantileRegressor,
    "randla": randla.sklearn.QuantileRegressor,
}
sizes = [250, 500, 1000, 2000, 4000]
times = {name: [] for name in engines}
for n in [250, *sizes]:  # the first fit compiles
    X, y = draw(n)
    features = SplineTransformer(8).fit_transform(X)
    fits = {name: engine(quantile=0.9, alpha=0.0) for name, engine in engines.items()}
    for name, model in fits.items():
        times[name].append(seconds(model, features, y))
    losses = [np.mean(np.maximum(0.9 * r, -0.1 * r)) for r in
              (y - model.predict(features) for model in fits.values())]  # fmt: skip
    assert abs(losses[1] / losses[0] - 1) < 1e-6

# %%
# It works in pipelines and searches like any estimator.
X, y = draw(20_000)
pipe = make_pipeline(SplineTransformer(), randla.sklearn.QuantileRegressor(alpha=0.0))
search = GridSearchCV(pipe, {"splinetransformer__n_knots": [4, 8, 12]}).fit(X, y)
print(search.best_params_)

fig, ax = plt.subplots(layout="constrained")
ax.plot(X[::10, 0], y[::10], ".", ms=2, color="0.5", alpha=0.5)
for quantile in [0.05, 0.25, 0.5, 0.75, 0.95]:
    best = search.best_estimator_.set_params(quantileregressor__quantile=quantile).fit(X, y)
    ax.plot(X[:, 0], best.predict(X), color=plt.cm.plasma(0.2 + 0.7 * quantile))
ax.set(title="five quantiles of 20,000 points", xlabel="x", ylabel="y", ylim=(-4, 5))

fig, ax = plt.subplots(layout="constrained")
for (name, values), color in zip(times.items(), ("C1", "C0"), strict=True):
    ax.loglog(sizes, values[1:], "o-", color=color, label=name)
ax.set(title="one fit", xlabel="rows", ylabel="seconds")
ax.set_xticks(sizes, sizes, minor=False)
ax.minorticks_off()
ax.legend()
plt.show()

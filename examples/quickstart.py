"""Five randomized estimates, each next to its exact answer.

Run ``python examples/quickstart.py``. It prints one table and, where matplotlib is installed,
draws one figure into ``quickstart.png`` in the current folder. The times are for a second call,
because the first one compiles.
"""

from time import perf_counter
from typing import NamedTuple

import numpy as np

import randla
from randla import datasets

SEED = 0


class Row(NamedTuple):
    quantity: str
    estimate: float
    standard_error: float
    exact: float
    seconds: float
    exact_seconds: float

    @property
    def standard_errors_apart(self):
        return abs(self.estimate - self.exact) / self.standard_error


def timed(call):
    """Result and seconds of a call that has run once before."""
    call()
    start = perf_counter()
    result = call()
    return result, perf_counter() - start


def volatility_regression():
    """Today's absolute return of crude oil on those of the last day, week and month."""
    _, prices = datasets.crude_oil()
    size = np.abs(100 * np.diff(np.log(prices)))
    total = np.concatenate([[0.0], np.cumsum(size)])
    t = np.arange(22, len(size))
    past = [(total[t] - total[t - k]) / k for k in (1, 5, 22)]
    return np.column_stack([np.ones(len(t)), *past]), size[t]


def sketched_regression():
    A, b = volatility_regression()
    result, seconds = timed(lambda: randla.lstsq(A, b, sketch_size=2000, rng=SEED))
    exact, exact_seconds = timed(lambda: np.linalg.lstsq(A, b)[0])
    row = Row(
        "oil volatility: weight of the last month",
        result.x[3],
        result.standard_error[3],
        exact[3],
        seconds,
        exact_seconds,
    )
    return row, (result, exact)


def digit_components(n_components):
    """The principal components of the 1797 digits, and their labels."""
    images, labels = datasets.digits()
    centered = images - images.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    return centered @ axes[:n_components].T, labels


def total_sensitivity():
    A, _ = digit_components(6)
    result, seconds = timed(lambda: randla.total_sensitivity(A, p=1, n_draws=200, rng=SEED))
    exact, exact_seconds = timed(lambda: randla.lp_sensitivities(A, p=1, method="exact"))
    row = Row(
        "digits: total l1 sensitivity",
        result.value,
        result.standard_error,
        float(np.sum(exact)),
        seconds,
        exact_seconds,
    )
    return row, (A, np.asarray(exact))


def digit_distance():
    points, labels = digit_components(2)
    X, Y = points[labels == 3], points[labels == 8]
    result, seconds = timed(
        lambda: randla.sliced_wasserstein(X, Y, n_projections=120, directions="iid", rng=SEED)
    )
    angle = (np.arange(20_000) + 0.5) * np.pi / 20_000  # periodic: converges very fast
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    exact, exact_seconds = timed(lambda: randla.sliced_wasserstein(X, Y, directions=circle).value)
    row = Row(
        "digits: SW2 between threes and eights",
        result.value,
        result.standard_error,
        exact,
        seconds,
        exact_seconds,
    )
    return row, (X, Y)


def smoothed_nile():
    model = randla.LinearGaussian(
        transition_matrix=1.0,
        transition_cov=1469.1,
        observation_matrix=1.0,
        observation_cov=15099.0,
        initial_mean=1000.0,
        initial_cov=40000.0,
    )
    flow = datasets.nile()
    result, seconds = timed(
        lambda: randla.ppg(
            model, flow, "state", n_particles=200, n_iterations=30, n_chains=8, rng=SEED
        )
    )
    exact, exact_seconds = timed(lambda: randla.kalman_smoother(model, flow))
    row = Row(
        "Nile: smoothed sum of levels, 10^8 m^3",
        float(np.squeeze(result.estimate)),
        float(np.squeeze(result.standard_error)),
        float(np.squeeze(exact.expectation("state"))),
        seconds,
        exact_seconds,
    )
    return row, (flow, exact, result)


def tall_regression():
    rng = np.random.default_rng(SEED)
    A = rng.standard_normal((2**18, 64))
    b = A @ np.linspace(-1.0, 1.0, 64) + rng.standard_t(3, len(A))
    result, seconds = timed(lambda: randla.lstsq(A, b, eps=1.0, rng=SEED))
    exact, exact_seconds = timed(lambda: np.linalg.lstsq(A, b)[0])
    return Row(
        "2^18 x 64 regression: last coefficient",
        result.x[-1],
        result.standard_error[-1],
        exact[-1],
        seconds,
        exact_seconds,
    )


def print_table(rows):
    print(
        f"{'quantity':42s} {'estimate':>11s} {'std. error':>11s} {'exact':>11s} "
        f"{'off by':>6s} {'time':>9s} {'exact':>9s}"
    )
    for row in rows:
        print(
            f"{row.quantity:42s} {row.estimate:11.5g} {row.standard_error:11.2g} "
            f"{row.exact:11.5g} {row.standard_errors_apart:4.1f}se "
            f"{1e3 * row.seconds:7.2f}ms {1e3 * row.exact_seconds:7.2f}ms"
        )
    print("std. error: of the randomized algorithm, given the data; off by: in standard errors")


def draw(regression, sensitivity, distance, nile):
    """One figure of the four answers; returns False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    (result, exact), ax = regression, axes[0, 0]
    low, high = result.confidence_interval(0.95)
    names = ["intercept", "day", "week", "month"]
    ax.errorbar(range(4), result.x, [result.x - low, high - result.x], fmt="o", label="sketch, 95%")
    ax.plot(range(4), exact, "kx", label="LAPACK", zorder=3)
    ax.set_xticks(range(4), names)
    ax.set(title="Oil volatility from 2000 sketched rows of 8298", ylabel="coefficient")
    ax.legend()

    (A, scores), ax = sensitivity, axes[0, 1]
    order = np.argsort(scores)
    points = ax.scatter(A[order, 0], A[order, 1], c=scores[order], s=8, norm="log")
    figure.colorbar(points, ax=ax, label="l1 sensitivity")
    ax.set(title="Which digits matter", xlabel="component 1", ylabel="component 2")

    (X, Y), ax = distance, axes[1, 0]
    angle = np.linspace(0.0, np.pi, 361)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    cost = randla.wasserstein_1d(circle @ X.T, circle @ Y.T) ** 2
    ax.plot(np.degrees(angle), cost, label="cost on the line at this angle")
    ax.axhline(cost[:-1].mean(), color="k", ls="--", label="mean: $SW_2^2$")
    ax.set(title="Threes and eights: squared distance by direction", xlabel="angle, degrees")
    ax.set(ylabel="$W_2^2$ of the projections", xlim=(0, 180))
    ax.legend()

    (flow, smoothed, particles), ax = nile, axes[1, 1]
    years = 1871 + np.arange(len(flow))
    mean, sd = smoothed.mean[:, 0], np.sqrt(smoothed.covariance[:, 0, 0])
    ax.plot(years, flow, ".", color="0.6", label="flow")
    ax.fill_between(years, mean - 1.96 * sd, mean + 1.96 * sd, alpha=0.2, label="Kalman, 95%")
    ax.plot(years, mean, label="Kalman")
    ax.plot(years, particles.mean[:, 0], "k--", lw=1, label="particle Gibbs")
    ax.set(title="Level of the Nile", xlabel="year", ylabel="$10^8$ m$^3$ a year")
    ax.legend()
    figure.savefig("quickstart.png", dpi=120)
    return True


def main():
    """Compute, print, check, draw."""
    computed = [sketched_regression(), total_sensitivity(), digit_distance(), smoothed_nile()]
    rows = [row for row, _ in computed] + [tall_regression()]
    print_table(rows)
    assert all(row.standard_errors_apart < 4 for row in rows), "an estimate is far from the truth"
    if draw(*(picture for _, picture in computed)):
        print("figure: quickstart.png")


if __name__ == "__main__":
    main()

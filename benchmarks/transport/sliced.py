"""Sliced Wasserstein distances beside POT and NumPy, and the sorts alone."""

import numpy as np

from randla.transport import sliced_wasserstein
from randla.transport._projections.projector import Side, SortArrays

SIZES = [
    *[(3, 1_000, 100), (3, 1_000, 1_000), (3, 10_000, 100), (3, 100_000, 40)],
    *[(50, 1_000, 100), (50, 10_000, 100), (50, 100_000, 40)],
]


def instance(d, n, m, L):
    """Gaussian clouds of different mean and scale, and L directions."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, d)), 1.2 * rng.standard_normal((m, d)) + 0.3
    theta = rng.standard_normal((L, d))
    return X, Y, theta / np.linalg.norm(theta, axis=1)[:, None]


class EqualSizes:
    """The same projections for all; values agree to 1e-9."""

    readme = "sliced Wasserstein, 10^4 points in 3-D, 100 directions"
    params, param_names = [SIZES], ["d_n_L"]
    headline = ((3, 10_000, 100),)

    def setup(self, size):
        d, n, L = size
        self.X, self.Y, self.theta = instance(d, n, n, L)
        self.columns = np.ascontiguousarray(self.theta.T)
        self.projected = self.X @ self.columns, self.Y @ self.columns
        self.rows = [np.ascontiguousarray(P.T) for P in self.projected]
        self.spare = [P.copy() for P in self.rows]
        self.side = Side(L, n, SortArrays.of(n, float))
        self.time_randla(size)

    def time_randla(self, size):
        return sliced_wasserstein(self.X, self.Y, directions=self.theta).value

    def time_peer_pot(self, size):
        from ot import sliced_wasserstein_distance

        return sliced_wasserstein_distance(self.X, self.Y, projections=self.columns)

    def time_peer_numpy_four_lines(self, size):
        U = np.sort(self.X @ self.columns, axis=0)
        V = np.sort(self.Y @ self.columns, axis=0)
        return np.sqrt(((U - V) ** 2).mean())

    def time_randla_sorts_alone_on_one_thread(self, size):
        for rows in self.rows:
            np.copyto(self.side.values, rows)
            self.side.sort(len(rows))

    def time_compare_numpy_sorts_on_one_thread(self, size):
        for rows, spare in zip(self.rows, self.spare, strict=True):
            np.copyto(spare, rows)
            spare.sort(axis=1)

    def track_relative_difference_from_numpy(self, size):
        value = self.time_peer_numpy_four_lines(size)
        return abs(self.time_randla(size) / value - 1)


class Float32(EqualSizes):
    """Clouds of single precision; the peers get them too."""

    def setup(self, size):
        super().setup(size)
        self.X, self.Y = self.X.astype(np.float32), self.Y.astype(np.float32)
        self.columns = self.columns.astype(np.float32)
        self.rows = [P.astype(np.float32) for P in self.rows]
        self.spare = [P.copy() for P in self.rows]
        self.side = Side(size[2], size[1], SortArrays.of(size[1], np.float32))
        self.time_randla(size)


class UnequalSizes:
    """Nine points against ten, uniform weights."""

    readme = "sliced Wasserstein, clouds of unequal sizes"
    params, param_names = [[(3, 1_000, 100), (3, 10_000, 100), (50, 10_000, 100)]], ["d_n_L"]
    headline = ((3, 10_000, 100),)

    def setup(self, size):
        d, n, L = size
        self.X, self.Y, self.theta = instance(d, n, n - n // 10, L)
        self.columns = np.ascontiguousarray(self.theta.T)
        self.weights = None, None
        self.time_randla(size)

    def time_randla(self, size):
        return sliced_wasserstein(self.X, self.Y, *self.weights, directions=self.theta).value

    def time_peer_pot(self, size):
        from ot import sliced_wasserstein_distance

        return sliced_wasserstein_distance(self.X, self.Y, *self.weights, projections=self.columns)


class Weighted(UnequalSizes):
    """The same with weights on both sides."""

    def setup(self, size):
        super().setup(size)
        rng = np.random.default_rng(1)
        self.weights = rng.random(len(self.X)), rng.random(len(self.Y))
        self.weights = tuple(w / w.sum() for w in self.weights)
        self.time_randla(size)


class EqualAccuracy:
    """Time to the standard error that POT's plain Monte Carlo has with 1000 projections.

    The plain estimator needs a number of projections that follows from the variance of the costs;
    what POT takes for it is extrapolated from 100 projections.
    """

    params, param_names = [["gauss", "mix", "shapes"], [3, 10, 50]], ["kind", "d"]
    headline = ("gauss", 10)

    def setup(self, kind, d):
        if kind == "shapes" and d != 3:
            raise NotImplementedError
        self.X, self.Y = clouds(kind, d, 5_000)
        plain = sliced_wasserstein(
            self.X, self.Y, n_projections=400, directions="iid", control_variate=None, rng=0
        )
        self.variance = 400 * plain.power_standard_error**2
        self.time_randla(kind, d)

    def time_randla(self, kind, d):
        return sliced_wasserstein(self.X, self.Y, n_projections=128, rng=0)

    def time_peer_pot_100_projections(self, kind, d):
        from ot import sliced_wasserstein_distance

        return sliced_wasserstein_distance(self.X, self.Y, n_projections=100, seed=0)

    def track_projections_of_plain_monte_carlo_for_our_error(self, kind, d):
        result = self.time_randla(kind, d)
        return self.variance / result.power_standard_error**2


def clouds(kind, d, n):
    """Gaussian clouds, narrow clusters, or a torus and a box."""
    rng = np.random.default_rng([1, d])
    if kind == "gauss":
        G, H = rng.standard_normal((2, d, d)) / np.sqrt(d)
        X = rng.standard_normal((n, d)) @ G
        return X, rng.standard_normal((n, d)) @ H + 0.5 * rng.standard_normal(d)
    if kind == "mix":
        centers = [3 * rng.standard_normal((k, d)) for k in (3, 4)]
        return tuple(
            c[rng.integers(0, len(c), n)] + 0.2 * rng.standard_normal((n, d)) for c in centers
        )
    u, v = 2 * np.pi * rng.random((2, n))
    radius = 1.0 + 0.4 * np.cos(v)
    torus = np.column_stack([radius * np.cos(u), radius * np.sin(u), 0.4 * np.sin(v)])
    box = rng.uniform(-1, 1, (n, 3)) * [1.0, 0.7, 0.5]
    face = rng.integers(0, 3, n)
    box[np.arange(n), face] = np.sign(box[np.arange(n), face]) * np.array([1.0, 0.7, 0.5])[face]
    return torus, box


class Controls:
    """What the controls and their regression add to the costs alone."""

    params, param_names = [[3, 10, 50], ["quartic", "full"]], ["d", "family"]
    headline = (10, "quartic")

    def setup(self, d, family):
        self.X, self.Y = clouds("gauss", d, 5_000)
        self.time_randla(d, family)

    def time_randla(self, d, family):
        sliced_wasserstein(
            self.X, self.Y, n_projections=400, directions="iid", control_variate=family, rng=0
        )

    def time_randla_no_controls(self, d, family):
        sliced_wasserstein(
            self.X, self.Y, n_projections=400, directions="iid", control_variate=None, rng=0
        )


class Memory:
    """Peak memory beyond the input: 100,000 points in each cloud, 1000 directions."""

    params, param_names = [[3, 50], [False, True]], ["d", "weighted"]

    def setup(self, d, weighted):
        self.X, self.Y, _ = instance(d, 100_000, 100_000, 1)
        rng = np.random.default_rng(1)
        self.weights = rng.random((2, 100_000)) if weighted else (None, None)
        sliced_wasserstein(self.X[:99], self.Y[:99], self.weights[0][:99] if weighted else None)

    def track_peak_mib(self, d, weighted):
        import tracemalloc

        tracemalloc.start()
        sliced_wasserstein(self.X, self.Y, *self.weights, n_projections=1000, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / 2**20

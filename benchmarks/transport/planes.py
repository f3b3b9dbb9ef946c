"""Sliced distances on the sphere and expected plans beside POT, on the same directions."""

import numpy as np

from benchmarks.transport.sliced import instance
from randla.transport import expected_sliced_plan, sliced_wasserstein_sphere


class Sphere:
    """Distances on circles; values agree to 1e-10."""

    params, param_names = [[(3, 1_000, 1_000), (50, 1_000, 1_000), (3, 1_000, 800)]], ["d_n_m"]

    def setup(self, size):
        d, n, m = size
        self.X, self.Y, _ = instance(d, n, m, 2)
        for Z in (self.X, self.Y):
            Z /= np.linalg.norm(Z, axis=1, keepdims=True)
        self.frames = np.linalg.qr(np.random.default_rng(1).standard_normal((50, d, 2)))[0]
        self.time_randla(size)

    def time_randla(self, size):
        return sliced_wasserstein_sphere(self.X, self.Y, directions=self.frames).value

    def time_peer_pot(self, size):
        from ot import sliced_wasserstein_sphere

        options = {"projections": self.frames, "n_projections": len(self.frames)}
        return sliced_wasserstein_sphere(self.X, self.Y, **options)


class ExpectedPlan:
    """The mean plan and its cost (here also with errors); plans agree to 1e-12."""

    params, param_names = [[(3, 1_000, 1_000), (20, 2_000, 2_000), (3, 1_000, 800)]], ["d_n_m"]

    def setup(self, size):
        d, n, m = size
        self.X, self.Y, self.theta = instance(d, n, m, 50)
        self.time_randla(size)

    def time_randla(self, size):
        result = expected_sliced_plan(self.X, self.Y, directions=self.theta)
        return result.plan, result.cost

    def time_peer_pot(self, size):
        from ot import expected_sliced_plan

        return expected_sliced_plan(self.X, self.Y, projections=self.theta.T, dense=False)

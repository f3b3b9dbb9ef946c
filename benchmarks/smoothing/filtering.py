"""The particle filter at T = 100, against NumPy and the library `particles`."""

import numba
import numpy as np

from benchmarks.smoothing import peer
from randla import particle_filter, start_filter
from randla._random import new_stream, normal
from randla.smoothing._kernels.particles.resample import systematic_indices
from randla.smoothing._kernels.particles.unowned import unowned
from randla.smoothing._kernels.particles.weights import exponentiate


@numba.njit(error_model="numpy")
def normals(rng, x):
    rng, x = unowned(rng), unowned(x)
    for i in range(x.size):
        x[i] = normal(rng)


class Filter:
    """Short calls come in bursts: the first one after another program had the core is slower."""

    readme = "particle filter, 1000 particles"
    params, param_names = [100, 1000, 10_000], ["n_particles"]
    headline = (1000,)

    def setup(self, n):
        self.burst = max(10_000 // n, 1)
        self.x, self.w = np.empty(n), np.empty(n)
        self.c, self.A = np.linspace(1 / n, 1, n), np.empty(n, np.int32)
        self.stream, self.rng = new_stream(np.uint64(1)), np.random.default_rng(0)
        self.time_randla(n)
        self.time_floor_a_normal_an_exponential_and_a_merge(n)

    def time_randla(self, n):
        for _ in range(self.burst):
            particle_filter(peer.WALK, peer.Y, n_particles=n, n_lags=0, rng=0)

    def time_peer_particles(self, n):
        peer.Particles.run("filter", n, self.burst)

    def time_peer_numpy(self, n):
        for _ in range(self.burst):
            peer.numpy_filter(peer.Y, peer.WALK.theta, n, self.rng)

    def time_floor_a_normal_an_exponential_and_a_merge(self, n):
        for _ in range(self.burst * peer.N_TIMES):
            normals(self.stream, self.x)
            exponentiate(self.x, self.w, 9.0)
            systematic_indices(self.c, 1.0, 0.5, self.A)


class Genealogy:
    """The errors of one run, from 20 lags: at most 1.7 times the filter without them."""

    params, param_names = [100, 1000, 10_000], ["n_particles"]

    def setup(self, n):
        self.burst = max(10_000 // n, 1)
        self.time_randla(n)

    def time_randla(self, n):
        for _ in range(self.burst):
            particle_filter(peer.WALK, peer.Y, n_particles=n, n_lags=20, rng=0)

    def time_floor_without_errors(self, n):
        for _ in range(self.burst):
            particle_filter(peer.WALK, peer.Y, n_particles=n, n_lags=0, rng=0)


class Runs:
    """Eight runs side by side: with as many threads at most 1.3 times one."""

    params, param_names = [1000, 10_000], ["n_particles"]

    def setup(self, n):
        self.time_randla(n)

    def time_randla(self, n):
        particle_filter(peer.WALK, peer.Y, n_particles=n, n_runs=8, rng=0)

    def time_floor_one_run(self, n):
        particle_filter(peer.WALK, peer.Y, n_particles=n, n_lags=0, rng=0)


class Stream:
    """One observation at a time, beside the whole series at once."""

    params, param_names = [100, 1000, 10_000], ["n_particles"]
    headline = (1000,)

    def setup(self, n):
        self.run = start_filter(peer.WALK, n_particles=n, rng=0)
        self.time_randla(n)
        self.time_randla_the_whole_series_at_once(n)

    def time_randla(self, n):
        for y_t in peer.Y:
            self.run.update(y_t)

    def time_randla_the_whole_series_at_once(self, n):
        particle_filter(peer.WALK, peer.Y, n_particles=n, rng=0)

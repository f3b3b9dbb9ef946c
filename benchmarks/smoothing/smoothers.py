"""Smoothers at T = 100, one chain each, against the library `particles` and plain filters."""

import numpy as np

from benchmarks.smoothing import peer
from randla import ffbs, paris, particle_filter, ppg
from randla.smoothing._particles.problem import make_problem
from randla.smoothing._particles.sweeps import GibbsChain


class Paris:
    """M = 2, at N = 100 (the peer rejects; its time is the same for any N per particle)."""

    readme = "PaRIS, 100 particles"
    params, param_names = [100, 1000], ["n_particles"]
    headline = (100,)
    backward = "mcmc"
    tasks = "paris"

    def setup(self, n):
        self.time_randla(n)

    def time_randla(self, n):
        paris(peer.WALK, peer.Y, "state", n_particles=n, backward=self.backward, n_chains=1, rng=0)

    def time_peer_particles(self, n):
        if n > 200:
            raise NotImplementedError("takes a minute")
        peer.Particles.run("paris", n)

    def time_floor_filter_alone(self, n):
        particle_filter(peer.WALK, peer.Y, n_particles=n, n_lags=0, rng=0)


class ParisReject(Paris):
    backward = "reject"

    def time_randla(self, n):
        super().time_randla(n)


class ForwardOnly:
    """The O(N^2) smoother."""

    params, param_names = [100, 500], ["n_particles"]
    headline = (100,)

    def setup(self, n):
        self.rng = np.random.default_rng(0)
        self.time_randla(n)

    def time_randla(self, n):
        paris(peer.WALK, peer.Y, "state", n_particles=n, n_backward=None, n_chains=1, rng=0)

    def time_peer_particles(self, n):
        peer.Particles.run("forward", n)

    def time_peer_numpy_matrices(self, n):
        peer.numpy_forward_smoothing(peer.Y, peer.WALK.theta, n, self.rng)


class BackwardSimulation:
    """As many paths as particles; calls in bursts, as in `filtering`."""

    burst = 5

    params = (["mcmc", "reject"], [100, 1000])
    param_names = ("backward", "n_particles")
    headline = ("mcmc", 1000)

    def setup(self, backward, n):
        self.time_randla(backward, n)

    def time_randla(self, backward, n):
        for _ in range(self.burst):
            ffbs(peer.WALK, peer.Y, "state", n_particles=n, backward=backward, n_chains=1, rng=0)

    def time_peer_particles(self, backward, n):
        peer.Particles.run(f"ffbs_{backward}", n, self.burst)


class Sweep:
    """One conditional sweep of the particle Gibbs sampler, M = 2."""

    params, param_names = [100, 1000], ["n_particles"]

    def setup(self, n):
        paths = ("n_iterations", 1)
        problem = make_problem(peer.WALK, peer.Y, "state", n, 2, "mcmc", paths=paths)
        self.chain = GibbsChain(problem, np.uint64(0), 0, trace=True)
        self.out, self.paths = np.empty((1, 1)), np.empty((1, peer.N_TIMES))
        self.time_randla(n)
        self.time_floor_filter_alone(n)

    def time_randla(self, n):
        list(self.chain.sweeps(self.out, self.paths))

    def time_floor_filter_alone(self, n):
        particle_filter(peer.WALK, peer.Y, n_particles=n, n_lags=0, rng=0)

    def time_floor_filter_alone_that_resamples_as_often(self, n):
        particle_filter(
            peer.WALK, peer.Y, n_particles=n, resampling="multinomial", ess_threshold=1.0,
            n_lags=0, rng=0,
        )  # fmt: skip


class ParticleGibbs:
    """Eight chains of 20 sweeps, on as many threads as Numba has."""

    params, param_names = [100], ["n_particles"]

    def setup(self, n):
        self.time_randla(n)

    def time_randla(self, n):
        ppg(
            peer.WALK,
            peer.Y,
            "state",
            n_particles=n,
            n_iterations=20,
            burn_in=15,
            n_chains=8,
            rng=0,
        )

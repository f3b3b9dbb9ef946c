"""The model of these benchmarks, and the peer library behind a pipe."""

import math
import os
import pathlib
import subprocess

import numba
import numpy as np

from randla import StateSpaceModel, random

N_TIMES = 100


@numba.njit
def initial(rng, theta):
    return random.normal(rng)


@numba.njit
def transition(rng, t, x, theta):
    return theta[0] * x + theta[1] * random.normal(rng)


@numba.njit
def log_transition(t, x, xn, theta):
    return -0.5 * ((xn - theta[0] * x) / theta[1]) ** 2 - math.log(theta[1])


@numba.njit
def log_transition_bound(t, theta):
    return -math.log(theta[1])


@numba.njit
def log_potential(t, x, y, theta):
    return -0.5 * ((y - x) / theta[2]) ** 2 - math.log(theta[2])


@numba.njit
def observe(rng, t, x, theta, out):
    out[0] = x + theta[2] * random.normal(rng)


WALK = StateSpaceModel(
    initial=initial,
    transition=transition,
    log_transition=log_transition,
    log_transition_bound=log_transition_bound,
    log_potential=log_potential,
    observe=observe,
    theta=[0.9, 1.0, 1.0],
)
Y = WALK.simulate(N_TIMES, rng=0)[1]


class Particles:
    """A process that runs a task of the peer library and answers when it is done."""

    process = None

    @classmethod
    def run(cls, task, n, times=1):
        python = os.environ.get("RANDLA_PARTICLES_PYTHON")
        if python is None:
            raise NotImplementedError("RANDLA_PARTICLES_PYTHON is not set")
        if cls.process is None:
            cls.process = subprocess.Popen(
                [python, str(pathlib.Path(__file__).with_name("particles_server.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            cls.process.stdin.write(" ".join(map(str, Y.tolist())) + "\n")
        cls.process.stdin.write(f"{task} {n} {times}\n")
        cls.process.stdin.flush()
        if not cls.process.stdout.readline():
            raise RuntimeError(f"the peer failed at {task}")


def numpy_filter(y, theta, n, rng):
    """Bootstrap filter by whole-array operations, systematic at every step."""
    x, total = rng.standard_normal(n), 0.0
    for t, value in enumerate(y):
        c = np.exp(-0.5 * ((value - x) / theta[2]) ** 2).cumsum()
        total += math.log(c[-1] / n)
        if t + 1 < len(y):
            x = x[np.searchsorted(c, (np.arange(n) + rng.random()) / n * c[-1])]
            x = theta[0] * x + theta[1] * rng.standard_normal(n)
    return total


def numpy_forward_smoothing(y, theta, n, rng):
    """Sum of the states by forward-only smoothing, with n x n matrices."""
    x = tau = rng.standard_normal(n)
    for t, value in enumerate(y):
        w = np.exp(-0.5 * ((value - x) / theta[2]) ** 2)
        w /= w.sum()
        if t + 1 < len(y):
            xn = theta[0] * x[rng.choice(n, n, p=w)] + theta[1] * rng.standard_normal(n)
            B = w * np.exp(-0.5 * ((xn[:, None] - theta[0] * x) / theta[1]) ** 2)
            tau, x = (B @ tau) / B.sum(1) + xn, xn
    return w @ tau

"""The optimizers of `maximum_likelihood`: ascent, stochastic or not, and EM.

Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR (2015), arXiv:1412.6980.
"""

from collections.abc import Callable

import numpy as np

from randla._typing import Array
from randla.smoothing._likelihood.em import Family
from randla.smoothing._likelihood.parametrization import Parametrization
from randla.smoothing._likelihood.quasi_newton import QuasiNewton
from randla.smoothing._model.state_space import StateSpaceModel

_LARGEST_MOVE = 0.5  # of an unconstrained parameter in one step of the ascent
_FIRST_MOMENT, _SECOND_MOMENT = 0.9, 0.99  # Adam's decay rates, the second one for short runs
# Particle EM: share of the steps before the statistics are averaged.
_EM_WARM_UP = 0.25
Optimization = tuple[Array, Array, float]  # full theta: trace and end; the last step size


def step_sizes(n_steps: int, first: float, decay: float) -> Array:
    """Steps first / (1 + s / s_0)^decay with s_0 a quarter of the run, 50 at most."""
    s = np.arange(n_steps)
    return first / (1.0 + s / max(1.0, min(50.0, n_steps / 4))) ** decay


def em_weights(n_steps: int, decay: float) -> Array:
    """Weights of new statistics: one in the warm-up, then (1 + s)^-decay (SAEM)."""
    n_warm = int(np.ceil(_EM_WARM_UP * n_steps))
    weights = np.ones(n_steps)
    # Below 1/2 the averages would not converge.
    weights[n_warm:] = (1.0 + np.arange(1, n_steps - n_warm + 1)) ** -max(decay, 0.5)
    return weights


def ascend(
    score: Callable[[Array], Array],
    parameters: Parametrization,
    optimizer: str,
    *,
    steps: Array,
    n_observed: int,
    report: Callable[[int], None],
) -> Optimization:
    """Adam or plain gradient steps; the second half of the path is averaged.

    `score` gives the gradient in theta (p,) at a full theta.
    """
    z = parameters.to_free(parameters.start)
    first, second = np.zeros_like(z), np.zeros_like(z)
    places, trace = [z], [parameters.start]
    for s, size in enumerate(steps):
        gradient = parameters.pull_back(z, score(parameters.to_theta(z)))
        if optimizer == "adam":  # Kingma and Ba (2015), algorithm 1
            first += (1.0 - _FIRST_MOMENT) * (gradient - first)
            second += (1.0 - _SECOND_MOMENT) * (gradient**2 - second)
            mean = first / (1.0 - _FIRST_MOMENT ** (s + 1))  # they began at zero
            scale = np.sqrt(second / (1.0 - _SECOND_MOMENT ** (s + 1)))
            move = mean / np.where(scale > 0.0, scale, 1.0)
        else:
            move = gradient / n_observed  # of order one, for any length of the series
        z = z + np.clip(size * move, -_LARGEST_MOVE, _LARGEST_MOVE)  # ascent: plus the gradient
        places.append(z)
        trace.append(parameters.to_theta(z))
        report(s + 1)
    mean_z = np.mean(places[len(places) // 2 :], axis=0)  # Polyak and Ruppert
    last = float(steps[-1]) if len(steps) else 0.0
    return np.array(trace), parameters.to_theta(mean_z), last


def climb(
    at: Callable[[Array], tuple[float, Array]],
    parameters: Parametrization,
    n_steps: int,
    report: Callable[[int], None],
) -> Optimization:
    """BFGS; `at` gives the log-likelihood and its gradient (p,) at a full theta."""

    def objective(z: Array) -> tuple[float, Array]:
        value, score = at(parameters.to_theta(z))
        return value, parameters.pull_back(z, score)

    search = QuasiNewton(objective, parameters.to_free(parameters.start))
    search.run(n_steps)
    report(n_steps)
    trace = np.array([parameters.to_theta(z) for z in search.places])
    return trace, trace[-1], 0.0


def expectation_maximization(
    expect: Callable[[StateSpaceModel], Array],
    family: Family,
    model: StateSpaceModel,
    weights: Array,
    report: Callable[[int], None],
) -> Optimization:
    """EM; with weights below one the statistics are averaged over the steps (SAEM)."""
    statistics, trace, weight = np.zeros(0), [np.array(model.theta)], 1.0
    for s, weight in enumerate(weights):
        new = expect(model)
        statistics = new if weight == 1.0 else statistics + weight * (new - statistics)
        model = model.replace(family.maximize(model, statistics))
        trace.append(np.array(model.theta))
        report(s + 1)
    return np.array(trace), trace[-1], float(weight)

"""The steps of `maximum_likelihood`: stochastic ascent and EM, exact or with sweeps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla.smoothing._likelihood.em import Family
from randla.smoothing._likelihood.newton import Final, newton_sweeps
from randla.smoothing._likelihood.parametrisation import Parametrisation
from randla.smoothing._likelihood.scores import ExactScores, PathScores, SweepScores, SweepSettings
from randla.smoothing._model.state_space import StateSpaceModel

FloatArray = NDArray[np.float64]

_LARGEST_MOVE = 0.5  # of an unconstrained parameter in one step of the ascent
_LARGEST_GRADIENT = 1e150  # has a square
_FIRST_MOMENT, _SECOND_MOMENT = 0.9, 0.99
# Particle EM: share of the steps before the statistics are averaged.
_EM_WARM_UP = 0.25
# Final stage: paths drawn through each filter. They cost about as much as the filter itself.
_PATHS_PER_SWEEP = 32


class Ascent(NamedTuple):
    """Where an ascent went: full theta after each step, the final one, the last step size."""

    trace: FloatArray
    theta: FloatArray
    last_step: float


def step_sizes(n_steps: int, first: float, decay: float) -> FloatArray:
    """Steps first / (1 + s / s_0)^decay with s_0 a quarter of the run, 50 at most."""
    s = np.arange(n_steps)
    return first / (1.0 + s / max(1.0, min(50.0, n_steps / 4))) ** decay


def ascend(
    score: Callable[[FloatArray], FloatArray],
    parameters: Parametrisation,
    *,
    rule: str,
    steps: FloatArray,
    n_observed: int,
    report: Callable[[int], None],
) -> Ascent:
    """Adam or plain gradient steps; the second half of the path is averaged.

    `score` gives the gradient in theta (p,) at a full theta.
    """
    z = parameters.to_free(parameters.start)
    first, second = np.zeros_like(z), np.zeros_like(z)
    places, trace = [z], [parameters.start]
    for s, size in enumerate(steps):
        gradient = parameters.pull_back(z, score(parameters.to_theta(z)))
        gradient = np.clip(gradient, -_LARGEST_GRADIENT, _LARGEST_GRADIENT)
        if rule == "adam":
            first += (1.0 - _FIRST_MOMENT) * (gradient - first)
            second += (1.0 - _SECOND_MOMENT) * (gradient**2 - second)
            mean = first / (1.0 - _FIRST_MOMENT ** (s + 1))
            scale = np.sqrt(second / (1.0 - _SECOND_MOMENT ** (s + 1)))
            move = mean / np.where(scale > 0.0, scale, 1.0)
        else:
            move = gradient / n_observed
        z = z + np.clip(size * move, -_LARGEST_MOVE, _LARGEST_MOVE)
        places.append(z)
        trace.append(parameters.to_theta(z))
        report(s + 1)
    mean_z = np.mean(places[len(places) // 2 :], axis=0)
    last = float(steps[-1]) if len(steps) else 0.0
    return Ascent(np.array(trace), parameters.to_theta(mean_z), last)


def expectation_maximisation(
    expect: Callable[[StateSpaceModel], FloatArray],
    family: Family,
    model: StateSpaceModel,
    *,
    weights: FloatArray,
    report: Callable[[int], None],
) -> Ascent:
    """EM; with weights below one the statistics are averaged over the steps (SAEM)."""
    statistics, trace, weight = np.zeros(0), [np.array(model.theta)], 1.0
    for s, weight in enumerate(weights):
        new = expect(model)
        statistics = new if weight == 1.0 else statistics + weight * (new - statistics)
        model = model.replace(family.maximise(model, statistics))
        trace.append(np.array(model.theta))
        report(s + 1)
    return Ascent(np.array(trace), trace[-1], float(weight))


def exact_ascent(
    scores: ExactScores,
    model: StateSpaceModel,
    parameters: Parametrisation,
    family: Family | None,
    optimizer: str,
    *,
    steps: FloatArray,
    n_observed: int,
    report: Callable[[int], None],
) -> Ascent:
    """Climb with exact scores or, given a family, by exact EM."""
    if family is not None:
        weights = np.ones(len(steps))
        return expectation_maximisation(family.exact, family, model, weights=weights, report=report)
    return ascend(
        lambda theta: scores.value_and_score(model.replace(theta))[1],
        parameters,
        rule=optimizer,
        steps=steps,
        n_observed=n_observed,
        report=report,
    )


class SweepRun:
    """The ascent and the final stage with particle sweeps."""

    def __init__(
        self,
        model: StateSpaceModel,
        y: FloatArray,
        parameters: Parametrisation,
        settings: SweepSettings,
        family: Family | None,
        n_sweeps: int,
    ) -> None:
        self.model, self.y, self.parameters = model, y, parameters
        self.settings, self.family, self.n_sweeps = settings, family, n_sweeps
        functional = "score" if family is None else family.functional
        self.scores = SweepScores(model, y, functional, settings)

    def find_units(self, n_observed: int) -> None:
        """Units of the parameters, from the scores of a path of each chain."""
        paths = PathScores(self.model, self.y, self.settings, [None] * self.settings.n_chains, 1)
        drawn = paths.draw(self.model, 1)
        flat = drawn.reshape(-1, *drawn.shape[2:])
        self.parameters.find_units(
            lambda theta: paths.scores(self.model.replace(theta), flat).mean(0), n_observed
        )

    def _mean(self, model: StateSpaceModel) -> FloatArray:
        return self.scores.mean(model, self.n_sweeps)

    def ascend(
        self,
        optimizer: str,
        n_steps: int,
        first: float,
        decay: float,
        n_observed: int,
        report: Callable[[int], None],
    ) -> Ascent:
        """Run the optimizer."""
        if self.family is None:
            return ascend(
                lambda theta: self._mean(self.model.replace(theta)),
                self.parameters,
                rule=optimizer,
                steps=step_sizes(n_steps, first, decay),
                n_observed=n_observed,
                report=report,
            )
        n_warm = int(np.ceil(_EM_WARM_UP * n_steps))
        weights = np.ones(n_steps)
        weights[n_warm:] = (1.0 + np.arange(1, n_steps - n_warm + 1)) ** -max(decay, 0.5)
        counts = self.family.functional == "score"  # expected counts: probabilities times scores
        return expectation_maximisation(
            lambda model: self._mean(model) * (model.theta if counts else 1.0),
            self.family,
            self.model,
            weights=weights,
            report=report,
        )

    def finish(self, theta: FloatArray, n_final: int) -> Final:
        """Go on with the final stage at `theta`, from the paths of the ascent."""
        paths = PathScores(self.model, self.y, self.settings, self.scores.paths(), _PATHS_PER_SWEEP)
        parameters = self.parameters.moved(self.model, theta)
        return newton_sweeps(paths, parameters, self.model, theta, n_final)

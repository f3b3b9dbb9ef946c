"""Coverage of the errors of sliced distances, for `python -m benchmarks.calibration`.

`benchmarks.transport.coverage` has the larger table, by family of control variates and design.
"""

import numpy as np

from benchmarks.calibration import Study, shares
from benchmarks.transport import populations
from randla import (
    datasets,
    sliced_wasserstein,
    sliced_wasserstein_flow,
    sliced_wasserstein_gradient,
    sliced_wasserstein_matrix,
)

LONG = 200_000  # directions of the run that stands for the truth


def clouds():
    """Name -> pair of clouds."""
    rng = np.random.default_rng(0)
    yield "normal clouds, d = 10", datasets.gaussian_clouds(200, 10, rng=1)
    yield "torus and box, d = 3", datasets.torus_and_box(200, rng=1)
    yield "clusters, d = 10", datasets.mixture_clouds(200, 10, rng=1)
    heavy = rng.standard_t(2, (200, 5)), rng.standard_t(2, (150, 5)) + 1.0
    yield "heavy tails, d = 5", heavy


def distance(X, Y, **options):
    def cover(draws):
        truth = sliced_wasserstein(X, Y, n_projections=LONG, control_variate="full", rng=0).value
        results = (sliced_wasserstein(X, Y, rng=seed, **options) for seed in range(1, draws + 1))
        return [shares(result, truth) for result in results]

    return cover


def gradient(X, Y, **options):
    def cover(draws):
        truth = sliced_wasserstein_gradient(X, Y, n_projections=LONG, rng=0).gradient
        results = (
            sliced_wasserstein_gradient(X, Y, rng=seed, **options) for seed in range(1, draws + 1)
        )
        return [shares(result, truth) for result in results]

    return cover


def matrix(sets, **options):
    def cover(draws):
        upper = np.triu_indices(len(sets), 1)
        truth = sliced_wasserstein_matrix(sets, n_projections=LONG, rng=0).values
        results = (
            sliced_wasserstein_matrix(sets, rng=seed, **options) for seed in range(1, draws + 1)
        )
        return [shares(result, truth, which=upper) for result in results]

    return cover


def first_step(X, Y, **options):
    def cover(draws):
        truth = sliced_wasserstein(X, Y, n_projections=LONG, control_variate="full", rng=0).value
        results = (
            sliced_wasserstein_flow(X, Y, n_steps=1, rng=seed, **options)
            for seed in range(1, draws + 1)
        )
        return [shares(result, truth) for result in results]

    return cover


def studies():
    for data, (X, Y) in clouds():
        for name, options in (
            ("plain, 30 iid directions", {"n_projections": 30, "directions": "iid"}),
            ("plain, 300 iid directions", {"n_projections": 300, "directions": "iid"}),
        ):
            cover = distance(X, Y, control_variate=None, **options)
            yield Study("sliced_wasserstein", f"{data}: {name}", 2000, cover)
        yield Study("sliced_wasserstein", f"{data}: as by default", 1000, distance(X, Y))
        cover = distance(X, Y, n_projections=300, cross_fit=True)
        yield Study("sliced_wasserstein", f"{data}: 300, cross-fitted", 1000, cover)
        for n in (50, 500):
            cover = gradient(X, Y, n_projections=n)
            yield Study("sliced_wasserstein_gradient", f"{data}: {n} directions", 1000, cover)
        three = [X, Y, X[: len(X) // 2] + 0.5]
        yield Study("sliced_wasserstein_matrix", f"{data}: plain", 1000, matrix(three))
        cover = matrix(three, control_variate="quadratic", n_projections=500)
        yield Study("sliced_wasserstein_matrix", f"{data}: quadratic, 500", 1000, cover)
        yield Study("sliced_wasserstein_flow, first step", data, 1000, first_step(X, Y))
    images, labels = datasets.digits()
    threes, eights, ones = (images[labels == digit] for digit in (3, 8, 1))
    for n in (20, 40):
        cover = distance(threes, eights, n_projections=n)
        yield Study("sliced_wasserstein", f"images, d = 64: {n} directions", 2000, cover)
    cover = matrix([threes, eights, ones], control_variate="auto", n_projections=32)
    yield Study("sliced_wasserstein_matrix", "images, d = 64: auto, 32", 1000, cover)
    yield from populations.studies()

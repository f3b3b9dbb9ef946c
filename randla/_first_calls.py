"""Small calls of every public function, which compile what a user's first call needs.

``python -m randla compile`` makes them all, and ``python -m benchmarks.first_calls`` times those
that a user would make first. A kernel is compiled for the types of its arguments, not for their
sizes, so that small arrays do, but where larger or other ones run through other kernels.
"""

import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from randla._results import RandlaWarning

FAMILIES = ("sketching", "sampling", "regression", "spectral", "transport", "smoothing")

#: Name of a public function, with what is special after a space -> a call of it, or several: the
#: one that a user makes first, then others that need further kernels.
Calls = dict[str, Callable[[], Any] | list[Callable[[], Any]]]


def calls(family: str, dtype: str = "float64") -> Calls:
    """Calls of one family. The functions of `randla.smoothing` compute in float64 for any input."""
    if family == "smoothing":
        return _smoothing() if dtype == "float64" else {}
    return _of_arrays(dtype)[family]


def make_call(family: str, dtype: str, name: str, only_first: bool = False) -> tuple[int, float]:
    """Make the calls of one name; the number of functions that were compiled, and the seconds."""
    from numba.core.event import RecordingListener, install_listener

    start, recorder = perf_counter(), RecordingListener()
    with install_listener("numba:compile", recorder), warnings.catch_warnings():
        warnings.simplefilter("ignore", RandlaWarning)  # of few points and few steps
        made = calls(family, dtype)[name]
        made = made if isinstance(made, list) else [made]
        for call in made[: 1 if only_first else None]:
            call()
    n_compiled = sum(event.is_start for _, event in recorder.buffer)
    return n_compiled, perf_counter() - start


def _of_arrays(dtype: str) -> dict[str, Calls]:
    import numpy as np
    from scipy import sparse

    import randla

    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    A, X, Y = normal(60, 5), normal(60, 5), normal(60, 5) + 1
    tall = normal(20_000, 5)
    columns = np.asfortranarray(tall)  # as tables of pandas are
    csr = sparse.csr_array(tall * (tall > 1.0) + tall[:1])
    b, tall_b = A[:, 0] ** 2 + A[:, 1], tall[:, 0] ** 2 + tall[:, 1]
    wide = normal(60, 80)  # of more coordinates than are copied
    weights = np.abs(X[:, 0]) + np.asarray(0.1, dtype)
    near, far = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (X, Y))
    psd = X @ X.T + 60 * np.eye(60, dtype=dtype)

    def products(sketch: Any, *shape: Any) -> list[Callable[[], Any]]:
        """Products with a sketch of this shape, and with its transpose."""
        operands = A, np.asfortranarray(A), A[:, 0], sparse.csr_array(A)
        backward = np.ones((20, 5), dtype), np.ones(20, dtype)
        return [
            *(lambda B=B: sketch(*shape, rng=0) @ B for B in operands),
            *(lambda B=B: sketch(*shape, rng=0).T @ B for B in backward),
        ]

    return {
        "sketching": {
            "SRHT": products(randla.SRHT, 20, 60),
            "BlockSRHT": products(randla.BlockSRHT, 20, 60),
            "GaussianSketch": products(randla.GaussianSketch, 20, 60),
            "SparseSignSketch": products(randla.SparseSignSketch, 20, 60),
            "CountSketch": products(randla.CountSketch, 20, 60),
            "KroneckerSRHT": products(randla.KroneckerSRHT, 20, (10, 6)),
            "fwht": [lambda: randla.fwht(X[:32]), lambda: randla.fwht(X[:32, 0])],
        },
        "sampling": {
            "leverage_scores": lambda: randla.leverage_scores(A),
            "leverage_scores tall": [partial(randla.leverage_scores, B) for B in (tall, columns)],
            "lewis_weights": lambda: randla.lewis_weights(A, 1.0),
            "lp_sensitivities": lambda: randla.lp_sensitivities(A, 1.0),
            "lp_sensitivities p=3": lambda: randla.lp_sensitivities(A, 3.0),
            "lp_sensitivities p=inf": lambda: randla.lp_sensitivities(A, np.inf),
            "lp_sensitivities tall": lambda: randla.lp_sensitivities(tall[:2000], 1.5),
            "total_sensitivity": lambda: randla.total_sensitivity(A, 1.0, rng=0),
            "max_sensitivity": lambda: randla.max_sensitivity(A, 1.5),
            "sample_rows": lambda: randla.sample_rows(A, 30, p=1, rng=0).apply(A),
            "sample_rows tall": lambda: randla.sample_rows(tall, 30, rng=0).apply(tall),
        },
        "regression": {
            "lstsq": lambda: randla.lstsq(A, b),
            "lstsq tall": [partial(randla.lstsq, B, tall_b) for B in (tall, columns, csr)],
            "lstsq sketch": lambda: randla.lstsq(tall, tall_b, sketch_size=400, rng=0),
            "lstsq inference": lambda: randla.lstsq(A, b).inference(A, b).summary(),
            "lp_regression": lambda: randla.lp_regression(A, b),
            "lp_regression p=3": lambda: randla.lp_regression(A, b, 3.0),
            "lp_regression p=inf": lambda: randla.lp_regression(A, b, np.inf),
            "lp_regression tau": lambda: randla.lp_regression(A, b, tau=[0.2, 0.8]),
            "lp_regression inference": lambda: (
                randla.lp_regression(A, b, tau=0.5).inference(A, b).summary()
            ),
            "lp_regression tall": [
                partial(randla.lp_regression, B, tall_b) for B in (tall, columns)
            ],
        },
        "spectral": {
            "svd": lambda: randla.svd(A, 2, rng=0),
            "svd tall": [
                *(partial(randla.svd, B, 2, rng=0) for B in (tall, columns, csr)),
                lambda: randla.svd(normal(2100, 2100), 2, rng=0),
            ],
            "eigh": lambda: randla.eigh(psd, 3, rng=0),
            "spectral_norm": lambda: randla.spectral_norm(A, rng=0),
            "trace": lambda: randla.trace(sparse.linalg.aslinearoperator(psd), 20, rng=0),
            "diagonal": lambda: randla.diagonal(sparse.linalg.aslinearoperator(psd), 20, rng=0),
            "logdet": lambda: randla.logdet(psd, lower=1.0, n_products=20, rng=0),
            "pivoted_cholesky": lambda: randla.pivoted_cholesky(X, 5, kernel="gaussian", rng=0),
        },
        "transport": {
            "sliced_wasserstein": lambda: randla.sliced_wasserstein(X, Y, rng=0),
            "sliced_wasserstein d=80": lambda: randla.sliced_wasserstein(wide, wide + 1, rng=0),
            "sliced_wasserstein weights": lambda: randla.sliced_wasserstein(X, Y[:50], weights),
            "sliced_wasserstein population": lambda: randla.sliced_wasserstein(
                X, Y, population=True, rng=0
            ),
            "sliced_wasserstein_gradient": lambda: randla.sliced_wasserstein_gradient(X, Y, rng=0),
            "sliced_wasserstein_test": lambda: randla.sliced_wasserstein_test(X, Y, rng=0),
            "sliced_wasserstein_sphere": lambda: randla.sliced_wasserstein_sphere(near, far, rng=0),
            "sliced_wasserstein_matrix": lambda: randla.sliced_wasserstein_matrix([X, Y, A], rng=0),
            "sliced_wasserstein_flow": lambda: randla.sliced_wasserstein_flow(
                X, Y, n_steps=3, rng=0
            ),
            "sliced_wasserstein_barycenter": lambda: randla.sliced_wasserstein_barycenter(
                [X, Y], n_steps=3, rng=0
            ),
            "max_sliced_wasserstein": lambda: randla.max_sliced_wasserstein(X, Y, rng=0),
            "expected_sliced_plan": lambda: randla.expected_sliced_plan(X, Y, rng=0),
            "wasserstein_1d": lambda: randla.wasserstein_1d(X[:, 0], Y[:50, 0]),
        },
    }


def _smoothing() -> Calls:
    """Calls with the ready models; a user's own model is compiled when it is first run."""
    import numpy as np

    import randla

    y = 0.3 * np.random.default_rng(0).standard_normal(30)
    symbols = np.arange(30) % 3 // 2
    # Made when they are called, as some models compile kernels of their own.
    volatility = partial(randla.StochasticVolatility, 0.9, 0.3, 0.3)
    line = partial(randla.LinearGaussian, 0.9, 0.3, 1.0, 1.0, 0.0, 1.0)
    chain = partial(
        randla.DiscreteHMM, [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.2, 0.8]]
    )
    chaos = partial(randla.ChaoticRNN, np.eye(3))
    few: dict[str, Any] = {"n_particles": 50, "rng": 0}

    def streamed() -> Any:
        run = randla.start_filter(volatility(), **few)
        run.update(y[0])
        return run

    def learned(model: Any, y: Any, **options: Any) -> None:
        randla.maximum_likelihood(model(), y, rng=0, **options)

    def drawn(model: Any, *names: str, **options: Any) -> Any:
        from scipy.stats import halfnorm

        prior = {name: halfnorm() for name in names}
        return randla.posterior(model(), y, prior, n_iterations=16, n_chains=2, rng=0, **options)

    def forecast(model: Any, *names: str, **options: Any) -> list[Callable[[], Any]]:
        draws = partial(drawn, model, *names, **options)
        return [draws, lambda: draws().forecast(2, rng=0)]

    return {
        "particle_filter": lambda: randla.particle_filter(volatility(), y, **few),
        "particle_filter LinearGaussian": lambda: randla.particle_filter(line(), y, **few),
        "start_filter": [streamed, lambda: streamed().forecast(2)],
        "paris": lambda: randla.paris(volatility(), y, "state", **few),
        "ffbs": lambda: randla.ffbs(volatility(), y, "state", **few),
        "ppg": lambda: randla.ppg(volatility(), y, "state", n_iterations=12, **few),
        "ppg LinearGaussian": lambda: randla.ppg(line(), y, "state", n_iterations=12, **few),
        "particle_gibbs": lambda: randla.particle_gibbs(volatility(), y, n_iterations=12, **few),
        "kalman_smoother": [
            lambda: randla.kalman_smoother(line(), y),
            lambda: randla.kalman_smoother(line(), y).expectation("state"),
        ],
        "particle_filter ChaoticRNN": lambda: randla.particle_filter(
            chaos(), np.outer(y, np.ones(3)), **few
        ),
        "hmm_smoother": lambda: randla.hmm_smoother(chain(), symbols),
        "maximum_likelihood": lambda: learned(volatility, y),
        "maximum_likelihood exact": lambda: learned(line, y, method="exact"),
        "structural": lambda: learned(partial(randla.structural, level="level"), y, method="exact"),
        "posterior": forecast(volatility, "sigma", "beta"),
        "posterior pmmh": forecast(volatility, "sigma", "beta", method="pmmh"),
        "posterior exact": forecast(line, "transition_cov", "observation_cov"),
    }

"""Forward filtering, backward simulation: whole paths from the smoothing law."""

from collections.abc import Generator
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._random import new_stream
from randla._typing import Array
from randla._validation import as_count
from randla.smoothing._kernels.particles.paths import backward_template, path_sum_template
from randla.smoothing._model.additive_functional import AdditiveFunctional
from randla.smoothing._model.several import over_series
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.chains import independent_chains
from randla.smoothing._particles.checks import pieces, raise_for_status
from randla.smoothing._particles.filter_run import FilterRun, use_proposal
from randla.smoothing._particles.problem import Backward, SmoothingProblem, make_problem
from randla.smoothing._particles.records import BackwardDraws, PathEnds
from randla.smoothing._particles.result import SmoothingResult, warn_if_degenerate


@over_series
def ffbs(
    model: StateSpaceModel,
    y: ArrayLike,
    functional: AdditiveFunctional | str | None,
    *,
    n_particles: int,
    n_paths: int | None = None,
    backward: Backward = "auto",
    n_chains: int = 4,
    inputs: ArrayLike | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    rng: Any = None,
) -> SmoothingResult:
    r"""Draw smoothed paths by forward filtering and backward simulation.

    A filter is stored; the last index of a path is drawn from the last weights and each earlier
    index from the backward kernel :math:`B_t(i, j) \propto W_t^j q_t(X_t^j, X_{t+1}^i)` [1]_. The
    estimate is the mean of the functional over the paths.

    Parameters
    ----------
    model : StateSpaceModel
        The model; if it has a `proposal`, particles are drawn from it.
    y : (T,) or (T, k) array_like, or a list of arrays
        Observations. A row that is wholly NaN is missing. Arrays in a list or tuple are several
        independent series; `series` of the result has each one.
    functional : AdditiveFunctional or {"state", "square", "lag_product", "score"} or None
        The sum: by name of :math:`x_t`, of :math:`x_t^2`, of :math:`x_t x_{t+1}` (component by
        component), or the gradient of the log-likelihood in theta (Fisher's identity).
        None draws paths only.
    n_particles : int
        Number N of particles, at least 2.
    n_paths : int, optional
        Paths drawn from each filter. Default `n_particles`.
    backward : {"auto", "exact", "reject", "mcmc", "ancestor"}, optional
        How to draw the indices, as for `paris`; "mcmc", the default if there is a density, makes
        one Metropolis-Hastings step from the ancestor [2]_.
    n_chains : int, optional
        Independent repetitions, for the standard error.
    inputs : (T,) or (T, m) array_like, or a list of arrays, optional
        Row t is the argument `u` at time t of functions of the model or functional.
    executor : concurrent.futures.Executor, optional
        Runs the chains, one task each; the default is threads.
    progress : bool, optional
        Show a progress bar (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result; chain c is a function of the seed and c only.

    Returns
    -------
    SmoothingResult
        With `estimate`, `standard_error`, `per_chain`, `log_likelihood`, and `paths`, `mean` and
        `quantile` of the smoothed states.

    Warns
    -----
    BiasWarning
        If the effective sample size falls below 5 at some time: the bias may then exceed the
        standard error.
    DegenerateSmoothingWarning
        If "auto" has to fall back on the genealogy.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the model lacks a function that `backward` needs, one
        of its functions gives NaN (the message names the time), or the history would need more
        than 8 GiB.

    See Also
    --------
    paris : needs no history and runs forward in time.
    ppg : removes most of the bias.

    Notes
    -----
    **The estimate has a bias of order T / N that the spread of the chains does not show.** It is at
    most `bias_bound`, as for `paris`.

    Time O(T (N + n_paths)) except for "exact", memory T (N + n_paths) (8 d + 12) bytes a chain.

    References
    ----------
    .. [1] Godsill, Doucet and West, "Monte Carlo smoothing for nonlinear time series",
       J. Amer. Statist. Assoc. 99 (2004), 156-168.
    .. [2] Dau and Chopin, "On backward smoothing algorithms", Ann. Statist. 51 (2023), 2145-2169,
       arXiv:2207.00976.

    Examples
    --------
    >>> from randla import StochasticVolatility, ffbs
    >>> model = StochasticVolatility(0.95, 0.3, 0.6)
    >>> _, y = model.simulate(50, rng=0)
    >>> result = ffbs(model, y, "state", n_particles=200, rng=1)
    >>> result.paths.shape, result.quantile([0.05, 0.95]).shape
    ((4, 200, 50, 1), (2, 50, 1))
    """
    n_paths = n_particles if n_paths is None else as_count(n_paths, "n_paths")
    path_functional = "state" if functional is None else functional
    stored = ("n_paths", n_paths)
    problem = make_problem(
        model, y, path_functional, n_particles, 2, backward, paths=stored, inputs=inputs
    )
    paths, logs, ess = independent_chains(
        _chain, problem, n_paths, n_chains=n_chains, n_sweeps=1,
        executor=executor, progress=progress, rng=rng, description="ffbs",
    )  # fmt: skip
    warn_if_degenerate(ess, problem)
    per_chain = None  # paths only
    if functional is not None:
        per_chain = np.array([path_sums(problem, p).mean(axis=0) for p in paths])
    return SmoothingResult.of(per_chain, logs, problem, paths=paths, identity=True)


def _chain(
    problem: SmoothingProblem, key: np.uint64, c: int, n_paths: int
) -> Generator[int, None, tuple[Array, float, Array]]:
    smoother = PathSmoother(problem, new_stream(key, c), n_paths)
    paths = np.empty((n_paths, len(problem.y), *problem.state_shape))
    yield from smoother.draw(paths)
    return paths, smoother.filter.log_likelihood(), smoother.filter.track.ess


class PathSmoother:
    """A stored filter, plain or conditional on a path, and the paths drawn through it."""

    def __init__(self, problem: SmoothingProblem, rng: NDArray[np.uint64], n_paths: int) -> None:
        model, n, n_times = problem.model, problem.n_particles, len(problem.y)
        self.problem, self.rng = problem, rng
        self.filter = self.new_filter()
        self.kernel = model._compiled.kernel(
            backward_template,
            model._compiled.backward(problem.backward),
            problem.backward in ("reject", "mcmc"),  # those that propose from the weights
        )
        mcmc = problem.backward == "mcmc"  # which needs two draws: the ancestor and one step
        self.path_ends = PathEnds(
            np.empty(n_paths), np.empty(n_paths, np.int32), np.empty(n_paths, np.int32)
        )
        self.draws = BackwardDraws(
            np.empty((2 if mcmc else 1, n_paths), np.int32),
            np.empty((3, n_paths) if mcmc else (2, n)),
            problem.limit,
        )
        # Time first: a time step then writes to one place, which halved the time at 1000 paths.
        self.drawn = np.empty((n_times, n_paths, *problem.state_shape))
        self.changed = np.zeros(n_times, np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the work space: only the stream is kept from call to call."""
        return PathSmoother, (self.problem, self.rng, len(self.path_ends.indices))

    def new_filter(self) -> FilterRun:
        """Work space of a filter with the options of this one."""
        problem = self.problem
        guided = use_proposal(problem.model, "auto")
        n = problem.n_particles
        return FilterRun(problem.model, problem.series(), n, guided=guided, store=True)

    def draw(
        self,
        paths: Array,
        frozen: Array | None = None,
        theta: Array | None = None,
    ) -> Generator[int, None, None]:
        """Fill `paths` (n, T[, d]) from one filter, conditional on the path `frozen`; in pieces."""
        yield from self.forward(frozen, theta)
        yield from self.backward(paths)

    def forward(
        self, frozen: Array | None = None, theta: Array | None = None
    ) -> Generator[int, None, None]:
        """Run the filter, conditional on the path `frozen`, if there is one; in pieces."""
        run, n_times = self.filter, len(self.problem.y)
        run.rng, run.series = self.rng, self.problem.series(theta)
        for begin, end in pieces(n_times, run.first_piece()):
            run.advance(begin, end, path=frozen)
            if end < n_times:
                yield 0

    def backward(self, paths: Array) -> Generator[int, None, None]:
        """Fill `paths` (n, T[, d]) by draws through the filter that was run; in pieces."""
        problem, run = self.problem, self.filter
        n_times, n, n_paths = len(problem.y), problem.n_particles, paths.shape[0]
        # Weights and draws of one time, about 10 ns each: a piece of 1e7 takes about 0.1 s.
        work = n + n_paths * (n if problem.backward == "exact" else 10)
        for done, until in pieces(n_times, int(1e7 / work)):
            self.kernel(
                self.rng, run.series.theta, n_times - until, n_times - done, run.particles,
                run.weights, self.path_ends, self.draws, self.drawn, self.changed,
                run.track.info,
            )  # fmt: skip
            raise_for_status(run.track.info)
            if until < n_times:
                yield 0
        paths[...] = np.moveaxis(self.drawn, 1, 0)  # (T, n[, d]) to (n, T[, d])


def path_sums(problem: SmoothingProblem, paths: Array) -> Array:
    """Values (n, p) of the functional along paths (n, T[, d])."""
    functional = problem.functional
    sums = np.empty((len(paths), functional.n_out))
    increment, info = functional._buffer(), np.zeros(3, np.int64)
    kernel = problem.model._compiled.kernel(
        path_sum_template, functional.initial, functional.step, functional=functional
    )
    paths = np.ascontiguousarray(paths)  # compiled once
    kernel(problem.y, problem.series().theta, paths, increment, sums, info)
    raise_for_status(info)
    return sums

"""Independent chains side by side, on our threads or on a user's executor."""

from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import Any, TypeVar

from randla._parallel import map_on_executor, progress_bar, run_parts
from randla._random import draw_key
from randla._validation import as_count, as_flag
from randla.smoothing._particles.problem import SmoothingProblem

T = TypeVar("T")


def independent_chains(
    make: Callable[..., Generator[int, None, tuple[Any, ...]]],
    problem: SmoothingProblem,
    *arguments: Any,
    n_chains: int,
    executor: Executor | None,
    progress: bool,
    rng: Any,
    n_sweeps: int,
    description: str,
) -> list[list[Any]]:
    """Run ``make(problem, key, c, *arguments)`` for each chain c; a list for each part returned."""
    n_chains = as_count(n_chains, "n_chains")
    key = draw_key(rng)
    results = run_chains(
        make,
        [(problem, key, c, *arguments) for c in range(n_chains)],
        executor=executor,
        seconds=problem.seconds() * n_chains * n_sweeps,
        n_units=n_sweeps,
        progress=as_flag(progress, "progress"),
        description=description,
    )
    return [list(part) for part in zip(*results, strict=True)]


def run_chains(
    make: Callable[..., Generator[int, None, T]],
    arguments: list[tuple[Any, ...]],
    *,
    executor: Executor | None,
    seconds: float,
    n_units: int = 1,
    progress: bool = False,
    description: str = "",
) -> list[T]:
    """Run one generator for each tuple of arguments to its end and return what they return.

    The generators yield between pieces of work. On our threads they advance in rounds, so that
    Ctrl-C takes effect between the rounds; on a user's executor each is one task.
    """
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(
            f"executor must be None or a concurrent.futures.Executor, got {type(executor).__name__}"
        )
    if executor is not None:
        tasks = [(make, a) for a in arguments]
        return map_on_executor(
            executor, _exhaust, tasks, progress=progress, description=description
        )
    chains = [make(*a) for a in arguments]
    results: list[Any] = [None] * len(chains)
    done, running = [0] * len(chains), list(range(len(chains)))  # units of work; chains not ended

    def advance(c: int) -> bool:
        try:
            done[c] = next(chains[c])
        except StopIteration as stop:
            results[c], done[c] = stop.value, n_units  # what the generator returns
            return False
        return True

    with progress_bar(n_units * len(chains), progress, description) as bar:
        while running:
            order = list(running)  # one part a chain: results do not depend on the threads
            alive = run_parts(lambda k: advance(order[k]), len(order), seconds=seconds)  # noqa: B023
            running = [c for c, goes_on in zip(order, alive, strict=True) if goes_on]
            bar(sum(done))
    return results


def _exhaust(make: Callable[..., Generator[int, None, T]], arguments: tuple[Any, ...]) -> T:
    chain = make(*arguments)
    while True:
        try:
            next(chain)
        except StopIteration as stop:
            return stop.value

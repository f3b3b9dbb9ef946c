"""Compile the kernels before they are needed: ``python -m randla compile [family ...]``.

Calls of different families share few kernels, so the processes start in different ones. A kernel
that two of them compile at once is saved twice, which does no harm (`randla._jit`).
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

from randla import __version__
from randla._first_calls import FAMILIES, calls, make_call

Task = tuple[str, str, str]  # family, dtype, name of the call
_MAX_PROCESSES = 61  # of a pool on Windows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m randla",
        description="Compile the functions of randla before you need them. Otherwise each is "
        "compiled when you first call it, once on a machine.",
    )
    parser.add_argument("--version", action="version", version=f"randla {__version__}")
    command = parser.add_subparsers(required=True, metavar="command").add_parser(
        "compile",
        help="compile now and store the result on disk ('compile --help' lists its options)",
        description="Compile all public functions, or those of some families, and store the result "
        "on disk, so that no later call waits for the compiler: for a container image or a "
        "classroom. It takes a few minutes. The functions of your own state-space models are "
        "compiled when they first run.",
    )
    command.add_argument(
        "family", nargs="*", help=f"any of {', '.join(FAMILIES)}; default: all of them"
    )
    command.add_argument(
        "-j", "--jobs", type=int, default=os.cpu_count() or 1,
        help="number of processes; default: the number of cores",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if unknown := [family for family in given.family if family not in FAMILIES]:
        command.error(f"family must be one of {', '.join(FAMILIES)}, got {unknown[0]!r}")
    if given.jobs < 1:
        command.error(f"jobs must be at least 1, got {given.jobs}")
    from numba import config

    if getattr(config, "DISABLE_JIT", False):
        print("nothing to compile: NUMBA_DISABLE_JIT turns the compiler off", file=sys.stderr)
        return 1
    folder = cache_folder()
    if folder is None:
        command.error("no folder for compiled kernels can be written: set NUMBA_CACHE_DIR to one")
    start = perf_counter()
    n_compiled = compile_families(list(dict.fromkeys(given.family)) or list(FAMILIES), given.jobs)
    seconds = perf_counter() - start
    size = sum(file.stat().st_size for file in folder.rglob("*.nb[ci]"))
    print(f"compiled {n_compiled} functions that this cache lacked, in {seconds:.0f} s")
    print(f"all kernels in this cache folder: {size / 1e6:.1f} MB in {folder}")
    return 0


def cache_folder() -> Path | None:
    """The folder below which Numba keeps our kernels; None if it cannot write to any."""
    from randla._random import counter_hash

    path = getattr(counter_hash._cache, "cache_path", None)
    if path is None:
        return None
    return Path(__file__).parent if Path(path).name == "__pycache__" else Path(path).parent


def compile_families(families: list[str], n_processes: int) -> int:
    """Make all calls of the families, on several processes; the number of functions compiled."""
    tasks = [
        (family, dtype, name)
        for family in families
        for dtype in ("float64", "float32")
        for name in calls(family, dtype)
    ]
    n_compiled, total = 0, len(tasks)
    running: dict[Future[tuple[int, float]], Task] = {}
    n_processes = min(n_processes, total, _MAX_PROCESSES)
    with (
        _progress(total) as show,
        ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool,
    ):
        try:
            while tasks or running:
                while tasks and len(running) < n_processes:
                    task = _take(tasks, running)
                    running[pool.submit(make_call, *task)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    family, dtype, name = running.pop(future)
                    new, seconds = future.result()
                    n_compiled += new
                    show(f"{family}: {name}, {dtype} ({seconds:.1f} s)")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return n_compiled


def _take(tasks: list[Task], running: dict[Future[tuple[int, float]], Task]) -> Task:
    """The first call of the family with the fewest that run, then with the most that wait."""
    busy = [task[0] for task in running.values()]
    left = [task[0] for task in tasks]
    family = min(dict.fromkeys(left), key=lambda f: (busy.count(f), -left.count(f)))
    return tasks.pop(left.index(family))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar if tqdm is installed, else a line for each call."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        n_done = 0

        def line(text: str) -> None:
            nonlocal n_done
            n_done += 1
            print(f"{n_done}/{total} {text}", file=sys.stderr, flush=True)

        yield line
        return
    with tqdm(total=total, desc="compile", file=sys.stderr) as bar:

        def move(text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update()

        yield move


if __name__ == "__main__":
    sys.exit(main())

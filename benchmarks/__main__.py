"""Print the table of ratios: ours beside peers and floors, all measured in one run.

    python -m benchmarks              every benchmark at its headline size
    python -m benchmarks least        those whose name contains "least"
    python -m benchmarks --all        every size
    python -m benchmarks --quick      the smallest size, once: a test that they run

The methods of one class are timed in turns, round after round, and the medians are compared, so
that a change in the load of the machine meets all of them alike. Absolute times are not portable;
the ratios are what to quote.
"""

import argparse
import importlib
import inspect
import itertools
import pkgutil
import statistics
import sys
from time import perf_counter

import benchmarks


def find_classes(pattern):
    """Benchmark classes with a ``time_randla``, by the name of their module and class."""
    for module_info in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
        if module_info.ispkg or module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        for name, value in inspect.getmembers(module, inspect.isclass):
            full_name = f"{module_info.name.removeprefix('benchmarks.')}.{name}"
            own = value.__module__ == module.__name__ and hasattr(value, "time_randla")
            if own and pattern in full_name:
                yield full_name, value


def sizes(cls, arguments):
    """The parameter combinations to run: all, the headline, or the first (smallest)."""
    params = getattr(cls, "params", [])
    if params and not isinstance(params[0], (list, tuple)):
        params = [params]
    combinations = list(itertools.product(*params)) or [()]
    if arguments.all:
        return combinations
    if arguments.quick:
        return combinations[:1]
    return [getattr(cls, "headline", combinations[-1])]


def run_in_turns(benchmark, size, rounds):
    """Median seconds of each ``time_*`` method; None for a peer that is not installed."""
    names = [name for name in dir(benchmark) if name.startswith("time_")]
    times = {name: [] for name in names}
    for k in range(rounds):
        for name in list(times):
            method = getattr(benchmark, name)
            try:
                start = perf_counter()
                method(*size)
                seconds = perf_counter() - start
            except (ImportError, NotImplementedError):
                times[name] = None
                continue
            if times[name] is not None and (k > 0 or rounds == 1):  # the first round warms up
                times[name].append(seconds)
    return {name: statistics.median(t) if t else None for name, t in times.items()}


def report(full_name, cls, size, rounds):
    benchmark = cls()
    if hasattr(benchmark, "setup"):
        try:
            benchmark.setup(*size)
        except (ImportError, NotImplementedError):
            print(f"{full_name} {size}: skipped")
            return
    times = run_in_turns(benchmark, size, rounds)
    ours = times.pop("time_randla")
    names = getattr(cls, "param_names", [])
    label = ", ".join(f"{n}={v}" for n, v in zip(names, size, strict=True))
    print(f"{full_name} ({label}): {1e3 * ours:.3g} ms")
    for name, seconds in sorted(times.items()):
        kind, _, what = name.removeprefix("time_").partition("_")
        what = what.replace("_", " ")
        if seconds is None:
            print(f"    {kind:5s} {what:40s} not installed")
        elif kind == "floor":
            print(f"    {kind:5s} {what:40s} we take {ours / seconds:8.2f} times as long")
        else:
            print(f"    {kind:5s} {what:40s} takes   {seconds / ours:8.2f} times as long")
    for name in dir(benchmark):
        if name.startswith("track_"):
            value = getattr(benchmark, name)(*size)
            print(f"    {name.removeprefix('track_').replace('_', ' '):46s} {value:.3g}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("pattern", nargs="?", default="", help="run names that contain this")
    parser.add_argument("--all", action="store_true", help="run every size")
    parser.add_argument("--quick", action="store_true", help="run the smallest size once")
    parser.add_argument("--rounds", type=int, default=6, help="timed rounds, the first warms up")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else max(arguments.rounds, 2)
    for full_name, cls in find_classes(arguments.pattern):
        for size in sizes(cls, arguments):
            report(full_name, cls, size, rounds)


if __name__ == "__main__":
    main()

"""Print the table of ratios: our times beside those of other calls, all measured in one run.

    python -m benchmarks              every benchmark at its headline size
    python -m benchmarks least        those whose name contains "least"
    python -m benchmarks --all        every size
    python -m benchmarks --quick      the smallest size, once: a test that they run
    python -m benchmarks --write      and put the table into README.md and the documentation, and
                                      the times of `benchmarks.scaling` beside it

The methods of one class are timed in turns, round after round, and the medians are compared, so
that a change in the load of the machine affects all of them alike. The smallest and the largest
ratio of a round are kept, too. Absolute times are not portable; the ratios are what to quote.
"""

import argparse
import importlib
import inspect
import itertools
import pkgutil
import statistics
import sys
from pathlib import Path
from time import perf_counter

import benchmarks
from benchmarks import ratios, scaling

ROOT = Path(__file__).resolve().parent.parent
_TURN = 0.1  # seconds of one method in one round, if its calls are shorter
_SECOND_CALL = 2.0  # seconds of a call up to which there is a second one in a turn


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
    combinations = all_sizes(cls)
    if arguments.all:
        return combinations
    return combinations[:1] if arguments.quick else [headline(cls)]


def all_sizes(cls):
    params = getattr(cls, "params", [])
    if params and not isinstance(params[0], (list, tuple)):
        params = [params]
    return list(itertools.product(*params)) or [()]


def headline(cls):
    return getattr(cls, "headline", all_sizes(cls)[-1])


def median_of_a_turn(call):
    """Median seconds of the calls in one turn, without the first of several.

    The first call after another's meets its spinning BLAS threads and its data in the cache.
    """
    times = []
    while (
        not times
        or (len(times) == 1 and times[0] < _SECOND_CALL)
        or (sum(times) < _TURN and len(times) < 100)
    ):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return statistics.median(times[1:] or times)


def run_in_turns(benchmark, size, rounds):
    """Seconds of each ``time_*`` method in each round; None for a peer that is not installed."""
    names = [name for name in dir(benchmark) if name.startswith("time_")]
    times = {name: [] for name in names}
    for k in range(rounds):
        for name in list(times):
            method = getattr(benchmark, name)
            try:
                seconds = median_of_a_turn(lambda method=method: method(*size))
            except (ImportError, NotImplementedError):
                times[name] = None
                continue
            if times[name] is not None and (k > 0 or rounds == 1):  # the first round warms up
                times[name].append(seconds)
    return times


def compare(full_name, cls, size, rounds):
    """Run one benchmark at one size, print it, and return its comparisons."""
    benchmark = cls()
    if hasattr(benchmark, "setup"):
        try:
            benchmark.setup(*size)
        except (ImportError, NotImplementedError):
            print(f"{full_name} {size}: skipped")
            return []
    times = run_in_turns(benchmark, size, rounds)
    ours = times.pop("time_randla")
    milliseconds = 1e3 * statistics.median(ours)
    names = getattr(cls, "param_names", [])
    label = ", ".join(f"{n}={v}" for n, v in zip(names, size, strict=True))
    print(f"{full_name} ({label}): {milliseconds:.3g} ms")
    found = []
    for name, theirs in sorted(times.items()):
        kind, _, what = name.removeprefix("time_").partition("_")
        what = what.replace("_", " ")
        if not theirs:
            print(f"    {kind:7s} {what:40s} not installed")
            continue
        ratio = statistics.median(theirs) / statistics.median(ours)
        if kind == "floor":
            print(f"    {kind:7s} {what:40s} we take {1 / ratio:8.2f} times as long")
        else:
            print(f"    {kind:7s} {what:40s} takes   {ratio:8.2f} times as long")
        task = cls.__dict__.get("readme", "") if size == headline(cls) else ""  # not a parent's
        by_round = [other / our for other, our in zip(theirs, ours, strict=True)]
        ends = min(by_round), max(by_round)
        beside = f"{kind}: {what}"
        found.append(ratios.Comparison(task, full_name, label, milliseconds, beside, ratio, *ends))
    for name in dir(benchmark):
        if name.startswith("track_"):
            value = getattr(benchmark, name)(*size)
            print(f"    {name.removeprefix('track_').replace('_', ' '):46s} {value:.3g}")
    if hasattr(benchmark, "teardown"):  # a cluster of Dask would run the arrays of all that follow
        benchmark.teardown(*size)
    sys.stdout.flush()
    return found


def write(comparisons):
    """Put all comparisons into the table of the documentation and the headlines into README.md."""
    ratios.write(comparisons)
    readme, (begin, end) = ROOT / "README.md", ratios.README_MARKS
    before, _, rest = readme.read_text().partition(begin)
    after = rest.partition(end)[2]
    table = ratios.readme_table(ratios.read())  # with the digits that were kept
    readme.write_text(before + table + after)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("pattern", nargs="?", default="", help="run names that contain this")
    parser.add_argument("--all", action="store_true", help="run every size")
    parser.add_argument("--quick", action="store_true", help="run the smallest size once")
    parser.add_argument("--rounds", type=int, default=6, help="timed rounds, the first warms up")
    parser.add_argument("--write", action="store_true", help="rewrite the tables")
    arguments = parser.parse_args()
    if arguments.write and (arguments.pattern or arguments.all or arguments.quick):
        parser.error("--write replaces the tables: give no name, no --all, no --quick")
    rounds = 1 if arguments.quick else max(arguments.rounds, 2)
    comparisons = []
    for full_name, cls in find_classes(arguments.pattern):
        for size in sizes(cls, arguments):
            comparisons += compare(full_name, cls, size, rounds)
    if arguments.write:
        write(comparisons)
        scaling.main()


if __name__ == "__main__":
    main()

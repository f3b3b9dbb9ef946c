"""Print the table of ratios: ours beside peers and floors, all measured in one run.

    python -m benchmarks              every benchmark at its headline size
    python -m benchmarks least        those whose name contains "least"
    python -m benchmarks --all        every size
    python -m benchmarks --quick      the smallest size, once: a test that they run
    python -m benchmarks --write      and put the table into README.md and the documentation, and
                                      draw the figures of `benchmarks.scaling`

The methods of one class are timed in turns, round after round, and the medians are compared, so
that a change in the load of the machine meets all of them alike. Absolute times are not portable;
the ratios are what to quote.
"""

import argparse
import csv
import importlib
import inspect
import itertools
import pkgutil
import statistics
import sys
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import benchmarks
from benchmarks import scaling

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "benchmarks" / "ratios.csv"
_TURN = 0.1  # seconds of one method in one round, if its calls are shorter
README_MARKS = "<!-- ratios -->\n", "<!-- end of ratios -->\n"


class Comparison(NamedTuple):
    """One of our calls beside one other."""

    title: str  # the ``readme`` of the class, or nothing
    name: str
    size: str
    milliseconds: float
    kind: str  # "peer" or "floor"
    other: str
    ratio: float  # the other's time divided by ours


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


def median_of_a_turn(call):
    """Median seconds of the calls in one turn, without the first of several.

    The first call after another's meets its spinning BLAS threads and its data in the cache.
    """
    times = []
    while not times or (sum(times) < _TURN and len(times) < 100):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return statistics.median(times[1:] or times)


def run_in_turns(benchmark, size, rounds):
    """Median seconds of each ``time_*`` method; None for a peer that is not installed."""
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
    return {name: statistics.median(t) if t else None for name, t in times.items()}


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
    names = getattr(cls, "param_names", [])
    label = ", ".join(f"{n}={v}" for n, v in zip(names, size, strict=True))
    print(f"{full_name} ({label}): {1e3 * ours:.3g} ms")
    found = []
    for name, seconds in sorted(times.items()):
        kind, _, what = name.removeprefix("time_").partition("_")
        what = what.replace("_", " ")
        if seconds is None:
            print(f"    {kind:5s} {what:40s} not installed")
            continue
        if kind == "floor":
            print(f"    {kind:5s} {what:40s} we take {ours / seconds:8.2f} times as long")
        else:
            print(f"    {kind:5s} {what:40s} takes   {seconds / ours:8.2f} times as long")
        title = cls.__dict__.get("readme", "")  # not that of a parent
        found.append(Comparison(title, full_name, label, 1e3 * ours, kind, what, seconds / ours))
    for name in dir(benchmark):
        if name.startswith("track_"):
            value = getattr(benchmark, name)(*size)
            print(f"    {name.removeprefix('track_').replace('_', ' '):46s} {value:.3g}")
    sys.stdout.flush()
    return found


def write(comparisons):
    """Put all comparisons into the table of the documentation and some of them into README.md."""
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    with TABLE.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["benchmark", "size", "ours, ms", "beside", "its time / ours"])
        for row in comparisons:
            beside = f"{row.kind}: {row.other}"
            numbers = f"{row.milliseconds:.3g}", f"{row.ratio:.3g}"
            table.writerow([row.name, row.size, numbers[0], beside, numbers[1]])
    lines = ["| | ours | beside | takes |\n", "| --- | --- | --- | --- |\n"]
    named = [row for row in comparisons if row.title and row.kind == "peer"]
    for title in dict.fromkeys(row.title for row in named):
        others = [row for row in named if row.title == title and "randla" not in row.other]
        if others:
            row = min(others, key=lambda row: row.ratio)  # the fastest
            ratio = f"{row.ratio:.0f}" if row.ratio > 9.95 else f"{row.ratio:.1f}"
            cells = row.title, f"{row.milliseconds:.3g} ms", row.other, f"{ratio} times as long"
            lines.append(f"| {' | '.join(cells)} |\n")
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(README_MARKS[0])
    _, _, after = rest.partition(README_MARKS[1])
    readme.write_text("".join([before, README_MARKS[0], *lines, README_MARKS[1], after]))


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("pattern", nargs="?", default="", help="run names that contain this")
    parser.add_argument("--all", action="store_true", help="run every size")
    parser.add_argument("--quick", action="store_true", help="run the smallest size once")
    parser.add_argument("--rounds", type=int, default=6, help="timed rounds, the first warms up")
    parser.add_argument("--write", action="store_true", help="rewrite the tables and the figures")
    arguments = parser.parse_args()
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

"""Do intervals cover as often as they say? Tables for everything that claims an error.

    python -m benchmarks.calibration               all of them; what is done already stays
    python -m benchmarks.calibration ppg           those whose name contains "ppg"
    python -m benchmarks.calibration --quick       a fiftieth of the draws: a test that they run
    python -m benchmarks.calibration --again       measure anew

Each family lists its studies in `studies.py`. A study is one kind of data and one interval; its
draws give the share of intervals that hold the exact answer at nominal 90, 95 and 99 per cent. The
rows go to ``docs/calibration/<family>.csv`` one by one, so that a run can be stopped and taken up
again. Draws are independent, the components within one are not: the Monte Carlo error of a share
is the spread of the draws over the root of their number.
"""

import argparse
import csv
import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

FAMILIES = ("sketching", "sampling", "regression", "spectral", "transport", "smoothing")
LEVELS = (0.90, 0.95, 0.99)
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "calibration"
HEADER = ["interval", "data", "draws", "90%", "95%", "99%", "error at 95", "error at 99"]


class Study(NamedTuple):
    """One row of a table.

    `cover(draws)` returns the shares of components (or the truth value for a single number) that
    were covered in each of the draws, at each of `LEVELS`: an array (draws, 3).
    """

    interval: str
    data: str
    draws: int
    cover: Callable[[int], np.ndarray]


def shares(result, truth, *, which=..., **options):
    """The shares of the intervals of one result that hold the truth, at each of `LEVELS`.

    `which` are the entries that count (all by default).
    """
    held = []
    for level in LEVELS:
        low, high = result.confidence_interval(level, **options)
        held.append(np.mean(np.asarray((low <= truth) & (truth <= high))[which]))
    return held


def t_shares(estimate, standard_error, degrees_of_freedom, truth, *, wider=0.0):
    """The same for Student t intervals of a result that has no intervals of its own."""
    from randla._results import t_interval

    held = []
    for level in LEVELS:
        low, high = t_interval(estimate, standard_error, degrees_of_freedom, level)
        held.append(np.mean((low - wider <= truth) & (truth <= high + wider)))
    return held


def row(study, quick):
    """The line of a study in its table."""
    draws = max(study.draws // 50, 20) if quick else study.draws
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what warns of a bias is measured here
        covered = 100.0 * np.asarray(study.cover(draws), float)
    error = covered.std(axis=0, ddof=1) / np.sqrt(len(covered))
    numbers = [f"{x:.1f}" for x in (*covered.mean(axis=0)[:2],)]
    numbers += [f"{covered.mean(axis=0)[2]:.2f}", f"{error[1]:.1f}", f"{error[2]:.2f}"]
    return [study.interval, study.data, str(len(covered)), *numbers]


def measure(family, pattern, quick, again):
    """Add the missing rows to the table of a family."""
    path = FOLDER / f"{family}.csv"
    done = {}
    if path.exists() and not quick:
        done = {tuple(line[:2]): line for line in csv.reader(path.open())}
    lines = []
    for study in importlib.import_module(f"benchmarks.{family}.studies").studies():
        key = study.interval, study.data
        wanted = pattern in " ".join(key)
        if wanted and (again or key not in done):
            done[key] = row(study, quick)
            print(f"{family}: {', '.join(done[key])}", flush=True)
        if key in done:
            lines.append(done[key])
        if wanted and not quick:  # rows that are not reached yet stay
            rest = [line for other, line in done.items() if line not in lines and line != HEADER]
            FOLDER.mkdir(exist_ok=True)
            with path.open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([HEADER, *lines, *rest])


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calibration", description=__doc__.splitlines()[0]
    )
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--quick", action="store_true", help="few draws, nothing is written")
    parser.add_argument("--again", action="store_true", help="measure what is in the table, too")
    arguments = parser.parse_args()
    for family in FAMILIES:
        measure(family, arguments.pattern, arguments.quick, arguments.again)


if __name__ == "__main__":
    main()

"""CPU seconds of first calls: with no compiled kernel on disk, and with all of them.

    python -m benchmarks.first_calls            all, into docs/benchmarks/first_calls.csv
    python -m benchmarks.first_calls lstsq ppg  those of these functions, printed only

Each number is that of a fresh process from its start to the end of the call, imports included, so
that only one process should be busy. The bytecode of the package is on disk, where pip puts it when
it installs. `randla/_first_calls.py` has the calls.
"""

import compileall
import csv
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import randla
from randla._first_calls import FAMILIES, calls

TABLE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks" / "first_calls.csv"
HEADER = ["family", "call", "empty cache, CPU s", "full cache, CPU s", "functions compiled"]
LIMIT = 5.0  # seconds of a first call ever
CALL = """
import os
from randla._first_calls import make_call
n_compiled, _ = make_call({family!r}, "float64", {name!r}, only_first=True)
print(n_compiled, sum(os.times()[:4]))
"""


def first_call(family, name, folder):
    """Functions compiled and CPU seconds of one call in a fresh process."""
    environment = dict(os.environ, NUMBA_CACHE_DIR=folder, OPENBLAS_NUM_THREADS="1")
    command = [sys.executable, "-c", CALL.format(family=family, name=name)]
    run = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    n_compiled, seconds = run.stdout.split()
    return int(n_compiled), float(seconds)


def measure(names):
    """A row of the table for each call of these functions."""
    for family in FAMILIES:
        for name in calls(family):
            if names and name.split()[0] not in names:
                continue
            with tempfile.TemporaryDirectory() as folder:
                n_compiled, cold = first_call(family, name, folder)
                again, warm = first_call(family, name, folder)
            if again:
                print(f"{name}: {again} functions are compiled in each process", file=sys.stderr)
            yield family, name, f"{cold:.1f}", f"{warm:.1f}", n_compiled


def main(names):
    slow = []
    compileall.compile_dir(Path(randla.__file__).parent, quiet=1)
    with nullcontext(sys.stdout) if names else TABLE.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        for row in measure(names):
            table.writerow(row)
            file.flush()
            slow += [row[1]] if float(row[2]) > LIMIT else []
    print(f"above {LIMIT:g} s: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])

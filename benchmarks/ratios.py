"""The table of ratios, ``docs/benchmarks/ratios.csv``: its rows, and those that are quoted."""

import csv
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks" / "ratios.csv"
HEADER = [
    "task", "benchmark", "size", "ours, ms", "beside", "its time / ours", "smallest", "largest"
]  # fmt: skip
README_MARKS = "<!-- ratios -->\n", "<!-- end of ratios -->\n"
_LIBRARIES = {
    "cvxpy": "CVXPY", "dask": "Dask", "highs": "HiGHS", "numba": "Numba", "numpy": "NumPy",
    "particles": "particles", "pot": "POT", "scipy": "SciPy", "sklearn": "scikit-learn",
    "statsmodels": "statsmodels",
}  # fmt: skip
_SPELLED = {**_LIBRARIES, "bfgs": "BFGS", "countsketch": "CountSketch", "qr": "QR"}


class Comparison(NamedTuple):
    """One of our calls beside one other."""

    task: str  # the ``readme`` of the class at its headline size, or nothing
    benchmark: str
    size: str
    milliseconds: float
    beside: str  # "peer: numpy", "floor: one read", "randla: block"
    ratio: float  # the other's median time divided by ours
    smallest: float  # and the same within one round, over all rounds; NaN in older tables
    largest: float

    @property
    def family(self):
        return self.benchmark.partition(".")[0]

    @property
    def kind(self):
        return self.beside.partition(": ")[0]

    @property
    def is_library(self):
        """Whether it is another library, and no other way of our own."""
        return self.kind == "peer" and self._words[0] in _LIBRARIES

    @property
    def other(self):
        """The name of the other as its authors write it."""
        first, *rest = (_SPELLED.get(word, word) for word in self._words)
        if self._words[0] in _LIBRARIES and rest:
            return f"{first} ({' '.join(rest)})"
        return " ".join([first, *rest])

    @property
    def _words(self):
        return self.beside.partition(": ")[2].split() or [""]


def write(rows, path=TABLE):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        for row in rows:
            numbers = (f"{x:.3g}" for x in row[5:])
            table.writerow([*row[:3], f"{row.milliseconds:.3g}", row.beside, *numbers])


def read(path=TABLE):
    with path.open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    return [
        Comparison(*row[:3], float(row[3]), row[4], *(float(cell or "nan") for cell in row[5:]))
        for row in lines
    ]


def headlines(rows):
    """Each task beside the fastest other library."""
    named = [r for r in rows if r.task and r.is_library]
    groups = [[r for r in named if r.task == task] for task in dict.fromkeys(r.task for r in named)]
    return [min(group, key=lambda row: row.ratio) for group in groups]


def readme_table(rows):
    """The headlines as README.md shows them, in Markdown between its marks."""
    lines = ["| | ours | fastest peer | the peer takes |\n", "| --- | --- | --- | --- |\n"]
    for row in headlines(rows):
        took = f"{short(row.ratio)} times as long"
        lines.append(f"| {row.task} | {duration(row.milliseconds)} | {row.other} | {took} |\n")
    return README_MARKS[0] + "".join(lines) + README_MARKS[1]


def duration(milliseconds):
    """Seconds where there are any."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds:.3g} ms"


def short(ratio):
    """A ratio with two digits, or as many as stand before the point."""
    if ratio >= 9.95:
        return f"{ratio:,.0f}"
    return f"{ratio:.1f}" if ratio >= 0.995 else f"{ratio:#.2g}"

"""Pictures that are drawn when the pages are built, from the numbers that lie beside them.

``use_style``  gives each example of the gallery the look of ``randla.mplstyle``
``scrape``     keeps the pictures of an example; an animation becomes one small WebP file
``draw``       charts of ``benchmarks/*.csv`` and ``calibration/*.csv``, and the tables that are
               made of them, in ``_drawn/``
"""

import csv
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import Animation, PillowWriter
from scipy.optimize import nnls
from scipy.special import logit
from sphinx_gallery.scrapers import figure_rst, matplotlib_scraper

from benchmarks import ratios
from benchmarks.calibration import FAMILIES, LEVELS
from randla import datasets, sliced_wasserstein

DOCS = Path(__file__).resolve().parent.parent
DRAWN = DOCS / "_drawn"
FIRST = ["regression", "sketching", "sampling", "spectral", "transport", "smoothing"]
GRAY, TIMES = "0.5", " \N{MULTIPLICATION SIGN} "


def use_style(gallery_conf=None, name=None):
    plt.style.use(DOCS / "randla.mplstyle")


class SmallFile(PillowWriter):
    """With coarse edges, which nobody sees in motion."""

    def finish(self):
        first, *rest = self._frames
        options = {"duration": round(1000 / self.fps), "loop": 0, "method": 2}
        first.save(self.outfile, save_all=True, append_images=rest, quality=30,
                   alpha_quality=50, **options)  # fmt: skip


def scrape(block, block_vars, gallery_conf, **kwargs):
    """The pictures of a block, in the order of their numbers."""
    moving = {v._fig: v for v in block_vars["example_globals"].values() if isinstance(v, Animation)}
    figures = [plt.figure(number) for number in plt.get_fignums()]
    if not any(figure in moving for figure in figures):
        return matplotlib_scraper(block, block_vars, gallery_conf, **kwargs)
    paths = []
    for figure, path in zip(figures, block_vars["image_path_iterator"], strict=False):
        paths.append(Path(path).with_suffix(".webp" if figure in moving else ".png"))
        if figure in moving:
            frames_a_second = 1000 / moving[figure]._interval
            moving[figure].save(paths[-1], writer=SmallFile(fps=frames_a_second))
        else:
            figure.savefig(paths[-1])
    plt.close("all")
    return figure_rst(paths, gallery_conf["src_dir"])


def save(figure, name):
    figure.savefig(DRAWN / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def write_table(name, header, rows):
    with (DRAWN / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


# Benchmarks


def by_family(rows):
    return sorted(rows, key=lambda row: FIRST.index(row.family) if row.family in FIRST else 9)


def in_words(text):
    """Powers as exponents, and no marks of code."""
    return re.sub(r"\^(\d+)", lambda m: m[1].translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")),
                  text.replace("`", ""))  # fmt: skip


def spread(row):
    ratio, smallest, largest = (ratios.short(x) for x in (row.ratio, row.smallest, row.largest))
    return ratio if np.isnan(row.smallest) else f"{ratio} ({smallest} to {largest})"


def draw_ratios(rows):
    """A row for each task: how many times as long the fastest peer takes."""
    rows = by_family(ratios.headlines(rows))
    places, place, headings = [], 0.0, {}
    for row in rows:
        if row.family not in headings:
            headings[row.family] = place + 0.1
            place += 0.8
        places.append(place)
        place += 1.0
    figure = plt.figure(figsize=(4.8, 0.4 * place + 0.8), layout="constrained")
    ax = figure.add_subplot()
    left = 0.5
    ends = np.nanmax([(row.ratio, row.largest) for row in rows], axis=1)
    for row, y, end in zip(rows, places, ends, strict=True):
        color = "C0" if row.ratio >= 1 else "C1"
        ax.plot([row.smallest, row.largest], [y, y], color=color, lw=4, alpha=0.4)
        ax.plot(row.ratio, y, "o", ms=7, color=color)
        ax.annotate(f"{ratios.short(row.ratio)}{TIMES}{row.other}", (end, y), (8, 0),
                    textcoords="offset points", va="center", fontsize="small")  # fmt: skip
        ax.text(left, y - 0.42, in_words(row.task), va="center", fontsize="small")
    for family, y in headings.items():
        ax.text(left, y - 0.42, family.capitalize(), va="center", weight="bold")
    ax.axvline(1.0, color=GRAY, lw=1, alpha=0.5)
    ax.set(xscale="log", xlim=(left, 30 * ends.max()), yticks=[])
    ax.set_ylim(place - 0.3, -0.8)
    ax.set_xticks(ticks := [1, 10, 100, 1000, 10_000], [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("time of the fastest peer / ours")
    save(figure, "ratios")


def draw_dask(rows):
    """Three ways to one answer from a Dask array."""
    rows = [r for r in rows if "LeastSquares" in r.benchmark and r.family == "out_of_core"]
    seconds = {r.beside: r.ratio * r.milliseconds / 1e3 for r in rows}
    bars = [
        ("one sketch, with errors", rows[0].milliseconds / 1e3, "C0"),
        ("full precision", seconds["randla: full precision"], "C0"),
        ("dask.array.linalg.lstsq", seconds["peer: dask array linalg lstsq"], "C1"),
    ]
    figure, ax = plt.subplots(figsize=(5.2, 1.7), layout="constrained")
    ax.barh(range(3), [s for _, s, _ in bars], color=[color for *_, color in bars], height=0.6)
    for y, (_, s, _) in enumerate(bars):
        ax.annotate(f"{s:.2g} s", (s, y), (5, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(3), [name for name, *_ in bars])
    ax.set(xticks=[], ylim=(2.5, -0.5))
    ax.margins(x=0.15)
    ax.spines["bottom"].set_visible(False)
    save(figure, "dask")


def write_ratios(rows):
    """The tasks in words, where a peer is faster, and all rows."""
    write_table(
        "tasks",
        ["Task", "Ours", "Fastest peer", "Ratio"],
        [[in_words(r.task), ratios.duration(r.milliseconds), r.other, spread(r)]
         for r in by_family(ratios.headlines(rows))],
    )  # fmt: skip
    write_table(
        "faster_peers",
        ["Benchmark", "Size", "Ours", "Peer", "Ratio"],
        [[r.benchmark, r.size, ratios.duration(r.milliseconds), r.other, spread(r)]
         for r in rows if r.is_library and r.ratio < 1],
    )  # fmt: skip
    write_table(
        "all_ratios",
        ["Benchmark", "Compared with", "Ratio", "Ours, ms", "Size"],
        [[r.benchmark, r.beside, spread(r), f"{r.milliseconds:.3g}", r.size] for r in rows],
    )
    known = not all(np.isnan(r.smallest) for r in rows)
    (DRAWN / "rounds.txt").write_text(
        "Bars, and numbers in brackets, go from the smallest to the largest ratio of a round.\n"
        if known
        else ""
    )


# Examples that are not run when the pages are built: they need JAX, PyTorch or much memory


def draw_controls():
    """Costs on random directions, and what is left of them without three quadratic functions."""
    X, Y = datasets.gaussian_clouds(500, 10, rng=0)
    options = {"control_variate": "quadratic", "directions": "iid", "n_projections": 512}
    figure, ax = plt.subplots(layout="constrained")
    sliced_wasserstein(X, Y, rng=0, **options).plot(ax)
    save(figure, "controls")


def draw_samplers():
    """The noise that a network is given, and what it is to make of it: moons or circles."""
    rng = np.random.default_rng(0)
    noise, spread = rng.standard_normal((500, 2)), 0.05 * rng.standard_normal((1000, 2))
    angle = np.pi * rng.random(1000)
    moons = np.column_stack([np.cos(angle), np.sin(angle)])
    circles = np.column_stack([np.cos(2 * angle), np.sin(2 * angle)])
    moons[500:] = [1.0, 0.5] - moons[500:]
    circles += np.array([[-2.5, 0.0], [0.0, 0.0], [2.5, 0.0]])[rng.integers(3, size=1000)]
    for name, points in (("moons", moons), ("circles", circles)):
        figure, ax = plt.subplots(layout="constrained")
        ax.plot(*noise.T, ".", color=GRAY, ms=4, alpha=0.6, label="noise")
        ax.plot(*(points + spread).T, ".", ms=4, label="data")
        ax.set(aspect="equal", xlim=(-3.8, 3.8), ylim=(-2.2, 2.8), xticks=[], yticks=[])
        ax.legend(loc="upper left", ncols=2, markerscale=2)
        save(figure, name)


# How times grow


def read_curves():
    """{figure: {curve: rows}} of the times by size."""
    figures = {}
    with (DOCS / "benchmarks" / "scaling.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            figures.setdefault(row["figure"], {}).setdefault(row["curve"], []).append(row)
    return figures


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


def size_label(size):
    """Large powers of two and ten as such."""
    for base in (2, 10):
        power = round(np.log(size) / np.log(base))
        if size >= 1000 and base**power == size:
            return f"${base}^{{{power}}}$"
    return f"{size:g}"


def draw_curve(ax, title, rows):
    """Times, beside a fixed cost of a call plus a multiple of the law."""
    sizes, times, law = (column(rows, name) for name in ("size", "time", "law at this size"))
    # Relative errors count, as on the logarithmic axis.
    fixed, slope = nnls(np.column_stack([1.0 / times, law / times]), np.ones(len(times)))[0]
    label = f"c {in_words(rows[0]['law'])}"
    if fixed > 0.05 * times[0]:
        label = f"{fixed:.2g} ms + {label}"
    ax.loglog(sizes, fixed + slope * law, "--", color=GRAY, lw=1.2, label=label)
    ax.loglog(sizes, times, "o", color="C0")
    ax.set(xlabel=rows[0]["against"], ylabel="ms")
    ax.set_title(in_words(title), fontsize="small")
    ax.set_xticks(sizes, [size_label(size) for size in sizes])
    low, high = times.min() / 1.5, times.max() * 1.5
    ticks = [m * 10.0**k for k in range(-2, 6) for m in (1, 2, 5) if high < 200 * low or m == 1]
    ticks = [tick for tick in ticks if low < tick < high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.legend(fontsize="small")


def draw_scaling(figures):
    for name, curves in figures.items():
        if name == "threads":
            continue
        n_rows = -(-len(curves) // 2)
        size = 7.2, 2.7 * n_rows
        figure, axes = plt.subplots(n_rows, 2, figsize=size, layout="constrained", squeeze=False)
        for ax, (title, rows) in zip(axes.flat, curves.items(), strict=False):
            draw_curve(ax, title, rows)
        for ax in axes.flat[len(curves) :]:
            ax.set_axis_off()
        save(figure, f"scaling_{name}")


def draw_threads(curves):
    """How many times faster a call is with all threads."""
    figure, ax = plt.subplots(figsize=(5.6, 0.5 * len(curves) + 1.0), layout="constrained")
    for k, rows in enumerate(curves.values()):
        counts, times = column(rows, "size"), column(rows, "time")
        ax.barh(k, times[0] / times[-1], color="C0", height=0.6)
        ax.text(0.03, k, in_words(rows[0]["curve"]), color="white", va="center", fontsize="small")
    ax.axvline(counts[-1], color=GRAY, ls="--", lw=1)
    ax.set(yticks=[], ylim=(len(curves) - 0.5, -0.5), xlim=(0, 1.05 * counts[-1]))
    ax.set_xlabel(f"time with one thread / with {counts[-1]:.0f}")
    save(figure, "threads")


# Calibration

#: Forms of other packages and parts of an error, which are offered to be compared with.
FOR_COMPARISON = re.compile(r"iid|HC\d|CR1|nid|powell|bootstrap|sketch alone|Gauss only")
#: Intervals that fall short by more than three points: their mark in the picture and where.
EXCEPTIONS = {
    "a": ("regression", r"lp_regression, robust.*scale 0.3"),
    "b": ("sketching", r"sparse-sign.*aligned"),
    "c": ("sampling", r"p = 20"),
    "d": ("spectral", r"trace.*over ones"),
    "e": ("transport", r"population_interval.*(d = 2\b|50 and 30: two modes)"),
    "f": ("transport", r"plain, 30 iid"),
    "g": ("smoothing", r"^(paris|ffbs)"),
    "h": ("smoothing", r"mean_interval.*(outlier|informative)"),
    "i": ("smoothing", r"paris: monte_carlo_error"),
}
_ENDS = 0.5, 0.9995
_FAMILY, _LEVEL = 5.9, 1.6  # from one to the next


def read_coverage(family):
    """Name and data of each interval of a family, draws, three shares, their Monte Carlo errors."""
    with (DOCS / "calibration" / f"{family}.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if "refused" not in row["interval"]]
    names = [(row["interval"], row["data"]) for row in rows]
    shares = np.array([[float(row[f"{100 * level:.0f}%"]) for level in LEVELS] for row in rows])
    at_95, at_99 = column(rows, "error at 95"), column(rows, "error at 99")
    errors = np.column_stack([at_95 * np.sqrt(0.09 / 0.0475), at_95, at_99])
    return names, column(rows, "draws"), shares / 100, errors / 100


def mark_of(family, name):
    """The letter of a known exception, or nothing."""
    for mark, (where, pattern) in EXCEPTIONS.items():
        if family == where and re.search(pattern, "; ".join(name)):
            return mark
    return ""


def joined(marks, x):
    """[(place, letters)] at the lowest point of each mark; letters that would collide are one."""
    labels = []
    for place, mark in sorted((x[marks == mark].min(), mark) for mark in set(marks)):
        if labels and place - labels[-1][0] < 0.25:
            mark = f"{labels.pop()[1]} {mark}"
        labels.append((place, mark))
    return labels


def swarm(x, width):
    """Heights for points at x, so that they do not lie on one another."""
    heights, last = np.zeros(len(x)), {}
    for i in np.argsort(x):
        column = round(x[i] / width)
        count = last.get(column, 0)
        heights[i] = (count + 1) // 2 * (-1) ** count
        last[column] = count + 1
    return heights


def draw_level(ax, y, level, shares, errors, compared):
    """The shares of a family at one level, and a band of two typical Monte Carlo errors."""
    noise = 2 * np.median(errors[errors > 0])
    band = logit(np.clip([level - noise, level + noise], *_ENDS))
    ax.fill_between(band, y - 0.45, y + 0.45, color=GRAY, alpha=0.25, lw=0)
    ax.plot([logit(level)] * 2, [y - 0.45, y + 0.45], color=GRAY, lw=1)
    x = logit(np.clip(shares, *_ENDS))
    heights = np.clip(y + 0.07 * swarm(x, 0.07), y - 0.45, y + 0.45)
    for group, color in ((compared, "C1"), (~compared, "C0")):
        ax.plot(x[group], heights[group], ".", ms=3.5, color=color, mew=0)


def draw_coverage():
    """Every interval: the share that held the truth, beside the share that it promises."""
    n_intervals = n_good = 0
    draws = []
    figure, ax = plt.subplots(figsize=(4.8, 9.2), layout="constrained")
    ends = logit(np.array(_ENDS))
    for k, family in enumerate(FIRST):
        names, counts, shares, errors = read_coverage(family)
        draws.extend(counts)
        compared = np.array([bool(FOR_COMPARISON.search(interval)) for interval, _ in names])
        marks = np.array([mark_of(family, name) for name in names])
        short = ~compared & (shares[:, 1] < 0.92) & (shares[:, 1] + 3 * errors[:, 1] < 0.95)
        for i in np.flatnonzero(short & (marks == "")):
            raise ValueError(f"{family}, {names[i]}: falls short, and EXCEPTIONS has no mark of it")
        n_intervals += np.sum(~compared)
        n_good += np.sum(shares[~compared, 1] >= 0.93)
        top = _FAMILY * k
        ax.text(ends[0], top - 1, family.capitalize(), weight="bold", va="center")
        for j, level in enumerate(LEVELS):
            draw_level(ax, top + _LEVEL * j, level, shares[:, j], errors[:, j], compared)
            ax.text(ends[1] + 0.25, top + _LEVEL * j, f"{100 * level:.0f}%", va="center",
                    fontsize="small")  # fmt: skip
        for x, letters in joined(marks[short], logit(np.maximum(shares[short, 1], _ENDS[0]))):
            ax.text(x, top + _LEVEL - 0.75, letters, ha="center", va="center", weight="bold")
    ax.text(ends[1] + 0.25, -1, "promised", va="center", ha="center", fontsize="small")
    ax.set(ylim=(_FAMILY * len(FIRST) - 1.8, -1.5), xlim=(ends[0] - 0.3, ends[1] + 0.2), yticks=[])
    ticks = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99, _ENDS[1]]
    ax.set_xticks(logit(ticks), ["≤ 50", "70", "80", "90", "95", "99", "100"])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("intervals that held the truth, percent")
    ax.legend(handles=[plt.Line2D([], [], ls="", marker="o", ms=4, color=color, label=label)
                       for color, label in (("C0", "ours"), ("C1", "offered for comparison"))],
              loc="upper left", bbox_to_anchor=(0, 1.06), ncols=2)  # fmt: skip
    save(figure, "coverage")
    (DRAWN / "coverage.txt").write_text(
        f"At a nominal 95 percent, {n_good} of our {n_intervals} intervals hold the truth in at "
        f"least 93 percent of the draws. Each has {min(draws):.0f} to {max(draws):.0f} draws; "
        f"the median is {np.median(draws):.0f}.\n"
    )


def draw(app=None):
    """Everything in ``_drawn``."""
    assert set(FIRST) == set(FAMILIES)
    DRAWN.mkdir(exist_ok=True)
    rows = ratios.read()
    write_ratios(rows)
    with plt.rc_context():
        use_style()
        draw_ratios(rows)
        draw_dask(rows)
        draw_controls()
        draw_samplers()
        figures = read_curves()
        draw_scaling(figures)
        draw_threads(figures["threads"])
        draw_coverage()


def setup(app):
    app.connect("builder-inited", draw, priority=100)  # before the gallery, which uses some
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    draw()

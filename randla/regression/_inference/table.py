"""The table of coefficients: as text of at most 79 columns, as HTML and as a data frame."""

from __future__ import annotations

import html
import textwrap
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._typing import Array

Inference = Any  # it imports this module

_WIDTH = 79
_LONGEST = 10  # digits, point and sign of a number without an exponent
_GAP = 2  # between columns, 1 if they would be too wide


@dataclass(frozen=True)
class Block:
    """The table of one fit: rows of cells, the first of which is a name; or the parts of errors."""

    header: list[str]
    rows: list[list[str]]
    is_first: bool = True  # of its fit


def as_text(inference: Inference) -> str:
    """All blocks below one head, with notes at the foot."""
    blocks, notes = blocks_of(inference), notes_of(inference)
    lines = [inference._model.center(_WIDTH).rstrip(), "=" * _WIDTH, *_head(facts_of(inference))]
    for block in blocks:
        lines += [("=" if block.is_first else "-") * _WIDTH, *_aligned(block)]
    lines += ["=" * _WIDTH]
    for note in notes:
        lines += _wrapped(note)
    return "\n".join(lines)


def as_html(inference: Inference) -> str:
    """The summary as HTML tables."""
    facts = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in facts_of(inference)
    )
    parts = [f"<table><caption>{html.escape(inference._model)}</caption>{facts}</table>"]
    for block in blocks_of(inference):
        head = "".join(f"<th>{html.escape(name)}</th>" for name in block.header)
        body = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            + "".join(f"<td style='text-align:right'>{html.escape(cell)}</td>" for cell in cells)
            + "</tr>"
            for name, *cells in block.rows
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    parts += [f"<p>{html.escape(note)}</p>" for note in notes_of(inference)]
    return "".join(parts)


def as_frame(inference: Inference) -> Any:
    """A data frame with a row for each coefficient."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install pandas") from error
    low, high = inference.confidence_interval()
    columns = {
        "estimate": inference.estimate,
        "std_error": inference.standard_error,
        "t": inference.t,
        "p": inference.p,
        "low": low,
        "high": high,
    }
    if len(inference._columns) > 1:
        levels = [inference._columns, inference.names]
        index = pandas.MultiIndex.from_product(levels, names=[inference._column_kind, "name"])
    else:
        index = pandas.Index(inference.names, name="name")
    return pandas.DataFrame({key: v.T.reshape(-1) for key, v in columns.items()}, index=index)


def facts_of(inference: Inference) -> list[tuple[str, str]]:
    """The facts above the table."""
    formula = inference._labels.formula
    n_dropped = 0 if formula is None else formula.n_dropped
    dropped = f" ({n_dropped} dropped: missing)" if n_dropped else ""
    facts = [
        ("Formula", "" if formula is None else formula.text),
        ("Response", ", ".join(inference._labels.responses)),
        ("Errors", inference.kind),
        ("Rows", f"{inference.n_rows}{dropped}"),
        ("Groups", "" if inference.n_groups is None else str(inference.n_groups)),
        ("df", _common_df(inference) or "of each coefficient, see below"),
        ("Assumed", inference._assumed),
    ]
    return [(name, value) for name, value in facts if value]


def notes_of(inference: Inference) -> list[str]:
    """The notes below the table."""
    notes = list(inference._notes)
    if np.isnan(inference.standard_error).any():
        notes.insert(0, "nan: the data do not determine this coefficient or its error.")
    elif np.isnan(inference.p).any():
        notes.insert(0, "nan: the fit is perfect, and this coefficient zero up to rounding.")
    if (inference.algorithmic_error > 0.0).any():
        notes.insert(
            0,
            "std err has two parts: of data is the statistical error, of sketch that of the "
            "algorithm, given the data; their squares add up.",
        )
    return [f"{note[0].upper() if note[:4] != 'nan:' else 'n'}{note[1:]}" for note in notes if note]


def blocks_of(inference: Inference) -> list[Block]:
    """One block for each fit, followed by the parts of the error if there are two."""
    blocks = []
    for j in range(inference.estimate.size // len(inference.estimate)):
        blocks.append(_coefficients(inference, j))
        if (_of_fit(inference.algorithmic_error, j) > 0.0).any():
            blocks.append(_parts(inference, j))
    return blocks


def _coefficients(inference: Inference, j: int) -> Block:
    header = [title(inference, j), "coef", "std err", "t", "P>|t|", "[0.025", "0.975]"]
    numbers = (
        inference.estimate, inference.standard_error, inference.t, inference.p,
        *inference.confidence_interval(),
    )  # fmt: skip
    rows = [
        [_on_one_line(name), *_cells(*row)]
        for name, *row in zip(inference.names, *(_of_fit(v, j) for v in numbers), strict=True)
    ]
    if not _common_df(inference):
        header.append("df")
        for row, df in zip(rows, _of_fit(inference.degrees_of_freedom, j), strict=True):
            row.append(_degrees(df))
    return Block(header, rows)


def _parts(inference: Inference, j: int) -> Block:
    errors = inference.standard_error, inference.statistical_error, inference.algorithmic_error
    rows = [
        [_on_one_line(name), *map(_number, row)]
        for name, *row in zip(inference.names, *(_of_fit(v, j) for v in errors), strict=True)
    ]
    return Block(["", "std err", "of data", "of sketch"], rows, is_first=False)


def _of_fit(values: Array, j: int) -> Array:
    return values.reshape(len(values), -1)[:, j]


def title(inference: Inference, j: int) -> str:
    """The name of a fit among several."""
    if not inference._columns:
        return ""
    column = inference._columns[j]
    if inference._column_kind == "tau":
        return f"tau = {column:g}"
    return f"column {column}" if isinstance(column, int) else _on_one_line(column)


def _on_one_line(name: str) -> str:
    return " ".join(name.split())


def _common_df(inference: Inference) -> str:
    """The degrees of freedom in words, if all are equal."""
    df = inference.degrees_of_freedom[np.isfinite(inference.standard_error)]
    if df.size == 0 or (df != df.flat[0]).any():
        return ""
    return "inf, the normal law" if np.isinf(df.flat[0]) else _degrees(df.flat[0])


def _head(facts: list[tuple[str, str]]) -> list[str]:
    """Short facts two on a line, long ones on their own."""
    lines: list[str] = []
    half = _WIDTH // 2
    waiting = ""
    for name, value in facts:
        text = f"{name + ':':<10}{value}"
        if _width(text) < half - 1:
            if waiting:
                lines.append(_filled(waiting, half) + text)
            waiting = "" if waiting else text
            continue
        if waiting:
            lines.append(waiting)
            waiting = ""
        lines += _wrapped(text, " " * 10)
    return lines + ([waiting] if waiting else [])


def _aligned(block: Block) -> list[str]:
    """Cells below one another; a name that is too long gets lines of its own."""
    cells = [block.header, *block.rows]
    widths = [max(len(row[j]) for row in cells) for j in range(1, len(block.header))]
    gap = _GAP if sum(widths) + len(widths) * _GAP <= _WIDTH - 16 else 1
    room = _WIDTH - sum(widths) - len(widths) * gap
    room = min(room, max(16, max(_width(row[0]) for row in cells)))
    lines = []
    for name, *numbers in cells:
        row = "".join(f"{v:>{w + gap}}" for v, w in zip(numbers, widths, strict=True))
        if _width(name) > room:
            lines += _wrapped(name)
            name = ""
        lines.append((_filled(name, room) + row).rstrip())
    return [lines[0], "-" * _WIDTH, *lines[1:]]


def _width(text: str) -> int:
    """Columns of a terminal: two for East Asian wide characters, none for combining ones."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me", "Cf") for c in text)


def _filled(text: str, room: int) -> str:
    return text + " " * (room - _width(text))


def _wrapped(text: str, indent: str = "") -> list[str]:
    text = "".join(c + "\0" * (_width(c) - 1) for c in text)  # as long as it is wide
    most = _WIDTH - ("\0" in text)  # the last one on a line may be cut
    lines = textwrap.wrap(text, most, subsequent_indent=indent) or [""]
    return [line.replace("\0", "") for line in lines]


def _cells(x: float, error: float, t: float, p: float, low: float, high: float) -> list[str]:
    """Numbers to four digits of their error, if that is short."""
    numbers = [x, error, low, high]
    texts = [_number(v) for v in numbers]
    if 0.0 < error < np.inf:
        decimals = max(3 - int(np.floor(np.log10(error))), 0)
        fixed = [f"{v:.{decimals}f}" for v in numbers]
        texts = fixed if max(map(len, fixed)) <= _LONGEST else texts
    return [*texts[:2], _statistic(t), _p_value(p), *texts[2:]]


def _number(value: float) -> str:
    """Five digits, without an exponent if that is short."""
    text = f"{value:.5g}"
    if "e" in text:
        return f"{value:.4g}" if "e" in f"{value:.4g}" else f"{value:.0f}"
    return text


def _statistic(t: float) -> str:
    if abs(t) < 1000.0:
        return f"{t:.3f}" if abs(t) < 10.0 else f"{t:.2f}"
    return f"{t:.4g}"


def _degrees(df: float) -> str:
    """Degrees of freedom, whole numbers without decimals."""
    if not 0.1 <= df < 1e6:
        return f"{df:.4g}"
    return f"{df:.0f}" if df == round(df) else f"{df:.1f}"


def _p_value(value: float) -> str:
    return f"{value:.3f}" if not value < 0.001 or value == 0.0 else f"{value:.1e}"

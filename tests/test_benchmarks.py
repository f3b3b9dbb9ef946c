"""The tables of ratios that the README and the documentation quote."""

import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command_line, ratios

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_readme_quotes_the_table():
    assert ratios.readme_table(ratios.read()) in README.read_text()


@pytest.mark.parametrize(
    ("beside", "is_library", "other"),
    [
        ("peer: numpy qr", True, "NumPy (QR)"),
        ("peer: statsmodels", True, "statsmodels"),
        ("peer: qr of all rows", False, "QR of all rows"),
        ("peer: randla one by one", False, "randla one by one"),
        ("floor: numpy lstsq", False, "NumPy (lstsq)"),
        ("maximum: ", False, ""),
    ],
)
def test_libraries_are_told_from_words(beside, is_library, other):
    row = ratios.Comparison("task", "a.B", "n=1", 1.0, beside, 2.0, 1.0, 3.0)
    assert (row.is_library, row.other) == (is_library, other)
    assert ratios.headlines([row]) == [row] * is_library


@pytest.mark.parametrize("option", ["LeastSquares", "--all", "--quick"])
def test_a_part_of_the_benchmarks_does_not_replace_the_table(option, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--write", option])
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    assert "--write" in capsys.readouterr().err

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
        ("randla: one by one", False, "one by one"),
        ("compare: numpy lstsq", False, "NumPy (lstsq)"),
    ],
)
def test_libraries_are_told_from_words(beside, is_library, other):
    row = ratios.Comparison("task", "a.B", "n=1", 1.0, beside, 2.0, 1.0, 3.0)
    assert (row.is_library, row.other) == (is_library, other)
    assert ratios.headlines([row]) == [row] * is_library


def test_labels_are_of_four_kinds_and_say_what_is_compared():
    rows = ratios.read()
    assert {row.kind for row in rows} == {"peer", "floor", "compare", "randla"}
    assert all(row.beside.partition(": ")[2] for row in rows)


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (6837.2, "6,837"), (9.96, "10"), (9.94, "9.9"), (1.0, "1.0"), (0.997, "1.0"),
        (0.97, "0.97"), (0.2, "0.20"), (0.0824, "0.082"), (0.00314, "0.0031"),
    ],
)  # fmt: skip
def test_ratios_have_two_digits(ratio, shown):
    assert ratios.short(ratio) == shown


@pytest.mark.parametrize("option", ["LeastSquares", "--all", "--quick"])
def test_a_part_of_the_benchmarks_does_not_replace_the_table(option, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--write", option])
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    assert "--write" in capsys.readouterr().err

"""A table of measurements, one a line, that people and programs can read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Row:
    """One line: what was measured, at which size, and what came out.

    Attributes
    ----------
    section, item : str
        What it is, such as "share" and "select mean-pr: pick".
    value : float or str
    unit : str
        Empty for a ratio.
    C, T, D, picks : int, optional
        Candidates (or rows), targets, features, picks.
    threads : int, optional
    low, high : float, optional
        Smallest and largest of the rounds of which `value` is the median.
    note : str
    """

    section: str
    item: str
    value: float | str
    unit: str = ""
    C: int | None = None
    T: int | None = None
    D: int | None = None
    picks: int | None = None
    threads: int | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Row))

_COUNTS = ("C", "T", "D", "picks", "threads")


def write_table(rows: Iterable[Row], file: TextIO) -> None:
    """Write a header and a line for each row; numbers with four digits, empty where nothing is."""
    writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_text(getattr(row, name)) for name in COLUMNS])


def read_table(path: Path) -> list[Row]:
    """Read what `write_table` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(**_values(line)) for line in csv.DictReader(file, delimiter="\t")]


def of_section(rows: Sequence[Row], section: str) -> list[Row]:
    """Lines of a section, in their order."""
    return [row for row in rows if row.section == section]


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())


def _values(line: dict[str, str]) -> dict[str, object]:
    values: dict[str, object] = {**line}
    for name in _COUNTS:
        values[name] = int(line[name]) if line[name] else None
    for name in ("low", "high"):
        values[name] = float(line[name]) if line[name] else None
    values["value"] = _number(line["value"])
    return values


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

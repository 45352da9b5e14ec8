"""Files of a result directory: tables and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prcli.data.tables import write_table


def write_tsv(path: Path, names: Sequence[str], table: Mapping[str, ArrayLike]) -> None:
    """Write columns of a table in an order."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        write_table(file, "tsv", names, [table])


def write_report(path: Path, content: Mapping[str, object]) -> None:
    """Write a report as JSON; numbers that are not finite become strings."""
    text = json.dumps(_finite(content), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def distribution(values: NDArray[np.float64]) -> dict[str, float] | None:
    """Summarize finite values; None where there are none."""
    if not values.size:
        return None
    return {
        "mean": float(values.mean()),
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
    }


def table_rows(table: Mapping[str, NDArray[np.generic]]) -> list[dict[str, object]]:
    """Give a table as a list of its rows."""
    columns = [values.tolist() for values in table.values()]
    return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]


def _finite(content: object) -> object:
    """Spell numbers that JSON does not have."""
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return "nan" if np.isnan(content) else "inf" if content > 0 else "-inf"
    return content

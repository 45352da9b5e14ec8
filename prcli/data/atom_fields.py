"""Columns of any kind, read of some atoms of a frame only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prcli.data.column_layout import Column
from prcli.errors import FormatError, InputFileError

_TRUTH = {
    **dict.fromkeys((b"T", b"true", b"True", b"TRUE", b"1"), True),
    **dict.fromkeys((b"F", b"false", b"False", b"FALSE", b"0"), False),
}


def atom_fields(lines: Sequence[bytes], column: Column, where: str | None = None) -> np.ndarray:
    """Read a column of some atoms.

    Parameters
    ----------
    lines : sequence of bytes
        Lines of these atoms, as `prcli.data.columns.atom_lines` cuts them.
    column : Column
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    (n,) or (n, width) array
        Of float64, int64, bool or str, as the kind of the column is R, I, L or S.

    Raises
    ------
    InputFileError
        If a line has too few fields.
    FormatError
        If a field is not of its kind.
    """
    stop = column.start + column.width
    fields = [line.split(None, stop)[column.start : stop] for line in lines]
    short = next((row for row in fields if len(row) < column.width), None)
    if short is not None:
        raise InputFileError(
            "atom line has too few fields",
            where=where,
            expected=f"{column.width} of column {column.name!r}",
            got=str(len(short)),
        )
    flat = [field for row in fields for field in row]
    try:
        values = _values(flat, column.kind)
    except (ValueError, KeyError) as error:
        raise FormatError(
            f"column {column.name!r} holds something else than its kind {column.kind}",
            where=where,
            got=str(error),
        ) from error
    return values if column.width == 1 else values.reshape(len(fields), column.width)


def _values(fields: list[bytes], kind: str) -> np.ndarray:
    """Turn fields into values of a kind."""
    if kind == "R":
        return np.array([float(field) for field in fields], dtype=np.float64)
    if kind == "I":
        return np.array([int(field) for field in fields], dtype=np.int64)
    if kind == "L":
        return np.array([_TRUTH[field] for field in fields], dtype=bool)
    return np.array([field.decode("utf-8", "replace") for field in fields], dtype=np.str_)

"""Keys and columns added to a frame while every other byte stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike

from prcli.data.column_layout import ColumnLayout, column_layout
from prcli.data.columns import atom_lines
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.frame_edits import (
    Edit,
    apply_edits,
    check_name,
    declare_column,
    replace_atom_lines,
    replace_comment,
)
from prcli.errors import FormatError, MismatchError

_BARE_TEXT = re.compile(r"""[^\s,="'{}\[\]\\]+""")
_FIELD = re.compile(rb"\S+")


def annotate(
    frame: bytes,
    values: Mapping[str, object],
    overwrite: bool = False,
    where: str | None = None,
) -> bytes:
    """Add ``key=value`` pairs at the end of the comment line.

    Parameters
    ----------
    frame : bytes
        Whole frame.
    values : mapping
        Bools, integers, reals (written so that they read back exactly), strings, or vectors of
        bools or numbers, by key.
    overwrite : bool
        Replace the values of keys that are there already.
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    bytes
        The frame; all bytes besides the comment line, and its line ending, are the same.

    Raises
    ------
    FormatError
        If a key is there already, or the comment line cannot take more keys because a quote in
        it is not closed.
    """
    line = comment(frame)
    present = {pair.key: pair for pair in comment_pairs(line)}
    edits = []
    for key, value in values.items():
        check_name(key, where)
        pair, text = present.get(key.encode()), format_value(value).encode()
        if pair is None:
            edits.append(Edit(len(line), len(line), b" " + key.encode() + b"=" + text))
        elif overwrite:
            edits.append(Edit(pair.start, pair.end, (b"=" if pair.value is None else b"") + text))
        else:
            raise _exists("key", key, where)
    return replace_comment(frame, line, apply_edits(line, edits), list(values), where)


def add_column(
    frame: bytes,
    name: str,
    values: ArrayLike,
    overwrite: bool = False,
    where: str | None = None,
) -> bytes:
    """Add a column of real numbers at the end of the atom lines.

    Parameters
    ----------
    frame : bytes
        Whole frame. One without ``Properties`` must have four columns and gets ``Properties``.
    name : str
        Name of the column.
    values : (n,) or (n, k) array
        One per atom, or k > 1; written so that they read back exactly.
    overwrite : bool
        Replace the numbers of a real column of that width that is there already.
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    bytes
        The frame; its line endings, spaces and everything else are the same.

    Raises
    ------
    FormatError
        If the column is there already, or atom lines have other columns than declared.
    MismatchError
        If there is not one value, or row of values, per atom.
    """
    check_name(name, where)
    line = comment(frame)
    layout = column_layout(line)
    lines = atom_lines(frame, where)
    numbers = np.asarray(values, dtype=np.float64)
    width = numbers.shape[1] if numbers.ndim == 2 and numbers.shape[1] > 1 else 1
    expected = (len(lines),) if width == 1 else (len(lines), width)
    if numbers.shape != expected:
        raise MismatchError(
            f"values of column {name!r} do not fit the atoms",
            where=where,
            expected=f"shape {expected}",
            got=f"shape {numbers.shape}",
        )
    fields = _find_fields(layout, name, width, overwrite, where)
    texts = [
        " ".join(map(repr, row)).encode() for row in numbers.reshape(len(lines), width).tolist()
    ]
    new_lines = [
        _set_fields(old, fields, layout.n_fields, text, atom, where)
        for atom, (old, text) in enumerate(zip(lines, texts, strict=True))
    ]
    new_frame = replace_atom_lines(frame, lines, new_lines)
    if fields is not None:
        return new_frame
    new_line = apply_edits(line, [declare_column(line, name, width)])
    return replace_comment(new_frame, line, new_line, ["Properties"], where)


def format_value(value: object) -> str:
    """Write a value as comment lines have it.

    Parameters
    ----------
    value : bool, int, float, str or (n,) array
        What to write.

    Returns
    -------
    str
        T or F, a number that reads back exactly, or text, in double quotes where needed.

    Raises
    ------
    FormatError
        If the value is of another kind, or is text with a line break.
    """
    if isinstance(value, str) and "\n" not in value and "\r" not in value:
        if _BARE_TEXT.fullmatch(value):
            return value
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "biuf":
        return '"' + " ".join(map(format_value, value.tolist())) + '"'
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    raise FormatError(
        "value cannot be written into a comment line",
        expected="a truth value, a number, one line of text, or a vector of numbers",
        got=repr(value)[:80],
    )


def _exists(noun: str, name: str, where: str | None) -> FormatError:
    """Say that a name is taken."""
    return FormatError(
        f"{noun} {name!r} is there already",
        where=where,
        expected=f"a structure without this {noun}",
        remedy=f"choose another name, or overwrite the {noun}",
    )


def _find_fields(
    layout: ColumnLayout, name: str, width: int, overwrite: bool, where: str | None
) -> slice | None:
    """Find the fields to overwrite; None for a new column."""
    column = layout.find(name)
    if column is None:
        return None
    if not overwrite:
        raise _exists("column", name, where)
    if column.kind != "R" or column.width != width:
        raise FormatError(
            f"column {name!r} cannot be overwritten",
            where=where,
            expected=f"{name}:R:{width}",
            got=f"{name}:{column.kind}:{column.width}",
            remedy="choose another name",
        )
    return slice(column.start, column.start + width)


def _set_fields(
    line: bytes, fields: slice | None, n_fields: int, text: bytes, atom: int, where: str | None
) -> bytes:
    """Append fields to an atom line, or replace some that follow each other."""
    n_got = len(line.split())
    if n_got != n_fields:
        raise FormatError(
            "atom line has other columns than declared",
            where=f"{where + ', ' if where else ''}atom {atom}",
            expected=f"{n_fields} fields",
            got=f"{n_got}",
            remedy="correct Properties, or write a table instead",
        )
    if fields is not None:
        found = list(_FIELD.finditer(line))[fields]
        return line[: found[0].start()] + text + line[found[-1].end() :]
    end = len(line) - line.endswith(b"\r")
    return line[:end] + b" " + text + line[end:]

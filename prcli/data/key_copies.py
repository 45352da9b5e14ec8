"""Keys and columns of a frame given once more under another name, in the same digits."""

from __future__ import annotations

import re

from prcli.data.column_layout import column_layout
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
from prcli.errors import FormatError

_FIELD = re.compile(rb"\S+")


def has_key(frame: bytes, key: str) -> bool:
    """Whether the comment line gives a key a value."""
    name = key.encode()
    pairs = comment_pairs(comment(frame))
    return any(pair.key == name and pair.value is not None for pair in pairs)


def has_column(frame: bytes, name: str) -> bool:
    """Whether the atoms have a column."""
    return column_layout(comment(frame)).find(name) is not None


def copy_key(frame: bytes, old: str, new: str, where: str | None = None) -> bytes:
    """Give the value of a key of the comment line a second name.

    Parameters
    ----------
    frame : bytes
        Whole frame, with a value for `old` and without `new`.
    old, new : str
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    bytes
        The frame; the value stands at the end of the comment line as it stands elsewhere.
    """
    check_name(new, where)
    line = comment(frame)
    pair = [each for each in comment_pairs(line) if each.key == old.encode()][-1]
    text = b" " + new.encode() + b"=" + line[pair.start : pair.end]
    return replace_comment(
        frame, line, apply_edits(line, [Edit(len(line), len(line), text)]), [new], where
    )


def copy_column(frame: bytes, old: str, new: str, where: str | None = None) -> bytes:
    """Give a column of numbers of the atoms a second name.

    Parameters
    ----------
    frame : bytes
        Whole frame, with the column `old` and without `new`.
    old, new : str
    where : str, optional

    Returns
    -------
    bytes
        The frame; the fields stand at the end of the atom lines as they stand elsewhere.

    Raises
    ------
    FormatError
        If the column does not hold numbers, or an atom line has too few fields.
    """
    check_name(new, where)
    line = comment(frame)
    layout = column_layout(line)
    column = layout.find(old)
    # Zeros everywhere are often written as integers; the copy is declared as real numbers.
    if column is None or column.kind not in "RI":
        raise FormatError(
            f"column {old!r} does not hold numbers",
            where=where,
            expected=f"{old}:R:3",
            got="no such column" if column is None else f"{old}:{column.kind}:{column.width}",
        )
    lines = atom_lines(frame, where)
    wanted = slice(column.start, column.start + column.width)
    new_lines = []
    for atom, old_line in enumerate(lines):
        found = list(_FIELD.finditer(old_line))
        if len(found) != layout.n_fields:
            raise FormatError(
                "atom line has other columns than declared",
                where=f"{where + ', ' if where else ''}atom {atom}",
                expected=f"{layout.n_fields} fields",
                got=str(len(found)),
            )
        fields = b" ".join(match.group() for match in found[wanted])
        end = len(old_line) - old_line.endswith(b"\r")
        new_lines.append(old_line[:end] + b" " + fields + old_line[end:])
    frame = replace_atom_lines(frame, lines, new_lines)
    new_line = apply_edits(line, [declare_column(line, new, column.width)])
    return replace_comment(frame, line, new_line, ["Properties"], where)

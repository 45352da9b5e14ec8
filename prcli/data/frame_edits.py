"""Pieces of a frame replaced by others, and a check that it reads as intended."""

from __future__ import annotations

import re
from typing import NamedTuple

from prcli.data.column_layout import DEFAULT_PROPERTIES
from prcli.data.comment_pairs import Pair, comment_pairs
from prcli.errors import FormatError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_CLOSERS = (b'"', b"'", b"}", b"]")


class Edit(NamedTuple):
    """Bytes to put in place of others."""

    start: int
    end: int
    text: bytes


def apply_edits(line: bytes, edits: list[Edit]) -> bytes:
    """Make edits from the last to the first; those at one place keep their order."""
    for edit in reversed(sorted(edits, key=lambda edit: edit.start)):
        line = line[: edit.start] + edit.text + line[edit.end :]
    return line


def replace_comment(
    frame: bytes, old: bytes, new: bytes, changed: list[str], where: str | None
) -> bytes:
    """Put in another comment line, once it is sure that it reads as intended."""
    names = {name.encode() for name in changed}

    def kept(pairs: list[Pair]) -> list[tuple[bytes, bytes | None]]:
        return [(pair.key, pair.value) for pair in pairs if pair.key not in names]

    before, after = comment_pairs(old), comment_pairs(new)
    if kept(before) != kept(after) or not names <= {pair.key for pair in after}:
        raise FormatError(
            "comment line cannot take another key",
            where=where,
            expected="a line in which every quote and bracket is closed",
            got="..." + repr(old[-60:].decode("utf-8", "replace")),
        )
    start = frame.index(b"\n") + 1
    return frame[:start] + new + frame[start + len(old) :]


def replace_atom_lines(frame: bytes, old: list[bytes], new: list[bytes]) -> bytes:
    """Put in other atom lines, of which there are as many."""
    start = frame.index(b"\n", frame.index(b"\n") + 1) + 1 if old else len(frame)
    end = start + sum(map(len, old)) + max(len(old) - 1, 0)
    return frame[:start] + b"\n".join(new) + frame[end:]


def declare_column(line: bytes, name: str, width: int) -> Edit:
    """Extend ``Properties``, or add it."""
    column = f":{name}:R:{width}".encode()
    pairs = [pair for pair in comment_pairs(line) if pair.key == b"Properties"]
    if not pairs:
        return Edit(len(line), len(line), b" Properties=" + DEFAULT_PROPERTIES + column)
    end = pairs[-1].end
    end -= line[:end].endswith(_CLOSERS)
    return Edit(end, end, column)


def check_name(name: str, where: str | None) -> None:
    """Refuse names that other programs would not read."""
    if not _NAME.fullmatch(name):
        raise FormatError(
            "name cannot be written into a frame",
            where=where,
            expected="letters, digits, underscores, dots and hyphens, beginning with a letter",
            got=repr(name),
        )

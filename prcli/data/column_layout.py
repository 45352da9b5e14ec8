"""Which columns the atom lines of a frame have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from prcli.data.comment_pairs import comment_pairs
from prcli.errors import FormatError

DEFAULT_PROPERTIES = b"species:S:1:pos:R:3"
#: name:kind:width; metatrain writes names with double colons, such as ``mtt::aux::spread``.
_COLUMN = re.compile(r"([^:]+(?:::[^:]+)*):([SRIL]):([0-9]+)(?::(?!$)|$)")


@dataclass(frozen=True)
class Column:
    """A named run of fields in every atom line.

    Attributes
    ----------
    name : str
        As ``Properties`` spells it.
    kind : {"S", "R", "I", "L"}
        String, real, integer or logical.
    start, width : int
        First field, and number of fields.
    """

    name: str
    kind: str
    start: int
    width: int


@dataclass(frozen=True)
class ColumnLayout:
    """The columns of a frame, in order.

    Attributes
    ----------
    columns : tuple of Column
        They follow each other without gaps.
    declared : bool
        Whether the comment line has ``Properties``; plain xyz has not.
    """

    columns: tuple[Column, ...]
    declared: bool

    @property
    def n_fields(self) -> int:
        """Number of fields in an atom line."""
        return self.columns[-1].start + self.columns[-1].width

    @property
    def text(self) -> str:
        """The columns as ``Properties`` spells them."""
        return ":".join(f"{c.name}:{c.kind}:{c.width}" for c in self.columns)

    def find(self, name: str) -> Column | None:
        """Look a column up by name."""
        return next((column for column in self.columns if column.name == name), None)


def column_layout(line: bytes) -> ColumnLayout:
    """Tell the columns of a frame by its comment line.

    Parameters
    ----------
    line : bytes
        Comment line. Without ``Properties`` the columns are an element symbol and a position.

    Returns
    -------
    ColumnLayout
        What ``Properties`` declares.

    Raises
    ------
    FormatError
        If ``Properties`` is not a list of name:kind:width.
    """
    if b"Properties" in line:
        for pair in reversed(comment_pairs(line)):
            if pair.key == b"Properties":
                return _parse_properties(pair.value or b"", True)
    return _parse_properties(DEFAULT_PROPERTIES, False)


@lru_cache(maxsize=64)
def _parse_properties(value: bytes, declared: bool) -> ColumnLayout:
    """Parse ``name:kind:width:...``; frames of one file mostly declare the same."""
    text = value.decode("utf-8", "replace")
    columns: list[Column] = []
    start = end = 0
    while match := _COLUMN.match(text, end):
        name, kind, width = match[1], match[2], int(match[3])
        columns.append(Column(name, kind, start, width))
        start, end = start + width, match.end()
    is_whole = end == len(text) > 0 and all(column.width for column in columns)
    if not is_whole or len({c.name for c in columns}) < len(columns):
        raise FormatError(
            "Properties cannot be understood",
            expected="name:kind:width, repeated, with different names and kinds S, R, I or L",
            got=repr(text),
        )
    return ColumnLayout(tuple(columns), declared)

"""Which columns the atom lines of a frame have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from prcli.data.comment_pairs import comment_pairs
from prcli.errors import FormatError

DEFAULT_PROPERTIES = b"species:S:1:pos:R:3"
_KINDS = ("S", "R", "I", "L")


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
    fields = text.split(":")
    columns: list[Column] = []
    start = 0
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        if not name or kind not in _KINDS or not width.isdecimal() or int(width) < 1:
            break
        columns.append(Column(name, kind, start, int(width)))
        start += int(width)
    if 3 * len(columns) != len(fields) or len({c.name for c in columns}) < len(columns):
        raise FormatError(
            "Properties cannot be understood",
            expected="name:kind:width, repeated, with different names and kinds S, R, I or L",
            got=repr(text),
        )
    return ColumnLayout(tuple(columns), declared)

"""The comment line of a frame, cut into keys and values without interpreting them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

#: The usual pair: no escapes, no brackets, no space around the equals sign.
_ORDINARY = re.compile(
    rb"""([^\s="'{}\[\]\\]+)(?:=(?:"([^"\\]*)"|([^\s="'{}\[\]\\]+)))?(?:\s+(?![\s=])|\Z)"""
)
_SPACES = re.compile(rb"\s+")
_PLAIN = re.compile(rb"""[^\s='"{\[\\]+""")
_QUOTED = {
    quote: re.compile(rb"[^\\%b]*(?:\\.[^\\%b]*)*" % (close, close), re.DOTALL)
    for quote, close in ((b'"', b'"'), (b"'", b"'"), (b"{", b"}"), (b"[", rb"\]"))
}
_BRACKET = {
    b"{": re.compile(rb"\\.|[{}]", re.DOTALL),
    b"[": re.compile(rb"\\.|[\[\]]", re.DOTALL),
}
_ESCAPE = re.compile(rb"\\(.?)", re.DOTALL)


class Pair(NamedTuple):
    """One ``key=value`` of a comment line.

    Attributes
    ----------
    key : bytes
        Without quotes and escapes.
    value : bytes or None
        Without quotes and escapes; None for a bare key, which is a flag that is set.
    start, end : int
        Bytes of the comment line that the value takes, quotes included; both the end of the key
        for a flag.
    nested : bool
        Whether the value had brackets within brackets.
    """

    key: bytes
    value: bytes | None
    start: int
    end: int
    nested: bool = False


class _Token(NamedTuple):
    """An equals sign, a run of spaces, or a piece of a key or value."""

    kind: Literal["equals", "space", "piece"]
    content: bytes
    start: int
    end: int
    nested: bool = False


def comment(frame: bytes) -> bytes:
    """Cut the comment line out of a frame.

    Parameters
    ----------
    frame : bytes
        From its count line on.

    Returns
    -------
    bytes
        Without line ending.
    """
    start = frame.find(b"\n") + 1
    end = frame.find(b"\n", start)
    line = frame[start:] if end < 0 else frame[start:end]
    return line[:-1] if line.endswith(b"\r") else line


def comment_pairs(line: bytes) -> list[Pair]:
    """Split a comment line into its pairs, without interpreting values.

    Parameters
    ----------
    line : bytes
        Any bytes.

    Returns
    -------
    list of Pair
        In order of appearance; a key may occur more than once, and then the last one holds.
    """
    end = len(line.rstrip())
    position = len(line) - len(line.lstrip())
    pairs = []
    while position < end:
        match = _ORDINARY.match(line, position, end)
        if match is None:
            return _scan_pairs(line)
        key, quoted, plain = match.groups()
        if plain is not None:
            pairs.append(Pair(key, plain, *match.span(3)))
        elif quoted is not None:
            start, stop = match.span(2)
            pairs.append(Pair(key, quoted, start - 1, stop + 1))
        else:
            pairs.append(Pair(key, None, match.end(1), match.end(1)))
        position = match.end()
    return pairs


def _scan_pairs(line: bytes) -> list[Pair]:
    """Split a comment line that holds escapes, brackets or spaces around equals signs."""
    groups: list[list[_Token]] = []
    space_before, before = True, ""
    for token in _tokens(line):
        if token.kind == "space":
            space_before = True
            continue
        # Spaces end a pair, but not those on either side of an equals sign.
        if groups and (not space_before or "equals" in (token.kind, before)):
            groups[-1].append(token)
        else:
            groups.append([token])
        space_before, before = False, token.kind
    pairs = map(_make_pair, groups)
    return [pair for pair in pairs if pair.key or pair.value is not None]


def _tokens(line: bytes) -> Iterator[_Token]:
    """Cut a comment line into tokens that cover it."""
    position = 0
    while position < len(line):
        match = _SPACES.match(line, position)
        if match:
            token = _Token("space", b"", position, match.end())
        elif line[position] == ord("="):
            token = _Token("equals", b"=", position, position + 1)
        else:
            token = _read_piece(line, position)
        yield token
        position = token.end


def _read_piece(line: bytes, position: int) -> _Token:
    """Read an escaped character, something in quotes or brackets, or a run of plain bytes."""
    opener = line[position : position + 1]
    match = _PLAIN.match(line, position)
    if match:
        return _Token("piece", match.group(), position, match.end())
    if opener == b"\\":
        end = min(position + 2, len(line))
        return _Token("piece", line[position + 1 : end], position, end)
    close = _find_outer_close(line, position) if opener in _BRACKET else None
    if close is not None:
        return _Token("piece", _unescape(line[position + 1 : close]), position, close + 1, True)
    match = _QUOTED[opener].match(line, position + 1)
    assert match is not None  # the pattern matches nothing, too
    # Without a closing quote the value goes on to the end of the line.
    end = min(match.end() + 1, len(line))
    return _Token("piece", _unescape(match.group()), position, end)


def _find_outer_close(line: bytes, position: int) -> int | None:
    """Find the bracket that closes nested ones; None if brackets are not nested or balanced."""
    depth = deepest = 0
    opener = line[position : position + 1]
    for match in _BRACKET[opener].finditer(line, position):
        if match.group() == opener:
            depth += 1
            deepest = max(depth, deepest)
        elif len(match.group()) == 1:
            depth -= 1
        if depth == 0:
            return match.start() if deepest > 1 else None
    return None


def _make_pair(group: list[_Token]) -> Pair:
    """Join the tokens of one pair."""
    kinds = [token.kind for token in group]
    n_key = kinds.index("equals") if "equals" in kinds else len(group)
    key = b"".join(token.content for token in group[:n_key])
    if n_key == len(group):
        return Pair(key, None, group[-1].end, group[-1].end)
    value = group[n_key + 1 :]
    return Pair(
        key,
        b"".join(token.content for token in value),
        value[0].start if value else group[n_key].end,
        group[-1].end,
        any(token.nested for token in value),
    )


def _unescape(content: bytes) -> bytes:
    """Drop backslashes that protect the byte after them."""
    return _ESCAPE.sub(rb"\1", content) if b"\\" in content else content

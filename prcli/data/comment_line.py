"""The second line of a frame: what its ``key=value`` pairs are and mean.

Values are what ASE makes of them, with these differences: nothing is an error, ``key=""`` is an
empty string, vectors of numbers are float64 arrays, and brackets may be nested once
(``[[1, 2], [3, 4]]`` is a matrix).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

import numpy as np

from prcli.data.comment_pairs import Pair, comment, comment_pairs

__all__ = ["comment", "comment_values", "lattice_volume", "parse_comment"]

_ROW = re.compile(rb"[\[{]([^\[\]{}]*)[\]}]")
_WORD = re.compile(rb"[^\s,]+")
_TRUTH = {
    **dict.fromkeys((b"T", b"true", b"True", b"TRUE"), True),
    **dict.fromkeys((b"F", b"false", b"False", b"FALSE"), False),
}
_MATRIX_KEYS = frozenset(("Lattice", "virial", "stress"))
_JSON = "_JSON "
_LATTICE_FIRST = b'Lattice="'
_BRACKETS_TO_SPACES = bytes.maketrans(b"[]{}", b"    ")


def parse_comment(line: bytes) -> dict[str, object]:
    """Interpret a whole comment line.

    Parameters
    ----------
    line : bytes
        Any bytes; what is not UTF-8 is taken for Latin-1.

    Returns
    -------
    dict
        Values are bool, int, float, str, float64 arrays ((n,) or matrices), (n,) bool arrays, or
        what JSON gave for strings that begin with ``_JSON``. ``Lattice``, ``virial`` and
        ``stress`` of nine numbers are (3, 3), in Fortran order as in ASE.
    """
    return {(key := _decode(pair.key)): _interpret(key, pair) for pair in comment_pairs(line)}


def comment_values(line: bytes, keys: Iterable[str]) -> dict[str, object]:
    """Interpret a few keys of a comment line.

    Parameters
    ----------
    line : bytes
        Any bytes.
    keys : iterable of str
        What is wanted.

    Returns
    -------
    dict
        Values as `parse_comment` gives them, of those keys that are there.
    """
    wanted = {encoded: key for key in keys if (encoded := key.encode()) in line or b"\\" in line}
    if not wanted:
        return {}
    found = {pair.key: pair for pair in comment_pairs(line) if pair.key in wanted}
    return {wanted[key]: _interpret(wanted[key], pair) for key, pair in found.items()}


def lattice_volume(line: bytes) -> float:
    """Compute the volume of the cell.

    Parameters
    ----------
    line : bytes
        A comment line.

    Returns
    -------
    float
        Cubic angstrom; nan where there is no cell of three dimensions.
    """
    if line.startswith(_LATTICE_FIRST) and line.count(b"Lattice") == 1:
        text = line[len(_LATTICE_FIRST) : line.find(b'"', len(_LATTICE_FIRST))]
    else:
        pairs = [pair for pair in comment_pairs(line) if pair.key == b"Lattice"]
        text = pairs[-1].value or b"" if pairs else b""
    try:
        a, b, c, d, e, f, g, h, i = map(float, _WORD.findall(text.translate(_BRACKETS_TO_SPACES)))
    except ValueError:
        return math.nan
    volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
    return volume if volume > 0 else math.nan


def _decode(content: bytes) -> str:
    """Make text of bytes in UTF-8, or else Latin-1, which has a character for every byte."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _interpret(key: str, pair: Pair) -> object:
    """Find the meaning of a value."""
    if pair.value is None:
        return True
    if key.lower() == "uid":
        return _decode(pair.value)
    words = _WORD.findall(pair.value)
    if len(words) == 1 and not pair.nested:
        return _interpret_word(words[0], pair.value)
    value = _interpret_rows(pair.value) if pair.nested else _interpret_words(words)
    if value is None:
        return _interpret_text(_decode(pair.value))
    if key in _MATRIX_KEYS and value.shape == (9,):
        return value.reshape((3, 3), order="F")
    return value


def _interpret_word(word: bytes, value: bytes) -> object:
    """Make an int, a float, a bool or a string of a value without spaces."""
    try:
        number = int(word)
    except ValueError:
        pass
    else:
        return number if -(2**63) <= number < 2**63 else float(word)
    try:
        return float(word)
    except ValueError:
        return _TRUTH[word] if word in _TRUTH else _interpret_text(_decode(value))


def _interpret_words(words: list[bytes]) -> np.ndarray | None:
    """Make a vector of numbers or truth values; None if the words are neither."""
    if not words:
        return None
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        pass
    return np.array([_TRUTH[w] for w in words]) if all(w in _TRUTH for w in words) else None


def _interpret_rows(value: bytes) -> np.ndarray | None:
    """Make a matrix of rows in brackets; None if they are not of numbers or not of one length."""
    rows = [_interpret_words(_WORD.findall(row)) for row in _ROW.findall(value)]
    if not rows or _ROW.sub(b"", value).strip(b" ,\t"):
        return None
    arrays = [row for row in rows if row is not None]
    if len(arrays) < len(rows) or len({(row.shape, row.dtype.kind) for row in arrays}) > 1:
        return None
    return np.array(arrays)


def _interpret_text(text: str) -> object:
    """Decode what ASE writes as JSON; anything else is a string."""
    if not text.startswith(_JSON):
        return text
    try:
        content = json.loads(text.removeprefix(_JSON))
        array = np.array(content)
    except (ValueError, RecursionError):
        return text
    return array if array.ndim and array.dtype.kind in "ifb" else content

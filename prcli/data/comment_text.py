r"""Values of any kind written into a comment line, such that they read back as they were.

What is written is what ASE writes where that reads back the same: ``key=1.5``, ``key="1 2 3"``,
``key=text``. Everything else, such as the text ``007``, which would become a number, goes through
JSON, as ``key="_JSON \"007\""``; ASE reads that too. Only lists that numpy makes no array of,
because their parts differ in length, become texts in JSON: with its mark ASE would stumble on them.
"""

from __future__ import annotations

import json
import re
from numbers import Integral, Real

import numpy as np

from prcli.data.annotation import format_value

#: Keys whose values ASE takes for 3×3 matrices, and refuses as anything else.
MATRIX_KEYS = frozenset(("Lattice", "virial", "stress"))

_BARE_KEY = re.compile(r"""[^\s="'{}\[\]\\]+""")
_WORD = re.compile(r"[^\s,]+")
_TRUTH = frozenset(("T", "F", "true", "false", "True", "False", "TRUE", "FALSE"))
_INT64 = range(-(2**63), 2**63)
#: Places of xx yy zz yz xz xy in a 3×3 matrix that is symmetric.
_VOIGT = (0, 5, 4, 5, 1, 3, 4, 3, 2)


def pair_text(key: str, value: object) -> str | None:
    """Write ``key=value``.

    Parameters
    ----------
    key : str
        Any text without line breaks.
    value : object
        Truth value, number, text, None, array, or lists and dicts of those.

    Returns
    -------
    str or None
        None if no text holds the value: it is no such thing, or it is not a matrix and has a
        key (``virial``, ``stress``) under which only matrices can be read. Six numbers there
        are taken for the symmetric matrix of xx yy zz yz xz xy.
    """
    if key in MATRIX_KEYS:
        value = _matrix(value)
        if value is None:
            return None
    text = _value_text(key, value)
    return None if text is None else f"{_key_text(key)}={text}"


def can_be_key(key: str) -> bool:
    """Tell whether a text can be a key of a comment line."""
    return bool(key) and key.isprintable()


def _key_text(key: str) -> str:
    """Quote a key where it needs that."""
    if _BARE_KEY.fullmatch(key):
        return key
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value_text(key: str, value: object) -> str | None:
    """Write a value, as ASE does where that is unambiguous."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, str):
        is_plain = key.lower() == "uid" or _reads_as_text(value)
        return format_value(value) if is_plain and value.isprintable() else _json_text(value)
    if isinstance(value, Integral):
        return format_value(value) if int(value) in _INT64 else _json_text(int(value))
    if isinstance(value, Real):
        return format_value(value)
    if isinstance(value, np.ndarray) and _is_plain_vector(value):
        return format_value(value)
    return _json_text(value)


def _reads_as_text(text: str) -> bool:
    """Tell whether a text, as it is, is not taken for numbers, truth values or JSON."""
    words = _WORD.findall(text)
    is_known = all(map(_is_number, words)) or all(word in _TRUTH for word in words)
    return not is_known and not text.startswith("_JSON ")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_plain_vector(value: np.ndarray) -> bool:
    """Tell whether an array is a vector of numbers or truth values that reads back as one."""
    # A single number would be read as one without a vector around it.
    is_vector = value.ndim == 1 and value.size > 1 and value.dtype.kind in "biuf"
    return is_vector and (value.dtype.kind != "u" or int(value.max()) in _INT64)


def _matrix(value: object) -> np.ndarray | None:
    """Lay a 3×3 matrix out as nine numbers in Fortran order; None if it is none."""
    if not isinstance(value, np.ndarray | list | tuple):
        return None
    try:
        matrix = np.asarray(value)
    except ValueError:
        return None
    if matrix.dtype.kind not in "biuf" or matrix.shape not in ((3, 3), (9,), (6,)):
        return None
    numbers = matrix.astype(np.float64).reshape(-1, order="F")
    return numbers[list(_VOIGT)] if numbers.size == 6 else numbers


def _json_text(value: object) -> str | None:
    """Write JSON with the mark that readers of extxyz know; None if JSON does not have it."""
    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, ValueError):
        return None
    try:
        np.array(json.loads(text))
    except ValueError:
        return format_value(text)
    return format_value(f"_JSON {text}")


def _plain(value: object) -> object:
    """Turn what numpy holds into what JSON knows."""
    if isinstance(value, np.ndarray | np.generic):
        plain = value.tolist()
        if not isinstance(plain, complex):
            return plain
    raise TypeError(f"JSON has no {type(value).__name__}")

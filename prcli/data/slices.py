"""Slices behind a file name, as ASE writes them: ``pool.h5@100:200``."""

from __future__ import annotations

import os
import re

from prcli.errors import RequestError

_SLICE = re.compile(r"^-?\d*(:-?\d*){0,2}$")


def split_slice(argument: str) -> tuple[str, str | None]:
    """Split ``path@slice`` at the last ``@`` of the file name.

    What follows an ``@`` counts as a slice only if it is an integer or holds colons; a file
    whose whole name exists is taken as it is.

    Returns
    -------
    path : str
    text : str or None
        The slice as typed.
    """
    folder, name = os.path.split(argument)
    path, at, text = name.rpartition("@")
    if not at or not path or not text or not _SLICE.match(text) or os.path.exists(argument):
        return argument, None
    return os.path.join(folder, path), text


def parse_slice(text: str | None, n_structures: int, where: str) -> range:
    """Turn an ASE-style slice into positions.

    Parameters
    ----------
    text : str or None
        ``7``, ``-1``, ``10:20``, ``::5``; None for everything.
    n_structures : int
        How many structures there are.
    where : str
        The argument, for messages.

    Raises
    ------
    RequestError
        If the slice reaches outside, or selects nothing.
    """
    if text is None:
        return range(n_structures)
    parts = [int(part) if part else None for part in text.split(":")]
    outside = [p for p in parts[:2] if p is not None and not -n_structures <= p <= n_structures]
    if len(parts) == 1:
        index = parts[0]
        if index is None or outside or index == n_structures:
            raise _slice_error("slice is out of range", text, n_structures, where)
        index %= n_structures
        return range(index, index + 1)
    if outside:
        raise _slice_error("slice is out of range", text, n_structures, where)
    if len(parts) == 3 and parts[2] == 0:
        raise _slice_error("slice has a step of zero", text, n_structures, where)
    chosen = range(n_structures)[slice(*parts)]
    if not chosen:
        raise _slice_error("slice selects no structure", text, n_structures, where)
    return chosen


def _slice_error(what: str, text: str, n_structures: int, where: str) -> RequestError:
    return RequestError(
        what,
        where=where,
        expected=f"positions within the {n_structures} structures (0 to {n_structures - 1})",
        got=f"@{text}",
    )

"""Runs of structures that are still to be described, and their division among ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def missing_spans(done: Iterable[tuple[int, int]], n_structures: int) -> list[range]:
    """Find the runs of structures that are in none of some others.

    Parameters
    ----------
    done : iterable of (int, int)
        First structure of a run, and the one after its last; in any order, none twice.
    n_structures : int
        Of all.
    """
    missing, begin = [], 0
    for start, stop in [*sorted(done), (n_structures, n_structures)]:
        if begin < start:
            missing.append(range(begin, start))
        begin = stop
    return missing


def spans_of_part(
    spans: Sequence[range], offsets: NDArray[np.int64], part: int, n_parts: int
) -> list[range]:
    """Give one of several parts its structures, so that all have about as many atoms.

    Parameters
    ----------
    spans : sequence of range
        Structures to divide, ascending.
    offsets : ndarray of shape (S + 1,)
        First atom of each structure, and their number; no structure is empty.
    part, n_parts : int

    Returns
    -------
    spans : list of range
    """
    total = sum(int(offsets[span.stop] - offsets[span.start]) for span in spans)
    low, high = (total * i // n_parts for i in (part, part + 1))
    found, before = [], 0
    for span in spans:
        # A structure belongs to the part that its first atom falls into.
        firsts = offsets[span.start : span.stop] - offsets[span.start] + before
        start, stop = (span.start + int(np.searchsorted(firsts, each)) for each in (low, high))
        if start < stop:
            found.append(range(start, stop))
        before += int(offsets[span.stop] - offsets[span.start])
    return found

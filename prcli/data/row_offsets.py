"""Where the rows of each structure lie, if structures have several: atoms, or gradient rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def atom_offsets(n_atoms: np.ndarray) -> np.ndarray:
    """Place the atoms of each structure, or its gradient rows, among those of all.

    Parameters
    ----------
    n_atoms : (S,) array of int
        Atoms of each structure, or gradient rows.

    Returns
    -------
    (S + 1,) array of int64
        Those of structure i are ``offsets[i]:offsets[i + 1]``.
    """
    offsets = np.zeros(len(n_atoms) + 1, dtype=np.int64)
    np.cumsum(n_atoms, out=offsets[1:])
    return offsets


def structure_runs(offsets: np.ndarray, max_rows: int) -> Iterator[tuple[int, int]]:
    """Cut structures into runs of at most `max_rows` rows, at least one structure each.

    Parameters
    ----------
    offsets : (S + 1,) array of int
        As `atom_offsets`.
    max_rows : int
        Upper bound; a single structure may exceed it.

    Yields
    ------
    start, stop : int
        Structures ``start:stop``.
    """
    start, n_structures = 0, len(offsets) - 1
    while start < n_structures:
        fit = int(np.searchsorted(offsets, offsets[start] + max_rows, side="right")) - 1
        stop = max(start + 1, fit)
        yield start, stop
        start = stop


def rows_of(offsets: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows of some structures.

    Parameters
    ----------
    offsets : (S + 1,) array of int64
        As `atom_offsets`.
    positions : (k,) array of int64
        Structures, in any order.

    Returns
    -------
    structure : (n,) array of int64
        Place in `positions` of the structure that each row belongs to.
    index : (n,) array of int64
        Place of each row among all.
    """
    counts = offsets[positions + 1] - offsets[positions]
    structure = np.repeat(np.arange(len(positions)), counts)
    skipped = offsets[positions] - (np.cumsum(counts) - counts)
    return structure, np.arange(len(structure)) + np.repeat(skipped, counts)

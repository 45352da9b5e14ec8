"""Rows that lie within a distance of an earlier one, found without all distances.

Projections on a few orthogonal directions are never farther apart than the rows: a tree of them
leaves the pairs of which the rows themselves are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.errors import RequestError
from prcli.numerics.row_source import RowSource

FloatArray = NDArray[np.float64]

#: Directions that rows are projected on, and rows that these are chosen from.
_DIRECTIONS = 8
_SAMPLE = 512

#: Pairs that are looked at; more of them mean that the distance tells nothing apart.
MOST_PAIRS = 10_000_000


def near_duplicates(source: RowSource, distance: float) -> tuple[NDArray[np.int64], FloatArray]:
    """Find rows that are near an earlier one which is no such row itself.

    Parameters
    ----------
    source : RowSource
        S rows.
    distance : float
        Largest Euclidean distance of duplicates.

    Returns
    -------
    original : ndarray of shape (S,)
        The first row that each is a duplicate of; −1 for rows that stand for themselves.
    distances : ndarray of shape (S,)
        From that row; nan for rows that stand for themselves.

    Raises
    ------
    RequestError
        If so many rows are so near that it makes no sense to look at all pairs.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(_projections(source))
    # Projections are rounded, too.
    reach = distance * (1.0 + 1e-9) + 1e-12 * float(np.abs(tree.data).max(initial=0.0))
    n_pairs = (int(tree.count_neighbors(tree, reach)) - source.n_rows) // 2
    if n_pairs > MOST_PAIRS:
        raise RequestError(
            "so many structures are near each other that the distance tells nothing apart",
            where=f"--duplicates, {n_pairs} pairs",
            expected=f"at most {MOST_PAIRS} pairs within the distance",
            remedy="give a smaller distance, or 0 for exact copies",
        )
    pairs = np.sort(tree.query_pairs(reach, output_type="ndarray"), axis=1)
    pairs = pairs[np.lexsort([pairs[:, 0], pairs[:, 1]])]
    original = np.full(source.n_rows, -1, dtype=np.int64)
    distances = np.full(source.n_rows, np.nan)
    later, starts = np.unique(pairs[:, 1], return_index=True)
    groups = np.split(pairs[:, 0], starts[1:]) if len(later) else []
    for row, earlier in zip(later, groups, strict=True):
        earlier = earlier[original[earlier] < 0]
        if not len(earlier):
            continue
        own = source.take([int(row)])[0]
        found = np.linalg.norm(source.take(earlier) - own, axis=1)
        near = np.flatnonzero(found <= distance)
        if near.size:
            original[row], distances[row] = earlier[near[0]], found[near[0]]
    return original, distances


def exact_duplicates(digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Name the first of equal digests for each later one, −1 for the first ones; shape (S,)."""
    _, first, which = np.unique(digests, return_index=True, return_inverse=True)
    original = first[which].astype(np.int64)
    return np.where(original == np.arange(len(digests)), -1, original)


def _projections(source: RowSource) -> FloatArray:
    """Coordinates along the directions in which a sample of the rows varies most."""
    places = np.unique(np.linspace(0, source.n_rows - 1, _SAMPLE).astype(np.intp))
    sample = source.take(places)
    centre = sample.mean(axis=0)
    directions = np.linalg.svd(sample - centre, full_matrices=False)[2][:_DIRECTIONS]
    projections = np.empty((source.n_rows, len(directions)))
    for start, rows in source.blocks():
        projections[start : start + len(rows)] = (rows - centre) @ directions.T
    return projections

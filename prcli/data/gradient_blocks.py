"""Gradient rows of a data set, read some whole structures at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prcli.data.dataset import Dataset
from prcli.data.gradients import FORCE, GradientTable
from prcli.data.row_offsets import atom_offsets, rows_of, structure_runs


@dataclass(frozen=True, eq=False)
class GradientBlock:
    """Gradient rows of some whole structures of a data set, in order.

    Attributes
    ----------
    structure : (n,) array of int64
        Position in the set of the structure that each row belongs to.
    place : (n,) array of int64
        Row within its kind and structure: 3 atom + axis for forces, 0 to 5 for stresses in
        Voigt order; of reduced rows merely their number.
    kind : (n,) array of uint8
        1 for a force row, 2 for a stress row.
    rows : (n, D) array
        As stored; possibly a read-only view.
    """

    structure: np.ndarray
    place: np.ndarray
    kind: np.ndarray
    rows: np.ndarray


def gradient_blocks(data: Dataset, max_rows: int) -> Iterator[GradientBlock]:
    """Read the gradient rows of a set in order; structures without any give nothing.

    Parameters
    ----------
    data : Dataset
    max_rows : int
        Upper bound of the rows of a block; a single structure may exceed it.

    Yields
    ------
    GradientBlock
        At least one row, and all rows of each of its structures.
    """
    for part, start in zip(data.parts, data.starts, strict=False):
        table = part.table.gradients
        if table is None:
            continue
        counts = part.select(np.diff(table.offsets))
        present = np.flatnonzero(counts)
        for first, stop in structure_runs(atom_offsets(counts[present]), max_rows):
            chosen = present[first:stop]
            positions = part.positions.start + part.positions.step * chosen
            yield _read(table, positions, chosen + int(start))


def structure_gradients(data: Dataset, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the gradient rows of one structure.

    Parameters
    ----------
    data : Dataset
    index : int
        Position in the set.

    Returns
    -------
    kind : (m,) array of uint8
        1 for a force row, 2 for a stress row; m may be 0.
    rows : (m, D) array
        As stored; possibly a read-only view.
    """
    part, position = data.locate(index)
    table = part.table.gradients
    if table is None:
        return np.empty(0, dtype=np.uint8), np.empty((0, data.n_features))
    first, stop = map(int, table.offsets[position : position + 2])
    return np.asarray(table.kind[first:stop]), table.rows.read(first, stop)


def _read(table: GradientTable, positions: np.ndarray, places: np.ndarray) -> GradientBlock:
    """Read the rows of structures of a table, `places` being their positions in the set."""
    owner, index = rows_of(table.offsets, positions)
    kind, rows = _take(table, index)
    forces_before = np.where(kind == FORCE, 0, table.counts("force")[positions][owner])
    place = index - table.offsets[positions][owner] - forces_before
    return GradientBlock(structure=places[owner], place=place, kind=kind, rows=rows)


def _take(table: GradientTable, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read kinds and rows at `index`, as views where the rows follow each other."""
    # True of no descending order: rows of a structure ascend, and each is here once.
    if int(index[-1]) - int(index[0]) + 1 == len(index):
        first, stop = int(index[0]), int(index[-1]) + 1
        return np.asarray(table.kind[first:stop]), table.rows.read(first, stop)
    return np.asarray(table.kind[index]), table.rows.take(index)

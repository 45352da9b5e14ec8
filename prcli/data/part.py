"""Some structures of one feature table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prcli.data.feature_table import FeatureTable
from prcli.data.row_offsets import atom_offsets, rows_of
from prcli.errors import FeatureError
from prcli.records import Convention, RowKind


@dataclass(frozen=True, eq=False)
class Part:
    """Some structures of one table.

    Attributes
    ----------
    table : FeatureTable
    positions : range
        Structures of the table that belong to the set, in order.
    """

    table: FeatureTable
    positions: range

    @cached_property
    def offsets(self) -> np.ndarray:
        """(S + 1,) first atom of each structure of the table, and their number."""
        return atom_offsets(self.table.n_atoms)

    def atoms_of(self, positions: range | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the atoms of some structures of the table.

        Returns
        -------
        structure : (n,) array of int64
            Position in `positions` of the structure that each atom belongs to.
        index : (n,) array of int64
            Row of each atom in the table.
        """
        return rows_of(self.offsets, np.array(positions))

    def select(self, values: np.ndarray) -> np.ndarray:
        """Take the values of the part's structures from those of all the table's."""
        if self.positions.step > 0:
            start, stop, step = self.positions.start, self.positions.stop, self.positions.step
            return np.asarray(values[start:stop:step])
        return np.asarray(np.asarray(values)[np.array(self.positions)])

    def gradient_counts(self, kind: RowKind) -> np.ndarray:
        """(n,) int64 stored gradient rows of a kind, per structure of the part."""
        table = self.table.gradients
        if table is None:
            return np.zeros(len(self.positions), dtype=np.int64)
        return self.select(table.counts(kind))

    def original_gradient_counts(self, kind: RowKind) -> np.ndarray:
        """(n,) int64 gradient rows of a kind before blocks were reduced."""
        table = self.table.gradients
        if table is None:
            return np.zeros(len(self.positions), dtype=np.int64)
        return self.select(table.original_counts(kind, self.table.n_atoms))


def read_structures(part: Part, positions: range) -> tuple[np.ndarray, Convention]:
    """Read rows of structures as they are stored.

    Returns
    -------
    features : (n, D) array
    convention : {"mean", "sum"}

    Raises
    ------
    FeatureError
        If the table has rows of atoms only.
    """
    rows = part.table.structures
    if rows is None:
        raise FeatureError("there are no features of structures", where=part.table.label)
    if positions.step > 0:
        # The end of a strided range may lie past the last row.
        stop = positions[-1] + 1 if positions else positions.start
        return rows.read(positions.start, stop, positions.step), part.table.convention
    return rows.take(np.array(positions)), part.table.convention

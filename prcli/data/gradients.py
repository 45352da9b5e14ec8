"""Gradient rows of a set: rows of forces and stresses, and the structures they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from prcli.data.row_array import RowArray
from prcli.data.row_offsets import atom_offsets
from prcli.records import RowKind

FORCE, STRESS = 1, 2

#: Codes of the kinds of row that are gradients.
GRADIENT_KINDS: dict[RowKind, int] = {"force": FORCE, "stress": STRESS}

#: Rows of which kind and structure are looked at together.
ROWS_AT_A_TIME = 1 << 20


@dataclass(frozen=True, eq=False)
class GradientShape:
    """Which gradient rows will be written to a store.

    Attributes
    ----------
    kind : (M,) array-like of int
        1 for a force row, 2 for a stress row.
    structure : (M,) array-like of int
        Structure that each row belongs to.
    dtype : float32 or float64
        Type of the rows on disk.
    reduced : bool
        Whether blocks taller than D were reduced to D rows.
    """

    kind: ArrayLike
    structure: ArrayLike
    dtype: DTypeLike
    reduced: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class GradientLayout:
    """Which gradient rows a set has, without the rows.

    Attributes
    ----------
    kind : (M,) array of uint8
        1 for a force row, 2 for a stress row; within a structure forces come first.
    structure : (M,) array of int64
        Structure that each row belongs to; it never decreases.
    n_structures : int
        S.
    reduced : bool
        Whether blocks taller than D were reduced to D rows, per structure and kind.
    """

    kind: np.ndarray
    structure: np.ndarray
    n_structures: int
    reduced: bool = False

    @property
    def n_rows(self) -> int:
        """M."""
        return len(self.kind)

    @cached_property
    def counts_by_kind(self) -> dict[RowKind, np.ndarray]:
        """(S,) int64 rows of each structure that are stored, for forces and stresses."""
        counts = {kind: np.zeros(self.n_structures, dtype=np.int64) for kind in GRADIENT_KINDS}
        for start in range(0, self.n_rows, ROWS_AT_A_TIME):
            here = slice(start, start + ROWS_AT_A_TIME)
            for kind, code in GRADIENT_KINDS.items():
                owners = np.asarray(self.structure[here][self.kind[here] == code])
                if len(owners):
                    first, last = int(owners[0]), int(owners[-1])
                    counts[kind][first : last + 1] += np.bincount(owners - first)
        for values in counts.values():
            values.flags.writeable = False
        return counts

    @cached_property
    def offsets(self) -> np.ndarray:
        """(S + 1,) int64 first row of each structure, and M."""
        return atom_offsets(self.counts("force") + self.counts("stress"))

    def counts(self, kind: RowKind) -> np.ndarray:
        """(S,) int64 stored rows of a kind per structure."""
        return self.counts_by_kind[kind]

    def has(self, kind: RowKind) -> bool:
        """Whether some structure has rows of a kind."""
        return bool(self.counts(kind).any())

    def original_counts(self, kind: RowKind, n_atoms: np.ndarray) -> np.ndarray:
        """Count the rows that there were before blocks were reduced.

        Parameters
        ----------
        kind : {"force", "stress"}
        n_atoms : (S,) array of int
            Atoms of each structure.

        Returns
        -------
        (S,) array of int64
            Three per atom, or six, where a structure has rows of that kind.
        """
        return np.where(self.counts(kind) > 0, full_counts(kind, n_atoms), 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class GradientTable(GradientLayout):
    """Gradient rows of a set, on disk or in memory; see `GradientLayout`.

    Attributes
    ----------
    rows : RowArray
        (M, D) rows, with their sign and 1/V.
    """

    rows: RowArray


def full_counts(kind: RowKind, n_atoms: np.ndarray) -> np.ndarray:
    """(S,) int64 rows of a kind that a structure has if none were reduced."""
    n_atoms = np.asarray(n_atoms, dtype=np.int64)
    return 3 * n_atoms if kind == "force" else np.full_like(n_atoms, 6)

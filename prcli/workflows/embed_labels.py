"""What small structures inherit from the large one, and what would no longer be true there.

An energy, a stress, a force or anything else that was computed belongs to the surroundings that it
was computed in. Kept are texts of the comment line, which say what the structure is, and columns
that belong to the atoms themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.atom_fields import atom_fields
from prcli.data.column_layout import Column, column_layout
from prcli.data.columns import atom_lines
from prcli.data.comment_line import parse_comment
from prcli.data.comment_pairs import comment
from prcli.elements import MASSES
from prcli.errors import RequestError
from prcli.workflows.one_structure import OneStructure

logger = logging.getLogger(__name__)

#: Keys that say what a frame is, and columns that are written anyway.
_FRAME_KEYS = frozenset(("Lattice", "Properties", "pbc"))
_GEOMETRY = frozenset(("species", "Z", "pos", "positions"))

#: Columns that belong to atoms wherever they are, as ASE calls them.
_OF_ATOMS = frozenset(("masses", "tags", "initial_magmoms", "initial_charges"))

#: What atoms of a crystal have in a column of each kind.
_FILLS: dict[str, object] = {"R": np.nan, "I": -1, "L": False, "S": "none"}

#: What prcli itself writes.
_OWN_PREFIX = "prcli_"


@dataclass(frozen=True, eq=False)
class Labels:
    """What the small structures of a large one inherit.

    Attributes
    ----------
    structure : OneStructure
    pairs : dict of str to object
        Keys of the comment line.
    columns : tuple of Column
    """

    structure: OneStructure
    pairs: dict[str, object]
    columns: tuple[Column, ...]

    def arrays(
        self, origin: NDArray[np.int64], numbers: NDArray[np.integer]
    ) -> dict[str, np.ndarray]:
        """Give the inherited columns of a small structure.

        Parameters
        ----------
        origin : (n,) array of int
            Atoms of the large structure, −1 for those of a crystal.
        numbers : (n,) array of int
            Atomic numbers.
        """
        if not self.columns:
            return {}
        ours = np.flatnonzero(origin >= 0)
        every = atom_lines(self.structure.content, self.structure.where)
        lines = [every[atom] for atom in origin[ours].tolist()]
        arrays = {}
        for column in self.columns:
            values = atom_fields(lines, column, self.structure.where)
            whole = np.full((len(origin), *values.shape[1:]), _FILLS[column.kind])
            if column.kind == "S":
                whole = whole.astype(object)
            elif column.name == "masses":
                whole[:] = np.array(MASSES)[numbers]
            elif column.name in _OF_ATOMS:
                whole[:] = 0
            whole[ours] = values
            arrays[column.name] = whole.astype(np.str_) if column.kind == "S" else whole
        return arrays


def inherited(structure: OneStructure, keep: Sequence[str]) -> Labels:
    """Decide what is inherited, and say what is not.

    Parameters
    ----------
    structure : OneStructure
    keep : sequence of str
        Keys of the comment line, or columns, that are inherited as well.

    Returns
    -------
    labels : Labels

    Raises
    ------
    RequestError
        If there is no such key or column.
    """
    line = comment(structure.content)
    pairs = {key: value for key, value in parse_comment(line).items() if key not in _FRAME_KEYS}
    columns = {c.name: c for c in column_layout(line).columns if c.name not in _GEOMETRY}
    unknown = [name for name in keep if name not in pairs and name not in columns]
    if unknown:
        raise RequestError(
            f"there is neither a key nor a column {unknown[0]!r} to inherit",
            where=f"--keep, {structure.where}",
            expected="one of " + ", ".join([*pairs, *columns]) if pairs or columns else "none",
        )
    kept_pairs = {
        key: value
        for key, value in pairs.items()
        if key in keep or (isinstance(value, str) and not key.startswith(_OWN_PREFIX))
    }
    kept_columns = {n: c for n, c in columns.items() if n in keep or n in _OF_ATOMS}
    dropped = [*(k for k in pairs if k not in kept_pairs)]
    dropped += [name for name in columns if name not in kept_columns]
    if dropped:
        logger.info(
            "not inherited, since they hold in the large structure only: %s (--keep KEY keeps one)",
            ", ".join(dropped),
        )
    return Labels(structure, kept_pairs, tuple(kept_columns.values()))

"""Features and gradient rows of a batch, put together from pieces of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from prcli.features.featurizer import Description
from prcli.records import RowKind

if TYPE_CHECKING:
    from ase import Atoms

#: Rows and columns of the strain, in Voigt order xx yy zz yz xz xy.
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class Assembly:
    """The description of some structures in the making.

    Parameters
    ----------
    structures : sequence of ase.Atoms
        What is described.
    n_features : int
        D; columns that no piece fills stay zero.
    gradients : sequence of {"force", "stress"}
        Rows that will be there.
    """

    def __init__(
        self, structures: Sequence[Atoms], n_features: int, gradients: Sequence[RowKind]
    ) -> None:
        self._counts = np.array([len(structure) for structure in structures])
        self._volumes = np.array([abs(structure.cell.volume) for structure in structures])
        self.first_atoms = np.cumsum(self._counts) - self._counts
        self.n_atoms = int(self._counts.sum())
        self._features = np.zeros((self.n_atoms, n_features))
        self._forces: np.ndarray | None = None
        self._strains: np.ndarray | None = None
        if "force" in gradients:
            self._forces = np.zeros((self.n_atoms, 3, n_features))
        if "stress" in gradients:
            self._strains = np.zeros((len(structures), 3, 3, n_features))

    def rows_of(self, system: np.ndarray, atom: np.ndarray) -> np.ndarray:
        """Place atoms, named by structure and position therein, among those of the batch."""
        rows: np.ndarray = self.first_atoms[system] + atom
        return rows

    def add(self, atoms: np.ndarray, columns: slice, values: np.ndarray) -> None:
        """Fill columns of some atoms with features (m, P)."""
        self._features[atoms, columns] = values

    def add_positions(self, moved: np.ndarray, columns: slice, values: np.ndarray) -> None:
        """Add derivatives of features of single atoms by the position of another.

        Parameters
        ----------
        moved : (g,) array of int
            Atom whose position is meant, among those of the batch; repeated or not.
        columns : slice
        values : (g, 3, P) array
        """
        assert self._forces is not None
        n_entries, _, width = values.shape
        if not n_entries:
            return
        # Sums entry after entry for each atom, whatever else is in the batch.
        chooser = csr_array(
            (np.ones(n_entries), (moved, np.arange(n_entries))), shape=(self.n_atoms, n_entries)
        )
        sums = chooser @ values.reshape(n_entries, 3 * width)
        self._forces[:, :, columns] -= sums.reshape(self.n_atoms, 3, width)

    def add_strain(self, system: np.ndarray, columns: slice, values: np.ndarray) -> None:
        """Add derivatives of features by the strain.

        Parameters
        ----------
        system : (g,) array of int
            Structure of each entry.
        columns : slice
        values : (g, 3, 3, P) array
        """
        assert self._strains is not None
        n_entries, *_, width = values.shape
        if not n_entries:
            return
        shape = (len(self._counts), n_entries)
        chooser = csr_array((np.ones(n_entries), (system, np.arange(n_entries))), shape=shape)
        sums = chooser @ values.reshape(n_entries, 9 * width)
        self._strains[..., columns] += sums.reshape(-1, 3, 3, width)

    def description(self) -> Description:
        """Give what has been put together."""
        forces, stress = self._forces, None
        if forces is not None:
            forces = forces.reshape(3 * self.n_atoms, -1)
        if self._strains is not None:
            rows = [(self._strains[:, i, j] + self._strains[:, j, i]) / 2 for i, j in _VOIGT]
            stacked = np.stack(rows, axis=1) / self._volumes[:, np.newaxis, np.newaxis]
            stress = stacked.reshape(-1, self._features.shape[1])
        return Description(self._features, forces, stress)

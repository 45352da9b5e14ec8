"""Rigidities of a data set, and where they belong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.rigidity import reciprocal
from prcli.workflows.health import Health

if TYPE_CHECKING:
    from prcli.workflows.relative import Relative

#: What a model predicts.
Per: TypeAlias = Literal["structure", "atom", "force", "stress"]
#: What has a rigidity: predictions, and components of those of structures and of atoms.
ScorePer: TypeAlias = Literal[Per, "component", "atom-component"]
FloatArray = NDArray[np.float64]

#: Components of the force on an atom, and of the stress of a structure, in the order of rows.
COMPONENTS: dict[ScorePer, tuple[str, ...]] = {
    "force": ("x", "y", "z"),
    "stress": ("xx", "yy", "zz", "yz", "xz", "xy"),
}


@dataclass(frozen=True, eq=False)
class Scores:
    """Rigidities of a data set.

    Only rigidities and ranks are kept for every row; where a row belongs is worked out from
    `offsets` when it is asked for.

    Attributes
    ----------
    per : {"structure", "atom", "force", "stress", "component", "atom-component"}
    rigidity : ndarray of shape (M,)
        PR of each structure, LPR of each atom, PR of each component of a force or stress, or CPR
        or LCPR of each block of features, in the order of the set; forces atom by atom in x, y, z,
        stresses in Voigt order, blocks in their order.
    rank : ndarray of shape (M,)
        1 for the least rigid; equal rigidities in the order of the set.
    offsets : ndarray of shape (S + 1,)
        Rows of structure i are ``offsets[i]:offsets[i + 1]``; there may be none.
    species : ndarray of shape (M,) or None
        Atomic numbers of the atoms, 0 where they are not known.
    alpha : float or None
        Calibration factor, if the Hessian has it: eV/atom for structures (eV for total
        energies), eV for atoms, eV/Å for forces, eV/Å³ for stresses.
    health : Health, optional
        What the rigidities rest on.
    blocks : tuple of str
        Names of the blocks of features, where their components are scored.
    relative : Relative, optional
        What the rigidities are related to, where that was asked for.
    """

    per: ScorePer
    rigidity: FloatArray
    rank: NDArray[np.integer]
    offsets: NDArray[np.int64]
    species: NDArray[np.uint8] | None
    alpha: float | None
    health: Health | None = None
    blocks: tuple[str, ...] = ()
    relative: Relative | None = None

    @property
    def structure(self) -> NDArray[np.int64]:
        """(M,) structure that a row belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def atom(self) -> NDArray[np.int64] | None:
        """(M,) position in the structure of the atom that a row belongs to."""
        if self.per not in ("atom", "force", "atom-component"):
            return None
        place = np.arange(len(self.rigidity)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        return place // self.n_components

    @property
    def component(self) -> NDArray[np.intp] | None:
        """(M,) axis of a force, component of a stress in Voigt order, or block of features."""
        if not self.component_names:
            return None
        components = np.arange(self.n_components)
        return np.tile(components, len(self.rigidity) // self.n_components)

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of what a prediction consists of here; none of one that is scored as a whole."""
        return COMPONENTS.get(self.per, self.blocks)

    @property
    def n_components(self) -> int:
        """Rows that belong together: 3 for a force, 6 for a stress, as many as blocks, or 1."""
        return len(self.component_names) or 1

    @property
    def trace(self) -> FloatArray | None:
        """Trace of the covariance G H⁻¹ Gᵀ of each force or stress: the sum of its 1/PR.

        (M/3,) for forces, one per atom, (M/6,) for stresses, one per structure. A pure number;
        times α² it is the sum of the variances of the components.
        """
        return None if self.per not in COMPONENTS else self.traces_of(slice(None))

    def traces_of(self, groups: slice | NDArray[np.int64]) -> FloatArray:
        """Traces of some of the forces or stresses, counted over all."""
        rigidity = self.rigidity.reshape(-1, self.n_components)[groups]
        traces: FloatArray = reciprocal(rigidity).sum(axis=1)
        return traces

    def locate(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Find the structures of some rows, and the places of the rows within them."""
        structure = np.searchsorted(self.offsets, rows, side="right") - 1
        return structure, rows - self.offsets[structure]

    @property
    def sigma(self) -> FloatArray | None:
        """Standard deviation α/√PR of each prediction."""
        return None if self.alpha is None else self.alpha / np.sqrt(self.rigidity)

    @property
    def relative_rigidity(self) -> FloatArray | None:
        """(M,) rigidities over the mean of the reference, below 1 where less is known."""
        return None if self.relative is None else self.rigidity / self.relative.mean

    @property
    def relative_variance(self) -> FloatArray | None:
        """(M,) mean rigidity of the reference over rigidities, 0 for rows of zeros."""
        return None if self.relative is None else self.relative.mean / self.rigidity

    @property
    def n_infinite(self) -> int:
        """Rows of zeros, which every training set holds infinitely firmly."""
        return int(np.count_nonzero(np.isinf(self.rigidity)))


def ranks_of(rigidity: FloatArray) -> NDArray[np.integer]:
    """Rank rows, 1 for the least rigid; equal ones in their order."""
    kind = np.int32 if len(rigidity) <= np.iinfo(np.int32).max else np.int64
    rank: NDArray[np.integer] = np.empty(len(rigidity), dtype=kind)
    rank[np.argsort(rigidity, kind="stable")] = np.arange(1, len(rigidity) + 1, dtype=kind)
    return rank

"""A small structure before its atoms are displaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

Strategy: TypeAlias = Literal["carve", "periodic", "high-symmetry"]

STRATEGIES: tuple[Strategy, ...] = ("carve", "periodic", "high-symmetry")

#: What an atom of a small structure is: the atom in question, those around it that stay where
#: they are, the same for the crystal, and all others.
CENTRE, ENVIRONMENT, CRYSTAL_CENTRE, CRYSTAL, BUFFER = (
    "centre",
    "environment",
    "crystal-centre",
    "crystal",
    "buffer",
)


@dataclass(frozen=True, eq=False)
class Template:
    """A small structure, and what its atoms are.

    Attributes
    ----------
    strategy : {"carve", "periodic", "high-symmetry"}
    atoms : ase.Atoms
        The atom in question comes first.
    origin : (n,) array of int
        Atom of the large structure, −1 for atoms of the crystal.
    site : (n,) array of int
        Atom of the crystal's cell, −1 for atoms of the large structure.
    role : (n,) array of str
        "centre", "environment", "crystal-centre", "crystal" or "buffer".
    """

    strategy: Strategy
    atoms: Atoms
    origin: NDArray[np.int64]
    site: NDArray[np.int64]
    role: NDArray[np.str_]

    @property
    def is_free(self) -> NDArray[np.bool_]:
        """(n,) whether an atom is displaced."""
        free: NDArray[np.bool_] = self.role == BUFFER
        return free

    @property
    def centres(self) -> NDArray[np.intp]:
        """Atoms whose environments are to stay as they are."""
        return np.flatnonzero((self.role == CENTRE) | (self.role == CRYSTAL_CENTRE))


def roles(distances: NDArray[np.float64], cutoff: float) -> NDArray[np.str_]:
    """Tell by distances from the centre, which comes first, what atoms are."""
    role = np.where(distances <= cutoff, ENVIRONMENT, BUFFER).astype(np.str_)
    role[0] = CENTRE
    return role

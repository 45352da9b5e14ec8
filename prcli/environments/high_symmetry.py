"""High-symmetry embedding: the environment in a hole of a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.supercell import find_hole
from prcli.environments.surroundings import check_room, surroundings
from prcli.environments.template import BUFFER, CRYSTAL, CRYSTAL_CENTRE, Template, roles

if TYPE_CHECKING:
    from ase import Atoms


def high_symmetry(
    structure: Atoms,
    centre: int,
    crystal: Atoms,
    options: GeometryOptions,
    where: str,
    crystal_name: str,
) -> Template:
    """Put the atoms around one into a hole of a supercell of a crystal.

    The sphere of radius cutoff + buffer goes into a hole that is wider by the contact distance
    and 1.5 sigma. The supercell is the smallest in which an atom of the crystal keeps all its
    neighbours within the cutoff, too; of such atoms the one farthest from the hole is taken.

    Parameters
    ----------
    structure : ase.Atoms
        The large one.
    centre : int
    crystal : ase.Atoms
        Any cell of any crystal.
    options : GeometryOptions
    where, crystal_name : str
        The structure and the crystal, for messages.

    Returns
    -------
    template : Template
        Atoms beyond the cutoff of both centres are free.

    Raises
    ------
    RequestError
        If the sphere is larger than the cell, or no supercell is large enough.
    """
    from ase import Atoms

    check_room(structure, options.reach, "sphere", where)
    found = surroundings(structure, centre, options.reach)
    hole = find_hole(crystal, options, int(structure.numbers[centre]), crystal_name)
    inserted, sites = len(found.index), hole.kept
    atoms = Atoms(
        numbers=np.concatenate([structure.numbers[found.index], hole.atoms.numbers[sites]]),
        positions=np.concatenate([found.vectors + hole.position, hole.atoms.positions[sites]]),
        cell=hole.atoms.cell,
        pbc=True,
    )
    of_crystal = np.where(np.isin(sites, hole.environment), CRYSTAL, BUFFER)
    of_crystal = np.where(sites == hole.centre, CRYSTAL_CENTRE, of_crystal)
    return Template(
        "high-symmetry",
        atoms,
        origin=np.concatenate([found.index, np.full(len(sites), -1)]),
        site=np.concatenate([np.full(inserted, -1), hole.site[sites]]),
        role=np.concatenate([roles(found.distances, options.cutoff), of_crystal]),
    )

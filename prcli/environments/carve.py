"""Carving: the environment alone, as a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.surroundings import check_room, surroundings
from prcli.environments.template import Template, roles

if TYPE_CHECKING:
    from ase import Atoms


def carve(structure: Atoms, centre: int, options: GeometryOptions, where: str) -> Template:
    """Take the atoms within the cutoff of an atom, without periodicity.

    Parameters
    ----------
    structure : ase.Atoms
        The large one.
    centre : int
    options : GeometryOptions
    where : str
        The structure, for messages.

    Returns
    -------
    template : Template
        None of its atoms is free.

    Raises
    ------
    RequestError
        If the sphere is larger than the cell.
    """
    from ase import Atoms

    check_room(structure, options.cutoff, "sphere", where)
    found = surroundings(structure, centre, options.cutoff)
    atoms = Atoms(numbers=structure.numbers[found.index], positions=found.vectors)
    nowhere = np.full(len(atoms), -1)
    return Template("carve", atoms, found.index, nowhere, roles(found.distances, np.inf))

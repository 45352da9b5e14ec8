"""Periodic embedding: a cube around the environment becomes a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.surroundings import check_room, surroundings
from prcli.environments.template import Template, roles

if TYPE_CHECKING:
    from ase import Atoms


def periodic(structure: Atoms, centre: int, options: GeometryOptions, where: str) -> Template:
    """Take the atoms in a cube around an atom as a periodic cell.

    The cube has the half-length cutoff + buffer; the cell is wider than it by the contact distance
    and 1.5 sigma, so that atoms on opposite faces do not meet.

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
        Atoms beyond the cutoff are free.

    Raises
    ------
    RequestError
        If the cube is larger than the cell.
    """
    from ase import Atoms

    check_room(structure, options.reach, "cube", where)
    found = surroundings(structure, centre, options.reach, "cube")
    side = 2.0 * options.reach + options.gap
    atoms = Atoms(
        numbers=structure.numbers[found.index],
        positions=found.vectors + 0.5 * side,
        cell=np.diag([side] * 3),
        pbc=True,
    )
    nowhere = np.full(len(atoms), -1)
    return Template("periodic", atoms, found.index, nowhere, roles(found.distances, options.cutoff))

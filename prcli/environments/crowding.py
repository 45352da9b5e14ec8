"""Small structures whose atoms no displacement can bring far enough apart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.surroundings import shortest_distances, shortest_translation
from prcli.environments.template import Template

FloatArray = NDArray[np.float64]

#: Standard deviations that no displacement of a thousand tries is longer than: in three
#: dimensions that has a probability of 1e-21.
_LONGEST = 10.0
_SLACK = 1e-9


def why_too_small(template: Template, contact: float) -> str | None:
    """Say why no atoms can be so far apart in a cell, wherever they are; None if they may.

    Of the free atoms and those fixed ones that are so far apart already, each can have a sphere
    of half the distance to itself, and spheres fill π/√18 of space at most (Kepler).

    Parameters
    ----------
    template : Template
        Of a periodic cell; nothing is said of others.
    contact : float
        Least distance of a free atom from all others, images included, in angstrom.
    """
    atoms = template.atoms
    if contact == 0.0 or not atoms.pbc.all():
        return None
    volume = float(atoms.get_volume())  # type: ignore[no-untyped-call]
    most = math.floor(math.sqrt(2.0) * volume / contact**3 * (1.0 + _SLACK))
    n_apart = int(np.count_nonzero(template.is_free))
    if n_apart <= most:
        shortest = shortest_translation(atoms, contact)
        if shortest is not None:
            return f"images of an atom {shortest:.4g} angstrom apart"
        n_apart += _count_apart(template, contact)
    if n_apart <= most:
        return None
    return (
        f"{n_apart} atoms that would have to be so far apart, in a cell with room for at most "
        f"{most}"
    )


def why_out_of_reach(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    distances: FloatArray,
    is_free: NDArray[np.bool_],
    options: GeometryOptions,
) -> str | None:
    """Say which pair of atoms no displacement separates; None if all may be.

    Parameters
    ----------
    first, second : (n,) array of int
        Pairs that are too close before displacements.
    distances : (n,) array of float64
        In angstrom.
    is_free : (n_atoms,) array of bool
    options : GeometryOptions
    """
    n_moving = is_free[first].astype(int) + is_free[second]
    # An atom and its image move together; of two atoms the difference moves √2 times as far.
    reach = np.where(first == second, 0.0, _LONGEST * options.sigma * np.sqrt(n_moving))
    stuck = np.flatnonzero((n_moving > 0) & (distances + reach < options.contact))
    if not stuck.size:
        return None
    pair = stuck[np.argmin(distances[stuck] + reach[stuck])]
    return (
        f"atoms {first[pair]} and {second[pair]} at {distances[pair]:.4g} angstrom before "
        f"displacements of {options.sigma:g} angstrom"
    )


def _count_apart(template: Template, contact: float) -> int:
    """Count fixed atoms that are so far apart, those near the first atom first."""
    atoms = template.atoms
    kept: list[int] = []
    for atom in np.flatnonzero(~template.is_free).tolist():
        vectors = atoms.positions[kept] - atoms.positions[atom]
        if not kept or shortest_distances(vectors, atoms).min() >= contact:
            kept.append(atom)
    return len(kept)

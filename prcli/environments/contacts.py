"""Random displacements that bring no two atoms too close to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prcli.environments.crowding import why_out_of_reach, why_too_small
from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.surroundings import complete_vectors, shortest_distances
from prcli.environments.template import Template
from prcli.errors import RequestError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Offence:
    """Free atoms that are where they must not be.

    Attributes
    ----------
    free : (m,) array of int
        Those atoms.
    reason : str
        The worst case, for messages.
    """

    free: NDArray[np.intp]
    reason: str


def displace(
    template: Template, options: GeometryOptions, rng: np.random.Generator, where: str
) -> tuple[Template, int]:
    """Displace the free atoms of a small structure by Gaussian noise.

    Only atoms that come too close to others, or into an environment that is to stay as it is,
    are drawn again.

    Parameters
    ----------
    template : Template
    options : GeometryOptions
    rng : numpy.random.Generator
    where : str
        The small structure, for messages.

    Returns
    -------
    displaced : Template
    n_tries : int
        How often displacements were drawn; 0 where no atom is free.

    Raises
    ------
    RequestError
        If no such displacements are found in `options.max_tries` tries, or none can be.
    """
    free = np.flatnonzero(template.is_free)
    if not len(free):
        return template, 0
    atoms = template.atoms.copy()  # type: ignore[no-untyped-call]
    moving, reason = free, ""
    for n_tries in range(1, options.max_tries + 1):
        shifts = rng.normal(scale=options.sigma, size=(len(moving), 3))
        atoms.positions[moving] = template.atoms.positions[moving] + shifts
        displaced = replace(template, atoms=atoms)
        offence = find_offence(displaced, options)
        if offence is None:
            return displaced, n_tries
        if n_tries == 1:
            _require_hope(template, options, offence, where)
        moving, reason = offence.free, offence.reason
    raise _refusal(
        f"no displacements keep all atoms apart, after {options.max_tries} tries for "
        f"{len(moving)} of {len(free)} atoms",
        options,
        reason,
        where,
    )


def _require_hope(
    template: Template, options: GeometryOptions, offence: Offence, where: str
) -> None:
    """Refuse at once what no number of tries would bring about."""
    reason = None
    if options.sigma == 0.0:
        reason = f"{offence.reason}, without displacements"
    if reason is None:
        reason = why_too_small(template, options.contact)
    if reason is None:
        pairs = close_pairs(template, options.contact)
        reason = why_out_of_reach(*pairs, template.is_free, options)
    if reason is not None:
        raise _refusal("no displacements can keep all atoms apart", options, reason, where)


def _refusal(what: str, options: GeometryOptions, got: str, where: str) -> RequestError:
    """Say that atoms do not get far enough apart."""
    return RequestError(
        what,
        where=where,
        expected=f"atoms at least {options.contact:g} angstrom apart, and none but their own "
        f"within {options.cutoff:g} angstrom of the centres",
        got=got,
        remedy="give a smaller --contact, or another --sigma, --buffer or --seed",
    )


def find_offence(displaced: Template, options: GeometryOptions) -> Offence | None:
    """Find the free atoms that are too close to others, or within an environment.

    Contacts of two atoms that are not free are not looked at: these are where they were in the
    large structure or the crystal.
    """
    first, second, distances = close_pairs(displaced, options.contact)
    is_free = displaced.is_free
    counts = is_free[first] | is_free[second]
    first, second, distances = first[counts], second[counts], distances[counts]
    inside, depths = _intruders(displaced, options.cutoff)
    if not len(first) and not len(inside):
        return None
    ends = np.concatenate([first, second])
    free = np.union1d(ends[is_free[ends]], inside)
    if len(first):
        pair = int(np.argmin(distances))
        reason = f"atoms {first[pair]} and {second[pair]} at {distances[pair]:.4g} angstrom"
    else:
        atom = int(np.argmin(depths))
        reason = f"atom {inside[atom]} at {depths[atom]:.4g} angstrom from a centre"
    return Offence(free, reason)


def close_pairs(
    template: Template, distance: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Find pairs of atoms closer than a distance, images included, each pair in both orders."""
    from ase.neighborlist import primitive_neighbor_list

    atoms = template.atoms
    if distance == 0.0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0)
    # No more bins than atoms: in a cell that is nearly empty, looking at bins would take longest.
    first, second, distances = primitive_neighbor_list(  # type: ignore[no-untyped-call]
        "ijd",
        atoms.pbc,
        complete_vectors(atoms),
        atoms.positions,
        distance,
        max_nbins=max(len(atoms), 1),
    )
    return first, second, distances


def _intruders(displaced: Template, cutoff: float) -> tuple[NDArray[np.intp], FloatArray]:
    """Free atoms within the cutoff of a centre, and how close to one each is."""
    atoms, free = displaced.atoms, np.flatnonzero(displaced.is_free)
    nearest = np.full(len(free), np.inf)
    for centre in displaced.centres.tolist():
        vectors = atoms.positions[free] - atoms.positions[centre]
        nearest = np.minimum(nearest, shortest_distances(vectors, atoms))
    inside = nearest <= cutoff
    return free[inside], nearest[inside]

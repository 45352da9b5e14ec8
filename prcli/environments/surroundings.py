"""The atoms around one atom of a large, possibly periodic structure.

Everything is linear in the number of atoms: no distances but those from one centre are computed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.errors import RequestError

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]
Shape: TypeAlias = Literal["sphere", "cube"]

#: Rounding of positions must not decide whether an atom on the surface is in.
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Atoms near a centre, the centre first.

    Attributes
    ----------
    index : (n,) array of int
        Atoms of the large structure.
    vectors : (n, 3) array of float64
        From the centre to each, in angstrom.
    """

    index: NDArray[np.int64]
    vectors: FloatArray

    @property
    def distances(self) -> FloatArray:
        """(n,) distances from the centre, in angstrom."""
        distances: FloatArray = np.linalg.norm(self.vectors, axis=1)
        return distances


def surroundings(
    structure: Atoms, centre: int, half: float, shape: Shape = "sphere"
) -> Surroundings:
    """Find the atoms in a sphere or cube around an atom.

    Parameters
    ----------
    structure : ase.Atoms
        Periodic in any directions, wrapped or not.
    centre : int
    half : float
        Radius, or half of the edge along x, y and z, in angstrom.
    shape : {"sphere", "cube"}

    Returns
    -------
    found : Surroundings
        Images of atoms included, each as often as it occurs.
    """
    cell = complete_vectors(structure)
    vectors = structure.positions - structure.positions[centre]
    inverse = np.linalg.inv(cell)
    fractions = vectors @ inverse
    # A sphere or cube reaches so far between the faces of the cell.
    radius = half * (np.sqrt(3.0) if shape == "cube" else 1.0) + _SLACK
    reach = radius * np.linalg.norm(inverse, axis=0)
    index = np.arange(len(vectors))
    images = np.zeros((len(vectors), 3))
    for axis in np.flatnonzero(structure.pbc).tolist():
        home = np.round(fractions[index, axis])
        shifts = range(-int(reach[axis] + 0.5), int(reach[axis] + 0.5) + 1)
        kept, image = [], []
        for shift in shifts:
            inside = np.abs(fractions[index, axis] - home + shift) <= reach[axis]
            kept.append(np.flatnonzero(inside))
            image.append(shift - home[inside])
        rows = np.concatenate(kept)
        index, images = index[rows], images[rows]
        images[:, axis] = np.concatenate(image)
    vectors = vectors[index] + images @ cell
    inside = np.flatnonzero(_sizes(vectors, shape) <= half + _SLACK)
    # By distance, so that the order does not depend on where the cell begins.
    order = inside[np.lexsort((index[inside], np.linalg.norm(vectors[inside], axis=1)))]
    return Surroundings(index[order], vectors[order])


def complete_vectors(structure: Atoms) -> FloatArray:
    """Lattice vectors, (3, 3), with others in place of those that are zero."""
    from ase.geometry import complete_cell

    cell: FloatArray = np.array(complete_cell(structure.cell), dtype=np.float64)  # type: ignore[no-untyped-call]
    return cell


def shortest_distances(vectors: FloatArray, structure: Atoms) -> FloatArray:
    """Lengths, (n,), of the shortest images of vectors of shape (n, 3)."""
    from ase.geometry import find_mic

    lengths: FloatArray = find_mic(vectors, structure.cell, structure.pbc)[1]  # type: ignore[no-untyped-call]
    return lengths


def check_room(structure: Atoms, half: float, shape: Shape, where: str) -> None:
    """Refuse a sphere or cube that would hold an atom of a periodic structure twice.

    Parameters
    ----------
    structure : ase.Atoms
    half : float
        Radius or half of the edge, in angstrom.
    shape : {"sphere", "cube"}
    where : str
        The structure, for messages.

    Raises
    ------
    RequestError
    """
    shortest = shortest_translation(structure, 2.0 * half, shape)
    if shortest is not None:
        width = "diameter" if shape == "sphere" else "edge"
        raise RequestError(
            f"the {shape} around the atom is larger than the cell: it meets its own image",
            where=where,
            expected=f"images of an atom at least {2.0 * half:g} angstrom apart, its {width}",
            got=f"{shortest:.6g} angstrom",
            remedy="give a smaller --cutoff or --buffer; a cell as small as this can be computed "
            "as it is",
        )


def shortest_translation(structure: Atoms, below: float, shape: Shape = "sphere") -> float | None:
    """Find the shortest lattice vector that is shorter than a limit.

    Parameters
    ----------
    structure : ase.Atoms
    below : float
        In angstrom.
    shape : {"sphere", "cube"}
        Whether a vector counts by its length, or by its largest component.

    Returns
    -------
    length : float or None
        None if all are at least as long.
    """
    periodic = np.flatnonzero(structure.pbc)
    if not len(periodic):
        return None
    cell = complete_vectors(structure)
    inverse = np.linalg.inv(cell)
    # No vector longer than one of the cell need be looked at.
    limit = min(below, float(_sizes(cell[periodic], shape).min()) + _SLACK)
    length = limit * (np.sqrt(3.0) if shape == "cube" else 1.0)
    most = np.zeros(3, dtype=int)
    most[periodic] = (length * np.linalg.norm(inverse, axis=0) + _SLACK)[periodic].astype(int)
    numbers = np.array(list(itertools.product(*(range(-m, m + 1) for m in most.tolist()))))
    vectors = numbers[np.any(numbers != 0, axis=1)] @ cell
    shortest = float(_sizes(vectors, shape).min(initial=np.inf))
    return shortest if shortest < below - _SLACK else None


def _sizes(vectors: FloatArray, shape: Shape) -> FloatArray:
    """Size of each vector: its length, or for cubes its largest component."""
    sizes: FloatArray = (
        np.abs(vectors).max(axis=1) if shape == "cube" else np.linalg.norm(vectors, axis=1)
    )
    return sizes

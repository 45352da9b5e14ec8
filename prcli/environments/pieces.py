"""A large structure in pieces, each with as much around it as its atoms see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.environments.surroundings import complete_vectors

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]

#: Bins along an axis: enough for pieces of a few thousand atoms of millions.
_MOST_BINS = 256


@dataclass(frozen=True, eq=False)
class Piece:
    """Some atoms of a large structure, as a cluster with their surroundings.

    Attributes
    ----------
    atoms : ase.Atoms
        Not periodic; the piece's own atoms come first.
    own : (n,) array of int
        The atoms of the large structure that these are.
    """

    atoms: Atoms
    own: NDArray[np.int64]


def pieces(structure: Atoms, margin: float, max_atoms: int) -> Iterator[Piece]:
    """Cut a structure into pieces whose own atoms see all that they see in the whole.

    Parameters
    ----------
    structure : ase.Atoms
        Periodic in any directions, wrapped or not.
    margin : float
        How far atoms see, in angstrom.
    max_atoms : int
        Own atoms that a piece holds at most, unless a box of the size of the margin holds more.

    Yields
    ------
    piece : Piece
        Every atom is one piece's own.
    """
    grid = _Grid(structure, margin)
    # The same share of each axis, so that pieces are as cubic as the cell is.
    share = min(1.0, (max_atoms / max(1, len(structure))) ** (1.0 / 3.0))
    width = np.maximum(1, (np.array(grid.n_bins) * share).astype(int))
    starts = (range(0, n, w) for n, w in zip(grid.n_bins, width.tolist(), strict=True))
    for corner in itertools.product(*starts):
        piece = grid.cut(np.array(corner), width)
        if len(piece.own):
            yield piece


class _Grid:
    """Atoms sorted into boxes whose faces are at least the margin apart."""

    def __init__(self, structure: Atoms, margin: float) -> None:
        self._structure = structure
        self._cell = complete_vectors(structure)
        inverse = np.linalg.inv(self._cell)
        fractions = structure.positions @ inverse
        self._home = np.where(structure.pbc, np.floor(fractions), 0.0)
        fractions -= self._home
        low, high = fractions.min(axis=0), fractions.max(axis=0)
        low = np.where(structure.pbc, 0.0, low)
        span = np.where(structure.pbc, 1.0, np.maximum(high - low, 1e-12))
        heights = span / np.linalg.norm(inverse, axis=0)
        bins = np.clip((heights / margin).astype(int), 1, _MOST_BINS)
        self.n_bins: tuple[int, int, int] = (int(bins[0]), int(bins[1]), int(bins[2]))
        # One, unless the cell itself is thinner than the margin.
        self._around = np.where(structure.pbc, np.ceil(margin * bins / heights), 1).astype(int)
        place = ((fractions - low) / span * bins).astype(int)
        place = np.clip(place, 0, bins - 1)
        box = np.ravel_multi_index(tuple(place.T), self.n_bins)
        self._order = np.argsort(box, kind="stable")
        edges = np.searchsorted(box[self._order], np.arange(int(np.prod(bins)) + 1))
        self._edges = edges

    def cut(self, corner: NDArray[np.int64], width: NDArray[np.int64]) -> Piece:
        """Take the boxes from a corner on, with the boxes around them."""
        from ase import Atoms

        stop = np.minimum(corner + width, self.n_bins)
        inner = [range(*ends) for ends in zip(corner.tolist(), stop.tolist(), strict=True)]
        outer = [
            range(span.start - more, span.stop + more)
            for span, more in zip(inner, self._around.tolist(), strict=True)
        ]
        own_boxes = set(itertools.product(*inner))
        own, own_shift = self._atoms_in(own_boxes)
        near, shift = self._atoms_in(set(itertools.product(*outer)) - own_boxes)
        index = np.concatenate([own, near])
        images = np.concatenate([own_shift, shift]) - self._home[index]
        positions = self._structure.positions[index] + images @ self._cell
        numbers = self._structure.numbers[index]
        return Piece(Atoms(numbers=numbers, positions=positions), own)

    def _atoms_in(self, boxes: set[tuple[int, ...]]) -> tuple[NDArray[np.int64], FloatArray]:
        """Atoms of some boxes, beyond the cell too, and the cells that they are moved by."""
        atoms, shifts = [np.empty(0, dtype=np.int64)], [np.empty((0, 3))]
        for box in sorted(boxes):
            shift, place = np.divmod(np.array(box), self.n_bins)
            if np.any((shift != 0) & ~self._structure.pbc):
                continue
            number = int(np.ravel_multi_index(tuple(place), self.n_bins))
            found = self._order[self._edges[number] : self._edges[number + 1]]
            atoms.append(found)
            shifts.append(np.tile(shift.astype(np.float64), (len(found), 1)))
        return np.concatenate(atoms), np.concatenate(shifts)

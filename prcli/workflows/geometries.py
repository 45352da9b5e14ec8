"""Structures of a file as ASE objects, and a first look at all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.data.geometry import Geometry, read_geometry
from prcli.records import Progress
from prcli.workflows.import_rows import ImportFrames

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

#: Structures between two reports of progress.
_STEP = 1000

#: Up to so many atoms, positions are kept after the first look: at most about 100 MiB.
_KEPT_ATOMS = 1 << 20


@dataclass(frozen=True, eq=False)
class Survey:
    """What the structures of a file are, as far as it is needed before any is described.

    Attributes
    ----------
    numbers : (N,) array of uint8
        Atomic numbers of all atoms.
    examples : dict of (bool, bool, bool) to int
        The first structure that is periodic in just those directions.
    """

    numbers: NDArray[np.uint8]
    examples: dict[tuple[bool, bool, bool], int]

    @property
    def species(self) -> tuple[int, ...]:
        """Elements that occur, by increasing atomic number."""
        return tuple(np.flatnonzero(np.bincount(self.numbers, minlength=1)).tolist())


class Structures:
    """The structures of a file.

    Parameters
    ----------
    frames : ImportFrames
        Which frames they are.
    """

    def __init__(self, frames: ImportFrames) -> None:
        self._frames = frames
        self._kept: list[Geometry] = []

    def survey(self, progress: Progress) -> Survey:
        """Read all structures once, so that what is wrong is found before any long work.

        Raises
        ------
        FormatError, FeatureError, InputFileError
            With the first frame that cannot be understood.
        """
        offsets, n_structures = self._frames.offsets, len(self._frames.frame)
        numbers = np.empty(int(offsets[-1]), dtype=np.uint8)
        examples: dict[tuple[bool, bool, bool], int] = {}
        keeps = offsets[-1] <= _KEPT_ATOMS
        n_assumed = 0
        for i, geometry in enumerate(self._geometries(range(n_structures))):
            numbers[offsets[i] : offsets[i + 1]] = geometry.numbers
            examples.setdefault(geometry.pbc, i)
            n_assumed += any(geometry.pbc) and not geometry.states_pbc
            if keeps:
                self._kept.append(geometry)
            if (i + 1) % _STEP == 0 or i + 1 == n_structures:
                progress("check", i + 1, n_structures)
        if n_assumed:
            logger.info(
                "%d of %d structures have a Lattice and no pbc: taken as periodic in all of "
                "its directions",
                n_assumed,
                n_structures,
            )
        return Survey(numbers, examples)

    def forget(self) -> None:
        """Let go of what the first look has kept; structures are then read again."""
        self._kept.clear()

    def read(self, positions: range) -> Iterator[Atoms]:
        """Read structures: elements, positions, cell and periodicity, no more."""
        from ase import Atoms

        kept = self._kept[positions.start : positions.stop]
        for geometry in kept or self._geometries(positions):
            yield Atoms(
                numbers=geometry.numbers,
                positions=geometry.positions,
                cell=geometry.cell,
                pbc=geometry.pbc,
            )

    def _geometries(self, positions: range) -> Iterator[Geometry]:
        for frame, content in self._frames.read(positions):
            yield read_geometry(content, f"{self._frames.typed}, frame {frame}")

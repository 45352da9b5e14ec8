"""Whether the sets of several models are of the same structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, Part
from prcli.errors import MismatchError
from prcli.wording import counted


@dataclass(frozen=True, eq=False)
class ComparedStructures:
    """What tells whether two sets are of the same structures.

    Attributes
    ----------
    label : str
        The set, for messages.
    model : str
        Name of the model that sees it.
    n_atoms : (S,) array of int
    species : (N,) array of uint8 or None
        Atomic numbers where they are known.
    files : tuple of str
        Digests of the structure files that they are from.
    file : (S,) array of int
        Position in `files` of the file of each, −1 where it is not known.
    frame : (S,) array of int
        Position in that file.
    """

    label: str
    model: str
    n_atoms: NDArray[np.integer]
    species: NDArray[np.uint8] | None
    files: tuple[str, ...]
    file: NDArray[np.integer]
    frame: NDArray[np.integer]

    @classmethod
    def of(cls, data: Dataset, model: str) -> ComparedStructures:
        """Look at a set that is open."""
        species = None
        if data.has_species:
            species = np.concatenate(
                [
                    np.asarray(part.table.species)[part.atoms_of(part.positions)[1]]
                    for part in data.parts
                ]
            )
        numbers: dict[str, int] = {}
        origins = [_origin(part, numbers) for part in data.parts]
        file, frame = (np.concatenate(each) for each in zip(*origins, strict=True))
        return cls(data.label, model, data.n_atoms, species, tuple(numbers), file, frame)

    def check_same(self, other: ComparedStructures) -> None:
        """Refuse sets of other structures, as far as atoms and the files that they are from tell.

        Raises
        ------
        MismatchError
        """
        where = f"{self.label} of {self.model}, and {other.label} of {other.model}"
        if len(self.n_atoms) != len(other.n_atoms):
            raise MismatchError(
                "models are compared on the same structures",
                where=where,
                expected=counted(len(self.n_atoms), "structure"),
                got=counted(len(other.n_atoms), "structure"),
            )
        differing = np.flatnonzero(self.n_atoms != other.n_atoms)
        if differing.size:
            i = int(differing[0])
            raise MismatchError(
                "models are compared on the same structures, in the same order",
                where=f"{where}, structure {i}",
                expected=counted(int(self.n_atoms[i]), "atom"),
                got=counted(int(other.n_atoms[i]), "atom"),
            )
        self._check_species(other, where)
        here = {digest: number for number, digest in enumerate(self.files)}
        known = np.array([*(here.get(digest, -2) for digest in other.files), -2])
        moved = np.flatnonzero((known[other.file] == self.file) & (self.frame != other.frame))
        if moved.size:
            i = int(moved[0])
            raise MismatchError(
                "models are compared on the same structures, in the same order",
                where=f"{where}, structure {i}",
                expected=f"frame {self.frame[i]} of the structure file that both are from",
                got=f"frame {other.frame[i]}",
            )

    def _check_species(self, other: ComparedStructures, where: str) -> None:
        """Refuse other elements."""
        if self.species is None or other.species is None:
            return
        strange = np.flatnonzero(self.species != other.species)
        if strange.size:
            starts = np.concatenate([[0], np.cumsum(self.n_atoms)])
            i = int(np.searchsorted(starts, strange[0], side="right")) - 1
            raise MismatchError(
                "models are compared on the same structures, in the same order",
                where=f"{where}, structure {i}, atom {int(strange[0] - starts[i])}",
                expected="the same element in both",
            )


def _origin(part: Part, numbers: dict[str, int]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Give the number of the file that each structure of a part is from, and its frame.

    Files that are new are numbered on.
    """
    source = part.table.source
    if source is None:
        return np.full(len(part.positions), -1), np.zeros(len(part.positions), dtype=np.int64)
    files = [
        numbers.setdefault(stamp.digest, len(numbers)) if stamp.digest else -1
        for stamp in source.files
    ]
    return np.array(files)[part.select(source.file)], part.select(source.frame)

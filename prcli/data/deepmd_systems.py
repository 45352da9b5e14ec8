"""Arrays that DeePMD-kit writes for each of its systems, one after the other as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prcli.data.foreign import ForeignArray, RowIndex
from prcli.data.hdf5_file import reading
from prcli.data.row_layout import check_real, float_type, type_notes
from prcli.data.row_offsets import atom_offsets
from prcli.errors import FeatureError, FormatError


@dataclass(frozen=True, eq=False)
class System:
    """Frames of one system: structures with equally many places for atoms.

    Attributes
    ----------
    name : str
    values : (n_frames, n_places, D) or (n_frames, D) array or h5py.Dataset
        Rows of atoms, or of frames.
    where : str
        The array, for messages.
    types : (n_frames, n_places) array of int, optional
        Type of each atom; below 0 where a place holds none.
    """

    name: str
    values: Any
    where: str
    types: NDArray[np.integer[Any]] | None = None

    @property
    def per_atom(self) -> bool:
        """Whether rows are of atoms."""
        return len(self.values.shape) == 3

    @cached_property
    def n_atoms(self) -> NDArray[np.int64] | None:
        """Atoms of each frame, (n_frames,); None where nothing tells."""
        n_frames = int(self.values.shape[0])
        if self.types is not None:
            counts: NDArray[np.int64] = np.count_nonzero(self.types >= 0, axis=1)
            return counts
        return np.full(n_frames, self.values.shape[1]) if self.per_atom else None

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """First row of each frame, (n_frames + 1,)."""
        if self.per_atom and self.n_atoms is not None:
            return atom_offsets(self.n_atoms)
        return np.arange(int(self.values.shape[0]) + 1)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Read some rows, (stop - start, D)."""
        first = int(np.searchsorted(self.offsets, start, side="right")) - 1
        last = int(np.searchsorted(self.offsets, stop, side="left"))
        with reading(self.where):
            frames: NDArray[Any] = self.values[first:last]
        if self.per_atom and self.types is not None:
            rows = frames[self.types[first:last] >= 0]
        else:
            rows = frames.reshape(-1, frames.shape[-1])
        before = int(self.offsets[first])
        return rows[start - before : stop - before]


@dataclass(frozen=True, eq=False)
class SystemRows:
    """Rows of several systems below each other."""

    systems: tuple[System, ...]
    release: Callable[[], None]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First row of each system, and their number."""
        return atom_offsets(np.array([system.offsets[-1] for system in self.systems]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.starts[-1]), int(self.systems[0].values.shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds the numbers of every system."""
        return np.result_type(*(system.values.dtype for system in self.systems))

    def rows(self, wanted: RowIndex) -> NDArray[Any]:
        """Return a run of rows, (n, D)."""
        if not isinstance(wanted, slice):
            raise TypeError("systems are read by runs of rows")
        start, stop, _ = wanted.indices(self.shape[0])
        table = np.empty((stop - start, self.shape[1]), dtype=float_type(self.dtype))
        for system, first in zip(self.systems, self.starts.tolist(), strict=False):
            low, high = max(start, first), min(stop, first + int(system.offsets[-1]))
            if low < high:
                table[low - start : high - start] = system.rows(low - first, high - first)
        return table

    def close(self) -> None:
        """Release the file."""
        self.release()


def join_systems(
    systems: Sequence[System],
    where: str,
    numbers: NDArray[np.uint8] | None,
    release: Callable[[], None],
) -> ForeignArray:
    """Put systems below each other.

    Parameters
    ----------
    systems : sequence of System
        At least one, in the order of the structures.
    where : str
        The file or folder.
    numbers : (n_types,) array of uint8, optional
        Atomic number of each type.
    release : callable
        Closes what the systems are read from.

    Raises
    ------
    FeatureError
        If a system is empty, or its features are not of the first one's width.
    FormatError
        If numbers are not real.
    """
    width = systems[0].values.shape[-1]
    for system in systems:
        check_real(system.values.dtype, system.where)
        if 0 in system.values.shape:
            raise FeatureError(
                "array is empty", where=system.where, got=f"shape {system.values.shape}"
            )
        if system.values.shape[-1] != width:
            raise FeatureError(
                "systems have features of different widths",
                where=system.where,
                expected=f"{width} columns, as system {systems[0].name}",
                got=f"{system.values.shape[-1]} columns",
                remedy="keep the files of one model together",
            )
    rows = SystemRows(tuple(systems), release)
    counts = [system.n_atoms for system in systems if system.n_atoms is not None]
    species = None
    if numbers is not None:
        species = np.concatenate([_species(system, numbers) for system in systems])
    return ForeignArray(
        rows,
        where,
        type_notes(rows.dtype),
        n_atoms=np.concatenate(counts) if len(counts) == len(systems) else None,
        species=species,
    )


def _species(system: System, numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Find the atomic numbers of the atoms of a system, frame by frame."""
    assert system.types is not None
    types = system.types[system.types >= 0]
    if types.size and int(types.max()) >= len(numbers):
        raise FormatError(
            "type of an atom is not in type_map",
            where=system.where,
            expected=f"0 to {len(numbers) - 1}",
            got=str(types.max()),
        )
    species: NDArray[np.uint8] = numbers[types]
    return species

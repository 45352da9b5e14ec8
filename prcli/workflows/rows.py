"""Rows of the design matrix of a data set, read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import check_finite
from prcli.data.dataset import Dataset, Part, read_structures
from prcli.errors import FeatureError, MismatchError
from prcli.numerics.rows import atom_rows, energy_rows
from prcli.records import Convention, EnergyKind, Intercept
from prcli.workflows.finite import is_finite

FloatArray = NDArray[np.float64]

#: Bytes of float64 rows that one block holds.
BLOCK_BYTES = 16 << 20

#: Structures whose elements are looked at together.
_STRUCTURES_AT_A_TIME = 1 << 14


@dataclass(frozen=True)
class RowForm:
    """How features become rows.

    Attributes
    ----------
    n_features : int
    energy : {"per-atom", "total"}
    intercept : Intercept
    """

    n_features: int
    energy: EnergyKind = "per-atom"
    intercept: Intercept = Intercept()

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        return self.n_features + self.intercept.n_columns

    @property
    def block_rows(self) -> int:
        """Rows that one block holds."""
        return max(64, BLOCK_BYTES // (8 * max(1, self.n_columns)))

    def check_width(self, data: Dataset) -> None:
        """Refuse a data set of another width.

        Raises
        ------
        MismatchError
        """
        if data.n_features != self.n_features:
            raise MismatchError(
                f"the {data.name} set does not fit the Hessian",
                where=data.label,
                expected=f"{self.n_features} features",
                got=f"{data.n_features} features",
                remedy="compute both with the same descriptor or model",
            )


class EnergyRows:
    """Energy rows of a data set: a row source for the numerics.

    Parameters
    ----------
    data : Dataset
    form : RowForm
    weight : float
        Every row is multiplied by the square root of this.
    weights : ndarray of shape (S,), optional
        And each by the square root of its own.
    """

    def __init__(
        self, data: Dataset, form: RowForm, weight: float = 1.0, weights: FloatArray | None = None
    ) -> None:
        form.check_width(data)
        self._data = data
        self._form = form
        self._factor = float(np.sqrt(weight))
        self._factors = None if weights is None else np.sqrt(weights)

    @property
    def n_rows(self) -> int:
        """Number of structures."""
        return self._data.n_structures

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        return self._form.n_columns

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield (first structure, rows)."""
        for start, part, positions in self._data.structure_runs(self._form.block_rows):
            here = slice(start, start + len(positions))
            yield start, self._weighted(self._rows(part, positions), here)

    def read(self, first: int, last: int) -> FloatArray:
        """Rows of structures ``first:last``."""
        rows = np.empty((last - first, self.n_columns))
        starts = self._data.starts.tolist()
        for part, start, stop in zip(self._data.parts, starts[:-1], starts[1:], strict=True):
            begin, end = max(first, start), min(last, stop)
            if begin < end:
                rows[begin - first : end - first] = self._rows(
                    part, part.positions[begin - start : end - start]
                )
        return self._weighted(rows, slice(first, last))

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> FloatArray:
        """Rows of some structures, in the order given."""
        wanted = np.asarray(indices, dtype=np.int64)
        rows = np.empty((len(wanted), self.n_columns))
        number = np.searchsorted(self._data.starts, wanted, side="right") - 1
        for i in np.unique(number).tolist():
            part, here = self._data.parts[i], np.flatnonzero(number == i)
            offsets = wanted[here] - self._data.starts[i]
            positions = part.positions.start + part.positions.step * offsets
            if part.table.structures is None:
                # Sums over atoms, which may be many, are made one by one.
                for place, position in zip(here.tolist(), positions.tolist(), strict=True):
                    rows[place] = self._rows(part, range(position, position + 1))[0]
            else:
                features = part.table.structures.take(positions)
                rows[here] = self._made(features, part.table.convention, part, positions)
        return self._weighted(rows, wanted)

    def read_all(self) -> FloatArray:
        """All rows at once, for sets that fit into memory."""
        rows = np.empty((self.n_rows, self.n_columns))
        for start, block in self.blocks():
            rows[start : start + len(block)] = block
        return rows

    def _rows(self, part: Part, positions: range) -> FloatArray:
        features, convention = structure_features(part, positions)
        return self._made(features, convention, part, positions)

    def _made(
        self,
        features: NDArray[np.floating],
        convention: Convention,
        part: Part,
        positions: range | NDArray[np.int64],
    ) -> FloatArray:
        """Make rows of the features of structures of a table."""
        if not is_finite(features):
            _refuse(features, part, positions)
        return energy_rows(
            features,
            np.asarray(part.table.n_atoms)[np.array(positions)],
            convention=convention,
            energy=self._form.energy,
            intercept=self._form.intercept,
            counts=_counts_for(part, positions, self._form.intercept),
        )

    def _weighted(self, rows: FloatArray, which: slice | NDArray[np.int64]) -> FloatArray:
        """Multiply rows of some structures by the roots of their weights, in place."""
        if self._factor != 1.0:
            rows *= self._factor
        if self._factors is not None:
            rows *= self._factors[which, np.newaxis]
        return rows


def local_blocks(
    data: Dataset, form: RowForm
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, NDArray[np.uint8] | None]]:
    """Rows of the atoms of a data set.

    Yields
    ------
    structure : (n,) array of int64
        Structure of the set.
    atom : (n,) array of int64
        Position in the structure.
    rows : (n, D') array of float64
        Free to be overwritten.
    species : (n,) array of uint8, or None
    """
    form.check_width(data)
    for structure, atom, features, species in data.atom_blocks(form.block_rows):
        if form.intercept.kind == "species":
            _require_known(np.unique(_known(species, data.label)), form.intercept, data.label)
        if not is_finite(features):
            first = int(np.argmin(np.isfinite(features).all(axis=1)))
            label = f"{data.label}, structure {structure[first]}, atom {atom[first]}"
            check_finite(features[first : first + 1], 0, label)
        rows = atom_rows(features, intercept=form.intercept, species=species)
        yield structure, atom, rows, species


def structure_features(part: Part, positions: range) -> tuple[NDArray[np.floating], Convention]:
    """Features of structures: as stored, else summed over their atoms."""
    if part.table.structures is not None:
        return read_structures(part, positions)
    return _sum_atoms(part, positions), "sum"


def _sum_atoms(part: Part, positions: range) -> FloatArray:
    """Sum the atoms' features of each structure, in bounded memory."""
    rows = part.table.atoms
    if rows is None:
        raise FeatureError("there are no features", where=part.table.label)
    offsets = part.offsets
    most = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
    sums = np.zeros((len(positions), rows.shape[1]))
    done = 0
    while done < len(positions):
        first = positions[done]
        fit = done + 1
        # A run of neighbouring structures is read at once and summed piece by piece.
        while (
            positions.step == 1
            and fit < len(positions)
            and offsets[positions[fit] + 1] - offsets[first] <= most
        ):
            fit += 1
        begin, end = int(offsets[first]), int(offsets[positions[fit - 1] + 1])
        if end - begin <= most:
            block = rows.read(begin, end).astype(np.float64)
            sums[done:fit] = np.add.reduceat(block, offsets[first : first + fit - done] - begin)
        else:
            for start in range(begin, end, most):
                block = rows.read(start, min(start + most, end))
                sums[done] += block.sum(axis=0, dtype=np.float64)
        done = fit
    return sums


def species_counts(
    part: Part, positions: range | NDArray[np.int64], species: Sequence[int]
) -> NDArray[np.int64]:
    """Atoms of each of some elements in each structure, shape (n, len(species))."""
    numbers = _known(part.table.species, part.table.label)
    structure, index = part.atoms_of(positions)
    # A column for each element asked for, and a last one for the others.
    width = len(species) + 1
    column = np.full(256, len(species), dtype=np.int64)
    column[list(species)] = np.arange(len(species))
    cells = structure * width + column[numbers[index]]
    counts = np.bincount(cells, minlength=len(positions) * width).reshape(-1, width)
    return counts[:, : len(species)].astype(np.int64, copy=False)


def elements_of(data: Dataset) -> tuple[int, ...]:
    """Atomic numbers that occur in a data set, ascending."""
    present = np.zeros(256, dtype=bool)
    for _, part, positions in data.structure_runs(_STRUCTURES_AT_A_TIME):
        numbers = _known(part.table.species, part.table.label)
        present |= np.bincount(numbers[part.atoms_of(positions)[1]], minlength=256) > 0
    return tuple(int(z) for z in np.flatnonzero(present))


def _counts_for(
    part: Part, positions: range | NDArray[np.int64], intercept: Intercept
) -> NDArray[np.int64] | None:
    if intercept.kind != "species":
        return None
    counts = species_counts(part, positions, intercept.species)
    n_atoms = np.asarray(part.table.n_atoms)[np.array(positions)]
    strange = np.flatnonzero(counts.sum(axis=1) != n_atoms)
    if strange.size:
        offsets = part.offsets
        position = positions[int(strange[0])]
        numbers = _known(part.table.species, part.table.label)
        here = numbers[int(offsets[position]) : int(offsets[position + 1])]
        label = f"{part.table.label}, structure {position}"
        _require_known(np.unique(here), intercept, label)
    return counts


def _known(species: NDArray[np.uint8] | None, label: str) -> NDArray[np.uint8]:
    if species is None:
        raise FeatureError(
            "the elements of the atoms are not known",
            where=label,
            expected="the dataset atoms/species",
            remedy="import the features again, or use another --intercept",
        )
    return np.asarray(species)


def _require_known(present: NDArray[np.uint8], intercept: Intercept, label: str) -> None:
    from prcli.elements import SYMBOLS

    missing = [int(z) for z in present if int(z) not in intercept.species]
    if missing:
        raise MismatchError(
            "an element has no intercept, since no training structure holds it",
            where=label,
            expected=", ".join(SYMBOLS[z] for z in intercept.species),
            got=", ".join(SYMBOLS[z] for z in missing),
            remedy="add such structures to the training set, or use another --intercept",
        )


def _refuse(
    features: NDArray[np.floating], part: Part, positions: range | NDArray[np.int64]
) -> None:
    """Name the first value that is not finite."""
    first = int(np.argmin(np.isfinite(features).all(axis=1)))
    check_finite(features[first : first + 1], positions[first], part.table.label)

"""The order of rows that carry labels of structures and atoms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from prcli.errors import FeatureError

#: Names that a label may have, the newest first.
STRUCTURE_NAMES = ("system", "structure")
ATOM_NAMES = ("atom", "center")
#: Rows whose labels are looked at together.
_ROWS = 1 << 20


@dataclass(frozen=True)
class SampleLabels:
    """Labels of rows, as the file holds them.

    Attributes
    ----------
    structure : (n_rows,) array of int
        Number of the structure, from 0.
    atom : (n_rows,) array of int, optional
        Number of the atom in it, from 0; None where a row is a whole structure.
    names : str
        Names of the labels in the file.
    where : str
        The file, for messages.
    """

    structure: NDArray[Any]
    atom: NDArray[Any] | None
    names: str
    where: str

    @classmethod
    def of(cls, samples: NDArray[Any], where: str) -> Self | None:
        """Find the labels among the fields of a structured array; None without structures."""
        structure = first_name(samples, STRUCTURE_NAMES)
        atom = first_name(samples, ATOM_NAMES)
        if structure is None:
            return None
        names = structure if atom is None else f"{structure}, {atom}"
        return cls(samples[structure], None if atom is None else samples[atom], names, where)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the labels are of: ("structure",), or ("structure", "atom")."""
        return ("structure",) if self.atom is None else ("structure", "atom")

    def structures(self, order: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Return the structure of each row, (n_rows,), with rows in the given order."""
        structure = self.structure.astype(np.int64)
        return structure if order is None else structure[order]


def first_name(samples: NDArray[Any], names: tuple[str, ...]) -> str | None:
    """Return the first of some names that a field of a structured array has."""
    fields = samples.dtype.names or ()
    return next((name for name in names if name in fields), None)


def sorting_order(labels: SampleLabels) -> NDArray[np.int64] | None:
    """Return the positions that bring rows into order, (n_rows,); None if they are in order.

    In order means structures 0, 1, 2, ... and within each atoms 0, 1, 2, ...

    Raises
    ------
    FeatureError
        If a structure or atom is missing or labelled twice.
    """
    if _first_break(labels, None) is None:
        return None
    keys = (labels.structure,) if labels.atom is None else (labels.atom, labels.structure)
    order = np.lexsort(keys).astype(np.int64, copy=False)
    broken = _first_break(labels, order)
    if broken is not None:
        _raise_gap(labels, order, broken)
    return order


def _first_break(labels: SampleLabels, order: NDArray[np.int64] | None) -> int | None:
    """Return the first row that does not follow the one before it."""
    n_rows = labels.structure.size
    for start in range(0, n_rows, _ROWS):
        # One row of overlap: each row is compared with the one before it.
        first = max(start - 1, 0)
        rows = slice(first, start + _ROWS)
        index = rows if order is None else order[rows]
        structure = np.asarray(labels.structure[index], dtype=np.int64)
        if labels.atom is None:
            good = structure == np.arange(first, first + structure.size)
        else:
            atom = np.asarray(labels.atom[index], dtype=np.int64)
            good = _follows(structure, atom, from_start=start == 0)
        if not good.all():
            return first + int(np.argmin(good))
    return None


def _follows(
    structure: NDArray[np.int64], atom: NDArray[np.int64], *, from_start: bool
) -> NDArray[np.bool_]:
    """Tell of each row whether it is the next atom, or the first of the next structure."""
    step = np.diff(structure)
    good = np.ones(structure.size, dtype=np.bool_)
    good[1:] = np.where(step == 0, np.diff(atom) == 1, (step == 1) & (atom[1:] == 0))
    if from_start:
        good[0] = structure[0] == 0 and atom[0] == 0
    return good


def _raise_gap(labels: SampleLabels, order: NDArray[np.int64], row: int) -> None:
    """Say which structure or atom is missing, or is there twice, at a row of sorted labels."""
    here = _label(labels, order, row)
    before = _label(labels, order, row - 1) if row else None
    if here == before:
        what, got = "rows carry the same label", f"{_spell(here)} twice"
    elif min(here) < 0:
        what, got = "row has a negative label", _spell(here)
    else:
        missing = _successor(before, here)
        what, got = f"{_spell(missing)} is missing", f"{_spell(here)} next"
    raise FeatureError(
        what,
        where=f"{labels.where}, labels {labels.names}",
        expected="one row for each structure, or for each atom of each structure, from 0 on",
        got=got,
        remedy="write the features of all structures again, numbered from 0",
    )


def _label(labels: SampleLabels, order: NDArray[np.int64], row: int) -> tuple[int, ...]:
    """Return the label of a row of the sorted rows."""
    structure = int(labels.structure[order[row]])
    return (structure,) if labels.atom is None else (structure, int(labels.atom[order[row]]))


def _successor(before: tuple[int, ...] | None, here: tuple[int, ...]) -> tuple[int, ...]:
    """Return the label that should have come, in its shortest form."""
    last = -1 if before is None else before[0]
    if here[0] > last + 1:
        return (last + 1,)
    if before is not None and here[0] == before[0]:
        return (here[0], before[1] + 1)
    return (here[0], 0)[: len(here)]


def _spell(label: tuple[int, ...]) -> str:
    """Write a label out."""
    return " atom ".join(["structure " + str(label[0]), *(str(number) for number in label[1:])])

"""Labels of gradients in an mts file: of which row, and of the movement of which atom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from prcli.data.sample_order import ATOM_NAMES, STRUCTURE_NAMES, SampleLabels, first_name
from prcli.errors import FeatureError, FormatError

#: Labels that are looked at together.
_LABELS = 1 << 20


@dataclass(frozen=True)
class FeatureRows:
    """Rows of a block: which structures and atoms they belong to.

    Attributes
    ----------
    n_rows : int
    offsets : (S + 1,) array of int64
        Where the atoms of each structure begin.
    labels : SampleLabels, optional
        Labels of the rows; without them rows are in the order of the structures.
    """

    n_rows: int
    offsets: NDArray[np.int64]
    labels: SampleLabels | None

    @property
    def n_structures(self) -> int:
        """S."""
        return len(self.offsets) - 1

    def structures(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the structure of some of the rows, (n,)."""
        if self.labels is not None:
            return self.labels.structure[rows].astype(np.int64)
        if self.n_rows == self.n_structures:
            return rows
        return np.searchsorted(self.offsets, rows, side="right") - 1


@dataclass(frozen=True)
class GradientLabels:
    """Labels of the gradients of one block."""

    samples: NDArray[Any]
    rows: FeatureRows
    where: str
    atom_name: str | None

    def read(
        self, wanted: slice | NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return structure and atom of some of the gradients, (n,) each.

        Raises
        ------
        FeatureError
            If a label is of a row, structure or atom that is not there.
        """
        labels = self.samples[wanted]
        row = labels["sample"].astype(np.int64)
        self._check_range("sample", row, self.rows.n_rows)
        structure = self.rows.structures(row)
        name = first_name(labels, STRUCTURE_NAMES)
        if name is not None and not np.array_equal(labels[name], structure):
            self._raise_other_structure(name, labels, structure)
        if self.atom_name is None:
            return structure, None
        atom = labels[self.atom_name].astype(np.int64)
        offsets = self.rows.offsets
        self._check_range(self.atom_name, atom, offsets[structure + 1] - offsets[structure])
        return structure, atom

    def count(self) -> tuple[NDArray[np.int64], bool]:
        """Look at all labels; return how many each structure has, and if these follow its order."""
        counts = np.zeros(self.rows.n_structures, dtype=np.int64)
        in_order, last = True, 0
        for start in range(0, self.samples.size, _LABELS):
            structure, _ = self.read(slice(start, start + _LABELS))
            np.add.at(counts, structure, 1)
            in_order &= bool(structure[0] >= last and (np.diff(structure) >= 0).all())
            last = int(structure[-1])
        return counts, in_order

    def sorting_order(self) -> NDArray[np.int64]:
        """Return the positions that bring gradients into the order of structures, (n,)."""
        structures = [
            self.read(slice(start, start + _LABELS))[0].astype(np.int32)
            for start in range(0, self.samples.size, _LABELS)
        ]
        return np.argsort(np.concatenate(structures), kind="stable").astype(np.int64, copy=False)

    def _check_range(
        self, name: str, found: NDArray[np.int64], upper: int | NDArray[np.int64]
    ) -> None:
        """Refuse labels beyond what is there."""
        wrong = np.flatnonzero((found < 0) | (found >= upper))
        if wrong.size:
            limit = int(np.broadcast_to(upper, found.shape)[wrong[0]])
            raise FeatureError(
                f"label {name!r} of a gradient is out of range",
                where=self.where,
                expected=f"0 to {limit - 1}",
                got=str(found[wrong[0]]),
                remedy="check that the features were made from this structures file",
            )

    def _raise_other_structure(
        self, name: str, labels: NDArray[Any], structure: NDArray[np.int64]
    ) -> NoReturn:
        """Say where two labels contradict each other."""
        wrong = int(np.argmax(labels[name] != structure))
        raise FeatureError(
            f"gradient is labelled with another {name} than its row",
            where=f"{self.where}, sample {labels['sample'][wrong]}",
            expected=f"{name} {structure[wrong]}",
            got=f"{name} {labels[name][wrong]}",
            remedy="write the features again, with metatensor",
        )


def open_labels(samples: NDArray[Any], rows: FeatureRows, name: str, where: str) -> GradientLabels:
    """Find the labels that gradients need."""
    atom_name = first_name(samples, ATOM_NAMES) if name == "positions" else None
    names = samples.dtype.names or ()
    if "sample" not in names or (name == "positions" and atom_name is None):
        raise FormatError(
            "gradients lack a label",
            where=where,
            expected="sample, system, atom" if name == "positions" else "sample",
            got=", ".join(names),
            remedy="write the features again, with metatensor",
        )
    return GradientLabels(samples, rows, where, atom_name)

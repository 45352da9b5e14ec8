"""Rows of a validation set that have residuals, read block by block as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import gradient_blocks
from prcli.records import Progress, RowKind
from prcli.workflows.gradient_rows import gradient_rows
from prcli.workflows.rows import EnergyRows, RowForm

FloatArray = NDArray[np.float64]

#: Some numbers (m, G) of each of some rows (m, D'), which may be overwritten.
Measure: TypeAlias = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class KindOfRow:
    """All rows of one kind, and those of them that take part.

    Attributes
    ----------
    all_residuals : ndarray of shape (M,)
        nan where one is not known.
    all_structures : ndarray of int of shape (M,)
        Position in the set of the structure that each row belongs to.
    small : ndarray of bool of shape (M,)
        Rows that are left out because they are zero, or small next to the others.
    """

    all_residuals: FloatArray
    all_structures: NDArray[np.int64]
    small: NDArray[np.bool_]

    @cached_property
    def unknown(self) -> NDArray[np.bool_]:
        """(M,) rows that are left out because they lack reference or prediction."""
        return np.isnan(self.all_residuals)

    @cached_property
    def takes_part(self) -> NDArray[np.bool_]:
        """(M,) rows that take part."""
        part: NDArray[np.bool_] = ~(self.unknown | self.small)
        return part

    @cached_property
    def residuals(self) -> FloatArray:
        """(n,) residuals of the rows that take part."""
        return self.all_residuals[self.takes_part]

    @property
    def n_rows(self) -> int:
        """Rows that take part, n."""
        return len(self.residuals)

    def without(self, small: NDArray[np.bool_]) -> KindOfRow:
        """Leave out rows that are too small, given as a mask of shape (n,)."""
        everywhere = self.small.copy()
        everywhere[np.flatnonzero(self.takes_part)[small]] = True
        return KindOfRow(self.all_residuals, self.all_structures, everywhere)


class ValidationRows:
    """Rows of a validation set by kind.

    Parameters
    ----------
    data : Dataset
    form : RowForm
    residuals : mapping of kind to ndarray of shape (M,)
        Of all rows of each kind; nan where one is not known.

    Attributes
    ----------
    kinds : dict of kind to KindOfRow
    """

    def __init__(
        self, data: Dataset, form: RowForm, residuals: Mapping[RowKind, FloatArray]
    ) -> None:
        self._data = data
        self._form = form
        self.kinds: dict[RowKind, KindOfRow] = {}
        for kind, values in residuals.items():
            counts = np.ones(data.n_structures, dtype=np.int64)
            if kind != "energy":
                counts = data.gradient_counts(kind)
            structures = np.repeat(np.arange(data.n_structures), counts)
            self.kinds[kind] = KindOfRow(values, structures, np.zeros(len(values), dtype=bool))

    def measure(
        self, measure: Measure, width: int, progress: Progress
    ) -> dict[RowKind, FloatArray]:
        """Measure every row that takes part, reading the set once.

        Parameters
        ----------
        measure : callable
            Gives (m, width) numbers of rows (m, D').
        width : int
            G.
        progress : callable

        Returns
        -------
        numbers : dict of kind to ndarray of shape (n, G)
        """
        numbers = {kind: np.empty((each.n_rows, width)) for kind, each in self.kinds.items()}
        done = dict.fromkeys(self.kinds, 0)
        total = sum(each.n_rows for each in self.kinds.values())
        for kind, rows in self._blocks():
            stop = done[kind] + len(rows)
            numbers[kind][done[kind] : stop] = measure(rows)
            done[kind] = stop
            progress("calibrate", sum(done.values()), total)
        return numbers

    def _blocks(self) -> Iterator[tuple[RowKind, FloatArray]]:
        """Give the rows that take part; those of each kind in the order of the set."""
        read = dict.fromkeys(self.kinds, 0)
        if "energy" in self.kinds:
            for _, rows in EnergyRows(self._data, self._form).blocks():
                yield from self._taking_part("energy", rows, read)
        kinds = [kind for kind in self.kinds if kind != "energy"]
        for block in gradient_blocks(self._data, self._form.block_rows) if kinds else ():
            for kind, _, rows in gradient_rows(block, self._form, self._data, kinds):
                yield from self._taking_part(kind, rows, read)

    def _taking_part(
        self, kind: RowKind, rows: FloatArray, read: dict[RowKind, int]
    ) -> Iterator[tuple[RowKind, FloatArray]]:
        start = read[kind]
        read[kind] += len(rows)
        chosen = self.kinds[kind].takes_part[start : read[kind]]
        if chosen.any():
            yield kind, rows if chosen.all() else rows[chosen]

"""Rows of a store in the making: checked, placed, counted and hashed as they come."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from prcli.data import checks
from prcli.data.coverage import Coverage
from prcli.data.digests import atom_digests, long_atom_digest, row_digests
from prcli.data.hdf5_file import writing
from prcli.data.row_array import DatasetRows
from prcli.data.store_plan import RowPlan
from prcli.errors import FeatureError


class RowsInProgress:
    """One dataset of rows that is being filled, in any order of blocks.

    Parameters
    ----------
    plan : RowPlan
        What it shall hold.
    path : path-like
        The store, for messages.
    """

    def __init__(self, plan: RowPlan, path: str | os.PathLike[str]) -> None:
        self.plan = plan
        self._path = path
        self._coverage = Coverage(plan.shape[0])
        self._digests = np.zeros(len(plan.heads), dtype=np.uint64)
        # Structures whose rows came in more than one block; hashed at the end.
        self._straddling: set[int] = set()

    def write(self, dataset: Any, start: int, rows: np.ndarray) -> None:
        """Check a block of rows, store it, and hash the structures that lie within it.

        Raises
        ------
        FeatureError
            If the block is misshaped or not finite.
        ValueError
            If a row is out of range or was written before.
        """
        stored = self._checked(start, rows)
        stop = start + len(stored)
        self._coverage.add(start, stop)
        if start == stop:
            return
        with writing(self._path):
            dataset[start:stop] = stored
        if self.plan.offsets is None:
            self._digests[start:stop] = row_digests(self.plan.heads[start:stop], stored)
        else:
            self._hash_grouped(self.plan.offsets, start, stored)

    def check_complete(self) -> None:
        """Raise FeatureError if rows are missing."""
        gap = self._coverage.first_gap()
        if gap is not None:
            raise FeatureError(
                f"{self.plan.noun} are incomplete",
                where=str(self._path),
                expected=f"{self.plan.shape[0]} rows",
                got=f"row {gap} was never written",
            )

    def digests(self, dataset: Any) -> np.ndarray:
        """(S,) uint64 digest of each structure's rows, once all are written."""
        if self._straddling and self.plan.offsets is not None:
            rows = DatasetRows(dataset, self._path)
            for i in sorted(self._straddling):
                start, stop = map(int, self.plan.offsets[i : i + 2])
                self._digests[i] = long_atom_digest(stop - start, rows, start)
            self._straddling.clear()
        return self._digests

    def _checked(self, start: int, rows: np.ndarray) -> np.ndarray:
        """Check a block and return it as it will be stored."""
        plan = self.plan
        block = np.asarray(rows)
        where = f"{self._path}, {plan.group} from {start}"
        n_rows = block.shape[0] if block.ndim else 0
        checks.check_features(block.shape, block.dtype, n_rows, plan.unit, where)
        if block.shape[1] != plan.shape[1]:
            raise FeatureError(
                "number of features differs from that of the store",
                where=where,
                expected=str(plan.shape[1]),
                got=str(block.shape[1]),
            )
        # A value beyond the range of float32 becomes infinite, which the check then tells.
        with np.errstate(over="ignore"):
            stored = block.astype(plan.dtype, copy=False)
        checks.check_finite(stored, start, str(self._path), plan.offsets, plan.unit)
        return stored

    def _hash_grouped(self, offsets: np.ndarray, start: int, stored: np.ndarray) -> None:
        """Hash the structures of which all rows are in a block, and note those it cuts."""
        stop = start + len(stored)
        # Structures first:last lie within the block as a whole.
        first = int(np.searchsorted(offsets, start))
        last = int(np.searchsorted(offsets, stop, side="right")) - 1
        if first <= last:
            inner = stored[offsets[first] - start : offsets[last] - start]
            self._digests[first:last] = atom_digests(self.plan.heads[first:last], inner)
        # Of the blocks that share a structure, the one with its first row notes it.
        if first <= last and offsets[last] < stop:
            self._straddling.add(last)

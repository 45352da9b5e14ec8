"""HDF5 files of other programs: one dataset of any layout, read by runs of rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from prcli.data.foreign import ForeignArray, Format, Opening, RowIndex
from prcli.data.hdf5_file import open_hdf5, reading
from prcli.data.row_layout import RowLayout, check_real, is_real, type_notes
from prcli.errors import FormatError

_LISTED_AT_MOST = 20


@dataclass(frozen=True)
class SqueezedRows:
    """Rows of an HDF5 dataset."""

    dataset: Any
    layout: RowLayout
    where: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.matrix_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers in the file."""
        dtype: np.dtype[Any] = self.dataset.dtype
        return dtype

    def rows(self, wanted: RowIndex) -> NDArray[Any]:
        """Return a run of rows, (n, D)."""
        if not isinstance(wanted, slice):
            raise TypeError("HDF5 datasets are read by runs of rows")
        with reading(self.where):
            return self.layout.rows(self.dataset, wanted)

    def close(self) -> None:
        """Close the file."""
        self.dataset.file.close()


def _recognises(path: Path, head: bytes) -> bool:
    """Tell an HDF5 file by its signature, which a user block may precede."""
    return bool(h5py.is_hdf5(path))


def _open(opening: Opening) -> ForeignArray:
    """Open one dataset of an HDF5 file."""
    file = open_hdf5(opening.path)
    try:
        return _open_dataset(_choose(file, opening), opening)
    except BaseException:
        file.close()
        raise


def _open_dataset(dataset: Any, opening: Opening) -> ForeignArray:
    """See a dataset as rows."""
    where = f"{opening.path}, array {dataset.name!r}"
    layout = RowLayout(tuple(dataset.shape or ()), opening.components)
    check_real(dataset.dtype, where)
    layout.check(where)
    notes = type_notes(dataset.dtype) + layout.notes
    return ForeignArray(SqueezedRows(dataset, layout, where), where, notes)


def _choose(file: Any, opening: Opening) -> Any:
    """Return the dataset that was named, or the only one that could hold features."""
    found = None if opening.array is None else file.get(opening.array)
    if isinstance(found, h5py.Dataset):
        return found
    datasets = _find_datasets(file)
    if opening.array is not None:
        what = "HDF5 file has no such dataset" if found is None else "array is a group, no dataset"
    else:
        tables = [d for d in datasets if _could_be_meant(d, opening)]
        if len(tables) == 1:
            return tables[0]
        what = f"HDF5 file holds {len(tables)} datasets that could be {opening.content}"
    listed = ", ".join(f"{d.name} {d.shape}" for d in datasets[:_LISTED_AT_MOST])
    raise FormatError(
        what,
        where=opening.where,
        expected=f"one dataset of {opening.content}",
        got=(listed or "no datasets") + ", …" * (len(datasets) > _LISTED_AT_MOST),
        remedy=opening.remedy,
    )


def _could_be_meant(dataset: Any, opening: Opening) -> bool:
    """Tell whether type and shape of a dataset are those of features, or of gradients."""
    return is_real(dataset.dtype) and RowLayout(dataset.shape, opening.components).is_matrix


def _find_datasets(file: Any) -> list[Any]:
    """Return all datasets of a file that have a shape."""
    found: list[Any] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            found.append(item)

    file.visititems(visit)
    return found


def _holds(path: Path, name: str) -> bool:
    """Tell whether a file has a dataset of this path."""
    with open_hdf5(path) as file:
        return isinstance(file.get(name), h5py.Dataset)


FORMAT = Format("HDF5", _recognises, _open, _holds)

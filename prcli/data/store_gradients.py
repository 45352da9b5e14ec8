"""Gradient rows of a feature store: shapes checked when it is opened, values at first use."""

from __future__ import annotations

import mmap
import os
from typing import Any

import h5py
import numpy as np

from prcli.data import store_schema
from prcli.data.gradient_checks import check_gradient_rows, check_row_labels, gradient_table
from prcli.data.gradients import GradientTable
from prcli.data.hdf5_file import reading
from prcli.data.row_array import mapped_array, mapped_rows
from prcli.errors import FeatureError, FormatError


class StoreGradients:
    """The group of gradient rows of a store that is open.

    Parameters
    ----------
    group : h5py.Group
        The group ``gradients``.
    mapped : mmap
        The store's file.
    path : path-like
        The store.
    label : str
        Name for messages.
    n_features : int
        D.

    Raises
    ------
    FormatError
        If a dataset is absent, or shapes, types or the attribute do not fit.
    """

    def __init__(
        self,
        group: Any,
        mapped: mmap.mmap,
        path: str | os.PathLike[str],
        label: str,
        n_features: int,
    ) -> None:
        self._map = mapped
        self._path = path
        where = f"{label}, {store_schema.GRADIENTS}"
        if not isinstance(group, h5py.Group):
            raise FormatError("gradients are not a group", where=label, expected="an HDF5 group")
        self._rows = _dataset(group, store_schema.ROWS, where)
        self._kind = _dataset(group, store_schema.KIND, where)
        self._structure = _dataset(group, store_schema.STRUCTURE, where)
        self._reduced = _read_reduced(group, where)
        try:
            check_gradient_rows(self._rows, n_features, where)
            check_row_labels(self._kind, self._structure, self._rows.shape[0], where)
        except FeatureError as error:
            raise _as_format_error(error) from error

    def read(self, n_atoms: np.ndarray, label: str) -> GradientTable:
        """Read kinds and structures, or map them, and check them; rows stay on disk.

        Parameters
        ----------
        n_atoms : (S,) array of int64
            Atoms of each structure of the store.
        label : str
            Name for messages.

        Raises
        ------
        FormatError
            If rows are out of order, or do not fit the structures.
        """
        with reading(self._path):
            kind, structure = self._array(self._kind), self._array(self._structure)
        rows = mapped_rows(self._rows, self._map, self._path)
        try:
            return gradient_table(
                rows, kind, structure, n_atoms, reduced=self._reduced, where=label
            )
        except FeatureError as error:
            raise _as_format_error(error) from error

    def _array(self, dataset: Any) -> np.ndarray:
        """Map a dataset where its layout allows, else read it."""
        array = mapped_array(dataset, self._map)
        return np.asarray(dataset[...]) if array is None else array


def _dataset(group: Any, name: str, where: str) -> Any:
    """Give one of the three datasets."""
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        raise FormatError(
            "gradient rows are incomplete",
            where=where,
            expected=f"a dataset {store_schema.GRADIENTS}/{name}",
            got=", ".join(sorted(group)) or "an empty group",
        )
    return found


def _read_reduced(group: Any, where: str) -> bool:
    """Tell whether tall blocks were reduced; no attribute means no."""
    value = group.attrs.get(store_schema.REDUCED, False)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biu" or array.ravel()[0] not in (0, 1):
        raise FormatError(
            f"attribute {store_schema.REDUCED} is neither true nor false",
            where=where,
            got=f"{value!r}",
        )
    return bool(array.ravel()[0])


def _as_format_error(error: FeatureError) -> FormatError:
    """Say that the fault is in the format of a file."""
    return FormatError(
        error.what,
        where=error.where,
        expected=error.expected,
        got=error.got,
        remedy=error.remedy,
    )

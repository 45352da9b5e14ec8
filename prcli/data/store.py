"""Reading a feature store: checked when opened, mapped where its layout allows."""

from __future__ import annotations

import os
from functools import cached_property
from types import TracebackType
from typing import Any, Self, cast

import h5py
import numpy as np

from prcli.data import checks, hdf5_file, store_schema
from prcli.data.features import absent_column, common_features
from prcli.data.featurizer_settings import parse_settings
from prcli.data.gradients import GradientTable
from prcli.data.row_array import RowArray, map_file, mapped_array, mapped_rows
from prcli.data.source import StoreSource, read_source, resolve_source
from prcli.data.store_gradients import StoreGradients
from prcli.data.store_writer import StoreWriter
from prcli.errors import FeatureError, FormatError
from prcli.records import Block, Convention, FeatureKind

__all__ = [
    "FeatureStore",
    "RowArray",
    "StoreSource",
    "StoreWriter",
    "open_store",
    "resolve_source",
]


def open_store(path: str | os.PathLike[str]) -> FeatureStore:
    """Open a feature store, ours or one that another program wrote.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    FeatureStore
        A context manager.

    Raises
    ------
    InputFileError
        If the file is missing, not readable, truncated or damaged.
    FormatError
        If it is not a feature store, of a newer version, or its parts do not fit.
    FeatureError
        If it holds no features, or no structures.
    """
    return FeatureStore(path)


class FeatureStore:
    """A feature store opened for reading; see `open_store`.

    Every attribute is as `prcli.data.features.FeatureTable` describes it; `provenance` is a
    dict or None, `path` is what was opened. Values are not searched for NaN (that would read
    the whole file): whoever reads blocks checks them with `prcli.data.checks.check_finite`.
    Kinds and structures of gradient rows are checked when they are first asked for.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self.label = str(path)
        self._file: Any = hdf5_file.open_hdf5(path)
        try:
            with hdf5_file.reading(path):
                self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Check the file and keep what is small."""
        file, path = self._file, self.path
        hdf5_file.check_header(file, path, store_schema.FORMAT, store_schema.VERSION)
        self._map = map_file(path)
        counts = self._dataset(f"{store_schema.STRUCTURES}/{store_schema.N_ATOMS}")
        if counts is None:
            raise self._misfit("numbers of atoms are absent", "a dataset structures/n_atoms")
        self.n_atoms: np.ndarray = checks.check_n_atoms(counts[...], self.label)
        self.n_structures: int = len(self.n_atoms)
        self._n_atoms_total = int(self.n_atoms.sum())
        self.structures: RowArray | None = self._rows(store_schema.STRUCTURES, self.n_structures)
        self.atoms: RowArray | None = self._rows(store_schema.ATOMS, self._n_atoms_total)
        self.n_features, self.dtype = common_features(self.structures, self.atoms, self.label)
        self._gradients = self._open_gradients()
        self.convention: Convention = self._read_convention()
        self.blocks = self._read_blocks()
        self.feature_kind = self._read_feature_kind()
        text = hdf5_file.text_attribute(file, path, store_schema.FEATURIZER)
        self.featurizer = parse_settings(text, self.label)
        self.species = self._read_species()
        self._columns = self._find_columns()
        self.column_names: tuple[str, ...] = tuple(sorted(self._columns))
        self.provenance = hdf5_file.read_provenance(file, path)
        self.content_digest = hdf5_file.text_attribute(file, path, store_schema.CONTENT_DIGEST)

    def close(self) -> None:
        """Close the file; arrays that were mapped stay valid."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def column(self, name: str) -> np.ndarray:
        """Read an optional column, (S,) of float64 or str.

        Raises
        ------
        FeatureError
            If there is none of that name.
        """
        if name not in self._columns:
            raise absent_column(name, self.column_names, self.label)
        dataset = self._columns[name]
        with hdf5_file.reading(self.path):
            if h5py.check_string_dtype(dataset.dtype) is not None:
                return hdf5_file.read_strings(dataset)
            return np.asarray(dataset[...]).astype(np.float64)

    @cached_property
    def digests(self) -> np.ndarray | None:
        """(S,) uint64 digest of each structure; None in stores of other programs."""
        dataset = self._dataset(f"{store_schema.SOURCE}/{store_schema.ROW_DIGEST}")
        if dataset is None:
            return None
        if dataset.shape != (self.n_structures,) or dataset.dtype.kind != "u":
            raise self._misfit(
                "digests do not fit the structures",
                f"({self.n_structures},) of uint64",
                f"{dataset.shape} of {dataset.dtype}",
            )
        with hdf5_file.reading(self.path):
            return np.asarray(dataset[...]).astype(np.uint64)

    @cached_property
    def gradients(self) -> GradientTable | None:
        """Rows of forces and stresses; None if the store has none.

        Raises
        ------
        FormatError
            If they are out of order, or do not fit the structures.
        """
        return None if self._gradients is None else self._gradients.read(self.n_atoms, self.label)

    @cached_property
    def source(self) -> StoreSource | None:
        """Frames that the structures were made from; None if the store does not say."""
        group = self._file.get(store_schema.SOURCE)
        if not isinstance(group, h5py.Group):
            return None
        with hdf5_file.reading(self.path):
            return read_source(group, self.n_structures, self.label)

    def _dataset(self, name: str) -> Any:
        """Give a dataset, or None."""
        found = self._file.get(name)
        return found if isinstance(found, h5py.Dataset) else None

    def _rows(self, group: str, n_rows: int) -> RowArray | None:
        """Give the features of structures or atoms, mapped if possible."""
        name = f"{group}/{store_schema.FEATURES}"
        dataset = self._dataset(name)
        if dataset is None:
            return None
        try:
            checks.check_features(dataset.shape, dataset.dtype, n_rows, group[:-1], self.label)
        except FeatureError as error:
            raise FormatError(
                error.what, where=f"{self.label}, {name}", expected=error.expected, got=error.got
            ) from error
        return mapped_rows(dataset, self._map, self.path)

    def _open_gradients(self) -> StoreGradients | None:
        """Check shapes and types of the gradient rows."""
        group = self._file.get(store_schema.GRADIENTS)
        if group is None:
            return None
        return StoreGradients(group, self._map, self.path, self.label, self.n_features)

    def _read_convention(self) -> Convention:
        """Read the convention, which means nothing where only atoms are stored."""
        text = hdf5_file.text_attribute(self._file, self.path, store_schema.CONVENTION)
        if text is None and self.structures is None:
            return "mean"
        if text not in store_schema.CONVENTIONS:
            raise self._misfit(
                "store does not state its convention",
                "the attribute convention = mean or sum",
                "no such attribute" if text is None else repr(text),
            )
        return cast(Convention, text)

    def _read_blocks(self) -> tuple[Block, ...] | None:
        """Read names and widths of the components."""
        text = hdf5_file.text_attribute(self._file, self.path, store_schema.BLOCKS)
        if text is None:
            return None
        try:
            return checks.check_blocks(store_schema.parse_blocks(text), self.n_features, self.label)
        except (FeatureError, FormatError) as error:
            raise self._misfit(error.what, error.expected, error.got) from error

    def _read_feature_kind(self) -> FeatureKind | None:
        """Read what features of a network are."""
        text = hdf5_file.text_attribute(self._file, self.path, store_schema.FEATURE_KIND)
        if text is not None and text not in store_schema.FEATURE_KINDS:
            expected = f"the attribute feature_kind = {' or '.join(store_schema.FEATURE_KINDS)}"
            raise self._misfit("kind of features is not known", expected, repr(text))
        return cast(FeatureKind | None, text)

    def _read_species(self) -> np.ndarray | None:
        """Read or map the atomic numbers."""
        dataset = self._dataset(f"{store_schema.ATOMS}/{store_schema.SPECIES}")
        if dataset is None:
            return None
        array = mapped_array(dataset, self._map)
        if array is None:
            array = np.asarray(dataset[...])
        try:
            return checks.check_species(array, self._n_atoms_total, self.label)
        except FeatureError as error:
            raise self._misfit(error.what, error.expected, error.got) from error

    def _find_columns(self) -> dict[str, Any]:
        """Find the datasets beside the features that hold a number or string per structure."""
        group = self._file[store_schema.STRUCTURES]
        columns = {}
        for name in group:
            dataset = group.get(name)
            if name in (store_schema.N_ATOMS, store_schema.FEATURES):
                continue
            fits = isinstance(dataset, h5py.Dataset) and dataset.shape == (self.n_structures,)
            if fits and _holds_column(dataset.dtype):
                columns[name] = dataset
            elif name in store_schema.NUMERIC_COLUMNS:
                raise self._misfit(
                    f"column {name} does not fit the structures",
                    f"({self.n_structures},) of float64",
                    f"{getattr(dataset, 'shape', 'no shape')} "
                    f"of {getattr(dataset, 'dtype', 'no type')}",
                )
        return columns

    def _misfit(self, what: str, expected: str | None, got: str | None = None) -> FormatError:
        """Say what is wrong with this store."""
        return FormatError(what, where=self.label, expected=expected, got=got)


def _holds_column(dtype: np.dtype) -> bool:
    """Tell whether a dataset holds numbers or strings."""
    return dtype.kind in "iuf" or h5py.check_string_dtype(dtype) is not None

"""Writing a feature store of known size, block by block, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from prcli.data import checks, store_schema
from prcli.data.digests import GradientDigests, combine_digests
from prcli.data.featurizer_settings import format_settings
from prcli.data.gradients import GradientShape
from prcli.data.hdf5_file import (
    create_contiguous,
    create_hdf5,
    write_array,
    write_header,
    write_strings,
    writing,
)
from prcli.data.publish import check_output, publish_file
from prcli.data.rows_in_progress import RowsInProgress
from prcli.data.source import StoreSource, write_source
from prcli.data.store_plan import plan_store
from prcli.records import Block, Convention, FeatureKind, Provenance

__all__ = ["GradientShape", "StoreWriter"]


class StoreWriter:
    """A feature store in the making; use it in a ``with`` block, which publishes it.

    Parameters
    ----------
    path : path-like
        Where the store shall appear.
    n_atoms : (S,) array-like of int
        Atoms of each structure.
    n_features : int
        D.
    dtype : float32 or float64
        Type of the features on disk.
    convention : {"mean", "sum"}
        What the structures' rows are.
    structures, atoms : bool
        Which rows will be written; at least one.
    structures_dtype : float32 or float64, optional
        Type of the structures' rows where it differs from that of the atoms': sums over
        float32 atoms have more digits than float32.
    species : (N,) array-like of int, optional
        Atomic numbers; or give them to `write_species` once they are known.
    blocks : sequence of Block, optional
        Components, in column order.
    feature_kind : {"last-layer", "descriptor"}, optional
        What features of a network are: inputs of its last layer, or others, whose Hessian is
        not that of its loss.
    featurizer : mapping, optional
        What computed the features; see `prcli.data.featurizer_settings.named_settings`.
    columns : mapping of str to (S,) array-like, optional
        Numbers or strings per structure.
    source : StoreSource, optional
        Frames that the structures come from.
    gradients : GradientShape, optional
        Kinds and structures of the gradient rows that will be written.
    provenance : Provenance, optional
        Without it nothing is stored that depends on time or machine: equal input gives equal
        bytes.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FeatureError
        If the parts do not fit each other.
    OutputError
        If the file exists or cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        n_atoms: ArrayLike,
        n_features: int,
        dtype: DTypeLike,
        convention: Convention,
        structures: bool = True,
        structures_dtype: DTypeLike | None = None,
        atoms: bool = False,
        species: ArrayLike | None = None,
        blocks: Sequence[Block] | None = None,
        feature_kind: FeatureKind | None = None,
        featurizer: Mapping[str, object] | None = None,
        columns: Mapping[str, ArrayLike] | None = None,
        source: StoreSource | None = None,
        gradients: GradientShape | None = None,
        provenance: Provenance | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._overwrite = overwrite
        self._provenance = provenance
        self._feature_kind = feature_kind
        self._featurizer = featurizer
        self._plan = plan_store(
            str(path),
            n_atoms=n_atoms,
            n_features=n_features,
            dtype=dtype,
            convention=convention,
            structures=structures,
            structures_dtype=structures_dtype,
            atoms=atoms,
            blocks=blocks,
            columns=columns,
            source=source,
            gradients=gradients,
        )
        self._late_columns: dict[str, np.ndarray] = {}
        self._species: np.ndarray | None = None
        if species is not None:
            self.write_species(species)
        self._rows = {name: RowsInProgress(plan, path) for name, plan in self._plan.rows.items()}
        self._stack = ExitStack()
        self._file: Any = None
        check_output(path, overwrite, n_bytes=self.n_bytes)

    @property
    def n_bytes(self) -> int:
        """Size of the rows on disk."""
        return self._plan.n_bytes

    def __enter__(self) -> Self:
        """Create the file under a temporary name, with everything in it but the rows."""
        with ExitStack() as stack:
            temporary = stack.enter_context(publish_file(self.path, self._overwrite))
            self._file = stack.enter_context(create_hdf5(temporary, self.path))
            with writing(self.path):
                self._write_frame()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish the store if the block succeeded and all rows are there; else remove it."""
        with self._stack as stack:
            if error is not None:
                self._file = None
                # Hands the error to the contexts entered before, which remove the file.
                stack.__exit__(kind, error, traceback)
                return
            for rows in self._rows.values():
                rows.check_complete()
            with writing(self.path):
                self._write_species()
                self._write_columns(self._late_columns)
                self._write_digests()
            self._file = None

    def write_structures(self, start: int, rows: np.ndarray) -> None:
        """Store rows of structures.

        Parameters
        ----------
        start : int
            Position of the first one.
        rows : (n, D) array of float32 or float64
            In any order of blocks, each row once.

        Raises
        ------
        FeatureError
            If the block is misshaped or not finite.
        ValueError
            If a row is out of range or was written before.
        """
        self._write(store_schema.STRUCTURES, start, rows)

    def write_atoms(self, start: int, rows: np.ndarray) -> None:
        """Store rows of atoms; as `write_structures`, blocks may cut structures anywhere.

        Parameters
        ----------
        start : int
            Position of the first one among all atoms.
        rows : (n, D) array of float32 or float64
            In any order of blocks, each row once.
        """
        self._write(store_schema.ATOMS, start, rows)

    def write_gradients(self, start: int, rows: np.ndarray) -> None:
        """Store gradient rows; as `write_structures`, blocks may cut structures anywhere.

        Parameters
        ----------
        start : int
            Position of the first one among all gradient rows.
        rows : (n, D) array of float32 or float64
            In any order of blocks, each row once.
        """
        self._write(store_schema.GRADIENTS, start, rows)

    def write_species(self, species: ArrayLike) -> None:
        """Store the atomic numbers of all atoms, shape (N,).

        Raises
        ------
        FeatureError
            If the length or a number is wrong.
        """
        self._species = checks.check_species(species, self._plan.n_atoms_total, str(self.path))

    def write_columns(self, columns: Mapping[str, ArrayLike]) -> None:
        """Store columns that are known only now, besides those given before.

        Parameters
        ----------
        columns : mapping of str to (S,) array-like
            Numbers or strings per structure.

        Raises
        ------
        FeatureError
            If a name or a length is wrong.
        ValueError
            If there is such a column already.
        """
        new = checks.check_columns(columns, len(self._plan.n_atoms), str(self.path))
        if twice := new.keys() & (self._plan.columns | self._late_columns).keys():
            raise ValueError(f"column {min(twice)!r} is there already")
        self._late_columns |= new

    def _write_species(self) -> None:
        if self._species is not None:
            group = self._file.require_group(store_schema.ATOMS)
            write_array(group, store_schema.SPECIES, self._species)

    def _write_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Write some of the columns."""
        group = self._file[store_schema.STRUCTURES]
        for name, values in columns.items():
            store = write_strings if values.dtype.kind == "U" else write_array
            store(group, name, values)

    def _write(self, name: str, start: int, rows: np.ndarray) -> None:
        """Store a block of rows of a group."""
        if self._file is None:
            raise ValueError("rows can be written only within the with block")
        if name not in self._rows:
            declared = "gradient rows" if name == store_schema.GRADIENTS else f"features of {name}"
            raise ValueError(f"this store was declared without {declared}")
        self._rows[name].write(self._dataset(name), start, rows)

    def _dataset(self, name: str) -> Any:
        """Give the dataset of rows of a group."""
        return self._file[name][self._plan.rows[name].dataset]

    def _write_frame(self) -> None:
        """Write everything that is known before the rows, and reserve their space."""
        file, plan = self._file, self._plan
        write_header(file, store_schema.FORMAT, store_schema.VERSION, self._provenance)
        file.attrs[store_schema.CONVENTION] = plan.convention
        if plan.blocks is not None:
            file.attrs[store_schema.BLOCKS] = store_schema.format_blocks(plan.blocks)
        if self._feature_kind is not None:
            file.attrs[store_schema.FEATURE_KIND] = self._feature_kind
        if self._featurizer is not None:
            file.attrs[store_schema.FEATURIZER] = format_settings(self._featurizer)
        structures = file.create_group(store_schema.STRUCTURES)
        write_array(structures, store_schema.N_ATOMS, plan.n_atoms.astype(np.int32))
        self._write_columns(plan.columns)
        source = file.create_group(store_schema.SOURCE)
        if plan.source is not None:
            write_source(source, plan.source, with_host=self._provenance is not None)
        if plan.gradients is not None:
            group = file.create_group(store_schema.GRADIENTS)
            group.attrs[store_schema.REDUCED] = plan.gradients.reduced
            write_array(group, store_schema.KIND, plan.gradients.kind)
            write_array(group, store_schema.STRUCTURE, plan.gradients.structure)
        for name, rows in plan.rows.items():
            create_contiguous(file.require_group(name), rows.dataset, rows.shape, rows.dtype)

    def _write_digests(self) -> None:
        """Store the digest of each structure, and that of everything."""
        plan = self._plan
        dtypes = {name: rows.dtype for name, rows in plan.rows.items()}
        digests = {name: rows.digests(self._dataset(name)) for name, rows in self._rows.items()}
        by_structures = digests.get(store_schema.STRUCTURES)
        by_atoms = digests.get(store_schema.ATOMS)
        stored = by_atoms if by_structures is None else by_structures
        assert stored is not None
        write_array(self._file[store_schema.SOURCE], store_schema.ROW_DIGEST, stored)
        gradients = None
        if plan.gradients is not None:
            name = store_schema.GRADIENTS
            gradients = GradientDigests(dtypes[name], plan.gradients, digests[name])
        self._file.attrs[store_schema.CONTENT_DIGEST] = combine_digests(
            convention=plan.convention,
            n_features=plan.n_features,
            n_atoms_total=plan.n_atoms_total,
            structures=dtypes.get(store_schema.STRUCTURES),
            atoms=dtypes.get(store_schema.ATOMS),
            structure_digests=by_structures,
            atoms_digests=by_atoms,
            species=self._species,
            blocks=plan.blocks,
            columns=dict(sorted((plan.columns | self._late_columns).items())),
            gradients=gradients,
        )

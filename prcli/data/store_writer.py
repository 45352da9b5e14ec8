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
from prcli.data.coverage import Coverage
from prcli.data.digests import (
    atom_digests,
    combine_digests,
    long_atom_digest,
    row_digests,
)
from prcli.data.hdf5_file import (
    create_contiguous,
    create_hdf5,
    write_array,
    write_header,
    write_strings,
    writing,
)
from prcli.data.publish import check_output, publish_file
from prcli.data.row_array import DatasetRows
from prcli.data.source import StoreSource, write_source
from prcli.errors import FeatureError
from prcli.records import Block, Convention, Provenance


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
    columns : mapping of str to (S,) array-like, optional
        Numbers or strings per structure.
    source : StoreSource, optional
        Frames that the structures come from.
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
        columns: Mapping[str, ArrayLike] | None = None,
        source: StoreSource | None = None,
        provenance: Provenance | None = None,
        overwrite: bool = False,
    ) -> None:
        where = str(path)
        self.path = path
        self._overwrite = overwrite
        self._provenance = provenance
        checks.check_convention(convention, where)
        self._convention = convention
        self._n_atoms = checks.check_n_atoms(n_atoms, where)
        self._offsets = checks.atom_offsets(self._n_atoms)
        n_structures, n_atoms_total = len(self._n_atoms), int(self._offsets[-1])
        self._dtypes = {
            store_schema.STRUCTURES: np.dtype(structures_dtype or dtype),
            store_schema.ATOMS: np.dtype(dtype),
        }
        self._shapes = {}
        if structures:
            self._shapes[store_schema.STRUCTURES] = (n_structures, n_features)
        if atoms:
            self._shapes[store_schema.ATOMS] = (n_atoms_total, n_features)
        if not self._shapes:
            raise FeatureError("a store needs features of structures or of atoms", where=where)
        for kind in self._dtypes.values():
            checks.check_features((1, n_features), kind, 1, "structure", where)
        self._n_features = n_features
        self._blocks = checks.check_blocks(blocks, n_features, where)
        self._columns = checks.check_columns(columns, n_structures, where)
        self._species: np.ndarray | None = None
        if species is not None:
            self._species = checks.check_species(species, n_atoms_total, where)
        if source is not None and len(source.file) != n_structures:
            raise FeatureError(
                "source does not fit the structures",
                where=where,
                expected=f"{n_structures} structures",
                got=f"{len(source.file)}",
            )
        self._source = source
        self._coverage = {name: Coverage(shape[0]) for name, shape in self._shapes.items()}
        self._digests = {name: np.zeros(n_structures, dtype=np.uint64) for name in self._shapes}
        # Structures whose atoms came in more than one block; hashed at the end.
        self._straddling: set[int] = set()
        self._stack = ExitStack()
        self._file: Any = None
        check_output(path, overwrite, n_bytes=self.n_bytes)

    @property
    def n_bytes(self) -> int:
        """Size of the features on disk."""
        return sum(
            shape[0] * shape[1] * self._dtypes[name].itemsize
            for name, shape in self._shapes.items()
        )

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
            self._check_complete()
            with writing(self.path):
                self._write_species()
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
        stored = self._store(store_schema.STRUCTURES, start, rows)
        stop = start + len(stored)
        digests = row_digests(self._n_atoms[start:stop], stored)
        self._digests[store_schema.STRUCTURES][start:stop] = digests

    def write_atoms(self, start: int, rows: np.ndarray) -> None:
        """Store rows of atoms; as `write_structures`, blocks may cut structures anywhere.

        Parameters
        ----------
        start : int
            Position of the first one among all atoms.
        rows : (n, D) array of float32 or float64
            In any order of blocks, each row once.
        """
        stored = self._store(store_schema.ATOMS, start, rows)
        stop = start + len(stored)
        # Structures first:last lie within the block as a whole.
        first = int(np.searchsorted(self._offsets, start))
        last = int(np.searchsorted(self._offsets, stop, side="right")) - 1
        if start == stop:
            return
        if first <= last:
            inner = stored[self._offsets[first] - start : self._offsets[last] - start]
            digests = atom_digests(self._n_atoms[first:last], inner)
            self._digests[store_schema.ATOMS][first:last] = digests
        if first > last or self._offsets[first] > start:
            self._straddling.add(first - 1)
        if first <= last and self._offsets[last] < stop:
            self._straddling.add(last)

    def write_species(self, species: ArrayLike) -> None:
        """Store the atomic numbers of all atoms, shape (N,).

        Raises
        ------
        FeatureError
            If the length or a number is wrong.
        """
        n_atoms_total = int(self._offsets[-1])
        self._species = checks.check_species(species, n_atoms_total, str(self.path))

    def _write_species(self) -> None:
        if self._species is not None:
            group = self._file.require_group(store_schema.ATOMS)
            write_array(group, store_schema.SPECIES, self._species)

    def _store(self, name: str, start: int, rows: np.ndarray) -> np.ndarray:
        """Check a block, store it, and return it as it is stored."""
        if self._file is None:
            raise ValueError("rows can be written only within the with block")
        if name not in self._shapes:
            raise ValueError(f"this store was declared without features of {name}")
        block = np.asarray(rows)
        where = f"{self.path}, {name} from {start}"
        n_rows = block.shape[0] if block.ndim else 0
        checks.check_features(block.shape, block.dtype, n_rows, name[:-1], where)
        if block.shape[1] != self._n_features:
            raise FeatureError(
                "number of features differs from that of the store",
                where=where,
                expected=str(self._n_features),
                got=str(block.shape[1]),
            )
        # A value beyond the range of float32 becomes infinite, which the check then tells.
        with np.errstate(over="ignore"):
            stored = block.astype(self._dtypes[name], copy=False)
        offsets = self._offsets if name == store_schema.ATOMS else None
        checks.check_finite(stored, start, str(self.path), offsets)
        self._coverage[name].add(start, start + len(stored))
        if len(stored):
            with writing(self.path):
                self._file[name][store_schema.FEATURES][start : start + len(stored)] = stored
        return stored

    def _write_frame(self) -> None:
        """Write everything that is known before the rows, and reserve their space."""
        file = self._file
        write_header(file, store_schema.FORMAT, store_schema.VERSION, self._provenance)
        file.attrs[store_schema.CONVENTION] = self._convention
        if self._blocks is not None:
            file.attrs[store_schema.BLOCKS] = store_schema.format_blocks(self._blocks)
        structures = file.create_group(store_schema.STRUCTURES)
        write_array(structures, store_schema.N_ATOMS, self._n_atoms.astype(np.int32))
        for name, values in self._columns.items():
            store = write_strings if values.dtype.kind == "U" else write_array
            store(structures, name, values)
        source = file.create_group(store_schema.SOURCE)
        if self._source is not None:
            write_source(source, self._source, with_host=self._provenance is not None)
        for name, shape in self._shapes.items():
            group = file.require_group(name)
            create_contiguous(group, store_schema.FEATURES, shape, self._dtypes[name])

    def _check_complete(self) -> None:
        """Refuse to publish a store with rows missing."""
        for name, coverage in self._coverage.items():
            gap = coverage.first_gap()
            if gap is not None:
                raise FeatureError(
                    f"features of {name} are incomplete",
                    where=str(self.path),
                    expected=f"{self._shapes[name][0]} rows",
                    got=f"row {gap} was never written",
                )

    def _write_digests(self) -> None:
        """Store the digest of each structure, and that of everything."""
        if self._straddling:
            rows = DatasetRows(self._file[store_schema.ATOMS][store_schema.FEATURES], self.path)
            for i in sorted(self._straddling):
                digest = long_atom_digest(int(self._n_atoms[i]), rows, int(self._offsets[i]))
                self._digests[store_schema.ATOMS][i] = digest
        by_structures = self._digests.get(store_schema.STRUCTURES)
        by_atoms = self._digests.get(store_schema.ATOMS)
        stored = by_atoms if by_structures is None else by_structures
        assert stored is not None
        write_array(self._file[store_schema.SOURCE], store_schema.ROW_DIGEST, stored)
        self._file.attrs[store_schema.CONTENT_DIGEST] = combine_digests(
            convention=self._convention,
            n_features=self._n_features,
            n_atoms_total=int(self._offsets[-1]),
            structures=None if by_structures is None else self._dtypes[store_schema.STRUCTURES],
            atoms=None if by_atoms is None else self._dtypes[store_schema.ATOMS],
            structure_digests=by_structures,
            atoms_digests=by_atoms,
            species=self._species,
            blocks=self._blocks,
            columns=self._columns,
        )

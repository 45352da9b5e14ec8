"""Digests that tell whether two rows, or two sets of features, are the same.

They find overlap and change, not malice: 64 bits per structure, 128 bits per set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prcli.data import store_schema
from prcli.data.row_offsets import atom_offsets
from prcli.data.row_offsets import structure_runs as structure_runs

if TYPE_CHECKING:
    from prcli.data.feature_table import FeatureTable
    from prcli.data.gradients import GradientLayout
    from prcli.data.row_array import RowArray
    from prcli.records import Block

_BLOCK_BYTES = 16 << 20
_STRINGS_AT_A_TIME = 1 << 16


@dataclass(frozen=True, eq=False)
class GradientDigests:
    """What a content digest covers of gradient rows.

    Attributes
    ----------
    dtype : dtype
        Type of the rows.
    layout : GradientLayout
        How many rows of each kind the structures have, which decides the order of all.
    digests : (S,) array of uint64
        As `atom_digests`, with the number of rows in place of that of atoms.
    """

    dtype: np.dtype
    layout: GradientLayout
    digests: np.ndarray


def row_digests(n_atoms: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Hash each structure's number of atoms together with its row of features.

    Parameters
    ----------
    n_atoms : (S,) array of int
        Atoms of each structure.
    rows : (S, D) array of float32 or float64
        Rows as they are stored.

    Returns
    -------
    (S,) array of uint64
        blake2b of the number of atoms as little-endian int64 followed by the row as
        little-endian float64, with −0 as 0; its 8 bytes read as little-endian.
    """
    n_rows, n_columns = rows.shape
    width = 8 * (1 + n_columns)
    height = max(1, _BLOCK_BYTES // width)
    blake2b = hashlib.blake2b
    parts: list[bytes] = []
    for start in range(0, n_rows, height):
        block = rows[start : start + height]
        packed = np.empty((len(block), 1 + n_columns), dtype="<f8")
        packed.view("<i8")[:, 0] = n_atoms[start : start + height]
        np.add(block, 0.0, out=packed[:, 1:])
        raw = packed.data.cast("B")
        parts += [
            blake2b(raw[at : at + width], digest_size=8).digest()
            for at in range(0, len(raw), width)
        ]
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)


def atom_digests(n_atoms: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Hash each structure's number of atoms together with the rows of all its atoms.

    Parameters
    ----------
    n_atoms : (S,) array of int
        Atoms of each structure, N together.
    rows : (N, D) array of float32 or float64
        Rows of the atoms, structure by structure.

    Returns
    -------
    (S,) array of uint64
        As `row_digests`, over the concatenated rows.
    """
    upcast = np.empty(rows.shape, dtype="<f8")
    np.add(rows, 0.0, out=upcast)
    raw = upcast.reshape(-1).data.cast("B")
    heads = np.ascontiguousarray(n_atoms, dtype="<i8").data.cast("B")
    edges = (atom_offsets(n_atoms) * (8 * rows.shape[1])).tolist()
    parts: list[bytes] = []
    for i, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        state = hashlib.blake2b(heads[8 * i : 8 * i + 8], digest_size=8)
        state.update(raw[start:stop])
        parts.append(state.digest())
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)


def long_atom_digest(n_atoms: int, rows: RowArray, start: int) -> int:
    """Hash one structure as `atom_digests`, reading some of its atoms at a time.

    Parameters
    ----------
    n_atoms : int
        Its atoms.
    rows : RowArray
        (N, D) rows of the atoms of all structures.
    start : int
        Its first atom.

    Returns
    -------
    int
        Its 64-bit digest.
    """
    state = hashlib.blake2b(n_atoms.to_bytes(8, "little"), digest_size=8)
    height = _block_height(rows)
    for first in range(start, start + n_atoms, height):
        block = rows.read(first, min(first + height, start + n_atoms))
        state.update(np.add(block, 0.0, dtype="<f8").reshape(-1).data.cast("B"))
    return int.from_bytes(state.digest(), "little")


def digests_of(table: FeatureTable) -> np.ndarray:
    """Give the (S,) digests that a table carries, or compute them as `compute_digests`."""
    return compute_digests(table) if table.digests is None else table.digests


def compute_digests(table: FeatureTable) -> np.ndarray:
    """Read a whole table and hash each of its structures.

    Parameters
    ----------
    table : FeatureTable
        A store or features in memory.

    Returns
    -------
    (S,) array of uint64
        Of the structures' rows where the table has them, else of their atoms' rows. The two
        differ, so only sets of the same kind can be compared.
    """
    return _structure_digests(table) if table.structures is not None else _atom_digests(table)


def content_digest_of(table: FeatureTable) -> str:
    """Read a whole table and hash what it holds.

    Parameters
    ----------
    table : FeatureTable
        A store or features in memory.

    Returns
    -------
    str
        Equals the `content_digest` that `StoreWriter` stored, if nothing has changed since.
    """
    return combine_digests(
        convention=table.convention,
        n_features=table.n_features,
        n_atoms_total=int(table.n_atoms.sum()),
        structures=None if table.structures is None else table.structures.dtype,
        atoms=None if table.atoms is None else table.atoms.dtype,
        structure_digests=None if table.structures is None else _structure_digests(table),
        atoms_digests=None if table.atoms is None else _atom_digests(table),
        species=table.species,
        blocks=table.blocks,
        columns={name: table.column(name) for name in table.column_names},
        gradients=_gradient_digests(table),
    )


def combine_digests(
    *,
    convention: str,
    n_features: int,
    n_atoms_total: int,
    structures: np.dtype | None,
    atoms: np.dtype | None,
    structure_digests: np.ndarray | None,
    atoms_digests: np.ndarray | None,
    species: np.ndarray | None,
    blocks: Sequence[Block] | None,
    columns: Mapping[str, np.ndarray],
    gradients: GradientDigests | None = None,
) -> str:
    """Hash a set of features from the digests of its structures.

    Covered are the numbers of atoms, every feature (through the digests), the types, the
    convention, the blocks, the species, names and values of the columns, and the gradient rows
    with their kinds and structures; not covered are the source and the provenance, so that a
    copy made elsewhere has the same digest. A set without gradient rows has the same digest
    whether or not there is room for them.

    Returns
    -------
    str
        ``blake2b-rows:`` and 32 hexadecimal digits, told from a file digest by its name.
    """
    head: dict[str, object] = {
        "convention": convention,
        "n_features": n_features,
        "n_atoms": n_atoms_total,
        "structures": None if structures is None else structures.name,
        "atoms": None if atoms is None else atoms.name,
        "species": species is not None,
        "blocks": None if blocks is None else store_schema.format_blocks(blocks),
        "columns": {name: values.dtype.kind for name, values in sorted(columns.items())},
    }
    per_structure = [
        digests for digests in (structure_digests, atoms_digests) if digests is not None
    ]
    if gradients is not None and gradients.layout.n_rows:
        head["gradients"] = gradients.dtype.name
        head["gradients_reduced"] = gradients.layout.reduced
        per_structure += [*gradients.layout.counts_by_kind.values(), gradients.digests]
    state = hashlib.blake2b(json.dumps(head).encode(), digest_size=16)
    for values in per_structure:
        state.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data.cast("B"))
    if species is not None and len(species):
        state.update(np.ascontiguousarray(species).data.cast("B"))
    for _, values in sorted(columns.items()):
        if values.dtype.kind == "U":
            for start in range(0, len(values), _STRINGS_AT_A_TIME):
                part = values[start : start + _STRINGS_AT_A_TIME].tolist()
                state.update(json.dumps(part).encode())
        else:
            state.update(np.ascontiguousarray(values, dtype="<f8").data.cast("B"))
    return f"blake2b-rows:{state.hexdigest()}"


def _structure_digests(table: FeatureTable) -> np.ndarray:
    """Hash the structures' rows of a table block by block."""
    rows = table.structures
    assert rows is not None
    height = _block_height(rows)
    digests = np.empty(rows.shape[0], dtype=np.uint64)
    for start in range(0, rows.shape[0], height):
        stop = min(start + height, rows.shape[0])
        digests[start:stop] = row_digests(table.n_atoms[start:stop], rows.read(start, stop))
    return digests


def _atom_digests(table: FeatureTable) -> np.ndarray:
    """Hash the atoms' rows of a table, structure by structure."""
    assert table.atoms is not None
    return _grouped_digests(table.atoms, table.n_atoms)


def _gradient_digests(table: FeatureTable) -> GradientDigests | None:
    """Hash the gradient rows of a table, structure by structure."""
    gradients = table.gradients
    if gradients is None:
        return None
    counts = np.diff(gradients.offsets)
    digests = _grouped_digests(gradients.rows, counts)
    return GradientDigests(gradients.rows.dtype, gradients, digests)


def _grouped_digests(rows: RowArray, counts: np.ndarray) -> np.ndarray:
    """Hash rows of which structure i has ``counts[i]``, some whole structures at a time."""
    offsets = atom_offsets(counts)
    height = _block_height(rows)
    digests = np.empty(len(counts), dtype=np.uint64)
    for start, stop in structure_runs(offsets, height):
        first, last = int(offsets[start]), int(offsets[stop])
        if last - first > height:
            digests[start] = long_atom_digest(last - first, rows, first)
        else:
            digests[start:stop] = atom_digests(counts[start:stop], rows.read(first, last))
    return digests


def _block_height(rows: RowArray) -> int:
    """Choose how many rows to read at a time."""
    return max(1, _BLOCK_BYTES // (rows.shape[1] * rows.dtype.itemsize))

"""The one way in: what a user names becomes a data set of one or more feature tables.

Features of other formats are turned into stores before they come here; see
`prcli.workflows.inputs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np

from prcli.data.checks import atom_offsets
from prcli.data.digests import digests_of
from prcli.data.feature_table import FeatureTable
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.records import Block, Convention


@dataclass(frozen=True, eq=False)
class Part:
    """Some structures of one table.

    Attributes
    ----------
    table : FeatureTable
    positions : range
        Structures of the table that belong to the set, in order.
    """

    table: FeatureTable
    positions: range

    @cached_property
    def offsets(self) -> np.ndarray:
        """(S + 1,) first atom of each structure of the table, and their number."""
        return atom_offsets(self.table.n_atoms)

    def atoms_of(self, positions: range) -> tuple[np.ndarray, np.ndarray]:
        """Find the atoms of some structures of the table.

        Returns
        -------
        structure : (n,) array of int64
            Position in `positions` of the structure that each atom belongs to.
        index : (n,) array of int64
            Row of each atom in the table.
        """
        chosen = np.array(positions)
        counts = self.offsets[chosen + 1] - self.offsets[chosen]
        structure = np.repeat(np.arange(len(chosen)), counts)
        skipped = self.offsets[chosen] - (np.cumsum(counts) - counts)
        return structure, np.arange(len(structure)) + np.repeat(skipped, counts)


class Dataset:
    """Structures of several tables as one set, in command-line order.

    Parameters
    ----------
    parts : sequence of Part
    name : str
        What the set is for ("train", "pool", …), for messages.
    resources : ExitStack, optional
        What the tables need beside themselves, closed with the set.

    Raises
    ------
    MismatchError
        If the parts differ in width or blocks.
    RequestError
        If there is no structure.
    """

    def __init__(
        self, parts: Sequence[Part], name: str, resources: ExitStack | None = None
    ) -> None:
        self.parts = tuple(parts)
        self.name = name
        self._resources = resources or ExitStack()
        counts = [len(part.positions) for part in self.parts]
        #: First structure of each part, and the total.
        self.starts: np.ndarray = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        if not self.parts or not self.starts[-1]:
            raise RequestError(
                f"the {name} set holds no structures",
                where=self.label,
                expected="at least one structure",
            )
        self._check_alike()
        #: (S,) atoms of each structure.
        self.n_atoms: np.ndarray = np.concatenate(
            [_select(part.table.n_atoms, part.positions) for part in self.parts]
        )

    def _check_alike(self) -> None:
        first = self.parts[0].table
        for part in self.parts[1:]:
            check_alike(first, part.table)

    @property
    def label(self) -> str:
        """Names of the tables, for messages."""
        return ", ".join(dict.fromkeys(part.table.label for part in self.parts)) or self.name

    @property
    def n_structures(self) -> int:
        """S."""
        return int(self.starts[-1])

    @property
    def n_atoms_total(self) -> int:
        """N."""
        return int(self.n_atoms.sum())

    @property
    def n_features(self) -> int:
        """D."""
        return self.parts[0].table.n_features

    @property
    def blocks(self) -> tuple[Block, ...] | None:
        """Components of the model."""
        return self.parts[0].table.blocks

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types of the features on disk."""
        tables = [part.table for part in self.parts]
        rows = [rows for table in tables for rows in (table.structures, table.atoms)]
        return tuple(sorted({present.dtype.name for present in rows if present is not None}))

    @property
    def has_atoms(self) -> bool:
        """Whether every part has features of atoms."""
        return all(part.table.atoms is not None for part in self.parts)

    @property
    def has_species(self) -> bool:
        """Whether every part knows the elements of its atoms."""
        return all(part.table.species is not None for part in self.parts)

    @property
    def digests(self) -> np.ndarray:
        """(S,) uint64 digest of each structure's row; computed where a table has none."""
        return np.concatenate(
            [_select(digests_of(part.table), part.positions) for part in self.parts]
        )

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns that every part has."""
        names = set(self.parts[0].table.column_names)
        for part in self.parts[1:]:
            names &= set(part.table.column_names)
        return tuple(sorted(names))

    def column(self, name: str) -> np.ndarray:
        """(S,) float64 or str: an optional column.

        Raises
        ------
        FeatureError
            If a part lacks it.
        """
        return np.concatenate(
            [_select(part.table.column(name), part.positions) for part in self.parts]
        )

    def frames(self) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        """Tell where each structure comes from.

        Returns
        -------
        sources : tuple of str
            Structure files as given where they are known, else the tables. Different files that
            were typed alike, from different folders, are listed apart.
        source : (S,) array of int64
            Position in `sources`.
        frame : (S,) array of int64
            0-based position in that file or table, before slicing.
        """
        names: dict[tuple[str, str], int] = {}
        source = np.empty(self.n_structures, dtype=np.int64)
        frame = np.empty(self.n_structures, dtype=np.int64)
        for part, start in zip(self.parts, self.starts, strict=False):
            here = slice(int(start), int(start) + len(part.positions))
            origin = part.table.source
            if origin is None:
                source[here] = names.setdefault((part.table.label, ""), len(names))
                frame[here] = np.arange(
                    part.positions.start, part.positions.stop, part.positions.step
                )
                continue
            known = [
                names.setdefault((typed, stamp.digest or stamp.path), len(names))
                for typed, stamp in zip(origin.typed, origin.files, strict=True)
            ]
            source[here] = np.array(known)[_select(origin.file, part.positions)]
            frame[here] = _select(origin.frame, part.positions)
        return tuple(name for name, _ in names), source, frame

    def locate(self, index: int) -> tuple[Part, int]:
        """Find the part, and the position in its table, of a structure of the set."""
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        part = self.parts[number]
        return part, part.positions[index - int(self.starts[number])]

    def structure_runs(self, max_rows: int) -> Iterator[tuple[int, Part, range]]:
        """Cut the set into runs of at most `max_rows` structures of one table.

        Yields
        ------
        start : int
            Position of the first structure in the set.
        part : Part
        positions : range
            Structures of the part's table.
        """
        for part, start in zip(self.parts, self.starts, strict=False):
            for i in range(0, len(part.positions), max_rows):
                yield int(start) + i, part, part.positions[i : i + max_rows]

    def atom_blocks(
        self, max_rows: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]]:
        """Read the atoms' features in order.

        Yields
        ------
        structure : (n,) array of int64
            Structure of the set that each atom belongs to.
        atom : (n,) array of int64
            Position of the atom in its structure.
        features : (n, D) array
            As stored; possibly a read-only view.
        species : (n,) array of uint8, or None

        Raises
        ------
        FeatureError
            If a table has no features of atoms.
        """
        for part, start in zip(self.parts, self.starts, strict=False):
            rows = part.table.atoms
            if rows is None:
                raise FeatureError(
                    "there are no features of atoms",
                    where=part.table.label,
                    expected="the dataset atoms/features",
                    remedy="import features with --convention per-atom",
                )
            offsets = part.offsets
            # As many structures at a time as have some blocks' worth of atoms on average.
            n_structures = max(1, int(max_rows * len(part.table.n_atoms) / max(1, offsets[-1])))
            for i in range(0, len(part.positions), n_structures):
                positions = part.positions[i : i + n_structures]
                structure, index = part.atoms_of(positions)
                atom = index - offsets[np.array(positions)[structure]]
                structure += int(start) + i
                for j in range(0, len(index), max_rows):
                    here = slice(j, j + max_rows)
                    chosen = index[here]
                    contiguous = int(chosen[-1]) - int(chosen[0]) + 1 == len(chosen)
                    features = (
                        rows.read(int(chosen[0]), int(chosen[-1]) + 1)
                        if contiguous and part.positions.step > 0
                        else rows.take(chosen)
                    )
                    table_species = part.table.species
                    species = None if table_species is None else np.asarray(table_species[chosen])
                    yield structure[here], atom[here], features, species

    def close(self) -> None:
        """Close the tables that are files."""
        for part in self.parts:
            close = getattr(part.table, "close", None)
            if close is not None:
                close()
        self._resources.close()

    def __enter__(self) -> Self:
        """Return the set."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the tables."""
        self.close()


def read_structures(part: Part, positions: range) -> tuple[np.ndarray, Convention]:
    """Read rows of structures as they are stored.

    Returns
    -------
    features : (n, D) array
    convention : {"mean", "sum"}

    Raises
    ------
    FeatureError
        If the table has rows of atoms only.
    """
    rows = part.table.structures
    if rows is None:
        raise FeatureError("there are no features of structures", where=part.table.label)
    if positions.step > 0:
        # The end of a strided range may lie past the last row.
        stop = positions[-1] + 1 if positions else positions.start
        return rows.read(positions.start, stop, positions.step), part.table.convention
    return rows.take(np.array(positions)), part.table.convention


def check_alike(first: FeatureTable, other: FeatureTable) -> None:
    """Refuse two tables that cannot be columns of the same model.

    Raises
    ------
    MismatchError
        If widths or blocks differ.
    """
    if first.n_features != other.n_features:
        raise MismatchError(
            "feature sets differ in width",
            where=f"{first.label} and {other.label}",
            expected=f"{first.n_features} features, as in {first.label}",
            got=f"{other.n_features} features in {other.label}",
            remedy="compute both with the same descriptor or model",
        )
    if first.blocks != other.blocks:
        raise MismatchError(
            "feature sets differ in their blocks",
            where=f"{first.label} and {other.label}",
            expected=block_text(first.blocks),
            got=block_text(other.blocks),
        )


def block_text(blocks: tuple[Block, ...] | None) -> str:
    """Write blocks as names and widths."""
    if blocks is None:
        return "no blocks"
    return ",".join(f"{block.name}:{block.width}" for block in blocks)


def _select(values: np.ndarray, positions: range) -> np.ndarray:
    if positions.step > 0:
        return np.asarray(values[positions.start : positions.stop : positions.step])
    return np.asarray(np.asarray(values)[np.array(positions)])

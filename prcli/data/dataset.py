"""The one way in: what a user names becomes a data set of one or more feature tables.

Features of other formats are turned into stores before they come here; see
`prcli.workflows.inputs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np

from prcli.data.alike import block_text, check_alike
from prcli.data.digests import digests_of
from prcli.data.part import Part, read_structures
from prcli.errors import FeatureError, RequestError
from prcli.records import Block, FeatureKind, RowKind

__all__ = ["Dataset", "Part", "block_text", "check_alike", "read_structures"]


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
        If the parts differ in width, blocks, or in what computed their features.
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
            [part.select(part.table.n_atoms) for part in self.parts]
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
    def feature_kinds(self) -> tuple[FeatureKind, ...]:
        """What features of a network are; empty where no part says so."""
        kinds = {part.table.feature_kind for part in self.parts}
        return tuple(sorted(kind for kind in kinds if kind is not None))

    @property
    def featurizer(self) -> Mapping[str, object] | None:
        """Name and settings of what computed the features; None where no part knows."""
        known = (part.table.featurizer for part in self.parts)
        return next((each for each in known if each is not None), None)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types of the features and gradient rows on disk."""
        tables = [part.table for part in self.parts]
        rows = [rows for table in tables for rows in (table.structures, table.atoms)]
        rows += [table.gradients.rows for table in tables if table.gradients is not None]
        return tuple(sorted({present.dtype.name for present in rows if present is not None}))

    @property
    def has_atoms(self) -> bool:
        """Whether every part has features of atoms."""
        return all(part.table.atoms is not None for part in self.parts)

    @property
    def has_species(self) -> bool:
        """Whether every part knows the elements of its atoms."""
        return all(part.table.species is not None for part in self.parts)

    def has_gradients(self, kind: RowKind) -> bool:
        """Whether some structure of the set has gradient rows of a kind."""
        return any(bool(part.gradient_counts(kind).any()) for part in self.parts)

    @property
    def gradients_reduced(self) -> bool:
        """Whether blocks of gradient rows of some part were reduced to D rows."""
        tables = [part.table.gradients for part in self.parts]
        return any(table.reduced for table in tables if table is not None)

    def gradient_counts(self, kind: RowKind) -> np.ndarray:
        """(S,) int64 stored gradient rows of a kind per structure."""
        return np.concatenate([part.gradient_counts(kind) for part in self.parts])

    def original_gradient_counts(self, kind: RowKind) -> np.ndarray:
        """(S,) int64 gradient rows of a kind per structure before blocks were reduced."""
        return np.concatenate([part.original_gradient_counts(kind) for part in self.parts])

    @property
    def digests(self) -> np.ndarray:
        """(S,) uint64 digest of each structure's row; computed where a table has none."""
        return np.concatenate([part.select(digests_of(part.table)) for part in self.parts])

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
        if len(self.parts) == 1:
            return self.parts[0].select(self.parts[0].table.column(name))
        return np.concatenate([part.select(part.table.column(name)) for part in self.parts])

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
            source[here] = np.array(known)[part.select(origin.file)]
            frame[here] = part.select(origin.frame)
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

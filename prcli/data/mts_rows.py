"""Rows of several blocks of an mts file, brought together by their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from prcli.data.foreign import RowIndex, RowSource
from prcli.data.mts_archive import Labels
from prcli.data.mts_columns import BlockColumns
from prcli.data.row_layout import float_type
from prcli.data.sample_order import SampleLabels, sorting_order
from prcli.errors import FeatureError

#: Structure and atom of a row make one number, the atom in its lower bits.
_ATOM_BITS = 32
_ATOM = (1 << _ATOM_BITS) - 1


@dataclass(frozen=True)
class PlacedRows:
    """Rows of one block, and where they belong.

    Attributes
    ----------
    source : RowSource
        The rows, in the order of the file.
    columns : slice
        Columns of the table that they fill.
    place : (n,) array of int64
        Rows of the table that they fill, increasing.
    index : (n,) array of int64
        Which row of the file fills each of them.
    """

    source: RowSource
    columns: slice
    place: NDArray[np.int64]
    index: NDArray[np.int64]


@dataclass(frozen=True)
class MergedRows:
    """A table whose rows are spread over blocks; zero where there is nothing."""

    parts: tuple[PlacedRows, ...]
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds the numbers of every part."""
        return np.result_type(*(float_type(part.source.dtype) for part in self.parts))

    def rows(self, wanted: RowIndex) -> NDArray[Any]:
        """Return a run of rows, (n, D)."""
        if not isinstance(wanted, slice):
            raise TypeError("merged blocks are read by runs of rows")
        start, stop, _ = wanted.indices(self.shape[0])
        table = np.zeros((stop - start, self.shape[1]), dtype=self.dtype)
        for part in self.parts:
            first, last = np.searchsorted(part.place, (start, stop)).tolist()
            if first < last:
                rows = part.source.rows(part.index[first:last])
                # What is not finite is refused later, with its place.
                with np.errstate(invalid="ignore", over="ignore"):
                    table[part.place[first:last] - start, part.columns] += rows
        return table

    def close(self) -> None:
        """Release the files of all parts."""
        for part in self.parts:
            part.source.close()


def merge_rows(
    sources: Sequence[RowSource | None],
    samples: Sequence[Labels],
    blocks: BlockColumns,
    where: str,
) -> tuple[MergedRows, SampleLabels]:
    """Bring the rows of blocks together by their labels.

    Parameters
    ----------
    sources : sequence of RowSource
        Rows of each block; None where it has no rows.
    samples : sequence of structured arrays
        Labels of the rows of each block.
    blocks : BlockColumns
    where : str
        The file, for messages.

    Returns
    -------
    rows : MergedRows
    labels : SampleLabels
        Labels of its rows, which are in order.

    Raises
    ------
    FeatureError
        If rows have no labels of structures, labels of different names, or one label twice, or
        if a structure or an atom is in no block.
    """
    places = [f"{where}, block {name}" for name in blocks.names]
    labels = [_labels(each, place) for each, place in zip(samples, places, strict=True)]
    _check_names(labels, where)
    codes = [_codes(each) for each in labels]
    everything = np.unique(np.concatenate(codes))
    atom = None if labels[0].atom is None else everything & _ATOM
    merged = SampleLabels(everything >> _ATOM_BITS, atom, labels[0].names, where)
    if everything.size:
        sorting_order(merged)
    parts = []
    for source, code, columns in zip(sources, codes, blocks.columns, strict=True):
        if source is not None:
            index = np.argsort(code, kind="stable")
            place = np.searchsorted(everything, code[index])
            parts.append(PlacedRows(source, columns, place, index))
    if atom is not None:
        _check_disjoint(parts, everything, merged)
    return MergedRows(tuple(parts), (everything.size, blocks.n_columns)), merged


def _labels(samples: Labels, where: str) -> SampleLabels:
    """Find the labels of rows, without which blocks cannot be brought together."""
    labels = SampleLabels.of(samples, where)
    if labels is None:
        raise FeatureError(
            "rows of a block have no label of their structure",
            where=where,
            expected="a label named system, since blocks differ in their rows",
            got=", ".join(samples.dtype.names or ()),
            remedy="merge blocks with keys_to_samples or keys_to_properties of metatensor",
        )
    return labels


def _check_names(labels: Sequence[SampleLabels], where: str) -> None:
    """Refuse blocks of atoms together with blocks of structures."""
    names = sorted({each.names for each in labels})
    if len(names) > 1:
        raise FeatureError(
            "blocks of the file have labels of different names",
            where=where,
            expected="either rows of structures or rows of atoms",
            got=" and ".join(names),
            remedy="keep the blocks that belong together, with metatensor",
        )


def _codes(labels: SampleLabels) -> NDArray[np.int64]:
    """Make one number of structure and atom of each row; refuse negative ones, and any twice."""
    codes = labels.structure.astype(np.int64) << _ATOM_BITS
    parts = [labels.structure]
    if labels.atom is not None:
        codes |= labels.atom.astype(np.int64)
        parts.append(labels.atom)
    lowest = min((int(part.min()) for part in parts if part.size), default=0)
    if lowest < 0:
        raise FeatureError("row has a negative label", where=labels.where, got=str(lowest))
    unique, counts = np.unique(codes, return_counts=True)
    if unique.size < codes.size:
        _raise_twice(int(unique[np.argmax(counts > 1)]), labels, "in one block")
    return codes


def _check_disjoint(
    parts: Sequence[PlacedRows], codes: NDArray[np.int64], labels: SampleLabels
) -> None:
    """Refuse an atom that several blocks of the same columns have."""
    for start in {part.columns.start for part in parts}:
        sharing = [part.place for part in parts if part.columns.start == start]
        place, counts = np.unique(np.concatenate(sharing), return_counts=True)
        if (counts > 1).any():
            code = int(codes[place[np.argmax(counts > 1)]])
            _raise_twice(code, labels, "in blocks of different types")


def _raise_twice(code: int, labels: SampleLabels, place: str) -> NoReturn:
    """Say that a row is there twice."""
    atom = "" if labels.atom is None else f" atom {code & _ATOM}"
    raise FeatureError(
        "rows carry the same label",
        where=f"{labels.where}, labels {labels.names}",
        expected="one row for each structure, or for each atom of each structure, from 0 on",
        got=f"structure {code >> _ATOM_BITS}{atom} twice {place}",
        remedy="write the features of all structures again, numbered from 0",
    )

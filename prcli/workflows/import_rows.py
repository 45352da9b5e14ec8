"""Structures of an import, and what the rows to import are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.conventions import RowConvention
from prcli.data.extxyz import FrameIndex
from prcli.data.geometry import read_cell
from prcli.data.row_offsets import atom_offsets, structure_runs
from prcli.data.slices import parse_slice, split_slice
from prcli.data.streams import spool
from prcli.data.structure_file import index_structures, read_frames
from prcli.records import Block, FeatureKind, Progress, no_progress

#: Bytes of features that one block holds.
_BLOCK_BYTES = 16 << 20


class ImportFrames:
    """Frames of the structures file that take part."""

    def __init__(self, typed: str, path: Path, index: FrameIndex, chosen: range) -> None:
        self.typed = typed
        self.path = path
        self.index = index
        self.frame: NDArray[np.int64] = np.array(chosen, dtype=np.int64)
        self.n_atoms = index.n_atoms[self.frame]
        self.offsets = atom_offsets(self.n_atoms)

    def read(self, positions: range | NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
        """Yield (frame number, bytes) of some of the frames."""
        frame = self.frame[np.asarray(positions)]
        offset, length = self.index.offset[frame], self.index.length[frame]
        yield from zip(frame.tolist(), read_frames(self.path, frame, offset, length), strict=True)

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield (name for messages, bytes) of every frame."""
        for frame, content in self.read(range(len(self.frame))):
            yield f"{self.typed}, frame {frame}", content

    def runs(self, max_atoms: int) -> Iterator[tuple[int, int, Iterator[tuple[str, bytes]]]]:
        """Yield (first structure, past the last, their `contents`, which must be used up)."""
        contents = self.contents()
        for start, stop in structure_runs(self.offsets, max_atoms):
            yield start, stop, islice(contents, stop - start)

    def periodic_volumes(self) -> NDArray[np.float64]:
        """Volume of each cell in Å³, (S,); nan for structures not periodic in three directions."""
        volumes = np.full(len(self.frame), np.nan)
        for i, (where, content) in enumerate(self.contents()):
            cell, pbc, _ = read_cell(content, int(self.n_atoms[i]), where)
            if all(pbc):
                volumes[i] = abs(np.linalg.det(cell))
        return volumes


def open_structures(
    argument: str, stack: ExitStack, spooled: Path | None, progress: Progress = no_progress
) -> ImportFrames:
    """Index the structures file; standard input is kept in a temporary file first."""
    typed, text = split_slice(argument)
    path = Path(typed)
    if typed == "-":
        path = spooled or stack.enter_context(spool(sys.stdin.buffer))
    index = index_structures(path, progress=progress)
    if typed == "-" and spooled is None:
        # Nothing to come back to.
        index = replace(index, stamp=replace(index.stamp, path="-"))
    return ImportFrames(typed, path, index, parse_slice(text, len(index), argument))


class ImportRows:
    """Features to import, one row per structure or per atom.

    Attributes
    ----------
    convention : {"mean", "sum", "per-atom"}
        What rows are.
    n_features : int
        D.
    dtype : dtype
    origin : str
        File or key that they come from, for messages.
    notes : tuple of str
        What the user should know about how they were read.
    blocks : tuple of Block, optional
        Components, in column order.
    gradient_names : tuple of str
        What the file of the features holds gradients with respect to.
    feature_kind : {"last-layer", "descriptor"}, optional
        What features of a network are.
    n_copies : int
        Times the width that a row will take in memory.
    is_settled : bool
        Whether columns are as the request wants them, by element and with its components.
    """

    convention: RowConvention
    n_features: int
    dtype: np.dtype[np.floating]
    origin: str
    notes: tuple[str, ...] = ()
    blocks: tuple[Block, ...] | None = None
    gradient_names: tuple[str, ...] = ()
    feature_kind: FeatureKind | None = None
    n_copies: int = 1
    is_settled: bool = False

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Yield (first structure, past the last, rows, species of their atoms)."""
        raise NotImplementedError

    @property
    def max_atoms(self) -> int:
        """Atoms whose rows fill a block."""
        return max(1, _BLOCK_BYTES // (self.n_features * self.n_copies * self.dtype.itemsize))

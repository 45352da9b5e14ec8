"""Rows to import, from a file of their own or from the frames, side by side with structures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.column_layout import column_layout
from prcli.data.columns import atom_column, species
from prcli.data.comment_line import comment_values
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.conventions import RowConvention, check_convention
from prcli.data.extxyz import FrameIndex, index_frames, open_frames
from prcli.data.formats import looks_rounded, open_array
from prcli.data.geometry import read_cell
from prcli.data.row_offsets import atom_offsets, structure_runs
from prcli.data.slices import parse_slice, split_slice
from prcli.data.streams import spool
from prcli.errors import FeatureError, RequestError
from prcli.records import Block
from prcli.workflows.import_request import ImportRequest

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
        with open_frames(self.path) as reader:
            contents = reader.frames(self.index.offset[frame], self.index.length[frame])
            yield from zip(frame.tolist(), contents, strict=True)

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


def open_structures(argument: str, stack: ExitStack, spooled: Path | None) -> ImportFrames:
    """Index the structures file; standard input is kept in a temporary file first."""
    typed, text = split_slice(argument)
    path = Path(typed)
    if typed == "-":
        path = spooled or stack.enter_context(spool(sys.stdin.buffer))
    index = index_frames(path)
    if typed == "-" and spooled is None:
        # Nothing to come back to.
        index = replace(index, stamp=replace(index.stamp, path="-"))
    return ImportFrames(typed, path, index, parse_slice(text, len(index), argument))


class ImportRows:
    """Features to import, one row per structure or per atom."""

    convention: RowConvention
    n_features: int
    dtype: np.dtype[np.floating]
    notes: tuple[str, ...] = ()
    blocks: tuple[Block, ...] | None = None
    gradient_names: tuple[str, ...] = ()

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Yield (first structure, past the last, rows, species of their atoms)."""
        raise NotImplementedError

    @property
    def max_atoms(self) -> int:
        """Atoms whose rows fill a block."""
        return max(1, _BLOCK_BYTES // (self.n_features * self.dtype.itemsize))


class ArrayFileRows(ImportRows):
    """Rows of a file of their own."""

    def __init__(self, request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> None:
        assert request.features is not None
        if request.convention is None:
            raise RequestError(
                "the convention of the features is not stated",
                where="--convention",
                expected="mean, sum or per-atom: what a row of the features file is",
                remedy="see the documentation of the program that wrote the file",
            )
        self.convention = request.convention
        self._array = stack.enter_context(
            open_array(request.features, array=request.array, allow_pickle=request.allow_pickle)
        )
        n_rows, self.n_features = self._array.shape
        check_convention(
            self.convention, n_rows, len(frames.frame), int(frames.offsets[-1]), request.features
        )
        self.dtype = self._array.dtype
        self.notes = self._array.notes
        self.blocks = self._array.blocks
        self.gradient_names = self._array.gradient_names
        if self.gradient_names and not request.gradients:
            self.notes += ("gradients in the file are not read without --gradients",)
        self._check_labels(frames, request.features)

    def _check_labels(self, frames: ImportFrames, where: str) -> None:
        """Compare the file's own labels of structures, where it has them."""
        labels = self._array.sample_structure
        if labels is None or self.convention != "per-atom":
            return
        expected = np.repeat(np.arange(len(frames.n_atoms)), frames.n_atoms)
        wrong = np.flatnonzero(labels != expected)
        if wrong.size:
            first = int(expected[wrong[0]])
            raise FeatureError(
                "the feature file gives a structure another number of atoms",
                where=f"{where}, structure {first}",
                expected=f"{frames.n_atoms[first]} atoms",
                got=f"{np.count_nonzero(labels == first)} rows",
            )

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Read rows and species side by side."""
        for start, stop, contents in frames.runs(self.max_atoms):
            numbers = [species(content, where) for where, content in contents]
            first, last = start, stop
            if self.convention == "per-atom":
                first, last = int(frames.offsets[start]), int(frames.offsets[stop])
            yield start, stop, self._array.read(first, last), np.concatenate(numbers)


class FrameRows(ImportRows):
    """Rows that the frames themselves carry."""

    def __init__(self, request: ImportRequest, frames: ImportFrames) -> None:
        assert request.feature_key is not None
        self._key = request.feature_key
        frame, content = next(frames.read(np.array([0])))
        where = f"{frames.typed}, frame {frame}"
        is_column = column_layout(comment(content)).find(self._key) is not None
        if is_column and request.convention not in (None, "per-atom"):
            raise RequestError(
                f"{self._key!r} is a per-atom column",
                where=where,
                expected="--convention per-atom, or none",
                got=f"--convention {request.convention}",
            )
        if not is_column and request.convention not in ("mean", "sum"):
            self._require_key(content, where)
            raise RequestError(
                f"{self._key!r} is one vector per structure",
                where=where,
                expected="--convention mean or sum",
                got=f"--convention {request.convention}" if request.convention else "none",
            )
        self.convention = "per-atom" if is_column else request.convention or "mean"
        rows = self._parse(content, where)
        self.n_features = rows.shape[1]
        self.dtype = np.dtype(np.float64)
        if looks_rounded(rows):
            self.notes = (f"features of {self._key!r} are rounded to 8 decimals or fewer",)

    def _require_key(self, content: bytes, where: str) -> None:
        pairs = comment_pairs(comment(content))
        if not any(pair.key.decode("utf-8", "surrogateescape") == self._key for pair in pairs):
            keys = [pair.key.decode("utf-8", "replace") for pair in pairs]
            columns = [column.name for column in column_layout(comment(content)).columns]
            raise FeatureError(
                f"key {self._key!r} is absent",
                where=where,
                expected="a per-atom column, one of " + ", ".join(columns),
                got="keys of the comment line: " + ", ".join(keys),
            )

    def _parse(self, content: bytes, where: str) -> NDArray[np.float64]:
        """Rows of one frame, shape (n_atoms, D) or (1, D)."""
        if self.convention == "per-atom":
            return atom_column(content, self._key, where)
        self._require_key(content, where)
        value = comment_values(comment(content), [self._key])[self._key]
        if not isinstance(value, (np.ndarray, float, int)) or isinstance(value, bool):
            raise FeatureError(
                f"{self._key!r} is not a vector of numbers", where=where, got=repr(value)[:80]
            )
        return np.array(value, dtype=np.float64).reshape(1, -1)

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Parse frame by frame."""
        for start, stop, contents in frames.runs(self.max_atoms):
            rows, numbers = [], []
            for where, content in contents:
                rows.append(self._parse(content, where))
                numbers.append(species(content, where))
                if rows[-1].shape[1] != self.n_features:
                    raise FeatureError(
                        f"{self._key!r} changes its width",
                        where=where,
                        expected=f"{self.n_features} numbers, as in the first frame",
                        got=f"{rows[-1].shape[1]} numbers",
                    )
            yield start, stop, np.concatenate(rows), np.concatenate(numbers)

"""Raw frames of the structures of a data set, found where its stores say that they are."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.conversion_notes import ConversionNotes
from prcli.data.dataset import Dataset
from prcli.data.provenance import file_digest
from prcli.data.store import FeatureStore
from prcli.data.structure_file import index_structures, read_frames
from prcli.data.structure_formats import StructureFormat, find_format
from prcli.errors import InputFileError, MismatchError, RequestError
from prcli.records import FileStamp
from prcli.wording import counted

logger = logging.getLogger(__name__)


class Frames:
    """Frames of a data set's structures, byte for byte as in their files.

    Structures of files that are not extxyz are converted when they are read.

    Parameters
    ----------
    data : Dataset
    structures : sequence of path, optional
        Structure files that stand in for those that the stores name, one for each in order
        of first appearance.
    otherwise : str, optional
        What a user can do who has no structure file, for messages.

    Raises
    ------
    RequestError
        If structure files are not known.
    InputFileError
        If a file is gone or has changed.
    """

    def __init__(
        self, data: Dataset, structures: Sequence[str | Path] = (), otherwise: str | None = None
    ) -> None:
        self._otherwise = f", {otherwise}" if otherwise else ""
        self._n_atoms = data.n_atoms
        self.sources, self._source, self._frame = data.frames()
        self._offset = np.full(data.n_structures, -1, dtype=np.int64)
        #: Formats of the files, by number, that have to be converted.
        self._formats: dict[int, StructureFormat] = {}
        self._notes: dict[int, ConversionNotes] = {}
        if structures:
            self.paths = self._replace(structures)
        else:
            self.paths = self._follow(data)
        self._complete_offsets(are_known=not structures)

    def read(self, indices: Sequence[int] | NDArray[np.intp]) -> Iterator[bytes]:
        """Yield frames in the order given.

        Raises
        ------
        MismatchError
            If a frame has another number of atoms than the features say.
        """
        yield from self._read(indices, {})

    def copy(self, indices: Sequence[int] | NDArray[np.intp]) -> Iterator[bytes]:
        """Yield frames in the order given, to be written; `say_converted` tells what is no copy.

        Raises
        ------
        MismatchError
            If a frame has another number of atoms than the features say.
        """
        yield from self._read(indices, self._notes)

    def say_converted(self) -> None:
        """Say which of the frames that have been written are not copies, once."""
        for number, note in sorted(self._notes.items()):
            what = f"{counted(note.n_structures, 'structure')} of {self.paths[number]}"
            were = "was" if note.n_structures == 1 else "were"
            logger.warning("%s (%s) %s %s", what, self._formats[number].title, were, note)
        self._notes.clear()

    def _read(
        self, indices: Sequence[int] | NDArray[np.intp], notes: dict[int, ConversionNotes]
    ) -> Iterator[bytes]:
        """Yield frames, and note what was converted by file."""
        for number, group in groupby(indices, key=lambda i: int(self._source[i])):
            members = np.fromiter(group, dtype=np.int64)
            path, note = self.paths[number], None
            if number in self._formats:
                note = notes.setdefault(number, ConversionNotes())
            frames = read_frames(path, self._frame[members], self._offset[members], notes=note)
            for index, content in zip(members.tolist(), frames, strict=True):
                self._check_count(index, content, path)
                yield content

    def where(self, index: int) -> str:
        """Name the file and frame of a structure, for messages."""
        return f"{self.paths[int(self._source[index])]}, frame {int(self._frame[index])}"

    def _replace(self, structures: Sequence[str | Path]) -> dict[int, Path]:
        if len(structures) != len(self.sources):
            raise RequestError(
                "--structures does not fit the features",
                expected=f"{len(self.sources)} files, for " + ", ".join(self.sources),
                got=f"{len(structures)} files",
            )
        return {number: Path(path) for number, path in enumerate(structures)}

    def _follow(self, data: Dataset) -> dict[int, Path]:
        """Resolve the files that the stores name, and check that they are the same still."""
        paths: dict[int, Path] = {}
        for part, start in zip(data.parts, data.starts, strict=False):
            table = part.table
            origin = table.source
            if origin is None:
                raise RequestError(
                    "the structures behind the features are not known",
                    where=table.label,
                    remedy=f"name the extxyz file with --structures{self._otherwise}, or import "
                    "the features with their structures",
                )
            where = table.path if isinstance(table, FeatureStore) else table.label
            positions = np.array(part.positions)
            here = slice(int(start), int(start) + len(positions))
            self._offset[here] = origin.offset[positions]
            file = origin.file[positions]
            for position in np.unique(file).tolist():
                number = int(self._source[here][np.argmax(file == position)])
                if number not in paths:
                    path = origin.resolve(position, where)
                    stamp, typed = origin.files[position], origin.typed[position]
                    paths[number] = check_unchanged(path, stamp, typed, self._otherwise)
        return paths

    def _complete_offsets(self, are_known: bool) -> None:
        """Index the files of which no offsets are known.

        If the files are those of the stores (`are_known`), there is nothing to find in such as
        have no offsets.
        """
        for number in np.unique(self._source[self._offset < 0]).tolist():
            members = np.flatnonzero(self._source == number)
            path = self.paths[number]
            found = find_format(path)
            if found is not None:
                self._formats[number] = found
                if are_known:
                    continue
            index = index_structures(path, digest=False)
            if int(self._frame[members].max()) >= len(index):
                raise MismatchError(
                    "the structure file holds fewer frames than the features",
                    where=str(path),
                    expected=f"at least {int(self._frame[members].max()) + 1} frames",
                    got=f"{len(index)} frames",
                )
            self._offset[members] = index.offset[self._frame[members]]
            wrong = np.flatnonzero(index.n_atoms[self._frame[members]] != self._n_atoms[members])
            if wrong.size:
                first = int(members[wrong[0]])
                self._raise_count(first, int(index.n_atoms[self._frame[first]]), path)

    def _check_count(self, index: int, content: bytes, path: Path) -> None:
        count = int(content[: content.index(b"\n")])
        if count != self._n_atoms[index]:
            self._raise_count(index, count, path)

    def _raise_count(self, index: int, count: int, path: Path) -> None:
        raise MismatchError(
            "a frame has another number of atoms than its features",
            where=f"{path}, frame {int(self._frame[index])}",
            expected=f"{int(self._n_atoms[index])} atoms",
            got=f"{count} atoms",
            remedy="name the structure file that the features were made from",
        )


def check_unchanged(path: Path | None, stamp: FileStamp, typed: str, otherwise: str = "") -> Path:
    """Return the path of a source file if it is still the one that was stamped.

    Size and time are compared first; the content is hashed only where the time differs. What
    else a user can do, `otherwise`, is for messages.

    Raises
    ------
    InputFileError
        If it is gone or has changed.
    """
    remedy = f"name the file with --structures{otherwise}, or import the features again"
    if path is None:
        raise InputFileError(
            "the structure file of a feature store is gone",
            where=typed,
            expected=f"the file at {stamp.path}",
            remedy=remedy,
        )
    status = os.stat(path)
    same = status.st_size == stamp.size or stamp.size < 0
    digest = ""
    if same and stamp.mtime_ns != status.st_mtime_ns and stamp.digest:
        digest = file_digest(path)
        same = digest == stamp.digest
    if not same:
        raise InputFileError(
            "the structure file has changed since its features were imported",
            where=str(path),
            expected=f"{stamp.size} bytes, {stamp.digest}",
            got=f"{status.st_size} bytes" + (f", {digest}" if digest else ""),
            remedy=remedy,
        )
    return path

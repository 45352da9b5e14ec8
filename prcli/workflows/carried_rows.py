"""Rows that another file of the same structures carries, such as one that a program rewrote.

What programs write back has often lost keys and labels of its input, so that one's own file is the
better source of frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.extxyz import index_frames
from prcli.data.geometry import read_geometry
from prcli.errors import FeatureError
from prcli.wording import counted
from prcli.workflows.import_rows import ImportFrames, ImportRows

#: Å; programs write positions with 8 decimals, some in float32.
_SAME_PLACE = 1e-3
_REMEDY = "check that this file was made from these structures, in this order"


class CarriedRows(ImportRows):
    """Rows of another file, checked against the structures.

    Parameters
    ----------
    rows : ImportRows
        Rows of the other file's structures.
    carriers : ImportFrames
        These structures.
    frames : ImportFrames
        The structures that the rows are for.

    Raises
    ------
    FeatureError
        If numbers of structures or atoms differ.
    """

    def __init__(self, rows: ImportRows, carriers: ImportFrames, frames: ImportFrames) -> None:
        self._rows = rows
        self._carriers = carriers
        self.convention = rows.convention
        self.n_features = rows.n_features
        self.dtype = rows.dtype
        self.origin = f"{carriers.typed}, {rows.origin}"
        self.notes = rows.notes
        self.blocks = rows.blocks
        self.feature_kind = rows.feature_kind
        self.is_settled = rows.is_settled
        ours, theirs = len(frames.frame), len(carriers.frame)
        wrong = np.flatnonzero(frames.n_atoms[:theirs] != carriers.n_atoms[:ours])
        if wrong.size:
            first = int(wrong[0])
            raise FeatureError(
                "the file with features has other structures",
                where=f"{carriers.typed}, frame {first}",
                expected=f"{counted(int(frames.n_atoms[first]), 'atom')}, as {frames.typed}, "
                f"frame {int(frames.frame[first])}",
                got=counted(int(carriers.n_atoms[first]), "atom"),
                remedy=_REMEDY,
            )
        if ours != theirs:
            raise FeatureError(
                "the file with features has another number of structures",
                where=carriers.typed,
                expected=f"{counted(ours, 'structure')}, as {frames.typed}",
                got=counted(theirs, "structure"),
                remedy=_REMEDY,
            )

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Read rows of the other file beside the structures."""
        self._rows.n_copies = self.n_copies
        others = self._carriers.contents()
        ours = frames.runs(self.max_atoms)
        for (start, stop, block, _), (_, _, contents) in zip(
            self._rows.runs(self._carriers), ours, strict=True
        ):
            numbers = []
            for (where, content), (there, other) in zip(contents, others, strict=False):
                numbers.append(_same_structure(content, where, other, there))
            yield start, stop, block, np.concatenate(numbers)


def open_carriers(path: Path) -> ImportFrames:
    """Index the structures of a file with features."""
    index = index_frames(path)
    return ImportFrames(str(path), path, index, range(len(index)))


def _same_structure(content: bytes, where: str, other: bytes, there: str) -> NDArray[np.uint8]:
    """Refuse another structure; return the elements."""
    here, carried = read_geometry(content, where), read_geometry(other, there)
    what = ""
    if not np.array_equal(here.numbers, carried.numbers):
        what = "other elements"
    elif (np.abs(here.positions - carried.positions) > _SAME_PLACE).any():
        what = "atoms in other places"
    if what:
        raise FeatureError(
            "the file with features has another structure",
            where=there,
            expected=f"the structure of {where}",
            got=what,
            remedy=_REMEDY,
        )
    return here.numbers

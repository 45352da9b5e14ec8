"""Structure files of any format, seen as extxyz files whose frames are made when asked for.

A frame of a file that is not extxyz is the same bytes whenever it is asked for, so that whatever
reads frames of extxyz (keys, elements, columns, geometry, annotation) works on them as they are.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing

import numpy as np
from numpy.typing import ArrayLike

from prcli.data.atoms_frame import write_frame
from prcli.data.conversion_notes import ConversionNotes
from prcli.data.extxyz import FrameIndex, index_frames, open_frames
from prcli.data.provenance import stamp_file
from prcli.data.structure_formats import find_format, refuse_other_text
from prcli.errors import FormatError
from prcli.records import Progress, no_progress
from prcli.wording import counted

logger = logging.getLogger(__name__)


def index_structures(
    path: str | os.PathLike[str], digest: bool = True, progress: Progress = no_progress
) -> FrameIndex:
    """Find the structures of a file.

    Parameters
    ----------
    path : path-like
        extxyz, or a format that `prcli.data.structure_formats` knows; the content tells which,
        and for formats of other programs that have no mark of their own, the name.
    digest : bool
        Hash the file as it lies on the disk.
    progress : callable
        As for `index_frames`.

    Returns
    -------
    FrameIndex
        As `index_frames` gives it. Without offsets and lengths (−1) where frames are made.

    Raises
    ------
    FormatError
        If the format is not known, or the file holds no structures.
    InputFileError
        If the file is missing, unreadable or damaged.
    RequestError
        If a package that is needed to read it is not installed.
    """
    found = find_format(path)
    if found is None:
        return index_frames(path, digest, progress)
    stamp = stamp_file(path, None if digest else "")
    with closing(found.open(os.fspath(path))) as file:
        n_atoms = file.count_atoms()
    # Parsers that look for certain lines find nothing, or an empty structure, in any text.
    if found.by_name and not n_atoms.any():
        refuse_other_text(path, found)
    if not len(n_atoms):
        raise FormatError(
            "file holds no structures",
            where=os.fspath(path),
            expected="at least one structure",
            got=f"none, read as {found.title}",
        )
    logger.info(
        "%s: %s, %s, read through ASE",
        os.fspath(path),
        found.title,
        counted(len(n_atoms), "structure"),
    )
    nowhere = np.full(len(n_atoms), -1, dtype=np.int64)
    return FrameIndex(nowhere, nowhere, n_atoms, stamp)


def read_frames(
    path: str | os.PathLike[str],
    numbers: ArrayLike,
    offsets: ArrayLike,
    lengths: ArrayLike | None = None,
    notes: ConversionNotes | None = None,
) -> Iterator[bytes]:
    """Read frames of a structure file in the order asked for.

    Parameters
    ----------
    path : path-like
        The file.
    numbers : (n,) int array
        Frames, in any order, repeated or not.
    offsets, lengths : (n,) int array
        Where they are, as in the `FrameIndex`: −1 where frames are made.
    notes : ConversionNotes, optional
        Gets what was converted.

    Yields
    ------
    bytes
        Copies of frames of extxyz, and frames made of structures of other formats. Where a
        format can only be read from front to end, that is done once, and structures that are
        not wanted in the order of the file are kept in memory together.

    Raises
    ------
    InputFileError, FormatError, RequestError
        As `index_structures`, and if a structure is not there.
    """
    begin = np.asarray(offsets, dtype=np.int64)
    if np.all(begin >= 0):
        with open_frames(path) as reader:
            yield from reader.frames(begin, lengths)
        return
    found = find_format(path)
    wanted = np.asarray(numbers, dtype=np.int64)
    if found is None:
        begin = index_frames(path, digest=False).offset[wanted]
        yield from read_frames(path, wanted, begin)
        return
    notes = notes or ConversionNotes()
    with closing(found.open(os.fspath(path))) as file:
        for atoms in file.structures(wanted):
            yield write_frame(atoms, notes)

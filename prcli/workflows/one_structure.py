"""One structure of a file that a user names, or in memory."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from prcli.data.atoms_frame import write_frame
from prcli.data.conversion_notes import ConversionNotes
from prcli.data.file_kind import file_kind
from prcli.data.geometry import read_geometry
from prcli.data.slices import split_slice
from prcli.errors import FormatError, RequestError
from prcli.workflows.import_rows import open_structures

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

#: A structure file, with a slice where it holds several, or a structure in memory.
StructureArgument: TypeAlias = Union[str, Path, "Atoms"]

#: What a structure in memory is called in messages and tables.
MEMORY = "Atoms"


@dataclass(frozen=True, eq=False)
class OneStructure:
    """A structure, and its frame as it is in the file.

    Attributes
    ----------
    typed : str
        The file as the user named it, without slice; "Atoms" for a structure in memory.
    frame : int
        Position in the file.
    content : bytes
        The frame.
    atoms : ase.Atoms
        Elements, positions, cell and periodicity, no more.
    """

    typed: str
    frame: int
    content: bytes
    atoms: Atoms

    @property
    def where(self) -> str:
        """Name it for messages."""
        return f"{self.typed}, frame {self.frame}"


def read_one(argument: StructureArgument, option: str) -> OneStructure:
    """Read the one structure that an argument names, or take one in memory.

    Parameters
    ----------
    argument : str, Path or ase.Atoms
        Structure file, with a slice where it holds several; ``-`` for standard input.
    option : str
        What the structure is for, for messages.

    Returns
    -------
    structure : OneStructure

    Raises
    ------
    RequestError
        If the argument names several.
    InputFileError, FormatError, FeatureError
        If it cannot be read.
    """
    if not isinstance(argument, (str, Path)):
        return _in_memory(argument)
    argument = os.fspath(argument)
    _check_kind(split_slice(argument)[0])
    with ExitStack() as stack:
        frames = open_structures(argument, stack, None)
        if len(frames.frame) != 1:
            raise RequestError(
                "one structure is needed at a time",
                where=f"{option} {argument}",
                expected="a file of one structure, or the number of one",
                got=f"{len(frames.frame)} structures",
                remedy=f"choose one, such as the last: {frames.typed}@-1",
            )
        frame, content = next(iter(frames.read(range(1))))
    return _of_frame(frames.typed, frame, content)


def _check_kind(path: str) -> None:
    """Refuse files that belong to a structure and are none."""
    what = {"store": "a prcli feature store", "hessian": "a prcli Hessian file"}
    kind = "extxyz" if path == "-" else file_kind(path)
    if kind in what:
        raise FormatError(
            "a structure file is needed",
            where=path,
            expected="extxyz, or another format of structures",
            got=what[kind],
            remedy="name the file that the features were made from; `prcli info` tells it"
            if kind == "store"
            else None,
        )


def _in_memory(atoms: Atoms) -> OneStructure:
    """Take a structure as if it had been read from a file."""
    notes = ConversionNotes()
    content = write_frame(atoms, notes)
    if notes.renamed or notes.dropped:
        logger.warning("structures were %s", notes)
    return _of_frame(MEMORY, 0, content)


def _of_frame(typed: str, frame: int, content: bytes) -> OneStructure:
    """Read where the atoms of a frame are."""
    from ase import Atoms

    where = f"{typed}, frame {frame}"
    geometry = read_geometry(content, where)
    if not len(geometry.numbers):
        raise RequestError("the structure has no atoms", where=where)
    atoms = Atoms(
        numbers=geometry.numbers,
        positions=geometry.positions,
        cell=geometry.cell,
        pbc=geometry.pbc,
    )
    return OneStructure(typed, frame, content, atoms)

"""One structure of a file that a user names."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prcli.data.geometry import read_geometry
from prcli.errors import RequestError
from prcli.workflows.import_rows import open_structures

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, eq=False)
class OneStructure:
    """A structure, and its frame as it is in the file.

    Attributes
    ----------
    typed : str
        The file as the user named it, without slice.
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


def read_one(argument: str, option: str) -> OneStructure:
    """Read the one structure that an argument names.

    Parameters
    ----------
    argument : str
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
    from ase import Atoms

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
    geometry = read_geometry(content, f"{frames.typed}, frame {frame}")
    atoms = Atoms(
        numbers=geometry.numbers,
        positions=geometry.positions,
        cell=geometry.cell,
        pbc=geometry.pbc,
    )
    return OneStructure(frames.typed, frame, content, atoms)

"""Trajectories as ASE writes them (``.traj``): ulm files, which hold JSON and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prcli.data.ase_file import NumberedFile, parse_errors

if TYPE_CHECKING:
    from ase import Atoms


class TrajectoryFile(NumberedFile):
    """A trajectory; offsets of its structures are held, 8 bytes for each.

    Parameters
    ----------
    path : str

    Raises
    ------
    InputFileError
        If it is damaged.
    """

    def __init__(self, path: str) -> None:
        from ase.io.trajectory import TrajectoryReader

        super().__init__(path, "ASE trajectory")
        with parse_errors(path, self.title):
            self._reader: Any = TrajectoryReader(path)  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """Count the structures."""
        return len(self._reader)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _count(self, number: int) -> int:
        """Take the shape of the positions, which are not read."""
        return int(self._reader.backend[number].proxy("positions").shape[0])

    def _read(self, number: int) -> Atoms:
        atoms: Atoms = self._reader[number]
        return atoms

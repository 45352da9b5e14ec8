"""Trajectories of VASP (``XDATCAR``), which ASE reads as a whole: cut into configurations here."""

from __future__ import annotations

from array import array
from collections import deque
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from prcli.data.ase_file import NumberedFile, parse_errors
from prcli.errors import InputFileError

if TYPE_CHECKING:
    from ase import Atoms

_MARK = b"Direct configuration="
#: Lines of scale and lattice vectors, between the title and the elements.
_N_CELL_LINES = 4


class XdatcarFile(NumberedFile):
    """A trajectory whose configurations are given to ASE one by one.

    Only lines that begin a configuration are looked at before; 40 bytes are held for each.

    Parameters
    ----------
    path : str

    Raises
    ------
    InputFileError
        If it is cut short, or is something else.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, "VASP XDATCAR file")
        # First and last byte of the heading and of the configuration, and atoms.
        places = array("q")
        with parse_errors(path, self.title):
            self._file: BinaryIO = open(path, "rb")
            try:
                self._scan(places)
            except BaseException:
                self._file.close()
                raise
        self._places: NDArray[np.int64] = np.frombuffer(places, dtype=np.int64).reshape(-1, 5)

    def __len__(self) -> int:
        """Count the configurations."""
        return len(self._places)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def count_atoms(self) -> NDArray[np.int64]:
        """Count the atoms of every configuration, (S,)."""
        return self._places[:, 4].copy()

    def _read(self, number: int) -> Atoms:
        from ase.io import read

        head, head_end, start, end, _ = self._places[number].tolist()
        text = self._cut(head, head_end) + self._cut(start, end)
        (atoms,) = read(StringIO(text.decode()), index=":", format="vasp-xdatcar")
        return atoms

    def _cut(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)

    def _scan(self, places: array[int]) -> None:
        """Find the configurations; each may have a heading of its own."""
        file = self._file
        head = head_end = n_atoms = 0
        while True:
            start = file.tell()
            line = file.readline()
            if _MARK not in line:
                # As in ASE, anything but a heading ends the trajectory.
                n_atoms = self._read_heading()
                if not n_atoms:
                    break
                head, head_end = start, file.tell()
                start = head_end
                file.readline()
            n_read, last = _skip_lines(file, n_atoms)
            if n_read < n_atoms or len(last.split()) < 3:
                self._refuse_short(len(places) // 5, n_atoms, n_read)
            places.extend((head, head_end, start, file.tell(), n_atoms))

    def _read_heading(self) -> int:
        """Read past scale, vectors, elements and their counts; return the sum of the counts."""
        lines = list(islice(self._file, _N_CELL_LINES + 2))
        try:
            float(lines[0])
        except (IndexError, ValueError):
            return 0
        return sum(map(int, lines[-1].split()))

    def _refuse_short(self, frame: int, n_atoms: int, n_read: int) -> None:
        raise InputFileError(
            "last structure is truncated",
            where=f"{self.path}, frame {frame}",
            expected=f"{n_atoms} lines of three coordinates",
            got=f"{n_read} lines, and the end of the file",
            remedy="cut the file after the last complete configuration",
        )


def _skip_lines(file: BinaryIO, n_lines: int) -> tuple[int, bytes]:
    """Read past lines; give how many there were, and the last."""
    last = deque(enumerate(islice(file, n_lines), 1), maxlen=1)
    return last[0] if last else (0, b"")

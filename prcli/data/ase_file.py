"""Structure files that ASE reads: what its parsers raise, and reading by number or in passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from traceback import extract_tb
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from prcli.data.streams import read_errors
from prcli.errors import InputFileError, PrcliError, RequestError

if TYPE_CHECKING:
    from ase import Atoms


@contextmanager
def parse_errors(path: str, title: str, frame: int | None = None) -> Iterator[None]:
    """Turn what reading a structure through ASE can raise into our errors.

    Parameters
    ----------
    path : str
        The file.
    title : str
        What it is taken for.
    frame : int, optional
        The structure that is read.

    Raises
    ------
    InputFileError
        If the file is unreadable or damaged, or of another format.
    RequestError
        If a package is not installed.
    """
    where = path if frame is None else f"{path}, frame {frame}"
    try:
        yield
    except (PrcliError, MemoryError):
        raise
    except ImportError as error:
        raise RequestError(
            "a package that is needed to read the file is not installed",
            where=where,
            expected=f"what ASE needs for the format: {title}",
            got=str(error),
            remedy="install it, or convert the file to extxyz",
        ) from error
    # Parsers of text raise whatever their code stumbles on.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            with read_errors(path):
                raise
        raise InputFileError(
            "structures cannot be read",
            where=where,
            expected=f"an intact file of the format: {title}",
            got=_reason(error),
            remedy="look whether `ase info` can read it; convert it to extxyz otherwise",
        ) from error


def _reason(error: Exception) -> str:
    """Say in one line what a parser stumbled on; of a bare assertion, what it asserts."""
    words = " ".join(str(error).split())
    if not words:
        steps = extract_tb(error.__traceback__)
        words = str(steps[-1].line) if steps else ""
    return f"{type(error).__name__}: {words}".removesuffix(": ")[:200]


class NumberedFile(ABC):
    """A structure file in which every structure can be found by its number.

    Parameters
    ----------
    path : str
    title : str
        What the file is, for messages.
    """

    def __init__(self, path: str, title: str) -> None:
        self.path = path
        self.title = title

    @abstractmethod
    def __len__(self) -> int:
        """Count the structures."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    @abstractmethod
    def _read(self, number: int) -> Atoms:
        """Read one structure."""

    def _count(self, number: int) -> int:
        """Count the atoms of one structure; formats that tell it have faster ways."""
        return len(self._read(number))

    def count_atoms(self) -> NDArray[np.int64]:
        """Count the atoms of every structure, (S,)."""
        counts = np.empty(len(self), dtype=np.int64)
        for number in range(len(self)):
            with parse_errors(self.path, self.title, number):
                counts[number] = self._count(number)
        return counts

    def structures(self, numbers: NDArray[np.int64]) -> Iterator[Atoms]:
        """Read structures in the order asked for."""
        for number in map(int, numbers):
            if not 0 <= number < len(self):
                raise_absent(self.path, number, len(self))
            with parse_errors(self.path, self.title, number):
                atoms = self._read(number)
            yield atoms


class AseFile:
    """A structure file that can only be read from front to end.

    Parameters
    ----------
    path : str
    format_name : str
        As ASE calls it.
    title : str
        For messages.
    """

    def __init__(self, path: str, format_name: str, title: str) -> None:
        self.path = path
        self.title = title
        self._format_name = format_name

    def close(self) -> None:
        """Do nothing: each pass opens and closes the file."""

    def count_atoms(self) -> NDArray[np.int64]:
        """Count the atoms of every structure, (S,), in one pass."""
        counts = array("q")
        with closing(self._pass()) as every:
            counts.extend(map(len, every))
        return np.frombuffer(counts, dtype=np.int64)

    def structures(self, numbers: NDArray[np.int64]) -> Iterator[Atoms]:
        """Read structures in one pass; those not wanted in the order of the file are kept."""
        if np.all(numbers[1:] > numbers[:-1]):
            yield from self._increasing(numbers)
            return
        unique, places = np.unique(numbers, return_inverse=True)
        kept = list(self._increasing(unique))
        yield from (kept[place] for place in places.tolist())

    def _increasing(self, numbers: NDArray[np.int64]) -> Generator[Atoms]:
        """Read structures of increasing number, and none after the last."""
        done = 0
        with closing(self._pass()) as every:
            for number, atoms in enumerate(every):
                if done == len(numbers):
                    return
                if number == numbers[done]:
                    done += 1
                    yield atoms
                    if done == len(numbers):
                        return
            if done < len(numbers):
                raise_absent(self.path, int(numbers[done]), None)

    def _pass(self) -> Generator[Atoms]:
        """Read all structures, with our errors."""
        frame = 0
        with closing(self._open()) as every:
            while True:
                with parse_errors(self.path, self.title, frame):
                    atoms = next(every, None)
                if atoms is None:
                    return
                yield atoms
                frame += 1

    def _open(self) -> Generator[Atoms]:
        """Begin to read."""
        from ase.io import iread

        yield from iread(
            self.path, index=":", format=self._format_name, do_not_split_by_at_sign=True
        )


def raise_absent(path: str, number: int, n_structures: int | None) -> NoReturn:
    """Say that the file has no structure of that number."""
    raise InputFileError(
        "structure is not where it was",
        where=f"{path}, frame {number}",
        expected=f"at least {number + 1} structures",
        got="fewer" if n_structures is None else f"{n_structures} structures",
        remedy="the file has changed since it was indexed; index it again",
    )

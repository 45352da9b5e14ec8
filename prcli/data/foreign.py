"""Arrays that other programs wrote, read a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.row_layout import RowLayout, check_real, float_type, type_notes
from prcli.records import Block

Floats: TypeAlias = NDArray[np.floating[Any]]
#: Rows wanted: a run of them, or their positions in any order.
RowIndex: TypeAlias = slice | NDArray[np.int64]


class RowSource(Protocol):
    """Rows of a numeric array on disk, of whatever type the file holds."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers in the file."""

    def rows(self, wanted: RowIndex) -> NDArray[Any]:
        """Return the wanted rows, (n, D)."""

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True)
class MappedRows:
    """Rows of a memory map, or of an array that is small enough to be held."""

    array: NDArray[Any]
    layout: RowLayout

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.matrix_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers in the file."""
        return self.array.dtype

    def rows(self, wanted: RowIndex) -> NDArray[Any]:
        """Return the wanted rows, (n, D)."""
        return self.layout.rows(self.array, wanted)

    def close(self) -> None:
        """Do nothing: a map ends with the last reference to it."""


@dataclass(frozen=True)
class JoinedRows:
    """Columns of several sources side by side; all have the same rows."""

    parts: tuple[RowSource, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.parts[0].shape[0], sum(part.shape[1] for part in self.parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds the numbers of every part."""
        return np.result_type(*(part.dtype for part in self.parts))

    def rows(self, wanted: RowIndex) -> NDArray[Any]:
        """Return the wanted rows, (n, D)."""
        return np.concatenate([part.rows(wanted) for part in self.parts], axis=1)

    def close(self) -> None:
        """Release the files of all parts."""
        for part in self.parts:
            part.close()


@dataclass(frozen=True)
class ForeignArray:
    """A feature array of another program, one row per structure or per atom.

    Attributes
    ----------
    source : RowSource
        Where the rows come from.
    where : str
        The file, and the array inside it, as messages name them.
    notes : tuple of str
        What the user should know about how the file was read.
    order : (n_rows,) array of int64, optional
        Position in the file of each row, where the file holds them in another order.
    label_structures : callable, optional
        Gives the structure of each row, by the file's own labels, (n_rows,) int64.
    blocks : tuple of Block, optional
        Components that the file itself names.
    gradient_names : tuple of str
        What the file holds gradients with respect to, besides the features.
    labels : tuple of {"structure", "atom"}
        What the file labels its rows by; empty where it has no labels.
    is_added : bool
        Whether rows of structures are sums over several blocks of the file.
    n_atoms : (S,) array of int64, optional
        Atoms of each structure, where the file says so.
    species : (N,) array of uint8, optional
        Atomic numbers of all atoms, where the file says so.
    """

    source: RowSource
    where: str
    notes: tuple[str, ...] = ()
    order: NDArray[np.int64] | None = None
    label_structures: Callable[[], NDArray[np.int64]] | None = None
    blocks: tuple[Block, ...] | None = None
    gradient_names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    is_added: bool = False
    n_atoms: NDArray[np.int64] | None = None
    species: NDArray[np.uint8] | None = None

    def __enter__(self) -> Self:
        """Return the array itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the file."""
        self.close()

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of features."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """Type of the rows that `read` returns."""
        return float_type(self.source.dtype)

    @property
    def sample_structure(self) -> NDArray[np.int64] | None:
        """Structure of each row, (n_rows,), where the file says so.

        Built anew by each access, 8 bytes per row, so that opening a file stays cheap.
        """
        return None if self.label_structures is None else self.label_structures()

    def read(self, start: int, stop: int) -> Floats:
        """Return rows `start` to `stop`.

        Parameters
        ----------
        start, stop : int
            Rows in the order of the structures file, ``0 <= start <= stop <= n_rows``.

        Returns
        -------
        (stop - start, n_features) array of `dtype`
            A contiguous copy in the byte order of this machine.

        Raises
        ------
        IndexError
            If the range is not within the rows.
        InputFileError
            If the file turns out to be damaged.
        """
        if not 0 <= start <= stop <= self.shape[0]:
            raise IndexError(f"rows {start}:{stop} of {self.shape[0]}")
        wanted = slice(start, stop) if self.order is None else self.order[start:stop]
        return np.array(self.source.rows(wanted), dtype=self.dtype, order="C")

    def close(self) -> None:
        """Release the file; the array must not be read afterwards."""
        self.source.close()


@dataclass(frozen=True)
class Opening:
    """What was asked for when a file was opened.

    Attributes
    ----------
    path : Path
        The file.
    array : str, optional
        Name of the array inside it.
    allow_pickle : bool
        Whether arrays of Python objects may be unpickled.
    components : tuple of int
        Components of the gradients that the file holds; empty for features.
    """

    path: Path
    array: str | None = None
    allow_pickle: bool = False
    components: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """The file, and the array if one was named."""
        return str(self.path) if self.array is None else f"{self.path}, array {self.array!r}"

    @property
    def content(self) -> str:
        """What the array holds."""
        return "gradients" if self.components else "features"

    @property
    def remedy(self) -> str:
        """What to do where the file holds several arrays."""
        if self.components:
            return "save the array of gradients alone, in a file of its own"
        return "name one with --array NAME"


@dataclass(frozen=True)
class Format:
    """A file format that features may come in.

    Attributes
    ----------
    name : str
        What messages call it.
    recognises : callable
        Tells from the path and the first bytes of the file whether it is of this format.
    open : callable
        Opens a file of this format.
    holds : callable
        Tells whether a file of this format has an array of some name.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Opening], ForeignArray]
    holds: Callable[[Path, str], bool] = lambda path, name: False


def as_foreign(
    array: NDArray[Any],
    where: str,
    notes: tuple[str, ...] = (),
    components: tuple[int, ...] = (),
) -> ForeignArray:
    """Make a ForeignArray of a memory map (or an array that is held) of any shape."""
    layout = RowLayout(array.shape, components)
    check_real(array.dtype, where)
    layout.check(where)
    notes = type_notes(array.dtype) + layout.notes + notes
    return ForeignArray(MappedRows(array, layout), where, notes)

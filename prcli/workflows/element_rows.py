"""Rows in which every element has its own columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.data.columns import species
from prcli.elements import SYMBOLS
from prcli.errors import FeatureError, RequestError
from prcli.records import Block
from prcli.workflows.import_rows import ImportFrames, ImportRows
from prcli.workflows.species_option import parse_species


class ElementColumns:
    """Which columns belong to which element.

    Parameters
    ----------
    numbers : sequence of int
        Atomic numbers, in the order of the columns.
    width : int
        Columns of each.
    blocks : tuple of Block, optional
        Names of these.
    """

    def __init__(
        self, numbers: Sequence[int], width: int, blocks: tuple[Block, ...] | None = None
    ) -> None:
        self.numbers = tuple(numbers)
        self.width = width
        parts = [("", width)] if blocks is None else [(f"/{b.name}", b.width) for b in blocks]
        self.blocks = tuple(
            Block(f"{SYMBOLS[number]}{name}", n) for number in numbers for name, n in parts
        )
        self._place = np.full(256, -1, dtype=np.int64)
        self._place[list(numbers)] = np.arange(len(numbers))

    @property
    def n_columns(self) -> int:
        """Columns of all elements."""
        return len(self.numbers) * self.width

    def places(
        self, numbers: NDArray[np.uint8], frames: ImportFrames, start: int
    ) -> NDArray[np.int64]:
        """Return the position of the element of each atom, (n,); refuse an element without one.

        `start` is the structure that the atoms begin with.
        """
        places = self._place[numbers]
        wrong = np.flatnonzero(places < 0)
        if wrong.size:
            atom = int(frames.offsets[start]) + int(wrong[0])
            structure = int(np.searchsorted(frames.offsets, atom, side="right")) - 1
            raise FeatureError(
                "an element has no columns",
                where=f"{frames.typed}, frame {int(frames.frame[structure])}",
                expected="one of " + ", ".join(SYMBOLS[number] for number in self.numbers),
                got=SYMBOLS[numbers[wrong[0]]],
                remedy="name all elements with --species",
            )
        return places


class PerSpeciesRows(ImportRows):
    """Rows of atoms, spread over columns of their elements.

    Parameters
    ----------
    rows : ImportRows
        Rows of atoms.
    frames : ImportFrames
    listed : tuple of str, optional
        Symbols of the elements; by default those that occur.

    Raises
    ------
    RequestError
        If rows are not of atoms, or a symbol is not one.
    """

    def __init__(
        self, rows: ImportRows, frames: ImportFrames, listed: Sequence[str] | None
    ) -> None:
        if rows.convention != "per-atom":
            raise RequestError(
                "rows of structures cannot be taken apart by element",
                where=f"--per-species, {rows.origin}",
                expected="one row per atom",
                got=f"--convention {rows.convention}",
            )
        self._rows = rows
        numbers = parse_species(listed or None) or _occurring(frames)
        self._columns = ElementColumns(numbers, rows.n_features, rows.blocks)
        rows.n_copies = len(numbers)
        self.convention = rows.convention
        self.origin = rows.origin
        self.dtype = rows.dtype
        self.n_features = self._columns.n_columns
        self.blocks = self._columns.blocks
        self.feature_kind = rows.feature_kind
        self.notes = (*rows.notes, say_elements(numbers))

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Put each row into the columns of its atom's element."""
        for start, stop, block, numbers in self._rows.runs(frames):
            places = self._columns.places(numbers, frames, start)
            spread = np.zeros(
                (len(block), len(self._columns.numbers), self._columns.width), dtype=block.dtype
            )
            spread[np.arange(len(block)), places] = block
            yield start, stop, spread.reshape(len(block), -1), numbers


def say_elements(numbers: Sequence[int]) -> str:
    """Say which elements have columns."""
    return "columns of their own for " + ", ".join(SYMBOLS[number] for number in numbers)


def _occurring(frames: ImportFrames) -> tuple[int, ...]:
    """Find the elements of all structures."""
    present = np.zeros(256, dtype=np.bool_)
    for where, content in frames.contents():
        present[species(content, where)] = True
    return tuple(np.flatnonzero(present).tolist())

"""Rows to import from a file of their own, side by side with structures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.columns import species
from prcli.data.conventions import RowConvention, check_convention
from prcli.data.foreign import ForeignArray
from prcli.elements import SYMBOLS
from prcli.errors import FeatureError, RequestError
from prcli.wording import counted
from prcli.workflows.import_rows import ImportFrames, ImportRows

_CHECK_ORDER = "check that the features were made from these structures, in this order"


class ArrayRows(ImportRows):
    """Rows of a file of their own.

    Parameters
    ----------
    array : ForeignArray
    frames : ImportFrames
    convention : {"mean", "sum", "per-atom"}
        What its rows are.
    remedy : str, optional
        What to do if the file has other structures than there are.

    Raises
    ------
    FeatureError
        If rows and structures do not fit each other.
    RequestError
        If the rows are not what the convention says.
    """

    def __init__(
        self,
        array: ForeignArray,
        frames: ImportFrames,
        convention: RowConvention,
        remedy: str | None = None,
    ) -> None:
        self._array = array
        self.origin = array.where
        self.convention = convention
        self._check_counts(frames, remedy or _CHECK_ORDER)
        n_rows, self.n_features = array.shape
        check_convention(
            convention, n_rows, len(frames.frame), int(frames.offsets[-1]), array.where
        )
        self.dtype = array.dtype
        self.notes = array.notes
        self.blocks = array.blocks
        self.gradient_names = array.gradient_names
        self._check_labels(frames)
        if array.is_added and convention == "mean":
            raise RequestError(
                "rows of blocks for each type of central atom cannot be added up to means",
                where=array.where,
                expected="sums over atoms, --convention sum",
                got="--convention mean",
                remedy="merge the blocks with keys_to_samples of metatensor, then take means",
            )

    def _check_counts(self, frames: ImportFrames, remedy: str) -> None:
        """Compare the numbers of structures and atoms that the file states."""
        stated = self._array.n_atoms
        if stated is None:
            return
        if len(stated) != len(frames.frame):
            raise FeatureError(
                "the feature file has another number of structures",
                where=self._array.where,
                expected=f"{counted(len(frames.frame), 'structure')}, as {frames.typed}",
                got=counted(len(stated), "structure"),
                remedy=remedy,
            )
        wrong = np.flatnonzero(stated != frames.n_atoms)
        if wrong.size:
            first = int(wrong[0])
            _raise_other_count(
                frames, first, counted(int(stated[first]), "atom"), self._array.where, remedy
            )

    def _check_labels(self, frames: ImportFrames) -> None:
        """Compare the file's own labels of structures, where it has them."""
        labels = self._array.sample_structure
        if labels is None or self.convention != "per-atom":
            return
        expected = np.repeat(np.arange(len(frames.n_atoms)), frames.n_atoms)
        wrong = np.flatnonzero(labels != expected)
        if wrong.size:
            first = int(expected[wrong[0]])
            got = counted(int(np.count_nonzero(labels == first)), "row")
            _raise_other_count(frames, first, got, self._array.where, _CHECK_ORDER)

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Read rows and species side by side."""
        for start, stop, contents in frames.runs(self.max_atoms):
            numbers = np.concatenate([species(content, where) for where, content in contents])
            self._check_species(frames, start, numbers)
            first, last = start, stop
            if self.convention == "per-atom":
                first, last = int(frames.offsets[start]), int(frames.offsets[stop])
            yield start, stop, self._array.read(first, last), numbers

    def _check_species(self, frames: ImportFrames, start: int, numbers: NDArray[np.uint8]) -> None:
        """Compare the elements that the file states, where it does."""
        if self._array.species is None:
            return
        begin = int(frames.offsets[start])
        stated = self._array.species[begin : begin + len(numbers)]
        wrong = np.flatnonzero(stated != numbers)
        if wrong.size:
            atom = begin + int(wrong[0])
            structure = int(np.searchsorted(frames.offsets, atom, side="right")) - 1
            raise FeatureError(
                "the feature file has another element",
                where=f"{self._array.where}, for {frames.typed}, "
                f"frame {int(frames.frame[structure])}, "
                f"atom {atom - int(frames.offsets[structure])}",
                expected=SYMBOLS[numbers[wrong[0]]],
                got=SYMBOLS[stated[wrong[0]]],
                remedy=_CHECK_ORDER,
            )


def _raise_other_count(
    frames: ImportFrames, structure: int, got: str, where: str, remedy: str
) -> None:
    """Say that the file gives a structure another number of atoms."""
    raise FeatureError(
        "the feature file gives a structure another number of atoms",
        where=f"{where}, structure {structure}, for {frames.typed}, "
        f"frame {int(frames.frame[structure])}",
        expected=counted(int(frames.n_atoms[structure]), "atom"),
        got=got,
        remedy=remedy,
    )

"""Means over the atoms of each element, as MACE writes them, made into means over all atoms.

A structure of N atoms, N_Z of each element Z with mean m_Z, has the mean Σ_Z (N_Z / N) m_Z. Kept
apart, the columns of Z hold (N_Z / N) m_Z: the mean over all atoms of features that are zero for
atoms of other elements. A structure without Z has no atom that adds to it, so zeros are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prcli.data.columns import species
from prcli.data.comment_line import comment_values
from prcli.data.comment_pairs import comment
from prcli.data.conventions import parse_blocks
from prcli.elements import ATOMIC_NUMBERS, SYMBOLS
from prcli.errors import FeatureError
from prcli.workflows.element_rows import ElementColumns, say_elements
from prcli.workflows.import_rows import ImportFrames, ImportRows
from prcli.workflows.species_option import parse_species


class ElementMeanRows(ImportRows):
    """Means over all atoms, from means over those of each element.

    Parameters
    ----------
    means : ElementMeans
    frames : ImportFrames
    apart : bool
        Whether each element keeps its columns.
    listed : sequence of str, optional
        Symbols of the elements that get columns; by default those that occur.
    blocks : str, optional
        ``name:width,…``, the components within the columns of an element.

    Raises
    ------
    FeatureError
        If means are no vectors of one width by element.
    """

    def __init__(
        self,
        means: ElementMeans,
        frames: ImportFrames,
        *,
        apart: bool,
        listed: Sequence[str] | None,
        blocks: str | None = None,
    ) -> None:
        self._means = means
        self._apart = apart
        self.origin = means.origin
        self.convention = "mean"
        self.is_settled = True
        self.dtype = np.dtype(np.float64)
        elements, width = means.survey(frames)
        numbers = parse_species(listed or None) or elements
        parsed = parse_blocks(blocks, width) if blocks else None
        self._columns = ElementColumns(numbers, width, parsed)
        self.n_features = self._columns.n_columns if apart else width
        self.blocks = self._columns.blocks if apart else parsed
        weighted = "means of elements weighted by their share of the atoms"
        self.notes = (weighted, say_elements(numbers)) if apart else (f"{weighted}, and added up",)

    def runs(
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Weigh the means of each structure."""
        for start, stop, contents in frames.runs(self.max_atoms):
            rows = np.zeros((stop - start, len(self._columns.numbers), self._columns.width))
            numbers = []
            for i, (where, content) in enumerate(contents):
                numbers.append(species(content, where))
                means = self._means.of(start + i, content, where)
                present, counts = np.unique(numbers[i], return_counts=True)
                _check_elements(means, present, where, self.origin)
                places = self._columns.places(present, frames, start + i)
                for place, number, count in zip(places, present, counts, strict=True):
                    rows[i, place] = means[SYMBOLS[number]] * (count / len(numbers[i]))
            block = rows.reshape(stop - start, -1) if self._apart else rows.sum(axis=1)
            yield start, stop, block, np.concatenate(numbers)


class ElementMeans:
    """Means by element of each structure, in a list or in the structures themselves.

    Parameters
    ----------
    origin : str
        File or key, for messages.
    listed : sequence, optional
        Dictionary of element and vector of each structure; otherwise `origin` is the key of
        the comment line that holds it.
    """

    def __init__(self, origin: str, listed: Sequence[Any] | None = None) -> None:
        self.origin = origin
        self._listed = listed

    def of(self, structure: int, content: bytes, where: str) -> dict[str, NDArray[np.float64]]:
        """Return the means of a structure by symbol."""
        if self._listed is not None:
            found = self._listed[structure]
        else:
            found = comment_values(comment(content), [self.origin]).get(self.origin)
        return _vectors(found, f"{self.origin}, for {where}")

    def survey(self, frames: ImportFrames) -> tuple[tuple[int, ...], int]:
        """Look at all means; return the atomic numbers that occur, increasing, and their width.

        Raises
        ------
        FeatureError
            If means are absent or of different widths, or there are not as many as structures.
        """
        if self._listed is not None and len(self._listed) != len(frames.frame):
            raise FeatureError(
                "the feature file has another number of structures",
                where=self.origin,
                expected=f"{len(frames.frame)} structures, as {frames.typed}",
                got=f"{len(self._listed)} structures",
                remedy="mace_finetuning_select writes means only of the structures that passed"
                " its filter of elements",
            )
        symbols: set[str] = set()
        width: int | None = None
        for i, (where, content) in enumerate(frames.contents()):
            for symbol, vector in self.of(i, content, where).items():
                symbols.add(symbol)
                width = len(vector) if width is None else width
                if len(vector) != width:
                    raise FeatureError(
                        "means of elements have different widths",
                        where=f"{self.origin}, for {where}, element {symbol}",
                        expected=f"{width} numbers",
                        got=f"{len(vector)} numbers",
                    )
        return tuple(sorted(ATOMIC_NUMBERS[symbol] for symbol in symbols)), width or 0


def _vectors(found: object, where: str) -> dict[str, NDArray[np.float64]]:
    """Check a dictionary of elements and vectors."""
    content = found if isinstance(found, Mapping) and found else None
    if content is None or any(str(symbol) not in ATOMIC_NUMBERS for symbol in content):
        raise FeatureError(
            "there are no means of elements",
            where=where,
            expected='a dictionary such as {"C": [...], "H": [...]}',
            got=repr(found)[:80],
        )
    try:
        vectors = {str(symbol): np.array(each, float) for symbol, each in content.items()}
    except (TypeError, ValueError):
        vectors = {}
    if not vectors or any(each.ndim != 1 or not each.size for each in vectors.values()):
        raise FeatureError(
            "means of elements are no vectors of numbers", where=where, got=repr(found)[:80]
        )
    return vectors


def _check_elements(
    means: Mapping[str, NDArray[np.float64]], present: NDArray[np.uint8], where: str, origin: str
) -> None:
    """Refuse means of other elements than those of the structure."""
    expected = {SYMBOLS[number] for number in present}
    if set(means) != expected:
        raise FeatureError(
            "means are of other elements than the structure has",
            where=f"{origin}, for {where}",
            expected=", ".join(sorted(expected)),
            got=", ".join(sorted(means)),
            remedy="check that the features were made from these structures, in this order",
        )

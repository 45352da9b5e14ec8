"""Which columns hold the features of which centre and which pair of neighbour elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prcli.elements import SYMBOLS
from prcli.records import Block


@dataclass(frozen=True)
class PairColumns:
    """Columns by element of the centre and elements of two neighbours.

    Attributes
    ----------
    columns : mapping of (centre, neighbour, neighbour) to slice
        All combinations of the elements, whichever occur in a structure.
    blocks : tuple of Block
        ``C-H``, or ``O/C-H`` where the element of the centre counts.
    n_features : int
        D.
    """

    columns: Mapping[tuple[int, int, int], slice]
    blocks: tuple[Block, ...]
    n_features: int


def pair_columns(
    species: Sequence[int], widths: Mapping[tuple[int, int], int], per_species: bool
) -> PairColumns:
    """Lay columns out: centre by centre where they are told apart, then pair by pair.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers of the centres.
    widths : mapping of (neighbour, neighbour) to int
        Columns of each pair, in order.
    per_species : bool
        Whether centres of different elements fill different columns.
    """
    columns: dict[tuple[int, int, int], slice] = {}
    blocks: list[Block] = []
    done = 0
    for group in [(centre,) for centre in species] if per_species else [tuple(species)]:
        for (one, other), width in widths.items():
            prefix = f"{SYMBOLS[group[0]]}/" if per_species else ""
            blocks.append(Block(f"{prefix}{SYMBOLS[one]}-{SYMBOLS[other]}", width))
            for centre in group:
                columns[centre, one, other] = slice(done, done + width)
            done += width
    return PairColumns(columns, tuple(blocks), done)


@dataclass(frozen=True, eq=False)
class DistinctColumns:
    """One of each two columns (l, n, n') and (l, n', n) that are equal by symmetry.

    Attributes
    ----------
    kept : (K,) array of int64
        Positions among the columns of a pair of equal elements.
    factors : (K,) array of float64
        √2 where the other one was dropped, so that products of rows stay what they were.
    """

    kept: np.ndarray
    factors: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Take the columns that are kept, along the last axis."""
        kept: np.ndarray = values[..., self.kept] * self.factors
        return kept


def distinct_columns(labels: np.ndarray) -> DistinctColumns:
    """Find the distinct columns by their labels l, n, n', shape (P, 3)."""
    kept = np.flatnonzero(labels[:, 1] <= labels[:, 2])
    is_square = labels[kept, 1] == labels[kept, 2]
    return DistinctColumns(kept, np.where(is_square, 1.0, np.sqrt(2.0)))

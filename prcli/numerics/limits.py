"""What a selection has to keep within: budget, floors and ceilings of groups, distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.neighbours import Neighbours

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Groups that are numbered together; a pool has fewer candidates than the other bits tell apart.
_AT_A_TIME = 24

#: Stands for the ceiling of a group without one.
UNLIMITED = np.iinfo(np.int64).max // 4


@dataclass(frozen=True, eq=False)
class Group:
    """Candidates of which at least and at most so many may be chosen.

    Attributes
    ----------
    name : str
        For messages, such as ``config_type=slab``.
    members : ndarray of bool of shape (C,)
    least : int
    most : int or None
        No limit if None.
    """

    name: str
    members: Mask
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, eq=False)
class Limits:
    """What a selection has to keep within.

    Attributes
    ----------
    barred : ndarray of bool of shape (C,)
        Candidates that are never picked.
    n_to_select : int
        Picks at most; so many are made unless a budget or distances end the selection before.
    costs : ndarray of shape (C,), optional
        Positive.
    budget : float, optional
        Largest sum of the costs of the picks.
    groups : sequence of Group
    chosen : ndarray of int
        Candidates that were chosen before: they count in groups and distances, and cost nothing.
    neighbours : Neighbours, optional
        Needed for the two distances, in its unit.
    min_distance : float, optional
        Picks are farther than this from each other and from what was chosen before.
    duplicates_within : float, optional
        Steps of at most this make groups of near duplicates, of which one may be chosen.
    """

    barred: Mask
    n_to_select: int
    costs: FloatArray | None = None
    budget: float | None = None
    groups: Sequence[Group] = ()
    chosen: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    neighbours: Neighbours | None = None
    min_distance: float | None = None
    duplicates_within: float | None = None

    @property
    def are_strict(self) -> bool:
        """Whether they close candidates that could be picked by themselves."""
        distances = (self.min_distance, self.duplicates_within)
        return bool(self.groups) or self.budget is not None or distances != (None, None)

    @property
    def is_exact(self) -> bool:
        """Whether `n_to_select` picks are promised."""
        distances = (self.min_distance, self.duplicates_within)
        return self.budget is None and distances == (None, None)


def kinds_of(groups: Sequence[Group], n_candidates: int) -> tuple[IntArray, Mask]:
    """Give equal numbers to candidates that belong to the same groups.

    Returns
    -------
    kinds : ndarray of int of shape (C,)
    belongs : ndarray of bool of shape (G, K)
    """
    kinds = np.zeros(n_candidates, dtype=np.int64)
    for number, group in enumerate(groups, start=1):
        kinds *= 2
        kinds += group.members
        # As many as fit into a number are brought down together.
        if number % _AT_A_TIME == 0 or number == len(groups):
            kinds = np.unique(kinds, return_inverse=True)[1]
    n_kinds = int(kinds.max(initial=0)) + 1
    belongs = np.zeros((len(groups), n_kinds), dtype=bool)
    for row, group in zip(belongs, groups, strict=True):
        row[kinds[group.members]] = True
    return kinds, belongs

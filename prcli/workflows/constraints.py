"""What a selection has to keep within, known for every candidate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.numerics.gate import Gate
from prcli.numerics.limits import Group, Limits
from prcli.numerics.neighbours import Neighbours
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.rows import EnergyRows, RowForm
from prcli.workflows.select_options import SelectOptions

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Constraints:
    """What a selection has to keep within.

    Attributes
    ----------
    options : ConstraintOptions
    costs : ndarray of shape (C,) or None
        Positive and finite.
    groups : tuple of Group
    included : ndarray of int
        Candidates that were chosen before, in their order.
    excluded : ndarray of bool of shape (C,) or None
        Candidates that are not to be chosen.
    """

    options: ConstraintOptions = field(default_factory=ConstraintOptions)
    costs: FloatArray | None = None
    groups: tuple[Group, ...] = ()
    included: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    excluded: Mask | None = None

    def without_excluded(self, allowed: Mask) -> Mask:
        """Candidates that may be picked, of those that may otherwise, shape (C,)."""
        allowed = allowed.copy()
        allowed[self.included] = False
        return allowed if self.excluded is None else allowed & ~self.excluded

    def limits(
        self, allowed: Mask, options: SelectOptions, neighbours: Neighbours | None, scale: float
    ) -> Limits:
        """Put them into the form that numerics take.

        Parameters
        ----------
        allowed : ndarray of bool of shape (C,)
            Candidates that may be picked.
        options : SelectOptions
            Says how many.
        neighbours : Neighbours or None
            Of unscaled features.
        scale : float
            Of the features.
        """
        own = self.options
        near = neighbours is not None
        return Limits(
            barred=~allowed,
            n_to_select=self._n_picks(allowed, options),
            costs=self.costs,
            budget=own.budget,
            groups=self.groups,
            chosen=self.included,
            neighbours=neighbours,
            min_distance=_scaled(own.min_distance, scale) if near else None,
            duplicates_within=_scaled(own.duplicates_within, scale) if near else None,
        )

    def _n_picks(self, allowed: Mask, options: SelectOptions) -> int:
        """Count the picks that can be made at most, floors and ceilings aside."""
        n_picks = int(np.count_nonzero(allowed))
        if options.n_to_select is not None:
            n_picks = min(n_picks, options.n_to_select)
        if self.costs is not None and self.options.budget is not None:
            paid = np.cumsum(np.sort(self.costs[allowed])[:n_picks])
            n_paid = int(np.searchsorted(paid, self.options.budget * (1.0 + 1e-9), side="right"))
            # One more, so that it is the budget and not the number that ends the selection.
            n_picks = min(n_picks, n_paid + 1)
        return n_picks

    def check(self, allowed: Mask, options: SelectOptions, label: str) -> None:
        """Refuse what cannot be met, distances aside, before long work.

        Raises
        ------
        RequestError
            Naming what can be met.
        """
        own = self.options
        if own.has_floors and (options.stop_gain is not None or options.stop_pr is not None):
            raise RequestError(
                "floors and an early stop contradict each other",
                where="--stop-gain, --stop-pr",
                remedy="leave out --quota and --at-least, or the stop",
            )
        if own.budget is not None and self.costs is not None:
            cheapest = float(self.costs[allowed].min(initial=np.inf))
            if cheapest > own.budget:
                raise RequestError(
                    "the budget does not pay for any candidate",
                    where=label,
                    expected=f"a budget of at least {cheapest:.12g}",
                    got=f"{own.budget:.12g}",
                )
        Gate(self.limits(allowed, options, None, 1.0))


def neighbours_of(
    options: ConstraintOptions, record: HessianRecord, pool: Dataset
) -> Neighbours | None:
    """Prepare to find near candidates, by mean features; None where nobody asks."""
    if not options.has_distances:
        return None
    return Neighbours(EnergyRows(pool, RowForm(record.n_features)), record.n_features)


def _scaled(distance: float | None, scale: float) -> float | None:
    return None if distance is None else distance * scale

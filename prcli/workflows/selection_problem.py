"""The problem that a selection solves: what may be added to which Hessian, and for whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prcli.data.hessian_record import HessianRecord
from prcli.numerics.limits import Limits
from prcli.numerics.objectives import OBJECTIVES, Objective
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.records import Holding
from prcli.workflows.model import posterior
from prcli.workflows.ranked_candidates import RankedCandidates
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.targets import Targets

#: Rows of earlier picks that wait for a factorization.
_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class SelectionProblem:
    """What a search works on, which no pick changes.

    Attributes
    ----------
    record : HessianRecord
        Of the training set.
    candidates : RankedCandidates
    targets : Targets
    options : SelectOptions
    limits : Limits
        Which candidates may be picked, and how many; what was chosen before.
    holding : Holding
        What a greedy search among single rows, or one for farthest points, keeps in memory.
    """

    record: HessianRecord
    candidates: RankedCandidates
    targets: Targets
    options: SelectOptions
    limits: Limits
    holding: Holding = field(default_factory=Holding)

    @property
    def objective(self) -> Objective:
        """What picks shall raise."""
        return OBJECTIVES[self.options.objective]

    def begin(self) -> Posterior:
        """Take the Hessian before the first pick, with what was chosen before."""
        state = posterior(self.record)
        self.add(state, self.limits.chosen.tolist())
        return state

    def add(self, state: Posterior, indices: Iterable[int]) -> None:
        """Add the rows of candidates to a posterior, some of them at a time."""
        n_waiting = 0
        for index in indices:
            rows = self.candidates.take(index)
            state.add(rows)
            n_waiting += len(rows)
            if n_waiting > _ROWS_AT_A_TIME:
                state.factor()
                n_waiting = 0

    def frame(self, state: Posterior) -> TargetFrame:
        """Whiten the targets that count by a posterior."""
        return TargetFrame(state, self.targets.counted_rows)

"""What was selected, and what it does: the outcome that tables, reports and pages tell of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.condition import Condition
from prcli.numerics.explanation import Helped
from prcli.numerics.greedy import Pick
from prcli.workflows.budgeted_picks import Search
from prcli.workflows.constraints import Constraints
from prcli.workflows.refinement import Refinement
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection_bound import SelectionBound

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Selection:
    """What was selected, and what it does.

    Attributes
    ----------
    indices : ndarray of shape (n,)
        Positions in the concatenated pool, in the order of the picks.
    picks : tuple of Pick
    objective_before : float
        Value of the objective before the first pick.
    target_structure : ndarray of shape (T,)
        Structure of the target set that each target belongs to.
    target_atom : ndarray of shape (T,) or None
        Position in the structure, where targets are atoms.
    target_component : ndarray of str of shape (T,) or None
        Block of features, where targets are components.
    target_weight : ndarray of shape (T,)
        Weights as given, 1 by default; 0 for targets that do not count.
    target_pr_before, target_pr_after : ndarray of shape (T,)
        Rigidities, the latter from a fresh factorization; infinite for a row of zeros.
    drift : float
        Largest relative difference of the updated rigidities from the fresh ones.
    n_candidates : int
        Candidates that could be picked.
    n_in_training : int
        Candidates that are training structures.
    n_exact, n_whitenings : int
        Gains computed exactly, and fresh whitenings of the pool.
    stopped : str
        "n_to_select", "stop_gain", "stop_pr", "budget", "constraints", or "pool" if a budget
        pays for all candidates.
    options : SelectOptions
    n_resumed : int
        Picks that an earlier run had made; the two counts above are without its work.
    target_prior_share_before, target_prior_share_after : ndarray of shape (T,)
        Share of each target's 1/PR that the regularizer alone accounts for.
    condition : Condition or None
        Condition number of R, of scaled features, before the picks.
    helped : Helped or None
        Targets that each pick helps most, where that was asked for and there are targets.
    constraints : Constraints
        What the picks had to keep within; what was chosen before counts in all numbers, those
        before the picks too.
    searches : tuple of Search
        The ways that a budget was spent, before exchanges.
    refinement : Refinement or None
        What exchanges have brought, where there were any.
    bound : SelectionBound or None
        How near it is to the best possible selection, where that was asked for.
    """

    indices: NDArray[np.int64]
    picks: tuple[Pick, ...]
    objective_before: float
    target_structure: NDArray[np.int64]
    target_atom: NDArray[np.int64] | None
    target_component: NDArray[np.object_] | None
    target_weight: FloatArray
    target_pr_before: FloatArray
    target_pr_after: FloatArray
    drift: float
    n_candidates: int
    n_in_training: int
    n_exact: int
    n_whitenings: int
    stopped: str
    options: SelectOptions
    n_resumed: int = 0
    target_prior_share_before: FloatArray = field(default_factory=lambda: np.empty(0))
    target_prior_share_after: FloatArray = field(default_factory=lambda: np.empty(0))
    condition: Condition | None = None
    helped: Helped | None = None
    constraints: Constraints = field(default_factory=Constraints)
    searches: tuple[Search, ...] = ()
    refinement: Refinement | None = None
    bound: SelectionBound | None = None

    @property
    def costs(self) -> NDArray[np.generic]:
        """Costs of the picks, shape (n,); 1 each where nothing else is said."""
        costs = self.constraints.costs
        if costs is None:
            return np.ones(len(self.indices), dtype=np.int64)
        return costs[self.indices]

    @property
    def objective_after(self) -> float:
        """Value of the objective after the last pick."""
        return self.picks[-1].objective if self.picks else self.objective_before

    @property
    def n_infinite(self) -> int:
        """Targets that are rows of zeros: listed, and left out of every mean."""
        return int(np.count_nonzero(np.isinf(self.target_pr_before)))

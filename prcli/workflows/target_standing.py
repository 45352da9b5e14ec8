"""How firmly the targets of a selection are held, and by what."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.posterior import Posterior
from prcli.numerics.rigidity import prior_shares, reciprocal, squared_norms, whiten
from prcli.wording import counted
from prcli.workflows.health import MOSTLY
from prcli.workflows.model import unscaled_prior_root
from prcli.workflows.selection_problem import SelectionProblem

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TargetStanding:
    """How firmly targets are held, those that do not count too.

    Attributes
    ----------
    rigidity : ndarray of shape (T,)
        Infinite for a row of zeros.
    prior_share : ndarray of shape (T,)
        Share of each 1/PR that the regularizer alone accounts for.
    """

    rigidity: FloatArray
    prior_share: FloatArray

    @property
    def n_held(self) -> int:
        """Targets that the regularizer holds more than training structures do."""
        return int(np.count_nonzero(self.prior_share > MOSTLY))


def target_standing(problem: SelectionProblem, state: Posterior) -> TargetStanding:
    """Compute how firmly a posterior holds the targets."""
    factor = state.factor()
    whitened = whiten(problem.targets.rows, factor)
    record = problem.record
    shares = prior_shares(whitened, factor, unscaled_prior_root(record), record.regularizer)
    return TargetStanding(reciprocal(squared_norms(whitened)), shares)


def say_unresolved(before: TargetStanding, after: TargetStanding) -> None:
    """Say how many predictions the regularizer holds, and not the training set."""
    if before.n_held:
        logger.info(
            "of %s, %d %s held in place by the regularizer more than by training structures, and "
            "%d after the picks: their rigidities change with it",
            counted(len(before.prior_share), "target"),
            before.n_held,
            "was" if before.n_held == 1 else "were",
            after.n_held,
        )

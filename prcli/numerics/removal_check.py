"""The rigidities after each removal, from the rows that are left and never from downdates.

The rows that stay are factorized afresh, and what was removed is added again, the last removal
first: every state in between is reached by adding rows, which loses no digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.removal_objectives import RemovalObjective
from prcli.numerics.rigidity import reciprocal

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RemovalStates:
    """The targets after each of n removals, and before all of them.

    Attributes
    ----------
    mean : ndarray of shape (n + 1,)
        The mean rigidity that the pruning keeps high; the first is before any removal.
    pr_mean, pr_min, pr_max : ndarray of shape (n + 1,)
        Rigidities of the targets: weighted mean, extremes.
    leverage : ndarray of shape (n,)
        Trace of what each removed structure had of the Hessian just before its removal: of its
        rows, how many the others did not determine.
    v_after : ndarray of shape (T,)
        Inverse rigidities after all removals.
    v_before : ndarray of shape (T,)
        Before all of them, as adding rows gives them.
    """

    mean: FloatArray
    pr_mean: FloatArray
    pr_min: FloatArray
    pr_max: FloatArray
    leverage: FloatArray
    v_after: FloatArray
    v_before: FloatArray


def check_removals(
    posterior: Posterior,
    target_rows: FloatArray,
    indices: Sequence[int],
    take: Callable[[int], FloatArray],
    objective: RemovalObjective,
    weights: FloatArray,
) -> RemovalStates:
    """Add removed structures again, the last one first, and look at the targets each time.

    Parameters
    ----------
    posterior : Posterior
        Of the rows that are left; the removed ones are added to it.
    target_rows : ndarray of shape (T, D)
    indices : sequence of int
        Structures in the order of their removal.
    take : callable
        Gives the weighted rows of a structure, shape (m, D).
    objective : RemovalObjective
    weights : ndarray of shape (T,)

    Returns
    -------
    states : RemovalStates
    """
    targets = TargetFrame(posterior, target_rows)
    v_after = targets.v
    states = [_state(v_after, objective, weights)]
    leverage = []
    for index in reversed(indices):
        leverage.append(_add(targets, take(index)))
        states.append(_state(targets.v, objective, weights))
    mean, pr_mean, pr_min, pr_max = np.array(states[::-1]).T
    return RemovalStates(
        mean, pr_mean, pr_min, pr_max, np.array(leverage[::-1]), v_after, targets.v
    )


def _state(
    v: FloatArray, objective: RemovalObjective, weights: FloatArray
) -> tuple[float, float, float, float]:
    pr = reciprocal(v)
    return objective.mean(v, weights), float(weights @ pr), float(pr.min()), float(pr.max())


def _add(targets: TargetFrame, rows: FloatArray) -> float:
    """Add the rows of a structure one by one; give the leverage that they have then."""
    total = 0.0
    for row in rows:
        [step] = targets.steps_of(row[np.newaxis])
        targets.add(row[np.newaxis], step)
        total += step.q / (1.0 + step.q)
    return total

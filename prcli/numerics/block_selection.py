"""Greedy selection among blocks of rows, as `greedy` selects among single ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.block_picker import BlockPicker
from prcli.numerics.block_source import BlockSource
from prcli.numerics.gate import closing
from prcli.numerics.greedy import GreedyResult, Pick, normalized, run_selection
from prcli.numerics.objectives import Objective
from prcli.numerics.posterior import Posterior, TargetFrame

FloatArray = NDArray[np.float64]


def block_selection(
    posterior: Posterior,
    target_rows: FloatArray,
    pool: BlockSource,
    objective: Objective,
    n_to_select: int,
    *,
    weights: FloatArray | None = None,
    excluded: NDArray[np.bool_] | None = None,
    n_threads: int | None = None,
    stop_gain: float | None = None,
    stop_pr: float | None = None,
    on_pick: Callable[[int, Pick], None] | None = None,
) -> GreedyResult:
    """Pick the blocks that most raise an objective of the targets' rigidities.

    Parameters
    ----------
    posterior : Posterior
        The Hessian to begin with; picks are added to it.
    target_rows : ndarray of shape (T, D)
        None of them zero.
    pool : BlockSource
        C candidates.
    objective : Objective
    n_to_select : int
        At most the number of candidates that are not excluded.
    weights : ndarray of shape (T,), optional
        Positive; equal by default.
    excluded : ndarray of bool of shape (C,), optional
    n_threads : int, optional
        By default as many as linear algebra may use.
    stop_gain, stop_pr, on_pick
        As in `run_selection`.

    Returns
    -------
    result : GreedyResult
    """
    weights = normalized(weights, len(target_rows))
    targets = TargetFrame(posterior, target_rows)
    gate = None if excluded is None else closing(excluded)
    picker = BlockPicker(pool, targets, objective, weights, n_to_select, gate, n_threads)
    return run_selection(
        picker,
        targets,
        objective,
        weights,
        n_to_select,
        stop_gain=stop_gain,
        stop_pr=stop_pr,
        on_pick=on_pick,
    )

"""The greedy loop, written once for every objective and every baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.candidates import Effect
from prcli.numerics.gate import Gate, closing
from prcli.numerics.objectives import Objective
from prcli.numerics.pickers import GreedyPicker, Picker
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.rigidity import reciprocal
from prcli.numerics.row_source import RowSource
from prcli.records import ALONE, Communicator, Holding

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Pick:
    """One step of a selection.

    Attributes
    ----------
    index : int
        Position in the pool.
    gain, objective : float
        Gain of the objective, and its value after the pick.
    pr_mean, pr_min, pr_max : float
        Rigidities of the targets after the pick (weighted mean, extremes); nan without
        targets.
    margin : float
        Relative lead of the gain, or of the gain per cost, over the runner-up; nan where there
        was no contest.
    search : int
        Number of the search that it belongs to, where a checkpoint holds several.
    """

    index: int
    gain: float
    objective: float
    pr_mean: float
    pr_min: float
    pr_max: float
    margin: float
    search: int = 0


@dataclass(frozen=True)
class GreedyResult:
    """Outcome of a selection.

    Attributes
    ----------
    picks : tuple of Pick
    objective_before : float
    v_before, v_after : ndarray of shape (T,)
        Inverse rigidities of the targets before the first pick, and after the last one by
        a fresh factorization.
    drift : float
        Largest relative difference of the updated inverse rigidities from the fresh ones.
    n_exact : int
        Candidates whose gain was computed exactly.
    n_whitenings : int
        Fresh whitenings of the pool after the first.
    stopped : str
        Why no further pick was made: "n_to_select", "stop_gain", "stop_pr", "budget" or
        "constraints".
    """

    picks: tuple[Pick, ...]
    objective_before: float
    v_before: FloatArray
    v_after: FloatArray
    drift: float
    n_exact: int
    n_whitenings: int
    stopped: str

    @property
    def objective_after(self) -> float:
        """Objective after the last pick."""
        return self.picks[-1].objective if self.picks else self.objective_before


def run_selection(
    picker: Picker,
    targets: TargetFrame,
    objective: Objective,
    weights: FloatArray,
    n_to_select: int,
    *,
    gate: Gate | None = None,
    begun: Sequence[Pick] = (),
    v_before: FloatArray | None = None,
    stop_gain: float | None = None,
    stop_pr: float | None = None,
    on_pick: Callable[[int, Pick], None] | None = None,
    communicator: Communicator = ALONE,
) -> GreedyResult:
    """Add candidates one by one.

    Parameters
    ----------
    picker : Picker
        Proposes none of those begun with.
    targets : TargetFrame
        Of a posterior that holds those begun with.
    objective : Objective
    weights : ndarray of shape (T,)
        Positive, sum 1.
    n_to_select : int
        Picks to make, those begun with among them.
    gate : Gate, optional
        That of the picker, which ends the selection when it lets no candidate through.
    begun : sequence of Pick
        Picks that an interrupted run has made; they come first in the result.
    v_before : ndarray of shape (T,), optional
        Inverse rigidities of the targets before all picks; needed with `begun`.
    stop_gain : float, optional
        Stop before a pick that gains less than this share of the first gain.
    stop_pr : float, optional
        Stop once the lowest target rigidity is above; without a pick if it is from the start.
    on_pick : callable, optional
        Called after each pick with (number of picks so far, pick); what it raises ends the loop.
    communicator : Communicator
        All ranks make the same picks; rank 0 says when to stop.

    Returns
    -------
    result : GreedyResult
    """
    v_before = targets.v.copy() if v_before is None else v_before
    before = _value(objective, v_before, weights) if objective.needs_targets else 0.0
    picks = list(begun)
    value = picks[-1].objective if picks else before
    stopped = "n_to_select"
    if stop_pr is not None and communicator.broadcast(_lowest(picks, v_before) > stop_pr):
        stopped, n_to_select = "stop_pr", 0
    while len(picks) < n_to_select:
        if gate is not None and gate.is_shut:
            stopped = gate.reason
            break
        effect, margin = picker.propose()
        if gate is not None and not gate.admits(effect.index):
            continue
        if stop_gain is not None and picks and effect.gain < stop_gain * picks[0].gain:
            stopped = "stop_gain"
            break
        targets.add(effect.rows, effect.step)
        picker.accept(effect)
        value = (
            _value(objective, targets.v, weights)
            if objective.needs_targets
            else value + effect.gain
        )
        picks.append(_record(effect, value, margin, targets.v, weights))
        if on_pick is not None:
            on_pick(len(picks), picks[-1])
        if stop_pr is not None and communicator.broadcast(picks[-1].pr_min > stop_pr):
            stopped = "stop_pr"
            break
    v_after = targets.fresh_variances()
    drift = float(np.max(np.abs(targets.v / v_after - 1.0), initial=0.0))
    return GreedyResult(
        tuple(picks), before, v_before, v_after, drift, picker.n_exact, picker.n_whitenings, stopped
    )


def _lowest(picks: Sequence[Pick], v_before: FloatArray) -> float:
    """Lowest rigidity of the targets at present; nan without targets."""
    if picks:
        return picks[-1].pr_min
    return float(1.0 / v_before.max()) if v_before.size else float("nan")


def _value(objective: Objective, v: FloatArray, weights: FloatArray) -> float:
    """Value of an objective of the targets; nan where there are none to speak of."""
    return objective.value(v, weights) if v.size else float("nan")


def _record(
    effect: Effect, value: float, margin: float, v: FloatArray, weights: FloatArray
) -> Pick:
    if not v.size:
        nan = float("nan")
        return Pick(effect.index, effect.gain, value, nan, nan, nan, margin)
    pr = reciprocal(v)
    return Pick(
        effect.index,
        effect.gain,
        value,
        float(weights @ pr),
        float(pr.min()),
        float(pr.max()),
        margin,
    )


def greedy_selection(
    posterior: Posterior,
    target_rows: FloatArray,
    pool: RowSource,
    objective: Objective,
    n_to_select: int,
    *,
    weights: FloatArray | None = None,
    excluded: NDArray[np.bool_] | None = None,
    holding: Holding | None = None,
    stop_gain: float | None = None,
    stop_pr: float | None = None,
    on_pick: Callable[[int, Pick], None] | None = None,
) -> GreedyResult:
    """Pick the candidates that most raise an objective of the targets' rigidities.

    Parameters
    ----------
    posterior : Posterior
        The Hessian to begin with; picks are added to it.
    target_rows : ndarray of shape (T, D)
        None of them zero.
    pool : RowSource
        C candidates, one row each.
    objective : Objective
    n_to_select : int
        At most the number of candidates that are not excluded.
    weights : ndarray of shape (T,), optional
        Positive; equal by default.
    excluded : ndarray of bool of shape (C,), optional
    holding : Holding, optional
        What is kept in memory; float64 throughout by default. It changes no pick.
    stop_gain, stop_pr, on_pick
        As in `run_selection`.

    Returns
    -------
    result : GreedyResult
    """
    weights = normalized(weights, len(target_rows))
    targets = TargetFrame(posterior, target_rows)
    gate = None if excluded is None else closing(excluded)
    picker = GreedyPicker(pool, targets, objective, weights, n_to_select, gate, holding)
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


def normalized(weights: FloatArray | None, n_targets: int) -> FloatArray:
    """Weights that sum to one, equal ones by default."""
    if weights is None:
        return np.full(n_targets, 1.0 / n_targets) if n_targets else np.empty(0)
    return np.asarray(weights / np.sum(weights), dtype=np.float64)

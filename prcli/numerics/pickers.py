"""Who proposes the next candidate: the greedy search, or an order that looks at no gains."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.baselines import Order
from prcli.numerics.candidates import Effect, choose, effects, leaders_of
from prcli.numerics.gate import Gate, open_gate
from prcli.numerics.objectives import Objective
from prcli.numerics.overflow import counted_from
from prcli.numerics.pool_share import PoolShare
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.row_source import RowSource
from prcli.numerics.screens import make_screen
from prcli.records import Holding

FloatArray = NDArray[np.float64]

#: Shortlists longer than this share of the pool ask for a fresh whitening of the pool.
LONGEST_SHORTLIST = 1 / 16

#: Members of a shortlist whose covariances are held at once, in float64 values.
_BATCH_ELEMENTS = 1 << 20


class Picker(Protocol):
    """Proposes the next candidate."""

    n_exact: int
    n_whitenings: int

    def propose(self) -> tuple[Effect, float]:
        """Return what the next pick does, and its margin."""
        ...

    def accept(self, effect: Effect) -> None:
        """Learn that the proposal has been added to the posterior."""
        ...


class GreedyPicker:
    """Proposes the candidate of the largest gain, or of the largest gain per cost.

    Parameters
    ----------
    pool : RowSource
        Candidates, one row each.
    targets : TargetFrame
    objective : Objective
    weights : ndarray of shape (T,)
    n_to_select : int
        Picks that will be asked for, to plan the work.
    gate : Gate, optional
        Says which candidates may be picked; all by default.
    holding : Holding, optional
        What is kept in memory; float64 throughout by default.
    costs : ndarray of shape (C,), optional
        Positive; gains are divided by them.
    share : PoolShare, optional
        Where `pool` holds only the candidates of this rank, while `gate` and `costs` are of all.
    """

    def __init__(
        self,
        pool: RowSource,
        targets: TargetFrame,
        objective: Objective,
        weights: FloatArray,
        n_to_select: int,
        gate: Gate | None = None,
        holding: Holding | None = None,
        costs: FloatArray | None = None,
        share: PoolShare | None = None,
    ) -> None:
        self._pool = pool
        self._share = share or PoolShare.whole(pool.n_rows)
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self._gate = gate or open_gate(self._share.n_all)
        self._costs = costs
        # Not by way of this object: a picker in a circle of references would keep what its screen
        # holds, which may be most of the memory there is, until the next one holds as much.
        gate, part = self._gate, self._share.part
        price = 1.0 if costs is None else 1.0 / costs[part]
        with counted_from(self._share.first):
            self._screen = make_screen(
                objective,
                pool,
                targets,
                weights,
                n_to_select,
                holding,
                worth=lambda: np.where(gate.closed[part], 0.0, price),
            )
        self.n_exact = 0
        self.n_whitenings = 0

    def propose(self) -> tuple[Effect, float]:
        """Screen all candidates, compute the gain of the best few, choose."""
        members = self._shortlist()
        n_members, n_steps = self._share.total(len(members), len(self._screen.frame.chain))
        if n_members > max(32, LONGEST_SHORTLIST * self._share.n_all) and n_steps:
            self._screen.refresh()
            members = self._shortlist()
            (n_members,) = self._share.total(len(members))
        self.n_exact += n_members
        return self._choose(members)

    def _shortlist(self) -> NDArray[np.intp]:
        """Candidates that can be the best or the runner-up, which the margin needs."""
        lower, upper = self._screen.bounds(self._targets.v, self._weights)
        # What may not be picked is at −inf, which is the floor where hardly anything may.
        floor = max(self._share.floor(lower), -sys.float_info.max)
        return np.flatnonzero(upper >= floor)

    def _choose(self, members: NDArray[np.intp]) -> tuple[Effect, float]:
        """Choose among any number of members, of all ranks."""
        factor = self._targets.factor
        finalists = self._finalists(members)
        if self._share.some(self._targets.factor is not factor) and self._targets.factor is factor:
            # Candidates of another rank have asked for a fresh whitening of the targets. Gains
            # are compared in one frame, and so are ties.
            self._targets.refresh()
            finalists = self._finalists(members)
        best, margin = self._share.choose(finalists, self._best_of)
        if best.step is None:
            [here] = self._effects(np.array([best.index]), best.rows)
            best = replace(best, v_new=here.v_new, step=here.step)
        return best, margin

    def _finalists(self, members: NDArray[np.intp]) -> list[Effect]:
        """Compute the gains of any number of members, in batches of bounded memory."""
        batch = max(2, _BATCH_ELEMENTS // max(1, self._pool.n_columns + len(self._targets.v)))
        finalists: list[Effect] = []
        # A fresh whitening of the targets in a later batch would put the finalists of an
        # earlier one into another frame; with several batches it is done beforehand.
        if len(members) > batch:
            self._targets.refresh()
        for start in range(0, len(members), batch):
            part = members[start : start + batch]
            rows = self._pool.take(part)
            found = self._effects(part + self._share.first, rows, self._whitened(part))
            finalists = leaders_of(finalists + with_costs(found, self._costs))
        return finalists

    def _effects(
        self,
        indices: NDArray[np.intp],
        rows: FloatArray,
        whitened: FloatArray | None = None,
    ) -> list[Effect]:
        return effects(self._targets, self._objective, self._weights, indices, rows, whitened)

    def _best_of(self, finalists: list[Effect]) -> tuple[Effect, float]:
        return choose(finalists, self._targets, self._objective, self._weights)

    def _whitened(self, members: NDArray[np.intp]) -> FloatArray | None:
        """Coordinates of candidates, if the pool was whitened together with the targets."""
        frame = self._screen.frame
        return frame.rows(members) if frame.factor is self._targets.factor else None

    def accept(self, effect: Effect) -> None:
        """Tell the gate and the screen."""
        self._gate.accept(effect.index)
        if effect.step is None:
            raise ValueError("a pool of single rows cannot take a block")
        self._screen.add(effect.rows, effect.step)
        self.n_whitenings = self._screen.frame.n_whitenings - 1


def with_costs(found: list[Effect], costs: FloatArray | None) -> list[Effect]:
    """Let effects know the costs of their candidates, (C,), where these count."""
    if costs is None:
        return found
    return [replace(effect, cost=float(costs[effect.index])) for effect in found]


class ListPicker:
    """Proposes candidates in an order that looks at no gains, as baselines do.

    Parameters
    ----------
    order : Order
    pool : RowSource
    targets : TargetFrame
    objective : Objective
    weights : ndarray of shape (T,)
    gate : Gate, optional
        Says which candidates may be picked; all by default.
    """

    def __init__(
        self,
        order: Order,
        pool: RowSource,
        targets: TargetFrame,
        objective: Objective,
        weights: FloatArray,
        gate: Gate | None = None,
    ) -> None:
        self._order = order
        self._gate = gate or open_gate(pool.n_rows)
        self._pool = pool
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self.n_exact = 0
        self.n_whitenings = 0

    def propose(self) -> tuple[Effect, float]:
        """Compute what the next in the order does."""
        indices = np.array([self._order.first(self._gate.closed)], dtype=np.intp)
        rows = self._pool.take(indices)
        found = effects(self._targets, self._objective, self._weights, indices, rows)
        self.n_exact += 1
        return found[0], float("nan")

    def accept(self, effect: Effect) -> None:
        """Tell the gate and the order."""
        self._gate.accept(effect.index)
        self._order.accept(effect.index)

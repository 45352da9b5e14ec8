"""Who proposes the next block: the greedy search, or an order that looks at no gains."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.baselines import Order
from prcli.numerics.block_effects import at_most_square, block_effect, factorized_effect
from prcli.numerics.block_screen import BlockScreen
from prcli.numerics.block_source import BlockSource
from prcli.numerics.candidates import Effect, choose, contested
from prcli.numerics.gate import Gate, open_gate
from prcli.numerics.objectives import Objective
from prcli.numerics.overflow import counted_from
from prcli.numerics.part_threads import for_each
from prcli.numerics.pickers import with_costs
from prcli.numerics.pool_share import PoolShare
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.rigidity import whiten

FloatArray = NDArray[np.float64]

#: Shortlists longer than this share of the pool ask for a fresh whitening of the pool.
LONGEST_SHORTLIST = 1 / 16

#: Numbers that the rows of finalists hold at once.
BATCH_ELEMENTS = 1 << 22


class BlockPicker:
    """Proposes the block of the largest gain, or of the largest gain per cost.

    Parameters
    ----------
    pool : BlockSource
    targets : TargetFrame
    objective : Objective
    weights : ndarray of shape (T,)
    n_to_select : int
        Picks that will be asked for, to plan the work.
    gate : Gate, optional
        Says which candidates may be picked; all by default.
    n_threads : int, optional
        By default as many as linear algebra may use.
    costs : ndarray of shape (C,), optional
        Positive; gains are divided by them.
    share : PoolShare, optional
        Where `pool` holds only the candidates of this rank, while `gate` and `costs` are of all.
    """

    def __init__(
        self,
        pool: BlockSource,
        targets: TargetFrame,
        objective: Objective,
        weights: FloatArray,
        n_to_select: int,
        gate: Gate | None = None,
        n_threads: int | None = None,
        costs: FloatArray | None = None,
        share: PoolShare | None = None,
    ) -> None:
        self._share = share or PoolShare.whole(pool.n_blocks)
        self._gate = gate or open_gate(self._share.n_all)
        self._costs = costs
        self._pool = pool
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self._n_threads = n_threads
        targets.refresh()
        barred = self._gate.barred[self._share.part]
        with counted_from(self._share.first):
            self._screen = BlockScreen(
                objective, pool, targets, weights, n_to_select, barred, n_threads
            )
        self.n_exact = 0
        self.n_whitenings = 0

    def propose(self) -> tuple[Effect, float]:
        """Screen all candidates, compute the gain of the best few, choose."""
        members = self._shortlist()
        n_members, n_steps = self._share.total(len(members), self._screen.frame.n_picks)
        if n_members > max(8, LONGEST_SHORTLIST * self._share.n_all) and n_steps:
            self._screen.refresh()
            members = self._shortlist()
            (n_members,) = self._share.total(len(members))
        self.n_exact += n_members
        self.n_whitenings = self._screen.frame.n_whitenings - 1
        finalists = with_costs(self._effects(members), self._costs)
        best, margin = self._share.choose(self._settled(finalists), self._best_of)
        return replace(best, rows=self._share.rows_of(best.index, self._pool.take)), margin

    def _best_of(self, finalists: list[Effect]) -> tuple[Effect, float]:
        return choose(finalists, self._targets, self._objective, self._weights)

    def _shortlist(self) -> NDArray[np.intp]:
        """Candidates that can be the best or the runner-up, which the margin needs."""
        lower, upper = self._screen.bounds()
        if self._costs is not None:
            lower /= self._costs[self._share.part]
            upper /= self._costs[self._share.part]
        closed = self._gate.closed[self._share.part]
        lower[closed] = -np.inf
        return np.flatnonzero((upper >= self._share.floor(lower)) & ~closed)

    def _effects(self, members: NDArray[np.intp]) -> list[Effect]:
        """Exact effects, which do not carry the rows: those of many blocks fill the memory."""
        if not len(members):
            return []
        per_candidate = max(1, self._pool.n_columns * int(self._pool.heights[members].max()))
        size = max(1, BATCH_ELEMENTS // per_candidate)
        found: dict[int, Effect] = {}
        for start in range(0, len(members), size):
            batch = [(int(i), self._coordinates(int(i))) for i in members[start : start + size]]
            for_each(partial(self._compute, found), batch, self._n_threads)
        return [found[int(index)] for index in members]

    def _compute(self, found: dict[int, Effect], candidate: tuple[int, FloatArray]) -> None:
        index, z = candidate
        found[index] = block_effect(
            self._targets, self._objective, self._weights, index + self._share.first, z[:0], z
        )

    def _coordinates(self, index: int) -> FloatArray:
        """Coordinates of a candidate in the frame of the targets."""
        if self._screen.frame.factor is self._targets.factor:
            return self._screen.frame.coordinates(index)
        return at_most_square(whiten(self._pool.take(index), self._targets.factor))

    def _settled(self, finalists: list[Effect]) -> list[Effect]:
        """Give a factorization of its own to every block that errors could put first."""
        known = {effect.index: effect for effect in finalists}
        while doubtful := contested(self._share.everyones(list(known.values()))):
            own = [index for index in doubtful if index in known]
            for index in sorted(i for i in own if known[i].uncertainty > 0.0):
                rows = self._pool.take(index - self._share.first)
                effect = replace(known[index], rows=rows)
                effect = factorized_effect(self._targets, self._objective, self._weights, effect)
                known[index] = replace(effect, rows=effect.rows[:0])
        return list(known.values())

    def accept(self, effect: Effect) -> None:
        """Tell the gate and the screen."""
        self._gate.accept(effect.index)
        self._screen.add(effect.rows)


class BlockListPicker:
    """Proposes blocks in an order that looks at no gains, as baselines do.

    Parameters
    ----------
    order : Order
    pool : BlockSource
    targets : TargetFrame
    objective : Objective
    weights : ndarray of shape (T,)
    gate : Gate, optional
        Says which candidates may be picked; all by default.
    """

    def __init__(
        self,
        order: Order,
        pool: BlockSource,
        targets: TargetFrame,
        objective: Objective,
        weights: FloatArray,
        gate: Gate | None = None,
    ) -> None:
        self._order = order
        self._gate = gate or open_gate(pool.n_blocks)
        self._pool = pool
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self.n_exact = 0
        self.n_whitenings = 0
        targets.refresh()

    def propose(self) -> tuple[Effect, float]:
        """Compute what the next in the order does."""
        index = self._order.first(self._gate.closed)
        rows = self._pool.take(index)
        z = at_most_square(whiten(rows, self._targets.factor))
        self.n_exact += 1
        effect = block_effect(self._targets, self._objective, self._weights, index, rows, z)
        return effect, float("nan")

    def accept(self, effect: Effect) -> None:
        """Tell the gate and the order."""
        self._gate.accept(effect.index)
        self._order.accept(effect.index)

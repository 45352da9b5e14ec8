"""Who proposes the next block: the greedy search, or an order fixed beforehand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.block_effects import at_most_square, block_effect, factorized_effect
from prcli.numerics.block_screen import BlockScreen
from prcli.numerics.block_source import BlockSource
from prcli.numerics.candidates import TIE, Effect, choose, contested
from prcli.numerics.objectives import Objective
from prcli.numerics.part_threads import for_each
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.rigidity import whiten

FloatArray = NDArray[np.float64]

#: Shortlists longer than this share of the pool ask for a fresh whitening of the pool.
LONGEST_SHORTLIST = 1 / 16

#: Numbers that the rows of finalists hold at once.
BATCH_ELEMENTS = 1 << 22


class BlockPicker:
    """Proposes the block of the largest gain.

    Parameters
    ----------
    pool : BlockSource
    targets : TargetFrame
    posterior : Posterior
    objective : Objective
    weights : ndarray of shape (T,)
    n_to_select : int
        Picks that will be asked for, to plan the work.
    excluded : ndarray of bool of shape (C,), optional
        Candidates that may not be picked.
    n_threads : int, optional
        By default as many as linear algebra may use.
    """

    def __init__(
        self,
        pool: BlockSource,
        targets: TargetFrame,
        posterior: Posterior,
        objective: Objective,
        weights: FloatArray,
        n_to_select: int,
        excluded: NDArray[np.bool_] | None = None,
        n_threads: int | None = None,
    ) -> None:
        closed = np.zeros(pool.n_blocks, dtype=bool) if excluded is None else excluded.copy()
        self._pool = pool
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self._closed = closed
        self._n_threads = n_threads
        targets.refresh()
        self._screen = BlockScreen(
            objective, pool, posterior, targets, weights, n_to_select, closed, n_threads
        )
        self.n_exact = 0
        self.n_whitenings = 0

    def propose(self) -> tuple[Effect, float]:
        """Screen all candidates, compute the gain of the best few, choose."""
        members = self._shortlist()
        long = len(members) > max(8, LONGEST_SHORTLIST * self._pool.n_blocks)
        if long and self._screen.frame.n_picks:
            self._screen.refresh()
            members = self._shortlist()
        self.n_exact += len(members)
        self.n_whitenings = self._screen.frame.n_whitenings - 1
        finalists = self._settled(self._effects(members))
        best, margin = choose(finalists, self._targets, self._objective, self._weights)
        return replace(best, rows=self._pool.take(best.index)), margin

    def _shortlist(self) -> NDArray[np.intp]:
        """Candidates that can be the best or the runner-up, which the margin needs."""
        lower, upper = self._screen.bounds()
        lower[self._closed] = -np.inf
        first = int(lower.argmax())
        tolerance = TIE * abs(float(lower[first]))
        lower[first] = -np.inf
        return np.flatnonzero((upper >= float(lower.max()) - tolerance) & ~self._closed)

    def _effects(self, members: NDArray[np.intp]) -> list[Effect]:
        """Exact effects, which do not carry the rows: those of many blocks fill the memory."""
        per_candidate = max(1, self._pool.n_columns * int(self._pool.heights[members].max()))
        size = max(1, BATCH_ELEMENTS // per_candidate)
        found: dict[int, Effect] = {}
        for start in range(0, len(members), size):
            batch = [(int(i), self._coordinates(int(i))) for i in members[start : start + size]]
            for_each(partial(self._compute, found), batch, self._n_threads)
        return [found[int(index)] for index in members]

    def _compute(self, found: dict[int, Effect], candidate: tuple[int, FloatArray]) -> None:
        index, z = candidate
        found[index] = block_effect(self._targets, self._objective, self._weights, index, z[:0], z)

    def _coordinates(self, index: int) -> FloatArray:
        """Coordinates of a candidate in the frame of the targets."""
        if self._screen.frame.factor is self._targets.factor:
            return self._screen.frame.coordinates(index)
        return at_most_square(whiten(self._pool.take(index), self._targets.factor))

    def _settled(self, finalists: list[Effect]) -> list[Effect]:
        """Give a factorization of its own to every block that errors could put first."""
        known = {effect.index: effect for effect in finalists}
        while doubtful := contested(list(known.values())):
            for index in sorted(i for i in doubtful if known[i].uncertainty > 0.0):
                effect = replace(known[index], rows=self._pool.take(index))
                effect = factorized_effect(self._targets, self._objective, self._weights, effect)
                known[index] = replace(effect, rows=effect.rows[:0])
        return list(known.values())

    def accept(self, effect: Effect) -> None:
        """Close the candidate and tell the screen."""
        self._closed[effect.index] = True
        self._screen.add(effect.rows)


class BlockListPicker:
    """Proposes blocks in an order fixed beforehand, as baselines do.

    Parameters
    ----------
    order : ndarray of shape (n,)
        Positions in the pool.
    pool : BlockSource
    targets : TargetFrame
    objective : Objective
    weights : ndarray of shape (T,)
    """

    def __init__(
        self,
        order: NDArray[np.intp],
        pool: BlockSource,
        targets: TargetFrame,
        objective: Objective,
        weights: FloatArray,
    ) -> None:
        self._order = iter(order)
        self._pool = pool
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self.n_exact = 0
        self.n_whitenings = 0
        targets.refresh()

    def propose(self) -> tuple[Effect, float]:
        """Compute what the next in the order does."""
        index = int(next(self._order))
        rows = self._pool.take(index)
        z = at_most_square(whiten(rows, self._targets.factor))
        self.n_exact += 1
        effect = block_effect(self._targets, self._objective, self._weights, index, rows, z)
        return effect, float("nan")

    def accept(self, effect: Effect) -> None:
        """Need not learn anything."""

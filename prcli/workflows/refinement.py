"""Exchanges of a chosen for an unchosen candidate while they raise the objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from prcli.errors import RequestError
from prcli.numerics.baselines import FixedOrder
from prcli.numerics.candidates import TIE, Effect
from prcli.numerics.gate import Gate
from prcli.numerics.greedy import GreedyResult, run_selection
from prcli.numerics.limits import Limits
from prcli.numerics.pickers import Picker
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.records import Progress
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection_loop import greedy_picker, list_picker
from prcli.workflows.selection_problem import SelectionProblem


@dataclass(frozen=True)
class Refinement:
    """What exchanges have brought.

    Attributes
    ----------
    n_sweeps : int
        Times that every pick was looked at.
    n_exchanges : int
    objective_greedy, objective_refined : float
        After the picks of the greedy search, and after those that came out of it.
    is_settled : bool
        Whether no single exchange raises the objective any more.
    """

    n_sweeps: int
    n_exchanges: int
    objective_greedy: float
    objective_refined: float
    is_settled: bool


def check_refinement(n_sweeps: int, options: SelectOptions) -> None:
    """Refuse what cannot be refined.

    Raises
    ------
    RequestError
    """
    if n_sweeps < 0:
        raise RequestError("--refine must not be negative", got=str(n_sweeps))
    if n_sweeps and options.strategy != "pr":
        raise RequestError(
            "exchanges go by gains, which this strategy does not look at",
            where="--refine",
            expected="--strategy pr",
            got=f"--strategy {options.strategy}",
        )
    if n_sweeps and (options.stop_gain is not None or options.stop_pr is not None):
        raise RequestError(
            "exchanges do not know when to stop early",
            where="--refine",
            remedy="leave out --stop-gain and --stop-pr, or --refine",
        )


class Exchange:
    """Exchanges among the picks of a selection.

    Parameters
    ----------
    problem : SelectionProblem
        With limits that the picks keep within.
    start : Posterior
        Before the picks; left as it is.
    """

    def __init__(self, problem: SelectionProblem, start: Posterior) -> None:
        self._problem = problem
        self._start = start
        self._limits = problem.limits
        self.n_exact = 0

    def refine(
        self, result: GreedyResult, state: Posterior, n_sweeps: int, progress: Progress
    ) -> tuple[GreedyResult, Posterior, Refinement]:
        """Look at every pick in turn, and put the best candidate in its place.

        Parameters
        ----------
        result : GreedyResult
        state : Posterior
            With its picks.
        n_sweeps : int
            At most; fewer where a sweep exchanges nothing.
        progress : callable

        Returns
        -------
        result : GreedyResult
            Each new pick in the place of the old one, what is paid for by what an exchange has
            saved behind them.
        state : Posterior
            With the picks.
        refinement : Refinement
        """
        chosen = [pick.index for pick in result.picks]
        done, n_exchanges, is_settled = 0, 0, False
        while done < n_sweeps and not is_settled:
            before = n_exchanges
            for place in range(len(chosen)):
                better = self._better(chosen, place)
                n_exchanges += better != chosen[place]
                chosen[place] = better
                progress("refine", done * len(chosen) + place + 1, n_sweeps * len(chosen))
            done += 1
            more = self._filled(chosen)
            is_settled = n_exchanges == before and not more
            chosen += more
        refined = result
        if chosen != [pick.index for pick in result.picks]:
            refined, state = self._replayed(chosen)
        refined = replace(
            refined,
            n_exact=result.n_exact + self.n_exact,
            n_whitenings=result.n_whitenings,
            stopped=result.stopped,
        )
        values = result.objective_after, refined.objective_after
        return refined, state, Refinement(done, n_exchanges, *values, is_settled)

    def _better(self, chosen: Sequence[int], place: int) -> int:
        """Find the best candidate beside all picks but one; that one unless another gains more."""
        others = [index for i, index in enumerate(chosen) if i != place]
        own = chosen[place]
        best = self._best(others, len(chosen))
        if best.index == own:
            return own
        old = self._effect(others, own)
        slack = TIE * abs(old.gain) + best.uncertainty + old.uncertainty
        is_better = best.gain > old.gain + slack
        return best.index if self._problem.candidates.communicator.broadcast(is_better) else own

    def _best(self, picks: Sequence[int], n_to_select: int) -> Effect:
        """Find the best candidate beside some picks."""
        gate = Gate(replace(self._limits, n_to_select=n_to_select))
        for index in picks:
            gate.accept(index)
        frame, _ = self._frame(picks)
        picker = greedy_picker(self._problem, frame, gate, 1)
        best = picker.propose()[0]
        self.n_exact += picker.n_exact
        return best

    def _effect(self, picks: Sequence[int], index: int) -> Effect:
        """Compute what one candidate beside some picks does."""
        frame, _ = self._frame(picks)
        return self._in_order(frame, [index]).propose()[0]

    def _filled(self, chosen: Sequence[int]) -> list[int]:
        """Find what can still be picked where exchanges have left money or room."""
        more: list[int] = []
        if len(chosen) == self._limits.n_to_select and self._limits.budget is None:
            return more
        gate = Gate(self._limits)
        for index in chosen:
            gate.accept(index)
        while not gate.is_shut:
            more.append(self._best([*chosen, *more], self._limits.n_to_select).index)
            gate.accept(more[-1])
        return more

    def _replayed(self, chosen: Sequence[int]) -> tuple[GreedyResult, Posterior]:
        """Make the picks once more, in their order, for the numbers after each."""
        frame, state = self._frame(())
        picker = self._in_order(frame, chosen)
        objective, weights = self._problem.objective, self._problem.targets.shares
        return run_selection(picker, frame, objective, weights, len(chosen)), state

    def _in_order(self, frame: TargetFrame, indices: Sequence[int]) -> Picker:
        """Propose some candidates in their order, whatever the limits."""
        gate = Gate(Limits(np.zeros_like(self._limits.barred), len(indices)))
        order = FixedOrder(np.array(indices, dtype=np.intp))
        return list_picker(self._problem, frame, gate, order)

    def _frame(self, picks: Sequence[int]) -> tuple[TargetFrame, Posterior]:
        """Targets in the posterior with some picks."""
        state = self._start.copy()
        self._problem.add(state, picks)
        return self._problem.frame(state), state

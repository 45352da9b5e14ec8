"""What refits are compared, and at which numbers of added structures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import get_args

from prcli.errors import RequestError
from prcli.workflows.evaluate_baseline import BaselineKind
from prcli.workflows.expressions import parse_expression
from prcli.workflows.select_options import Strategy, TargetPer

#: All strategies, in the order of tables and figures.
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True)
class EvaluateOptions:
    """What to compare.

    Attributes
    ----------
    strategies : tuple of str
        Strategies to run.
    random_where : tuple of str
        Filters on the pool, each of which makes a strategy of its own: random among the
        candidates that pass.
    n_to_select : int, optional
        Structures that strategies pick; needed if there are any.
    n_seeds : int
        Draws of every random strategy.
    seed : int
        Of the first draw; the others follow it.
    counts : tuple of int, optional
        Numbers of added structures at which models are refitted; by default 0, 1, 2, 5, 10,
        20 ... and all of every selection.
    objective : str
        What the strategy pr maximizes.
    target_per : {"structure", "atom"}
        Whose rigidities are averaged, and maximized.
    exclude_train : bool
        Leave out candidates that are training structures.
    baseline : {"composition", "mean", "none"}, optional
        What energies are measured from; by default the composition for several elements, the
        mean for one.
    """

    strategies: tuple[Strategy, ...] = ()
    random_where: tuple[str, ...] = ()
    n_to_select: int | None = None
    n_seeds: int = 10
    seed: int = 0
    counts: tuple[int, ...] | None = None
    objective: str = "mean-pr"
    target_per: TargetPer = "structure"
    exclude_train: bool = False
    baseline: BaselineKind | None = None

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
            If a value is out of its range, or strategies have no number to pick.
        """
        for name in self.strategies:
            if name not in STRATEGIES:
                raise RequestError(
                    "--strategy is not known", expected="some of " + ",".join(STRATEGIES), got=name
                )
        for text in self.random_where:
            parse_expression(text)
        if self.runs_strategies and self.n_to_select is None:
            raise RequestError(
                "strategies need the number of structures to select", expected="-n/--n-to-select"
            )
        if self.n_seeds < 1:
            raise RequestError("--seeds must be at least 1", got=str(self.n_seeds))
        if any(count < 0 for count in self.counts or ()):
            raise RequestError("--counts must not be negative", got=_listed(self.counts or ()))

    @property
    def runs_strategies(self) -> bool:
        """Whether anything is selected here."""
        return bool(self.strategies or self.random_where)

    @property
    def curve_names(self) -> tuple[str, ...]:
        """Names of the curves of the strategies."""
        return (*self.strategies, *(f"random[{text}]" for text in self.random_where))

    def counts_for(self, lengths: Collection[int]) -> tuple[int, ...]:
        """Give the numbers of added structures to look at, ascending.

        Parameters
        ----------
        lengths : collection of int
            Structures of the selections; by default each is looked at as a whole, too.

        Raises
        ------
        RequestError
            If a number that was given is larger.
        """
        longest = max(lengths)
        if self.counts is None:
            return tuple(sorted({*usual_counts(longest), *lengths}))
        if max(self.counts, default=0) > longest:
            raise RequestError(
                "models cannot be refitted with more structures than were selected",
                where="--counts",
                expected=f"at most {longest}",
                got=_listed(self.counts),
            )
        return tuple(sorted(set(self.counts)))


def usual_counts(longest: int) -> tuple[int, ...]:
    """0, 1, 2, 5, 10, 20, 50 ... up to a number, and that number."""
    counts, decade = [0], 1
    while decade <= longest:
        counts += [digit * decade for digit in (1, 2, 5)]
        decade *= 10
    return tuple(sorted({count for count in counts if count <= longest} | {longest}))


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))

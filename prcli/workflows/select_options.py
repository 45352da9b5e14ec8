"""How to select, and what may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from prcli.errors import RequestError
from prcli.numerics.objectives import OBJECTIVES

Strategy: TypeAlias = Literal["pr", "random", "fps", "leverage"]
TargetPer: TypeAlias = Literal["structure", "atom", "component"]


@dataclass(frozen=True)
class SelectOptions:
    """How to select.

    Attributes
    ----------
    n_to_select : int or None
        Structures to pick at most; None where a budget alone says how many.
    objective : str
        A name in `prcli.numerics.objectives.OBJECTIVES`.
    strategy : {"pr", "random", "fps", "leverage"}
    target_per : {"structure", "atom", "component"}
        What a target is; a component is what a block of features contributes to a structure.
    exclude_train : bool
        Leave out candidates that are training structures.
    stop_gain : float, optional
        Stop before a gain below this share of the first.
    stop_pr : float, optional
        Stop once every target's rigidity is above.
    seed : int
        For the random strategy.
    """

    n_to_select: int | None
    objective: str = "mean-pr"
    strategy: Strategy = "pr"
    target_per: TargetPer = "structure"
    exclude_train: bool = False
    stop_gain: float | None = None
    stop_pr: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
            If a value is out of its range.
        """
        wanted = self.n_to_select
        if wanted is not None and (not isinstance(wanted, int | np.integer) or wanted < 1):
            raise RequestError(
                "the number of structures to select must be a whole number of at least 1",
                where="-n/--n-to-select",
                got=str(self.n_to_select),
            )
        if self.seed < 0:
            raise RequestError("--seed must not be negative", got=str(self.seed))
        _check_choice("objective", self.objective, tuple(OBJECTIVES))
        _check_choice("strategy", self.strategy, ("pr", "random", "fps", "leverage"))
        _check_choice("target-per", self.target_per, get_args(TargetPer))
        for name, value in (("stop-gain", self.stop_gain), ("stop-pr", self.stop_pr)):
            if value is not None and not value >= 0.0:
                raise RequestError(f"--{name} must not be negative", got=str(value))


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RequestError(
            f"--{name} is not known", expected="one of " + ", ".join(known), got=value
        )

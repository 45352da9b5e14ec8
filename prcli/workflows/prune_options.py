"""How to prune a training set, and what a user typed."""

from __future__ import annotations

from dataclasses import dataclass, field

from prcli.errors import RequestError
from prcli.numerics.removal_objectives import REMOVAL_OBJECTIVES
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import DataArgument, InputOptions
from prcli.workflows.select_options import TargetPer


@dataclass(frozen=True)
class PruneOptions:
    """How to prune.

    Attributes
    ----------
    n_to_keep : int, optional
        Structures that stay at least.
    max_loss : float, optional
        Share of the mean rigidity of the targets that may be lost, from 0 to 1. Duplicates go
        before the loss is counted.
    duplicates : float, optional
        Structures within this distance of an earlier one go first, whatever they weigh; 0 for
        exact copies. Distances are those of mean features, divided by the scale.
    objective : str
        A name in `prcli.numerics.removal_objectives.REMOVAL_OBJECTIVES`.
    target_per : {"structure", "atom", "component"}
    """

    n_to_keep: int | None = None
    max_loss: float | None = None
    duplicates: float | None = None
    objective: str = "mean-pr"
    target_per: TargetPer = "structure"

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
        """
        if self.n_to_keep is None and self.max_loss is None and self.duplicates is None:
            raise RequestError(
                "it is not said how much may be removed",
                expected="--max-loss, -n/--keep or --duplicates",
            )
        if self.n_to_keep is not None and self.n_to_keep < 1:
            raise RequestError("at least one structure must stay", got=f"--keep {self.n_to_keep}")
        if self.max_loss is not None and not 0.0 <= self.max_loss < 1.0:
            raise RequestError(
                "the loss must be a share of what there is",
                where="--max-loss",
                expected="at least 0 and less than 1, or less than 100%",
                got=str(self.max_loss),
            )
        if self.duplicates is not None and not 0.0 <= self.duplicates < float("inf"):
            raise RequestError(
                "the distance of duplicates must be a finite number that is not negative",
                where="--duplicates",
                got=str(self.duplicates),
            )
        if self.objective not in REMOVAL_OBJECTIVES:
            raise RequestError(
                "the objective is not known to a pruning",
                where="--objective",
                expected="one of " + ", ".join(REMOVAL_OBJECTIVES),
                got=self.objective,
            )


@dataclass(frozen=True)
class PruneRequest:
    """Everything that decides a pruning.

    Attributes
    ----------
    options : PruneOptions
    train : tuple of DataArgument
        Training set: feature sets, and Hessian files of structures that stay.
    target : tuple of DataArgument
        Structures of interest.
    hessian_options : HessianOptions
    inputs : InputOptions
    target_weight : str, optional
        Column or key of the targets that holds weights.
    structures : tuple of path
        Structure files of the training set, in place of those that its stores name.
    output : str, optional
        Result directory.
    overwrite, with_provenance : bool
    """

    options: PruneOptions
    train: tuple[DataArgument, ...]
    target: tuple[DataArgument, ...]
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    target_weight: str | None = None
    structures: tuple[str, ...] = ()
    output: str | None = None
    overwrite: bool = False
    with_provenance: bool = True
